//! Lenient expressions: values, and the three kinds of fault.

use std::{collections::BTreeMap, fs};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tidegate_pipelines::lenient::{FilePatterns, Phase, Status, Values, digest_of, evaluate, holds, text};

use super::{Row, json, path};

pub fn rows() -> Vec<Row> {
    [github(), act(), status()].into_iter().flatten().collect()
}

#[test]
fn all_are_as_github_has_them() {
    for row in rows() {
        assert!(row.misses.is_empty(), "{}: {:#?}", row.set, row.misses);
    }
}

type Contexts = BTreeMap<String, Value>;

fn contexts(case: &Value) -> Contexts {
    let contexts = case.get("contexts").and_then(Value::as_object).cloned().unwrap_or_default();
    contexts.into_iter().collect()
}

/// The files that act hashes in its tests. The set names them only; these give the digests that it expects.
const FILES: [(&str, &str); 4] = [
    ("for-hashing-1.txt", "Hello\n"),
    ("for-hashing-2.txt", "World!\n"),
    ("for-hashing-3/data.txt", "Knock knock!\n"),
    ("for-hashing-3/nested/nested-data.txt", "Anybody home?\n"),
];

fn hash_files(patterns: &[String]) -> Result<String, String> {
    let files = FilePatterns::new(patterns, "/work")?.select(FILES.iter().map(|(path, _)| *path));
    let content = |wanted: &str| FILES.iter().find(|(path, _)| *path == wanted).unwrap().1;
    Ok(digest_of(files.into_iter().map(|path| Sha256::digest(content(path)).into())))
}

fn github() -> Option<Row> {
    let mut row = Row::new("actions-language/expressions");
    let mut files: Vec<_> = fs::read_dir(path("actions-language/expressions")?)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let groups: Map<String, Value> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for case in groups.values().flat_map(|group| group.as_array().unwrap()) {
            let expression = case["expr"].as_str().unwrap();
            let wanted = match (&case["err"], &case["result"]) {
                (Value::Null, result) => Wanted::Value(&result["value"]),
                (error, _) => Wanted::Fault(error["kind"].as_str()),
            };
            row.count(expression, judge(expression, &contexts(case), &wanted));
        }
    }
    Some(row)
}

fn act() -> Option<Row> {
    let mut row = Row::new("act/expressions.json");
    let groups = json("act/expressions.json")?;
    for (_, group) in groups.as_object().unwrap().iter().filter(|(name, _)| !name.starts_with('_')) {
        for case in group.as_array().unwrap() {
            let expression = case["expr"].as_str().unwrap();
            let wanted = match case.get("err") {
                None => Wanted::Value(&case["result"]),
                Some(_) => Wanted::Fault(None),
            };
            // That set takes some of GitHub's contexts for granted.
            let mut contexts = contexts(case);
            if !contexts.contains_key("env") {
                contexts.insert("env".to_owned(), serde_json::json!({"key": "value"}));
            }
            row.count(expression, judge(expression, &contexts, &wanted));
        }
    }
    Some(row)
}

enum Wanted<'a> {
    Value(&'a Value),
    /// The kind of fault, where the set tells it.
    Fault(Option<&'a str>),
}

fn judge(expression: &str, contexts: &Contexts, wanted: &Wanted<'_>) -> Result<(), String> {
    let values = Values { contexts, status: Status::Success, hash_files: &hash_files };
    match (evaluate(expression, &values), wanted) {
        (Ok(found), Wanted::Value(wanted)) => match wanted.get("$").and_then(Value::as_str) {
            // A number that JSON does not have.
            Some(number) => {
                let text =
                    text(&format!("${{{{ {expression} }}}}"), &values).map_err(|error| error.to_string())?;
                expect(found.is_null() && text == number, || format!("{found}, as text {text}, not {number}"))
            }
            None => expect(same(&found, wanted), || format!("{found}, not {wanted}")),
        },
        (Err(fault), Wanted::Fault(kind)) => {
            let found = match fault.phase {
                Phase::Lexing => "lexing",
                Phase::Parsing => "parsing",
                Phase::Evaluation => "evaluation",
            };
            expect(kind.is_none_or(|kind| kind == found), || format!("{found}: {fault}, not {kind:?}"))
        }
        (Ok(found), Wanted::Fault(kind)) => Err(format!("{found}, not a fault {}", kind.unwrap_or_default())),
        (Err(fault), Wanted::Value(wanted)) => Err(format!("{fault}, not {wanted}")),
    }
}

fn expect(right: bool, otherwise: impl Fn() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(otherwise()) }
}

/// The same value, however its numbers are written.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

fn status() -> Option<Row> {
    let mut row = Row::new("runner/status-functions.json");
    for case in json("runner/status-functions.json")?["cases"].as_array().unwrap() {
        let condition = case["expr"].as_str().unwrap();
        // Inside an action that is made of steps, it is the action's own status that is asked for.
        let inside = case["in_composite"] == true;
        let status = match case[if inside { "action_status" } else { "job_status" }].as_str() {
            Some("failure") => Status::Failure,
            Some("cancelled") => Status::Cancelled,
            _ => Status::Success,
        };
        let values = Values { contexts: &Contexts::new(), status, hash_files: &hash_files };
        let outcome = holds(condition, &values).map_err(|error| error.to_string()).and_then(|found| {
            expect(Some(found) == case["expect"].as_bool(), || format!("{found} when {status:?}"))
        });
        row.count(condition, outcome);
    }
    Some(row)
}
