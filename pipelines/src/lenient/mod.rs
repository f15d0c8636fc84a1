//! Lenient expressions, from outside: what whoever runs a stage asks of its templates and conditions.
//!
//! The rules are GitHub's: values are converted into each other, names do not mind case, a context that is not
//! there is null. See [`crate::plan::Expressions::Lenient`].

mod files;
mod reads;

use std::collections::BTreeMap;

use serde_json::Value;

pub use files::{FilePatterns, digest_of};
pub use reads::{Reads, reads};

pub use crate::expressions::Phase;
use crate::{
    context::ResolveError,
    expressions::{
        self, Ended, Lenient, LenientValue, MAX_MEMORY, Part, holds_expression, parse_lenient, split_lenient,
    },
    plan::Expressions,
};

/// All that lenient expressions read.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// The contexts by name (`github`, `env`, `steps`, …). One of GitHub's that is not here is null.
    pub contexts: &'a BTreeMap<String, Value>,
    /// What `success()`, `failure()` and `cancelled()` are about.
    pub status: Status,
    /// `hashFiles(patterns)`: lower-case hex, nothing when no file matches, or why it cannot be told.
    pub hash_files: &'a dyn Fn(&[String]) -> Result<String, String>,
}

/// How all that comes before has ended so far: the steps of a stage, or what a stage needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing failed.
    #[default]
    Success,
    /// Something failed.
    Failure,
    /// A cancel was asked for.
    Cancelled,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// When it came up.
    pub phase: Phase,
    /// The bytes of the expression that it is about.
    pub range: std::ops::Range<usize>,
    /// Why, in one sentence.
    pub message: String,
}

/// The value of an expression, without `${{ }}`. NaN and infinities, which JSON does not have, are null.
pub fn evaluate(expression: &str, values: &Values<'_>) -> Result<Value, Fault> {
    let found = evaluate_with(expression, &values.rules());
    found.map(LenientValue::into_json).map_err(|fault| Fault {
        phase: fault.phase,
        range: fault.place.start..fault.place.end,
        message: fault.message,
    })
}

/// The text of a template: `a ${{ x }} b`. One that is nothing but an expression whose value is a list or mapping has
/// no text; within text they are written `Array` and `Object`.
pub fn text(template: &str, values: &Values<'_>) -> Result<String, ResolveError> {
    text_with(template, &values.rules())
}

pub(crate) fn text_with(template: &str, rules: &Lenient<'_>) -> Result<String, ResolveError> {
    match filled(template, rules)? {
        Filled::Text(text) => Ok(text),
        Filled::Value(value) if !value.is_primitive() => {
            let message =
                format!("text is needed here, and this is {}; `toJSON` makes text of it", value.kind_name());
            Err(ResolveError { expression: template.trim().to_owned(), message })
        }
        Filled::Value(value) => Ok(value.text().into_owned()),
    }
}

/// The value of a template: of its expression when it is nothing but one, else its text. NaN and infinities, which
/// JSON does not have, are null.
pub fn value(template: &str, values: &Values<'_>) -> Result<Value, ResolveError> {
    Ok(match filled(template, &values.rules())? {
        Filled::Text(text) => Value::String(text),
        Filled::Value(value) => value.into_json(),
    })
}

/// The variables of a mapping that a template told; nothing tells none.
pub fn variables(template: &str, told: &Value) -> Result<BTreeMap<String, String>, ResolveError> {
    let wrong = |message: String| error(template, message);
    let map = match told {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Object(map) => map,
        _ => return Err(wrong("this is to be a mapping of variables, and it is not".to_owned())),
    };
    let one = |(name, value): (&String, &Value)| match value {
        _ if name.is_empty() || name.contains(['=', '\0']) => {
            Err(wrong(format!("`{}` is no name of a variable", name.escape_debug())))
        }
        Value::Array(_) | Value::Object(_) => {
            Err(wrong(format!("the variable `{name}` is to be text, a number or a boolean, and it is not")))
        }
        plain => Ok((name.clone(), crate::expand::text_of(plain))),
    };
    map.iter().map(one).collect()
}

/// Whether an `if` holds, with or without `${{ }}`. Unless it asks for the status it implies `success()`.
pub fn holds(condition: &str, values: &Values<'_>) -> Result<bool, ResolveError> {
    holds_with(condition, &values.rules())
}

