//! Expressions of both sets of rules against evaluators that are slow and simple: a tree is drawn at random, written
//! down, and evaluated twice.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use tidegate_pipelines::{
    Compiled, Context, Setting, SourceFile, compile, condition, lenient, plan::Template, render_template,
};

use crate::{
    events,
    reference::{self, NUMBERS, PATHS, TEXTS, Tree, context, numbers, with_values, written},
};

fn tree(strict: bool) -> impl Strategy<Value = Tree> {
    let numbers = if strict { 5 } else { NUMBERS.len() };
    let leaf = prop_oneof![
        1 => Just(Tree::Null),
        1 => any::<bool>().prop_map(Tree::Bool),
        2 => (0..numbers).prop_map(Tree::Number),
        3 => prop::sample::select(&TEXTS[..]).prop_map(Tree::Text),
        4 => prop::sample::select(&PATHS[..]).prop_map(Tree::Path),
    ];
    let functions: &[(&str, usize, usize)] = if strict {
        &[
            ("contains", 2, 2),
            ("startsWith", 2, 2),
            ("endsWith", 2, 2),
            ("join", 1, 2),
            ("toJSON", 1, 1),
            ("fromJSON", 1, 1),
            ("format", 1, 3),
        ]
    } else {
        &[
            ("contains", 2, 2),
            ("StartsWith", 2, 2),
            ("endswith", 2, 2),
            ("join", 1, 2),
            ("toJson", 1, 1),
            ("fromJSON", 1, 1),
            ("format", 1, 3),
            ("case", 3, 3),
        ]
    };
    leaf.prop_recursive(5, 40, 3, move |inner| {
        let pair = (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        let row = prop::collection::vec(inner.clone(), 2..4);
        let call = (prop::sample::select(functions), prop::collection::vec(inner.clone(), 3), 0..3_usize);
        let comparisons: &[&str] = &["==", "!=", "<", "<=", ">", ">="];
        let filter = if strict { 0 } else { 2 };
        prop_oneof![
            2 => pair.clone().prop_map(|(a, b)| Tree::Index(a, b)),
            filter => inner.clone().prop_map(|a| Tree::Filter(Box::new(a))),
            1 => inner.prop_map(|a| Tree::Not(Box::new(a))),
            2 => (prop::sample::select(&["&&", "||"][..]), row).prop_map(|(sign, row)| Tree::Logic(sign, row)),
            3 => (prop::sample::select(comparisons), pair).prop_map(|(sign, (a, b))| Tree::Compare(sign, a, b)),
            3 => call.prop_map(|((name, least, most), mut arguments, more)| {
                arguments.truncate((least + more).min(most));
                Tree::Call(name, arguments)
            }),
        ]
    })
}

/// Text of the signs and words of expressions, mostly without sense.
fn jumble() -> impl Strategy<Value = String> {
    let words = [
        "github",
        "inputs.list",
        "'a'",
        "''",
        "\"",
        "1",
        ".5",
        "-",
        "0x",
        "==",
        "!=",
        "<=",
        "&&",
        "||",
        "!",
        "(",
        ")",
        "[",
        "]",
        ".",
        ".*",
        "*",
        ",",
        "contains(",
        "format('{0}',",
        "always()",
        "null",
        "NaN",
        " ",
        "\n",
        "ü",
        "${{",
        "}}",
        "secrets.A",
        "toJSON(",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn lenient_values_are_those_of_the_simple_evaluator(tree in tree(false)) {
        let text = written(&tree);
        let found = with_values(|values| lenient::evaluate(&text, values));
        match reference::lenient::evaluate(&tree) {
            Ok(expected) => {
                prop_assert_eq!(numbers(found.clone().unwrap()), numbers(reference::lenient::to_json(&expected)), "{}", text);
                let within = with_values(|values| lenient::text(&format!("<${{{{ {text} }}}}>"), values));
                prop_assert_eq!(within.unwrap(), format!("<{}>", reference::lenient::text(&expected)), "{}", text);
            }
            Err(()) => prop_assert!(found.is_err(), "{} is {:?}", text, found),
        }
    }

    #[test]
    fn strict_values_are_those_of_the_simple_evaluator(tree in tree(true)) {
        let text = written(&tree);
        let context = context();
        let found = render_template(&Template(format!("${{{{ toJSON({text}) }}}}")), None, &context);
        match reference::strict::evaluate(&tree) {
            Ok(expected) => prop_assert_eq!(found.unwrap(), expected.to_string(), "{}", text),
            Err(()) => prop_assert!(found.is_err(), "{} is {:?}", text, found),
        }
    }

    #[test]
    fn no_text_is_too_strange(text in prop_oneof![jumble(), "\\PC{0,80}", "[ -~]{0,80}"]) {
        let context = context();
        let _ = render_template(&Template(text.clone()), None, &context);
        with_values(|values| {
            let _ = lenient::text(&text, values);
            let _ = lenient::value(&text, values);
            let _ = lenient::holds(&text, values);
            let _ = lenient::reads(&text, false);
            let _ = lenient::reads(&text, true);
            if let Err(fault) = lenient::evaluate(&text, values) {
                assert!(text.get(fault.range.clone()).is_some(), "{:?} is no part of {text:?}", fault.range);
            }
        });
    }

    #[test]
    fn text_without_expressions_stays_as_it_is(text in "([ -~ü]|\\$\\{ \\{|\\}\\}){0,60}") {
        prop_assume!(!text.contains("${{"));
        let context = context();
        prop_assert_eq!(&render_template(&Template(text.clone()), None, &context).unwrap(), &text);
        prop_assert_eq!(&with_values(|values| lenient::text(&text, values)).unwrap(), &text);
        prop_assert_eq!(with_values(|values| lenient::value(&text, values)).unwrap(), json!(text));
        let around = format!("{text}${{{{ 'x' }}}}{text}");
        prop_assert_eq!(with_values(|values| lenient::text(&around, values)).unwrap(), format!("{text}x{text}"));
    }
}

#[test]
fn long_and_deep_lenient_expressions_do_not_exhaust_the_stack() {
    with_values(|values| {
        assert_eq!(lenient::holds(&["0"; 7000].join("||"), values), Ok(false));
        assert!(lenient::holds(&format!("{}1{}", "(".repeat(190), ")".repeat(190)), values).unwrap());
        // No argument is evaluated twice.
        for (before, after) in [
            ("contains(", ", 'r')"),
            ("startsWith(", ", 'T')"),
            ("format('{0}{{', ", ")"),
            ("case(!", ", true, false)"),
            ("join(", ", '')"),
        ] {
            let nested = format!("{}true{}", before.repeat(24), after.repeat(24));
            assert!(lenient::evaluate(&nested, values).is_ok(), "{nested}");
        }
        for text in [
            "(".repeat(10_000),
            "!".repeat(10_000),
            "a[".repeat(5000),
            "a.b".repeat(5000),
            "1==".repeat(7000),
        ] {
            assert!(lenient::holds(&text, values).is_err());
        }
    });
}

#[test]
fn the_server_decides_lenient_stages_by_all_that_is_upstream() {
    use tidegate_pipelines::{
        StageFacts,
        plan::{Expressions, StageKey},
    };

    let event = events::push("main");
    let text = "on: push\ndefaults: {image: \"debian:12\"}\nstages:\n  a: {run: x}\n  b: {needs: [a], run: x}\n  c: {needs: [b], env: {E: \"${{ git.sha }}\"}, run: x}\n";
    let file = SourceFile { path: "p.yml", text };
    let Some(Compiled::Plan(plan)) = compile(&file, &event, Setting::default()).result else { panic!() };
    let mut stage = plan.stages[2].clone();
    stage.expressions = Expressions::Lenient;
    let mut context = Context::new(&plan, &event);
    context.contexts.insert("github".to_owned(), json!({"ref_name": "Main"}));
    // A stage that was skipped far up keeps `success()` from holding, although what is needed directly ended well.
    for (a, b, expected) in [
        ("succeeded", "warned", [true, true, false, false, true]),
        ("skipped", "succeeded", [false, false, false, false, true]),
        ("failed", "succeeded", [false, false, true, false, true]),
        ("cancelled", "skipped", [false, false, false, true, true]),
    ] {
        for (key, status) in [("a", a), ("b", b)] {
            let facts = StageFacts { status: status.to_owned(), outputs: BTreeMap::new() };
            context.stages.insert(StageKey(key.to_owned()), facts);
        }
        let asked = [
            "github.ref_name == 'main'",
            "success()",
            "failure()",
            "cancelled()",
            "always() && !vars.NOTHING",
        ];
        let found = asked.map(|expression| condition(expression, &stage, &context).unwrap());
        assert_eq!(found, expected, "{a} {b}");
    }
    assert!(condition("always() && hashFiles('x')", &stage, &context).is_err());
    // Its templates are the runner's business, but for those that the server needs.
    assert_eq!(tidegate_pipelines::resolve(&stage, &context).unwrap(), stage);
    let name = Template("on-${{ github.REF_NAME }}".to_owned());
    assert_eq!(render_template(&name, Some(&stage), &context).unwrap(), "on-Main");
}
