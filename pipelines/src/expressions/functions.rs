//! The functions of strict expressions, in one table.

use regex::RegexBuilder;
use serde_json::Value;

use super::{
    MAX_TEXT,
    strict::{kind_name, to_text},
};

/// The longest regular expression, in bytes.
const MAX_REGEX: usize = 512;

/// A function: its name and how many arguments it takes.
pub(super) struct Function {
    pub name: &'static str,
    pub least: usize,
    pub most: usize,
    /// How it is called, for messages.
    pub usage: &'static str,
}

/// Every function.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "contains", least: 2, most: 2, usage: "contains(text or list, item)" },
    Function { name: "startsWith", least: 2, most: 2, usage: "startsWith(text, beginning)" },
    Function { name: "endsWith", least: 2, most: 2, usage: "endsWith(text, end)" },
    Function { name: "matches", least: 2, most: 2, usage: "matches(text, regular expression)" },
    Function { name: "format", least: 1, most: 20, usage: "format('{0} and {1}', value, value)" },
    Function { name: "join", least: 1, most: 2, usage: "join(list, separator)" },
    Function { name: "toJSON", least: 1, most: 1, usage: "toJSON(value)" },
    Function { name: "fromJSON", least: 1, most: 1, usage: "fromJSON(text)" },
    Function { name: "success", least: 0, most: 0, usage: "success()" },
    Function { name: "failure", least: 0, most: 0, usage: "failure()" },
    Function { name: "always", least: 0, most: 0, usage: "always()" },
    Function { name: "cancelled", least: 0, most: 0, usage: "cancelled()" },
];

/// Whether this function asks how earlier stages ended.
pub(super) fn is_status(name: &str) -> bool {
    matches!(name, "success" | "failure" | "always" | "cancelled")
}

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Calls a function that depends on nothing but its arguments.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match (name, arguments) {
        ("contains", [Value::Array(list), item]) => Ok(Value::Bool(list.contains(item))),
        ("contains", [whole, part]) => Ok(Value::Bool(text(name, whole)?.contains(text(name, part)?))),
        ("startsWith", [whole, part]) => Ok(Value::Bool(text(name, whole)?.starts_with(text(name, part)?))),
        ("endsWith", [whole, part]) => Ok(Value::Bool(text(name, whole)?.ends_with(text(name, part)?))),
        ("matches", [whole, pattern]) => {
            let pattern = compile_regex(text(name, pattern)?)?;
            Ok(Value::Bool(pattern.is_match(text(name, whole)?)))
        }
        ("format", [pattern, values @ ..]) => format_text(text(name, pattern)?, values).map(Value::String),
        ("join", [Value::Array(list), rest @ ..]) => {
            let separator = rest.first().map_or(Ok(", "), |value| text(name, value))?;
            let parts = list.iter().map(to_text).collect::<Vec<_>>();
            bounded(parts.join(separator)).map(Value::String)
        }
        ("join", [other, ..]) => Err(format!("`join` needs a list, not {}", kind_name(other))),
        ("toJSON", [value]) => bounded(value.to_string()).map(Value::String),
        ("fromJSON", [value]) => serde_json::from_str(text(name, value)?)
            .map_err(|error| format!("`fromJSON` was given text that is not JSON: {error}")),
        _ => Err(format!("`{name}` does not take {} arguments", arguments.len())),
    }
}

/// A regular expression within the limits of length and size. Matching is linear in the text.
pub(crate) fn compile_regex(pattern: &str) -> Result<regex::Regex, String> {
    if pattern.len() > MAX_REGEX {
        return Err(format!(
            "a regular expression may have {MAX_REGEX} bytes, this one has {}",
            pattern.len()
        ));
    }
    RegexBuilder::new(pattern).size_limit(1 << 20).dfa_size_limit(1 << 20).build().map_err(|error| {
        let message = error.to_string();
        let last = message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("`{pattern}` is no regular expression: {last}")
    })
}

/// Text of a value that must be text; null reads as nothing, because facts that an event lacks are null.
fn text<'v>(function: &str, value: &'v Value) -> Result<&'v str, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(""),
        other => Err(format!("`{function}` needs text, not {}", kind_name(other))),
    }
}

/// `{0}` stands for the first value; `{{` and `}}` for braces.
fn format_text(pattern: &str, values: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        if tail.starts_with("{{") || tail.starts_with("}}") {
            out.push_str(&tail[..1]);
            rest = &tail[2..];
            continue;
        }
        let close = tail.find('}').filter(|_| tail.starts_with('{'));
        let Some(close) = close else {
            return Err("`format` has a single brace; write `{{` or `}}` for the character itself".to_owned());
        };
        let index = &tail[1..close];
        let value = index.parse::<usize>().ok().and_then(|index| values.get(index));
        let Some(value) = value else {
            return Err(format!("`format` names `{{{index}}}` but was given {} values", values.len()));
        };
        out = bounded(out + &to_text(value))?;
        rest = &tail[close + 1..];
    }
    bounded(out + rest)
}

fn bounded(text: String) -> Result<String, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("the text would be longer than {MAX_TEXT} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_function() {
        for (name, arguments, expected) in [
            ("contains", vec![json!("release/1"), json!("lease")], json!(true)),
            ("contains", vec![json!(["a", 1]), json!(1)], json!(true)),
            ("contains", vec![json!(null), json!("x")], json!(false)),
            ("startsWith", vec![json!("v1"), json!("v")], json!(true)),
            ("endsWith", vec![json!("v1"), json!("v")], json!(false)),
            ("matches", vec![json!("v1.2"), json!(r"^v\d+\.\d+$")], json!(true)),
            ("format", vec![json!("{{{0}}}-{1}"), json!("a"), json!(2)], json!("{a}-2")),
            ("join", vec![json!(["a", 1, true])], json!("a, 1, true")),
            ("join", vec![json!(["a", "b"]), json!("+")], json!("a+b")),
            ("toJSON", vec![json!({"a": [1]})], json!("{\"a\":[1]}")),
            ("fromJSON", vec![json!("[1, 2]")], json!([1, 2])),
        ] {
            assert_eq!(call(name, &arguments), Ok(expected), "{name}");
        }
    }

    #[test]
    fn faults_say_what_was_given() {
        assert_eq!(
            call("contains", &[json!(1), json!("x")]).unwrap_err(),
            "`contains` needs text, not a number"
        );
        assert!(
            call("matches", &[json!("x"), json!("(?=x)")]).unwrap_err().contains("is no regular expression")
        );
        assert!(call("matches", &[json!("x"), json!("a".repeat(513))]).unwrap_err().contains("512"));
        assert!(call("matches", &[json!("x"), json!("(a{999}){999}")]).unwrap_err().contains("limit"));
        assert!(call("format", &[json!("{1}"), json!("a")]).unwrap_err().contains("{1}"));
        assert!(call("format", &[json!("}")]).is_err());
        assert!(call("fromJSON", &[json!("{")]).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn text_cannot_explode() {
        let long = json!("x".repeat(40_000));
        assert!(call("format", &[json!("{0}{0}"), long.clone()]).unwrap_err().contains("longer"));
        assert!(call("join", &[json!([long.clone(), long])]).unwrap_err().contains("longer"));
    }
}
