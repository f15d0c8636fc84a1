//! Evaluators of both sets of rules that are slow and simple, for expressions whose tree is known. The tests draw such
//! trees at random, and so does the fuzz target for expressions; what the real evaluators make of the written tree is
//! to be the same.

use regex::Regex;
use serde_json::{Value, json};

/// An expression, as it is drawn.
#[derive(Debug, Clone)]
pub enum Tree {
    Null,
    Bool(bool),
    /// An index into [`NUMBERS`].
    Number(usize),
    Text(&'static str),
    /// A path into the contexts.
    Path(&'static [&'static str]),
    Index(Box<Tree>, Box<Tree>),
    Filter(Box<Tree>),
    Not(Box<Tree>),
    Logic(&'static str, Vec<Tree>),
    Compare(&'static str, Box<Tree>, Box<Tree>),
    Call(&'static str, Vec<Tree>),
}

/// Numbers as they are written in an expression, and as they are written in text.
pub const NUMBERS: [(f64, &str, &str); 9] = [
    (0.0, "0", "0"),
    (1.0, "0x1", "1"),
    (2.0, "2.0", "2"),
    (-1.5, "-1.5", "-1.5"),
    (0.1, ".1", "0.1"),
    (1e21, "1e21", "1E+21"),
    (0.000_01, "1e-5", "1E-05"),
    (f64::INFINITY, "Infinity", "Infinity"),
    (f64::NAN, "NaN", "NaN"),
];
pub const TEXTS: [&str; 17] = [
    "",
    "a",
    "A",
    "ab",
    "B",
    "1",
    " 0x1 ",
    "2e0",
    "true",
    "ä",
    "Ä",
    "x y",
    "it's",
    "[1, 2]",
    "{\"a\": [0, \"b\"]}",
    "{0}-{1}",
    "{{0}}{",
];
pub const PATHS: [&[&str]; 9] = [
    &["inputs"],
    &["inputs", "text"],
    &["inputs", "list"],
    &["inputs", "list", "nothing"],
    &["inputs", "map"],
    &["inputs", "map", "inner"],
    &["inputs", "flag"],
    &["inputs", "none"],
    &["inputs", "number"],
];

/// In alphabetical order on top, because there a run sorts them.
pub fn inputs() -> Value {
    json!({
        "flag": true,
        "list": [1, "A", {"Name": "b", "inner": {"x": 1}}, [2, 1], {"name": null}],
        "map": {"one": 1, "Two": "b", "inner": {"list": [1, 2], "x": "y"}, "1": [true]},
        "none": null,
        "number": 2,
        "text": "a",
    })
}

/// The tree as an expression, with all its brackets.
pub fn written(tree: &Tree) -> String {
    let list = |list: &[Tree], between: &str| list.iter().map(written).collect::<Vec<_>>().join(between);
    match tree {
        Tree::Null => "null".to_owned(),
        Tree::Bool(value) => value.to_string(),
        Tree::Number(index) => match NUMBERS[*index].1 {
            // Not all of it is strict.
            "0x1" => "1".to_owned(),
            ".1" => "0.1".to_owned(),
            other => other.to_owned(),
        },
        Tree::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Tree::Path(path) => path.join("."),
        Tree::Index(base, index) => format!("({})[{}]", written(base), written(index)),
        Tree::Filter(base) => format!("({}).*", written(base)),
        Tree::Not(inner) => format!("!({})", written(inner)),
        Tree::Logic(sign, row) => format!("({})", list(row, &format!(" {sign} "))),
        Tree::Compare(sign, left, right) => format!("({} {sign} {})", written(left), written(right)),
        Tree::Call(name, arguments) => format!("{name}({})", list(arguments, ", ")),
    }
}

pub mod simple_lenient {
    use super::*;

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

    fn number_text(number: f64) -> String {
        let found = NUMBERS.iter().find(|(known, ..)| known.to_bits() == number.to_bits());
        found.unwrap_or_else(|| panic!("{number} is not drawn")).2.to_owned()
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
                let found = exact
                    .or_else(|| pairs.iter().find(|(name, _)| name.to_lowercase() == wanted.to_lowercase()));
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
            "fromjson" => match text(&first).as_str() {
                "NaN" => Number(f64::NAN),
                "Infinity" => Number(f64::INFINITY),
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
}

pub mod simple_strict {
    use super::*;

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
}
