//! Evaluators of both sets of rules that are slow and simple, for expressions whose tree is known. The tests draw such
//! trees at random, and so does the fuzz target for expressions; what the real evaluators make of the written tree is
//! to be the same.

pub mod lenient;
pub mod strict;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_pipelines::{
    Compiled, Context, Setting, SourceFile, compile,
    lenient::{Status, Values},
};

use crate::events;

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

/// A run of the native language that has the inputs.
pub fn context() -> Context {
    let event = events::push("main");
    let file = SourceFile { path: "p.yml", text: "on: push\nstages: {a: {image: \"debian:12\", run: x}}\n" };
    let Some(Compiled::Plan(plan)) = compile(&file, &event, Setting::default()).result else { panic!() };
    let mut context = Context::new(&plan, &event);
    context.inputs = serde_json::from_value(inputs()).unwrap();
    context
}

/// Asks with the values that a job of a workflow with the inputs has.
pub fn with_values<T>(ask: impl Fn(&Values<'_>) -> T) -> T {
    let contexts = BTreeMap::from([("inputs".to_owned(), inputs())]);
    let hash_files = |_: &[String]| Ok(String::new());
    ask(&Values { contexts: &contexts, status: Status::Success, hash_files: &hash_files })
}

/// Numbers in one form.
pub fn numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(list) => list.into_iter().map(numbers).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, numbers(value))).collect(),
        other => other,
    }
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
