//! The functions of lenient expressions. An argument is evaluated when it is needed, and not when it is not.

use std::borrow::Cow;

use super::{
    Lenient, json,
    numbers::parse_number,
    text::fold,
    value::{Value, equal, text_size},
};
use crate::expressions::{Fault, evaluate::Arguments};

/// A function that may be called wherever expressions are: its name and how many arguments it takes.
pub(super) struct Function {
    pub name: &'static str,
    pub least: usize,
    pub most: usize,
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "contains", least: 2, most: 2 },
    Function { name: "startsWith", least: 2, most: 2 },
    Function { name: "endsWith", least: 2, most: 2 },
    Function { name: "format", least: 1, most: 255 },
    Function { name: "join", least: 1, most: 2 },
    Function { name: "toJSON", least: 1, most: 1 },
    Function { name: "fromJSON", least: 1, most: 1 },
    Function { name: "case", least: 3, most: 255 },
];

/// Functions that may be called in some places only.
pub(super) const LOCAL: &[Function] = &[
    Function { name: "hashFiles", least: 1, most: 255 },
    Function { name: "success", least: 0, most: usize::MAX },
    Function { name: "failure", least: 0, most: usize::MAX },
    Function { name: "always", least: 0, most: 0 },
    Function { name: "cancelled", least: 0, most: 0 },
];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().chain(LOCAL).find(|function| function.name.eq_ignore_ascii_case(name))
}

/// Whether this function asks how all that comes before has ended.
pub(crate) fn is_status(name: &str) -> bool {
    ["success", "failure", "always", "cancelled"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Arguments, each accounted for when it is asked for.
struct Watched<'e, 'a> {
    rules: &'e Lenient<'a>,
    arguments: &'e Arguments<'e, Lenient<'a>>,
}

impl<'a> Watched<'_, 'a> {
    fn count(&self) -> usize {
        self.arguments.count()
    }

    fn get(&self, index: usize) -> Result<Value<'a>, Fault> {
        let value = self.arguments.get(index)?;
        self.rules.look_at(&value).map_err(|message| self.fault(message))?;
        Ok(value)
    }

    fn all(&self) -> Result<Vec<Value<'a>>, Fault> {
        (0..self.count()).map(|index| self.get(index)).collect()
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        self.arguments.fault(message)
    }
}

pub(super) fn call<'a>(
    rules: &Lenient<'a>,
    name: &str,
    arguments: &Arguments<'_, Lenient<'a>>,
) -> Result<Value<'a>, Fault> {
    let text = |text: String| Value::Text(Cow::Owned(text));
    let arguments = &Watched { rules, arguments };
    let made = |result: Result<String, String>| result.map(text).map_err(|message| arguments.fault(message));
    match find(name).map(|function| function.name) {
        Some("contains") => contains(arguments),
        Some("startsWith") => {
            both_texts(&arguments.get(0)?, arguments, |whole, part| whole.starts_with(part))
        }
        Some("endsWith") => both_texts(&arguments.get(0)?, arguments, |whole, part| whole.ends_with(part)),
        Some("format") => format(rules, arguments).map(text),
        Some("join") => join(rules, arguments).map(text),
        Some("toJSON") => made(json::print(&arguments.get(0)?, &mut |bytes| rules.take(2 * bytes))),
        Some("fromJSON") => from_json(arguments),
        Some("case") => case(arguments),
        Some("hashFiles") => {
            let patterns: Vec<_> =
                arguments.all()?.iter().map(|pattern| pattern.text().into_owned()).collect();
            made((rules.hash_files)(&patterns))
        }
        Some("always") => Ok(Value::Bool(true)),
        Some("cancelled") => Ok(Value::Bool(rules.ended.cancelled)),
        Some("success") => of_needs(rules, arguments, rules.ended.success, true, "success"),
        Some("failure") => of_needs(rules, arguments, rules.ended.failure, false, "failure"),
        _ => Err(arguments.fault(format!("there is no function `{name}`"))),
    }
}

/// `success` and `failure`: of all that comes before, or of the needs that are named.
fn of_needs<'a>(
    rules: &Lenient<'a>,
    arguments: &Watched<'_, 'a>,
    of_all: bool,
    all: bool,
    wanted: &str,
) -> Result<Value<'a>, Fault> {
    if arguments.count() == 0 {
        return Ok(Value::Bool(of_all));
    }
    let needs = rules.find("needs").and_then(|needs| needs.as_object());
    let mut results = Vec::new();
    for name in arguments.all()? {
        let name = name.text();
        let need = needs.and_then(|needs| needs.iter().find(|(key, _)| fold(key) == fold(&name)));
        results.push(need.and_then(|(_, need)| need.get("result")?.as_str()) == Some(wanted));
    }
    Ok(Value::Bool(if all { !results.contains(&false) } else { results.contains(&true) }))
}

