//! What other people wrote about GitHub's runner, where it is present (`../shared/data`, or `CONFORMANCE_DATA`): a row
//! per set, and every case must hold that held before. Nothing of it is in this repository.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tidegate_protocol::messages::Annotation;
use tidegate_runner::{
    actions::{manifest, reference},
    commands::{Matchers, Said, Stream, StreamSettings, matchers, parse},
};

use crate::shim_files;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("CONFORMANCE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = folder.join("runner");
    if !folder.is_dir() {
        println!("no data in {}: nothing to compare with", folder.display());
        return None;
    }
    Some(folder)
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

/// Counts cases, prints the row, and fails for each that does not hold.
struct Row {
    set: &'static str,
    total: usize,
    missed: Vec<String>,
}

impl Row {
    fn new(set: &'static str) -> Self {
        Self { set, total: 0, missed: Vec::new() }
    }

    fn case(&mut self, name: impl Into<String>, holds: bool) {
        self.total += 1;
        if !holds {
            self.missed.push(name.into());
        }
    }

    fn end(self) {
        println!("{:<32} {:>4}/{}", self.set, self.total - self.missed.len(), self.total);
        assert!(self.missed.is_empty(), "{}: {:#?}", self.set, self.missed);
        assert!(self.total > 0, "{} has no cases", self.set);
    }
}

fn items(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn commands_are_parsed() {
    let Some(folder) = data() else { return };
    let mut row = Row::new("runner/command-parse");
    for case in items(&json(&folder, "command-parse.json")["cases"]) {
        let known = items(&case["registered"]);
        let parsed = parse(case["line"].as_str().unwrap(), &|name| known.iter().any(|known| known == name));
        let holds = match (&case["parsed"], &parsed) {
            (Value::Null, None) => true,
            (wanted, Some(command)) => {
                wanted["command"] == command.name
                    && wanted["data"] == command.data
                    && texts(&wanted["properties"]) == command.properties
            }
            _ => false,
        };
        row.case(format!("{}: {parsed:?}", case["line"]), holds);
    }
    row.end();
}

/// What a step says, one line after the other.
struct Speaking {
    stream: Stream,
}

#[derive(Default)]
struct Said1 {
    text: String,
    wrong: bool,
    notes: Vec<Annotation>,
}

impl Speaking {
    fn new(unsecure_tokens: bool) -> Self {
        let settings = StreamSettings { unsecure_tokens, ..StreamSettings::default() };
        let stream =
            Stream::new(settings, Matchers::default(), Box::new(|_| Err("no files here".to_owned())));
        Self { stream }
    }

    fn line(&mut self, line: &str) -> Said1 {
        let mut heard = Said1::default();
        self.stream.push(format!("{line}\n").as_bytes(), &mut |said| match said {
            Said::Text(bytes) => heard.text.push_str(&String::from_utf8_lossy(bytes)),
            Said::Wrong(_) => heard.wrong = true,
            Said::Note(note) => heard.notes.push(note),
            _ => {}
        });
        heard
    }
}

#[test]
fn commands_are_obeyed_in_sequence() {
    let Some(folder) = data() else { return };
    let mut row = Row::new("runner/command-sequences");
    for case in items(&json(&folder, "command-sequences.json")["cases"]) {
        let name = case["name"].as_str().unwrap();
        let mut speaking = Speaking::new(false);
        for step in case["steps"].as_array().into_iter().flatten() {
            let line = step[0].as_str().unwrap();
            let heard = speaking.line(line);
            let holds = match &step[1] {
                Value::Bool(consumed) => (heard.text == format!("{line}\n")) != *consumed,
                Value::String(text) if text == "step fails" => heard.wrong,
                Value::String(text) => !heard.wrong && text == &format!("echo={}", speaking.stream.echoes()),
                _ => false,
            };
            row.case(format!("{name}: {line}"), holds);
        }
        for line in case["inputs"].as_array().into_iter().flatten() {
            let line = line.as_str().unwrap();
            row.case(format!("{name}: {line}"), Speaking::new(false).line(line).wrong);
            row.case(format!("{name}, allowed: {line}"), !Speaking::new(true).line(line).wrong);
        }
        for pair in case["cases"].as_array().into_iter().flatten() {
            let line = pair[0].as_str().unwrap();
            let notes = speaking.line(line).notes;
            let note = serde_json::to_value(&notes[0]).unwrap();
            let holds = pair[1].as_object().unwrap().iter().all(|(key, wanted)| {
                let key = match key.as_str() {
                    "col" => "column",
                    "endColumn" => "end_column",
                    "endLine" => "end_line",
                    other => other,
                };
                let had = note.get(key).filter(|value| !value.is_null()).map(|value| value.to_string());
                had.as_deref() == wanted.as_str()
            });
            row.case(format!("{name}: {line}: {note}"), holds);
        }
    }
    row.end();
}

#[test]
fn files_of_a_step_are_read() {
    let Some(folder) = data() else { return };
    let mut row = Row::new("runner/file-commands");
    for case in items(&json(&folder, "file-commands.json")["cases"]) {
        let content = case["content"].as_str().unwrap_or_default();
        let mark = if case["utf8_bom"] == true { "\u{feff}" } else { "" };
        let read = shim_files::github_pairs(&format!("{mark}{content}"));
        let holds = match (&case["error_contains"], &read) {
            (Value::String(wanted), Err(mistake)) => match mistake {
                shim_files::Mistake::NoEnd(_) => wanted.contains("delimiter not found"),
                shim_files::Mistake::Cut(_) => wanted.contains("missing new line"),
                shim_files::Mistake::Format(_) => wanted.contains("Invalid format"),
            },
            (Value::Null, Ok(pairs)) => {
                let is_env = case["file"] == "GITHUB_ENV";
                let (refused, kept): (Vec<_>, Vec<_>) =
                    pairs.iter().cloned().partition(|(name, _)| is_env && shim_files::is_blocked(name));
                texts(&case["expect"]) == kept.into_iter().collect() && case["issues"] == refused.len()
            }
            _ => false,
        };
        row.case(format!("{}: {read:?}", case["name"]), holds);
    }
    row.end();
}

#[test]
fn problems_are_matched() {
    let Some(folder) = data() else { return };
    let mut row = Row::new("runner/problem-matchers");
    for case in items(&json(&folder, "problem-matchers.json")["cases"]) {
        let name = case["name"].as_str().unwrap();
        let read = matchers::read(&case["config"].to_string());
        if let Some(valid) = case["valid"].as_bool() {
            row.case(name, read.is_ok() == valid);
            continue;
        }
        let Ok(mut read) = read else {
            row.case(name, false);
            continue;
        };
        if let Some(owner) = case["owner"].as_str() {
            row.case(name, read[0].owner() == owner);
        }
        for (at, step) in case["steps"].as_array().into_iter().flatten().enumerate() {
            let found = read[0].look(step["line"].as_str().unwrap());
            let Some(wanted) = step.get("match") else { continue };
            let holds = match (&found, wanted) {
                (None, Value::Null) => true,
                (Some(found), Value::Object(_)) => {
                    let had = [
                        ("file", &found.file),
                        ("fromPath", &found.from_path),
                        ("line", &found.line),
                        ("column", &found.column),
                        ("code", &found.code),
                        ("message", &found.message),
                        ("severity", &found.severity),
                    ];
                    let had =
                        had.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
                    had.collect::<BTreeMap<_, _>>() == texts(wanted)
                }
                _ => false,
            };
            row.case(format!("{name}, line {}: {found:?}", at + 1), holds);
        }
    }
    row.end();
}

#[test]
fn images_are_told_from_dockerfiles() {
    let Some(folder) = data() else { return };
    let mut row = Row::new("runner/docker-image-strings");
    let all = json(&folder, "docker-image-strings.json");
    for pair in items(&all["registry"]) {
        row.case(pair[0].to_string(), reference::registry(pair[0].as_str().unwrap()) == pair[1]);
    }
    for pair in items(&all["is_dockerfile"]) {
        row.case(pair[0].to_string(), reference::is_dockerfile(pair[0].as_str().unwrap()) == pair[1]);
    }
    row.end();
}

/// The set says which files there are, and their names say what is wrong with some.
#[test]
fn manifests_are_read_or_refused() {
    let Some(folder) = data() else { return };
    let mut row = Row::new("runner/action-manifests");
    for entry in std::fs::read_dir(folder.join("action-manifests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let read = manifest::parse(&name, &std::fs::read_to_string(&path).unwrap());
        let wrong = ["without_using", "plugin", "invalid_context"].iter().any(|part| name.contains(part));
        let kind = match read.as_ref().map(|read| &read.runs) {
            Err(_) => "error",
            Ok(manifest::Runs::Node(_)) => "node",
            Ok(manifest::Runs::Docker(_)) => "docker",
            Ok(manifest::Runs::Composite(_)) => "composite",
        };
        let holds = if wrong { kind == "error" } else { name.starts_with(kind) || name.contains(kind) };
        row.case(format!("{name}: {read:?}"), holds);
    }
    row.end();
}
