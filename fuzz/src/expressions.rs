//! Expressions of both sets of rules: as any text, and as trees that a slow and simple evaluator knows too.

use tidegate_pipelines::{
    SourceFile, check,
    lenient::{self, Phase},
    plan::Template,
    render_template,
};

use crate::{
    Choices, quoted,
    reference::{self, NUMBERS, PATHS, TEXTS, Tree, context, numbers, with_values, written},
};

/// Deeper trees are no other.
const DEEPEST: usize = 6;

/// The first byte says what the others are.
pub fn run(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    match first {
        b'<' => {
            let tree = tree(&mut Choices { bytes: rest }, 0, false);
            lenient_tree(&tree);
        }
        b'>' => {
            let tree = tree(&mut Choices { bytes: rest }, 0, true);
            strict_tree(&tree);
        }
        _ => text(&String::from_utf8_lossy(bytes)),
    }
}

fn text(text: &str) {
    let _ = render_template(&Template(text.to_owned()), None, &context());
    with_values(|values| {
        let _ = lenient::text(text, values);
        let _ = lenient::value(text, values);
        let _ = lenient::holds(text, values);
        let _ = lenient::reads(text, false);
        let _ = lenient::reads(text, true);
        let fault = lenient::evaluate(text, values).err();
        if let Some(fault) = &fault {
            assert!(text.get(fault.range.clone()).is_some(), "{:?} is no part of {text:?}", fault.range);
        }
        checked(text, fault.is_some_and(|fault| fault.phase != Phase::Evaluation));
    });
}

/// What cannot be read when it is evaluated is a mistake when it is checked, and the other way round.
fn checked(text: &str, unreadable: bool) {
    if text.contains("${{") || text.trim().is_empty() {
        return;
    }
    let condition = quoted(text);
    for file in [
        SourceFile {
            path: ".github/workflows/p.yml",
            text: &format!(
                "on: push\njobs: {{a: {{runs-on: x, timeout-minutes: 1, steps: [{{run: x, if: {condition}}}]}}}}\n"
            ),
        },
        SourceFile {
            path: "p.yml",
            text: &format!("on: push\nstages: {{a: {{image: \"a:1\", run: x, if: {condition}}}}}\n"),
        },
    ] {
        let found = check(&file);
        let mistakes: Vec<_> = found.iter().filter(|one| one.is_error()).collect();
        if file.path != "p.yml" && !mistakes.iter().any(|one| one.code == "TG0102") {
            // `secrets` and `jobs` are contexts that a step's condition does not have, and its status functions take
            // no jobs: the evaluator is that of a job's condition too, where they may.
            let elsewhere = mistakes.iter().all(|one| {
                let said = one.message.to_lowercase();
                let status = ["`success`", "`failure`"].iter().any(|name| said.starts_with(name));
                one.message.ends_with("is not known here") || status && one.message.contains("does not take")
            });
            let agreed = mistakes.is_empty() != unreadable || (!unreadable && elsewhere);
            assert!(agreed, "{text:?}: {unreadable}, {mistakes:?}");
        }
    }
}

/// Whether an error is about a bound on expressions and what they make; the reference knows none.
fn is_bound(message: &str) -> bool {
    ["an expression may have", "is nested more than", "would be longer than"]
        .iter()
        .any(|bound| message.contains(bound))
}

fn lenient_tree(tree: &Tree) {
    let text = written(tree);
    let found = with_values(|values| lenient::evaluate(&text, values));
    match reference::lenient::evaluate(tree) {
        Ok(_) if found.as_ref().is_err_and(|fault| is_bound(&fault.message)) => {}
        Ok(expected) => {
            let found = found.unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!(numbers(found), numbers(reference::lenient::to_json(&expected)), "{text}");
        }
        Err(()) => assert!(found.is_err(), "{text} is {found:?}"),
    }
}

fn strict_tree(tree: &Tree) {
    let text = written(tree);
    let found = render_template(&Template(format!("${{{{ toJSON({text}) }}}}")), None, &context());
    match reference::strict::evaluate(tree) {
        Ok(_) if found.as_ref().is_err_and(|error| is_bound(&error.message)) => {}
        Ok(expected) => assert_eq!(found.ok(), Some(expected.to_string()), "{text}"),
        Err(()) => assert!(found.is_err(), "{text} is {found:?}"),
    }
}

fn tree(choices: &mut Choices<'_>, depth: usize, strict: bool) -> Tree {
    let inner = |choices: &mut Choices<'_>| tree(choices, depth + 1, strict);
    let kind = if depth >= DEEPEST { choices.below(5) } else { choices.below(14) };
    match kind {
        0 => Tree::Null,
        1 => Tree::Bool(choices.below(2) == 1),
        2 => Tree::Number(choices.below(if strict { 5 } else { NUMBERS.len() })),
        3 => Tree::Text(choices.of(&TEXTS)),
        4 => Tree::Path(choices.of(&PATHS)),
        5 => Tree::Index(Box::new(inner(choices)), Box::new(inner(choices))),
        6 if !strict => Tree::Filter(Box::new(inner(choices))),
        6 | 7 => Tree::Not(Box::new(inner(choices))),
        8 | 9 => {
            let sign = choices.of(&["&&", "||"]);
            Tree::Logic(sign, (0..2 + choices.below(2)).map(|_| inner(choices)).collect())
        }
        10 | 11 => {
            let sign = choices.of(&["==", "!=", "<", "<=", ">", ">="]);
            Tree::Compare(sign, Box::new(inner(choices)), Box::new(inner(choices)))
        }
        _ => {
            let functions = [
                ("contains", 2, 2),
                ("startsWith", 2, 2),
                ("endsWith", 2, 2),
                ("join", 1, 2),
                ("toJSON", 1, 1),
                ("fromJSON", 1, 1),
                ("format", 1, 3),
                ("case", 3, 3),
            ];
            let (name, least, most) = choices.of(if strict { &functions[..7] } else { &functions[..] });
            let count = least + choices.below(most - least + 1);
            Tree::Call(name, (0..count).map(|_| inner(choices)).collect())
        }
    }
}
