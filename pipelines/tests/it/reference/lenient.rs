//! The rules of workflow files: values are converted as GitHub does.

use regex::Regex;
use serde_json::{Value, json};

use super::{NUMBERS, Tree, inputs};

/// A value; lists and mappings of the contexts know where they stand.
#[derive(Debug, Clone)]
pub enum V {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Option<String>, Vec<V>),
    Map(Option<String>, Vec<(String, V)>),
    Filtered(Vec<V>),
}
use V::{Bool, Filtered, List, Map, Null, Number, Text};

pub fn of_json(value: &Value, at: Option<&str>) -> V {
    let below = |name: &str| at.map(|at| format!("{at}/{name}"));
    match value {
        Value::Null => Null,
        Value::Bool(value) => Bool(*value),
        Value::Number(number) => Number(number.as_f64().unwrap()),
        Value::String(text) => Text(text.clone()),
        Value::Array(list) => {
            let items = list.iter().enumerate();
            List(
                at.map(str::to_owned),
                items.map(|(i, v)| of_json(v, below(&i.to_string()).as_deref())).collect(),
            )
        }
        Value::Object(map) => {
            let pairs = map.iter().map(|(name, v)| (name.clone(), of_json(v, below(name).as_deref())));
            Map(at.map(str::to_owned), pairs.collect())
        }
    }
}

pub fn to_json(value: &V) -> Value {
    match value {
        Null => Value::Null,
        Bool(value) => json!(value),
        Number(number) => json!(number),
        Text(text) => json!(text),
        List(_, list) | Filtered(list) => list.iter().map(to_json).collect(),
        Map(_, pairs) => pairs.iter().map(|(name, value)| (name.clone(), to_json(value))).collect(),
    }
}

fn primitive(value: &V) -> bool {
    matches!(value, Null | Bool(_) | Number(_) | Text(_))
}