/// [`holds`], for whoever knows more of the status than one word.
pub(crate) fn holds_with(condition: &str, rules: &Lenient<'_>) -> Result<bool, ResolveError> {
    let mut asks = false;
    for text in expressions_of(condition, true)? {
        let parsed = parse_lenient(text).map_err(|fault| error(text, fault.message))?;
        asks |= parsed.asks_for_status(Expressions::Lenient);
    }
    if !asks && !rules.ended().success {
        return Ok(false);
    }
    if condition.trim().is_empty() {
        return Ok(true);
    }
    if !holds_expression(condition) {
        let found = evaluate_with(condition, rules).map_err(|fault| error(condition, fault.message))?;
        return Ok(found.truthy());
    }
    Ok(match filled(condition, rules)? {
        Filled::Text(text) => !text.is_empty(),
        Filled::Value(value) => value.truthy(),
    })
}

impl<'a> Values<'a> {
    fn rules(&self) -> Lenient<'a> {
        let ended = Ended {
            success: self.status == Status::Success,
            failure: self.status == Status::Failure,
            cancelled: self.status == Status::Cancelled,
        };
        Lenient::new(self.contexts, ended, self.hash_files)
    }
}

fn error(expression: &str, message: String) -> ResolveError {
    ResolveError { expression: expression.trim().to_owned(), message }
}

/// The expressions of a template or condition.
fn expressions_of(text: &str, condition: bool) -> Result<Vec<&str>, ResolveError> {
    if !holds_expression(text) {
        return Ok(if condition { vec![text] } else { Vec::new() });
    }
    let parts = split_lenient(text).map_err(|fault| error(text, fault.message))?;
    let inner = parts.into_iter().filter_map(|part| match part {
        Part::Expression(range) => Some(&text[range]),
        Part::Text(_) => None,
    });
    Ok(inner.collect())
}

fn evaluate_with<'a>(expression: &str, rules: &Lenient<'a>) -> Result<LenientValue<'a>, expressions::Fault> {
    let parsed = parse_lenient(expression)?;
    if let Some(wrong) = expressions::unknown(&parsed, |name| rules.knows(name)) {
        return Err(expressions::Fault::parsing(wrong.place, wrong.message));
    }
    rules.evaluate(&parsed)
}

/// A template with its expressions evaluated.
enum Filled<'a> {
    /// It was nothing but an expression.
    Value(LenientValue<'a>),
    Text(String),
}

