//! Lenient expressions, checked when a workflow is compiled.
//!
//! What GitHub refuses is an error. Beyond that there are warnings, for what GitHub runs without a word although it
//! can only be a mistake: a comparison that never holds, a condition that always does.

use super::{
    functions,
    names::{Allowed, findings},
    numbers::parse_number,
    text::equal_folded,
};
use crate::{
    codes::{self, Code},
    diagnostic::Place,
    expressions::{
        Comparison, Expression, Finding, Kind, Literal, Logic, Part, Type, check::contradiction,
        holds_expression, names::path, parse_lenient, split_lenient,
    },
    nearest::{did_you_mean, listed},
};

/// The most characters of an expression. Text with expressions in it counts as the `format(…)` that it stands for.
/// GitHub's limit.
const MAX_LENGTH: usize = 21_000;

/// What is wrong with a template, or, where status functions are allowed and it has no `${{ }}`, a condition.
/// `allowed` is the list of contexts and functions of the place, as GitHub's schema of workflows writes it:
/// `github`, `hashFiles(1,255)`. Places are bytes of `text`.
pub(crate) fn check_lenient(text: &str, allowed: &[&str]) -> Vec<Finding> {
    let allowed = Allowed::new(allowed);
    if !holds_expression(text) {
        return if allowed.is_condition() { check_one(text, 0, &allowed) } else { Vec::new() };
    }
    let error = |code, place, message: &str, help: Option<&str>| Finding {
        code,
        place,
        message: message.to_owned(),
        help: help.map(str::to_owned),
    };
    let parts = match split_lenient(text) {
        Ok(parts) => parts,
        Err(fault) => return vec![error(codes::BAD_EXPRESSION, fault.place, &fault.message, None)],
    };
    let length = length(text, &parts);
    if length > MAX_LENGTH {
        let message = format!("an expression may have {MAX_LENGTH} characters, and this one has {length}");
        let help = match parts.as_slice() {
            [_] => "make parts of it values of their own, under `env` for example",
            _ => {
                "text with `${{ }}` in it is one expression: hand the values over by `env`, or put the text into a file"
            }
        };
        return vec![error(codes::BAD_EXPRESSION, Place::new(0, text.len()), &message, Some(help))];
    }
    let mut list = Vec::new();
    if allowed.is_condition() && parts.len() > 1 {
        let message = "this condition always holds: it is text, because there is something beside `${{ }}`";
        let help = "leave `${{ }}` away, or put all of the condition inside";
        list.push(error(codes::ALWAYS_TRUE, Place::new(0, text.len()), message, Some(help)));
    }
    for part in parts {
        let Part::Expression(range) = part else { continue };
        if text[range.clone()].trim().is_empty() {
            let place = Place::new(range.start, range.end);
            list.push(error(codes::BAD_EXPRESSION, place, "there is no expression in `${{ }}`", None));
            continue;
        }
        list.extend(check_one(&text[range.clone()], range.start, &allowed));
    }
    list
}

/// How long the expression is that a template stands for: itself, or `format('text {0}', expression)`.
fn length(text: &str, parts: &[Part]) -> usize {
    let mut length = 0;
    for part in parts {
        length += match part {
            Part::Expression(range) => text[range.clone()].trim().encode_utf16().count(),
            // Quotes and braces are doubled.
            Part::Text(range) => text[range.clone()]
                .chars()
                .map(|c| c.len_utf16() * if matches!(c, '\'' | '{' | '}') { 2 } else { 1 })
                .sum(),
        };
        if parts.len() > 1 && matches!(part, Part::Expression(_)) {
            length += "{0}, ".len();
        }
    }
    if parts.len() > 1 { length + "format('')".len() } else { length }
}

/// One expression that begins at `start` of the whole text.
fn check_one(text: &str, start: usize, allowed: &Allowed<'_>) -> Vec<Finding> {
    let mut list = match parse_lenient(text) {
        Ok(expression) => {
            let mut list = findings(&expression, allowed);
            expression.walk(&mut |part| list.extend(suspicion(part)));
            list
        }
        Err(fault) => vec![Finding {
            code: codes::BAD_EXPRESSION,
            place: fault.place,
            message: fault.message,
            help: None,
        }],
    };
    for finding in &mut list {
        finding.place = Place::new(start + finding.place.start, start + finding.place.end);
    }
    list
}