/// Numbers that are drawn, and those that signs and joining make of them: none has more than fifteen digits.
fn number_text(number: f64) -> String {
    let drawn = NUMBERS.iter().find(|(known, ..)| known.to_bits() == number.to_bits());
    if let Some((.., text)) = drawn {
        return (*text).to_owned();
    }
    if number == f64::NEG_INFINITY {
        return "-Infinity".to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let short = format!("{number:e}");
    let (digits, exponent) = short.split_once('e').unwrap();
    match exponent.parse::<i32>().unwrap() {
        -4..15 => number.to_string(),
        exponent => format!("{digits}E{exponent:+03}"),
    }
}

pub fn text(value: &V) -> String {
    match value {
        Null => String::new(),
        Bool(value) => value.to_string(),
        Number(number) => number_text(*number),
        Text(text) => text.clone(),
        List(..) | Filtered(_) => "Array".to_owned(),
        Map(..) => "Object".to_owned(),
    }
}

fn number(value: &V) -> f64 {
    match value {
        Null => 0.0,
        Bool(value) => f64::from(u8::from(*value)),
        Number(number) => *number,
        Text(text) => {
            let text = text.trim();
            let decimal = Regex::new(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$").unwrap();
            match text {
                "" => 0.0,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                _ if decimal.is_match(text) => text.parse().unwrap(),
                _ if Regex::new("^0x[0-9a-fA-F]+$").unwrap().is_match(text) => {
                    f64::from(i32::from_str_radix(&text[2..], 16).unwrap())
                }
                _ => f64::NAN,
            }
        }
        _ => f64::NAN,
    }
}

fn falsy(value: &V) -> bool {
    match value {
        Null | Bool(false) => true,
        Number(number) => *number == 0.0 || number.is_nan(),
        Text(text) => text.is_empty(),
        _ => false,
    }
}

fn equal(left: &V, right: &V) -> bool {
    match (left, right) {
        (Text(a), Text(b)) => a.to_lowercase() == b.to_lowercase(),
        (List(Some(a), _), List(Some(b), _)) | (Map(Some(a), _), Map(Some(b), _)) => a == b,
        (a, b) if primitive(a) && primitive(b) => number(a) == number(b),
        _ => false,
    }
}

fn less(left: &V, right: &V) -> bool {
    match (left, right) {
        (Text(a), Text(b)) => a.to_uppercase() < b.to_uppercase(),
        (a, b) if primitive(a) && primitive(b) => number(a) < number(b),
        _ => false,
    }
}

fn all(value: &V) -> Vec<V> {
    match value {
        List(_, list) | Filtered(list) => list.clone(),
        Map(_, pairs) => pairs.iter().map(|(_, value)| value.clone()).collect(),
        _ => Vec::new(),
    }
}

fn at(value: &V, index: &V) -> Option<V> {
    match value {
        List(_, list) | Filtered(list) => {
            let wanted = number(index).floor();
            list.iter().enumerate().find(|(i, _)| *i as f64 == wanted).map(|(_, value)| value.clone())
        }
        Map(_, pairs) if primitive(index) => {
            let wanted = text(index);
            let exact = pairs.iter().find(|(name, _)| *name == wanted);
            let found =
                exact.or_else(|| pairs.iter().find(|(name, _)| name.to_lowercase() == wanted.to_lowercase()));
            found.map(|(_, value)| value.clone())
        }
        _ => None,
    }
}

fn pretty(value: &V) -> String {
    // Numbers go through as marked text.
    fn marked(value: &V) -> Value {
        match value {
            Number(number) => json!(format!("@{}@", number_text(*number))),
            List(_, list) | Filtered(list) => list.iter().map(marked).collect(),
            Map(_, pairs) => pairs.iter().map(|(name, value)| (name.clone(), marked(value))).collect(),
            other => to_json(other),
        }
    }
    let text = serde_json::to_string_pretty(&marked(value)).unwrap();
    Regex::new("\"@([^@]*)@\"").unwrap().replace_all(&text, "$1").into_owned()
}

fn format(pattern: &str, argument: &dyn Fn(usize) -> Result<V, ()>) -> Result<String, ()> {
    let mut out = String::new();
    let mut rest = pattern.to_owned();
    let piece = Regex::new(r"^(\{\{|\}\}|\{[0-9]\}|[^{}]+)").unwrap();
    while !rest.is_empty() {
        let found = piece.find(&rest).ok_or(())?.as_str().to_owned();
        match found.as_str() {
            "{{" => out.push('{'),
            "}}" => out.push('}'),
            index if index.starts_with('{') => {
                out.push_str(&text(&argument(index[1..2].parse().unwrap())?));
            }
            other => out.push_str(other),
        }
        rest = rest[found.len()..].to_owned();
    }
    Ok(out)
}

pub fn evaluate(tree: &Tree) -> Result<V, ()> {
    Ok(match tree {
        Tree::Null => Null,
        Tree::Bool(value) => Bool(*value),
        Tree::Number(index) => Number(NUMBERS[*index].0),
        Tree::Text(text) => Text((*text).to_owned()),
        Tree::Path(path) => {
            let mut value = of_json(&inputs(), Some(path[0]));
            for name in &path[1..] {
                value = at(&value, &Text((*name).to_owned())).unwrap_or(Null);
            }
            value
        }
        Tree::Index(base, index) => {
            let base = evaluate(base)?;
            let index = evaluate(index)?;
            match &base {
                Filtered(list) => Filtered(list.iter().filter_map(|item| at(item, &index)).collect()),
                base => at(base, &index).unwrap_or(Null),
            }
        }
        Tree::Filter(base) => match evaluate(base)? {
            Filtered(list) => Filtered(list.iter().flat_map(all).collect()),
            base => Filtered(all(&base)),
        },
        Tree::Not(inner) => Bool(falsy(&evaluate(inner)?)),
        Tree::Logic(sign, row) => {
            let mut value = evaluate(&row[0])?;
            for part in &row[1..] {
                if falsy(&value) == (*sign == "||") {
                    value = evaluate(part)?;
                }
            }
            value
        }
        Tree::Compare(sign, left, right) => {
            let (a, b) = (evaluate(left)?, evaluate(right)?);
            Bool(match *sign {
                "==" => equal(&a, &b),
                "!=" => !equal(&a, &b),
                "<" => less(&a, &b),
                ">" => less(&b, &a),
                "<=" => equal(&a, &b) || less(&a, &b),
                _ => equal(&a, &b) || less(&b, &a),
            })
        }
        Tree::Call(name, arguments) => call(&name.to_lowercase(), arguments)?,
    })
}

fn call(name: &str, arguments: &[Tree]) -> Result<V, ()> {
    let first = evaluate(&arguments[0])?;
    let second = || arguments.get(1).map_or(Ok(Null), evaluate);
    Ok(match name {
        "contains" | "startswith" | "endswith" => match &first {
            List(_, list) | Filtered(list) if name == "contains" && !list.is_empty() => {
                let wanted = second()?;
                Bool(list.iter().any(|item| equal(item, &wanted)))
            }
            first if primitive(first) => {
                let second = second()?;
                let (whole, part) = (text(first).to_lowercase(), text(&second).to_lowercase());
                Bool(
                    primitive(&second)
                        && match name {
                            "contains" => whole.contains(&part),
                            "startswith" => whole.starts_with(&part),
                            _ => whole.ends_with(&part),
                        },
                )
            }
            _ => Bool(false),
        },
        "join" => match &first {
            List(_, list) | Filtered(list) => {
                let separator = match arguments.get(1) {
                    Some(separator) if list.len() > 1 => Some(evaluate(separator)?).filter(primitive),
                    _ => None,
                };
                let separator = separator.map_or(",".to_owned(), |separator| text(&separator));
                Text(list.iter().map(text).collect::<Vec<_>>().join(&separator))
            }
            Map(..) => Text(String::new()),
            other => Text(text(other)),
        },
        "tojson" => Text(pretty(&first)),
        "fromjson" => match text(&first).trim() {
            "NaN" => Number(f64::NAN),
            "Infinity" => Number(f64::INFINITY),
            "-Infinity" => Number(f64::NEG_INFINITY),
            json => of_json(&serde_json::from_str(json).map_err(|_| ())?, None),
        },
        "format" => {
            let argument = |index: usize| evaluate(arguments.get(index + 1).ok_or(())?);
            Text(format(&text(&first), &argument)?)
        }
        _ => match first {
            Bool(true) => second()?,
            Bool(false) => evaluate(&arguments[2])?,
            _ => return Err(()),
        },
    })
}