fn filled<'a>(template: &str, rules: &Lenient<'a>) -> Result<Filled<'a>, ResolveError> {
    if !holds_expression(template) {
        return Ok(Filled::Text(template.to_owned()));
    }
    let parts = split_lenient(template).map_err(|fault| error(template, fault.message))?;
    let alone = parts.len() == 1;
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(range) => out.push_str(&template[range]),
            Part::Expression(range) => {
                let text = &template[range];
                if text.trim().is_empty() {
                    return Err(error(template, "there is no expression in `${{ }}`".to_owned()));
                }
                let value = evaluate_with(text, rules).map_err(|fault| error(text, fault.message))?;
                if alone {
                    return Ok(Filled::Value(value));
                }
                out.push_str(&value.text());
            }
        }
        // The template itself may be as long as its file allows; what is filled in is bounded.
        if out.len() > template.len() + MAX_MEMORY {
            return Err(error(
                template,
                format!("what is filled in would be longer than {MAX_MEMORY} bytes"),
            ));
        }
    }
    Ok(Filled::Text(out))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contexts() -> BTreeMap<String, Value> {
        let json = json!({
            "github": {"ref": "refs/heads/main", "event": {"commits": [{"id": "a"}, {"id": "b"}]}},
            "env": {"Name": "x"},
            "needs": {"build": {"result": "success"}, "test": {"result": "failure"}},
            "matrix": {"n": 3.0, "list": [1, 2]},
        });
        serde_json::from_value(json).unwrap()
    }

    fn with<T>(status: Status, ask: impl Fn(&Values<'_>) -> T) -> T {
        let contexts = contexts();
        let hash_files = |patterns: &[String]| match patterns {
            [one] if one == "bad" => Err("cannot read".to_owned()),
            patterns => Ok(patterns.join("+")),
        };
        ask(&Values { contexts: &contexts, status, hash_files: &hash_files })
    }

    #[test]
    fn a_mapping_of_variables_has_names_and_plain_values() {
        let told = |value| variables("${{ x }}", &value);
        let all = told(json!({ "A": "x", "B": 3, "C": true, "D": null })).unwrap();
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(all, [("A", "x"), ("B", "3"), ("C", "true"), ("D", "")]);
        assert!(told(json!(null)).unwrap().is_empty());
        for wrong in [json!("x"), json!([]), json!({ "A": [] }), json!({ "": "x" }), json!({ "A=B": "x" })] {
            assert!(told(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn templates_to_text_and_values() {
        for (template, expected) in [
            ("plain }} {{ text", "plain }} {{ text"),
            ("${{ github.ref }}", "refs/heads/main"),
            ("a ${{ GITHUB.Ref }} ${{ matrix.n }}{}", "a refs/heads/main 3{}"),
            ("<${{ github.nothing.at.all }}>", "<>"),
            ("<${{ vars.A }}>", "<>"),
            ("${{ matrix.list }}!", "Array!"),
            ("${{ hashFiles('a', 'b') }}", "a+b"),
            ("${{ '}}' }}", "}}"),
            ("${{ env.Name }}${{ env.NAME }}", "x"),
        ] {
            assert_eq!(
                with(Status::Success, |values| text(template, values)).as_deref(),
                Ok(expected),
                "{template}"
            );
        }
        for (template, expected) in [
            ("${{ matrix.list }}", json!([1, 2])),
            ("${{ matrix }}", json!({"n": 3.0, "list": [1, 2]})),
            ("${{ matrix.n }}", json!(3)),
            (" ${{ matrix.n }}", json!(" 3")),
            ("${{ NaN }}", json!(null)),
            ("7", json!("7")),
        ] {
            assert_eq!(with(Status::Success, |values| value(template, values)), Ok(expected), "{template}");
        }
    }

    #[test]
    fn templates_without_a_value_say_why() {
        for (template, message) in [
            ("${{ matrix.list }}", "text is needed here, and this is a list; `toJSON` makes text of it"),
            ("x ${{ }}", "there is no expression in `${{ }}`"),
            ("x ${{ github", "`${{` has no closing `}}`"),
            ("${{ nothing.x }}", "there is no context `nothing`"),
            ("${{ f() }}", "there is no function `f`"),
            ("${{ fromJSON('{') }}", "`fromJSON` was given text that is not JSON: "),
            ("${{ hashFiles('bad') }}", "cannot read"),
        ] {
            let error = with(Status::Success, |values| text(template, values)).unwrap_err();
            assert!(error.message.starts_with(message), "{template}: {error}");
        }
    }

    #[test]
    fn conditions_imply_success_unless_they_ask() {
        use Status::{Cancelled, Failure, Success};
        for (condition, expected) in [
            ("", [true, false, false]),
            ("true", [true, false, false]),
            ("${{ true }}", [true, false, false]),
            ("github.ref", [true, false, false]),
            ("github.head_ref", [false, false, false]),
            ("always()", [true, true, true]),
            ("${{ Always() }}", [true, true, true]),
            ("failure()", [false, true, false]),
            ("!cancelled()", [true, true, false]),
            ("cancelled() || failure()", [false, true, true]),
            ("failure() && github.ref == 'refs/heads/MAIN'", [false, true, false]),
            // Text that is not empty.
            ("${{ github.ref }} == 'x'", [true, false, false]),
            ("${{ failure() }} || false", [true, true, true]),
            ("success('build')", [true, true, true]),
            ("success('build', 'test')", [false, false, false]),
            ("failure('TEST')", [true, true, true]),
        ] {
            let found =
                [Success, Failure, Cancelled].map(|status| with(status, |values| holds(condition, values)));
            assert_eq!(found, expected.map(Ok), "{condition}");
        }
        let error = with(Success, |values| holds("github.ref =", values)).unwrap_err();
        assert_eq!(error.to_string(), "`github.ref =`: `=` compares nothing; write `==`");
        // A mistake is one even where the condition could not hold.
        assert!(with(Failure, |values| holds("github.ref ==", values)).is_err());
    }

    #[test]
    fn what_is_made_is_bounded() {
        let big = "x".repeat(600_000);
        let contexts = BTreeMap::from([("env".to_owned(), json!({"A": big}))]);
        let hash_files = |_: &[String]| Ok(String::new());
        let values = Values { contexts: &contexts, status: Status::Success, hash_files: &hash_files };
        assert_eq!(text("${{ env.A }}", &values).unwrap().len(), 600_000);
        // Many looks at large values end too, however little each of them makes.
        let many = vec!["contains(env.A, 'y')"; 500].join(" || ");
        assert!(holds(&many, &values).unwrap_err().message.contains("so large"));
        for template in ["${{ format('{0}', env.A) }}", "${{ toJSON(env) }}", "${{ env.A }}${{ env.A }}"] {
            assert!(text(template, &values).is_err(), "{template}");
        }
    }
}