const NEVER: Code = codes::NEVER_EQUAL;

/// What can only be a mistake although it is allowed.
fn suspicion(expression: &Expression) -> Option<Finding> {
    match &expression.kind {
        Kind::Logic(Logic::And, row) => {
            let (part, message) = contradiction(row, equal_folded)?;
            Some(Finding { code: NEVER, place: part.place, message, help: None })
        }
        Kind::Compare(Comparison::Equal | Comparison::NotEqual, left, right) => {
            never_equal(left, right, expression.place)
                .or_else(|| one_of(left, right))
                .or_else(|| one_of(right, left))
        }
        _ => None,
    }
}

/// Values whose types are known and that are never the same number.
fn never_equal(left: &Expression, right: &Expression, place: Place) -> Option<Finding> {
    let (l, r) = (possible(left)?, possible(right)?);
    if (l.kind == Type::Text && r.kind == Type::Text) || l.numbers.iter().any(|n| r.numbers.contains(n)) {
        return None;
    }
    let message = format!("{} is never equal to {}", l.kind.describe(), r.kind.describe());
    let help = match (l.kind, r.kind) {
        (Type::Bool, _) | (_, Type::Bool) => "compare it with `true` or `false`, without quotes",
        _ => "both are compared as numbers here",
    };
    Some(Finding { code: NEVER, place, message, help: Some(help.to_owned()) })
}

/// A type and all the numbers that its value can be converted to.
struct Possible {
    kind: Type,
    numbers: Vec<f64>,
}

fn possible(expression: &Expression) -> Option<Possible> {
    let (kind, numbers) = match &expression.kind {
        Kind::Literal(Literal::Bool(value)) => (Type::Bool, vec![f64::from(u8::from(*value))]),
        Kind::Literal(Literal::Number(number)) => (Type::Number, vec![*number]),
        Kind::Literal(Literal::Text(text)) => (Type::Text, vec![parse_number(text)]),
        Kind::Not(_) | Kind::Compare(..) => (Type::Bool, vec![0.0, 1.0]),
        Kind::Call(name, _) if is_question(&name.value) => (Type::Bool, vec![0.0, 1.0]),
        _ => return None,
    };
    Some(Possible { kind, numbers })
}