/// Whether two texts, the first of them already evaluated, are so to each other. Other values are not.
fn both_texts<'a>(
    whole: &Value<'a>,
    arguments: &Watched<'_, 'a>,
    test: impl Fn(&str, &str) -> bool,
) -> Result<Value<'a>, Fault> {
    if !whole.is_primitive() {
        return Ok(Value::Bool(false));
    }
    let part = arguments.get(1)?;
    Ok(Value::Bool(part.is_primitive() && test(&fold(&whole.text()), &fold(&part.text()))))
}

fn contains<'a>(arguments: &Watched<'_, 'a>) -> Result<Value<'a>, Fault> {
    let whole = arguments.get(0)?;
    let Some(items) = whole.items() else {
        return both_texts(&whole, arguments, |whole, part| whole.contains(part));
    };
    if items.is_empty() {
        return Ok(Value::Bool(false));
    }
    let wanted = arguments.get(1)?;
    Ok(Value::Bool(items.iter().any(|item| equal(&wanted, item))))
}

fn join<'a>(rules: &Lenient<'a>, arguments: &Watched<'_, 'a>) -> Result<String, Fault> {
    let list = arguments.get(0)?;
    let Some(items) = list.items() else {
        return Ok(if list.is_primitive() { list.text().into_owned() } else { String::new() });
    };
    let separator = if arguments.count() > 1 && items.len() > 1 { Some(arguments.get(1)?) } else { None };
    let separator = match &separator {
        Some(separator) if separator.is_primitive() => separator.text(),
        _ => Cow::Borrowed(","),
    };
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        for piece in [if at == 0 { "" } else { &*separator }, &*item.text()] {
            rules.take(text_size(piece)).map_err(|message| arguments.fault(message))?;
            out.push_str(piece);
        }
    }
    Ok(out)
}

fn from_json<'a>(arguments: &Watched<'_, 'a>) -> Result<Value<'a>, Fault> {
    let json = arguments.get(0)?;
    let json = json.text();
    // What `toJSON` makes of them.
    if let number @ ("NaN" | "Infinity" | "-Infinity") = json.trim() {
        return Ok(Value::Number(parse_number(number)));
    }
    serde_json::from_str(&json)
        .map(Value::owned)
        .map_err(|error| arguments.fault(format!("`fromJSON` was given text that is not JSON: {error}")))
}

fn case<'a>(arguments: &Watched<'_, 'a>) -> Result<Value<'a>, Fault> {
    let count = arguments.count();
    for at in (0..count.saturating_sub(1)).step_by(2) {
        match arguments.get(at)? {
            Value::Bool(true) => return arguments.get(at + 1),
            Value::Bool(false) => {}
            other => {
                let message = format!("what `case` asks is true or false, and this is {}", other.kind_name());
                return Err(arguments.fault(message));
            }
        }
    }
    arguments.get(count.saturating_sub(1))
}

/// `{0}` stands for the first value; `{{` and `}}` for braces.
fn format<'a>(rules: &Lenient<'a>, arguments: &Watched<'_, 'a>) -> Result<String, Fault> {
    let pattern = arguments.get(0)?;
    let pattern = pattern.text();
    let mut values: Vec<Option<Value<'a>>> = vec![None; arguments.count() - 1];
    let mut out = String::new();
    let mut push = |piece: &str| {
        out.push_str(piece);
        rules.take(text_size(piece)).map_err(|message| arguments.fault(message))
    };
    let mut rest: &str = &pattern;
    while let Some(at) = rest.find(['{', '}']) {
        push(&rest[..at])?;
        let tail = &rest[at..];
        if tail.starts_with("{{") || tail.starts_with("}}") {
            push(&tail[..1])?;
            rest = &tail[2..];
            continue;
        }
        // Without the pattern, which may be made of a secret.
        let invalid = || {
            let message = "`format` was given a pattern with a brace that is none of `{0}`, `{{` and `}}`";
            arguments.fault(message)
        };
        let close = tail.find('}').filter(|_| tail.starts_with('{')).ok_or_else(invalid)?;
        let index = &tail[1..close];
        let number =
            index.bytes().all(|byte| byte.is_ascii_digit()).then(|| index.parse::<u8>().ok()).flatten();
        let index = usize::from(number.ok_or_else(invalid)?);
        let Some(value) = values.get_mut(index) else {
            let message = format!("`format` names `{{{index}}}` but was given {} values", values.len());
            return Err(arguments.fault(message));
        };
        let value = match value {
            Some(value) => value,
            None => value.insert(arguments.get(index + 1)?),
        };
        push(&value.text())?;
        rest = &tail[close + 1..];
    }
    push(rest)?;
    Ok(out)
}
