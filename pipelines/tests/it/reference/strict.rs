//! The rules of the native language: types are kept apart.

use regex::Regex;
use serde_json::{Value, json};

use super::{NUMBERS, Tree, inputs};

fn text(value: &Value) -> Result<String, ()> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(()),
    }
}

fn shown(value: &Value) -> String {
    text(value).unwrap_or_else(|()| value.to_string())
}

fn property(base: &Value, name: &str) -> Result<Value, ()> {
    match base {
        Value::Null => Ok(Value::Null),
        Value::Object(map) => Ok(map.get(name).cloned().unwrap_or(Value::Null)),
        _ => Err(()),
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

pub fn evaluate(tree: &Tree) -> Result<Value, ()> {
    Ok(match tree {
        Tree::Null => Value::Null,
        Tree::Bool(value) => json!(value),
        // Whole ones are written as such.
        Tree::Number(index) => serde_json::from_str(NUMBERS[*index].2).unwrap(),
        Tree::Text(text) => json!(text),
        Tree::Path(path) => {
            let mut value = inputs();
            for name in &path[1..] {
                value = property(&value, name)?;
            }
            value
        }
        Tree::Index(base, index) => match (evaluate(base)?, evaluate(index)?) {
            (Value::Array(list), Value::Number(number)) => {
                let found = list.iter().enumerate().find(|(at, _)| number.as_u64() == Some(*at as u64));
                found.map_or(Value::Null, |(_, value)| value.clone())
            }
            (base, Value::String(name)) => property(&base, &name)?,
            _ => return Err(()),
        },
        Tree::Filter(_) => return Err(()),
        Tree::Not(inner) => json!(!evaluate(inner)?.as_bool().ok_or(())?),
        Tree::Logic("&&", row) => {
            for part in &row[..row.len() - 1] {
                if !evaluate(part)?.as_bool().ok_or(())? {
                    return Ok(json!(false));
                }
            }
            evaluate(&row[row.len() - 1])?
        }
        Tree::Logic(_, row) => {
            for part in &row[..row.len() - 1] {
                let value = evaluate(part)?;
                if ![json!(null), json!(false), json!("")].contains(&value) {
                    return Ok(value);
                }
            }
            evaluate(&row[row.len() - 1])?
        }
        Tree::Compare(sign, left, right) => {
            let (a, b) = (evaluate(left)?, evaluate(right)?);
            if matches!(*sign, "==" | "!=") {
                if kind(&a) != kind(&b) && kind(&a) != 0 && kind(&b) != 0 {
                    return Err(());
                }
                return Ok(json!((a == b) == (*sign == "==")));
            }
            let (a, b) = (a.as_f64().ok_or(())?, b.as_f64().ok_or(())?);
            json!(match *sign {
                "<" => a < b,
                "<=" => a <= b,
                ">" => a > b,
                _ => a >= b,
            })
        }
        Tree::Call(name, arguments) => {
            let values = arguments.iter().map(evaluate).collect::<Result<Vec<_>, _>>()?;
            call(name, &values)?
        }
    })
}

fn call(name: &str, values: &[Value]) -> Result<Value, ()> {
    Ok(match (name, values) {
        ("contains", [Value::Array(list), item]) => json!(list.iter().any(|one| one == item)),
        ("contains", [a, b]) => json!(text(a)?.contains(&text(b)?)),
        ("startsWith", [a, b]) => json!(text(a)?.starts_with(&text(b)?)),
        ("endsWith", [a, b]) => json!(text(a)?.ends_with(&text(b)?)),
        ("join", [list, rest @ ..]) => {
            let separator = rest.first().map_or(Ok(", ".to_owned()), text)?;
            json!(list.as_array().ok_or(())?.iter().map(shown).collect::<Vec<_>>().join(&separator))
        }
        ("toJSON", [value]) => json!(value.to_string()),
        ("fromJSON", [value]) => serde_json::from_str(&text(value)?).map_err(|_| ())?,
        ("format", [pattern, rest @ ..]) => {
            let piece = Regex::new(r"^(\{\{|\}\}|\{\+?[0-9]+\}|[^{}]+)").unwrap();
            let (mut left, mut out) = (text(pattern)?, String::new());
            while !left.is_empty() {
                let found = piece.find(&left).ok_or(())?.as_str().to_owned();
                match found.as_str() {
                    "{{" => out.push('{'),
                    "}}" => out.push('}'),
                    index if index.starts_with('{') => {
                        let index: usize = index.trim_matches(['{', '}']).parse().map_err(|_| ())?;
                        out.push_str(&shown(rest.get(index).ok_or(())?));
                    }
                    plain => out.push_str(plain),
                }
                left = left[found.len()..].to_owned();
            }
            json!(out)
        }
        _ => return Err(()),
    })
}