/// Whether a function answers true or false.
fn is_question(name: &str) -> bool {
    functions::is_status(name)
        || ["contains", "startsWith", "endsWith"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// A name that is one of a few words, compared with text that is none of them.
fn one_of(name: &Expression, text: &Expression) -> Option<Finding> {
    let Kind::Literal(Literal::Text(wrong)) = &text.kind else { return None };
    let words = words(name)?;
    // Nothing is what a fact is that is not there.
    if wrong.is_empty() || words.iter().any(|word| equal_folded(word, wrong)) {
        return None;
    }
    let help = did_you_mean(wrong, words.iter().copied())
        .unwrap_or_else(|| format!("it is one of {}", listed(words.iter().copied())));
    Some(Finding {
        code: NEVER,
        place: text.place,
        message: format!("this is never '{wrong}'"),
        help: Some(help),
    })
}

fn words(expression: &Expression) -> Option<&'static [&'static str]> {
    const RESULTS: &[&str] = &["success", "failure", "cancelled", "skipped"];
    let path = path(expression)?;
    let path: Vec<String> = path.iter().map(|(name, _)| name.to_lowercase()).collect();
    match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["needs", _, "result"] | ["steps", _, "outcome" | "conclusion"] => Some(RESULTS),
        ["job", "status"] => Some(&["success", "failure", "cancelled"]),
        ["runner", "os"] => Some(&["Linux", "Windows", "macOS"]),
        ["runner", "arch"] => Some(&["X86", "X64", "ARM", "ARM64"]),
        ["github", "ref_type"] => Some(&["branch", "tag"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_IF: &[&str] = &[
        "github",
        "inputs",
        "needs",
        "matrix",
        "steps",
        "job",
        "runner",
        "env",
        "always(0,0)",
        "failure(0,0)",
        "cancelled(0,0)",
        "success(0,0)",
        "hashFiles(1,255)",
    ];

    fn found(text: &str, allowed: &[&str]) -> Vec<String> {
        let show = |finding: Finding| {
            let place = text.get(finding.place.start..finding.place.end).unwrap();
            format!("{} <{place}> {}", finding.code.id, finding.message)
        };
        check_lenient(text, allowed).into_iter().map(show).collect()
    }

    #[test]
    fn what_github_accepts_is_accepted() {
        for text in [
            "",
            "github.ref == 'refs/heads/main' && !Cancelled()",
            "${{ always() }}",
            "hashFiles('a', 'b') != ''",
            "CONTAINS(GitHub.event.commits.*.message, 'x')",
            "steps.a.outcome == 'Failure'",
            "contains(github.ref, 'x') == true",
            "github.event.number == '5'",
            "needs.a.result != ''",
            "env.A == 'x' && env.A == 'X'",
            "case(true, 1, 2)",
        ] {
            assert_eq!(found(text, STEP_IF), Vec::<String>::new(), "{text}");
        }
        assert_eq!(found("plain text == ", &["github"]), Vec::<String>::new());
        assert_eq!(found("a ${{ github.sha }} b ${{ toJSON(github) }}", &["github"]), Vec::<String>::new());
    }

    #[test]
    fn what_github_refuses_is_an_error() {
        for (text, expected) in [
            ("a ${{ gihub.sha }}", vec!["TG0502 <gihub> there is no context `gihub`"]),
            (
                "${{ secrets.A }}${{ env.B }}",
                vec!["TG0502 <secrets> `secrets` is not known here", "TG0502 <env> `env` is not known here"],
            ),
            ("${{ success() }}", vec!["TG0502 <success> `success` is not known here"]),
            ("${{ hashFiles('x') }}", vec!["TG0502 <hashFiles> `hashFiles` is not known here"]),
            ("${{ contain(1, 2) }}", vec!["TG0502 <contain> there is no function `contain`"]),
            ("${{ contains(1) }}", vec!["TG0501 <contains(1)> `contains` does not take 1 arguments"]),
            (
                "${{ case(true, 1, false, 2) }}",
                vec![
                    "TG0501 <case(true, 1, false, 2)> `case` takes pairs of a condition and a value, and a last value",
                ],
            ),
            ("ü ${{ github.sha = 1 }}", vec!["TG0501 <=> `=` compares nothing; write `==`"]),
            ("${{ }}", vec!["TG0501 < > there is no expression in `${{ }}`"]),
            ("a ${{ b", vec!["TG0501 <${{> `${{` has no closing `}}`"]),
        ] {
            assert_eq!(found(text, &["github"]), expected, "{text}");
        }
        assert_eq!(
            found("success('a')", STEP_IF),
            ["TG0501 <success('a')> `success` does not take 1 arguments"]
        );
        assert_eq!(found("success('a')", &["needs", "success(0,MAX)"]), Vec::<String>::new());
    }

    #[test]
    fn what_can_only_be_a_mistake_is_a_warning() {
        for (text, expected) in [
            ("steps.a.outcome == 'failed'", "TG0921 <'failed'> this is never 'failed'"),
            ("'sucess' != needs['a'].result", "TG0921 <'sucess'> this is never 'sucess'"),
            (
                "contains(github.ref, 'x') == 'true'",
                "TG0921 <contains(github.ref, 'x') == 'true'> a boolean is never equal to text",
            ),
            ("'a' == 1", "TG0921 <'a' == 1> text is never equal to a number"),
            ("true == 2", "TG0921 <true == 2> a boolean is never equal to a number"),
            (
                "github.ref == 'a' && true && GITHUB.ref == 'b'",
                "TG0921 <GITHUB.ref == 'b'> `GITHUB.ref` cannot be 'a' and 'b' at once",
            ),
            (
                "${{ github.ref }} == 'a'",
                "TG0922 <${{ github.ref }} == 'a'> this condition always holds: it is text, because there is something beside `${{ }}`",
            ),
        ] {
            assert_eq!(found(text, STEP_IF), [expected], "{text}");
        }
    }
}
