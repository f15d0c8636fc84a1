//! Workflow files with what GitHub's own service makes of them, and files that are all valid.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;
use tidegate_pipelines::{
    Setting, SourceFile,
    actions::{Limits, check_within},
    check,
    lenient::{self, Status, Values},
    plan::{Does, Plan, StagePlan},
};

use super::{
    Row, json, path,
    workflows::{self, Called},
};

pub fn rows() -> Vec<Row> {
    [reader_examples(), valid_files()].into_iter().flatten().collect()
}

/// Why these go another way is said in docs/compatibility.md.
const EXPLAINED: [&str; 0] = [];

#[test]
fn all_are_read_as_github_reads_them() {
    for row in rows() {
        let misses: Vec<_> =
            row.misses.iter().filter(|miss| !EXPLAINED.iter().any(|known| miss.starts_with(known))).collect();
        assert!(misses.is_empty(), "{}: {misses:#?}", row.set);
    }
}

fn reader_examples() -> Option<Row> {
    let set = json("actions-language/reader-examples.json")?;
    let mut row = Row::new("actions-language/reader-examples.json");
    for case in set["cases"].as_array().unwrap() {
        row.count(case["name"].as_str().unwrap(), reader_example(case));
    }
    Some(row)
}

fn limits(options: &Value) -> Limits {
    let mut limits = Limits::default();
    let number = |key: &str| options[key].as_u64().and_then(|number| usize::try_from(number).ok());
    limits.max_bytes = number("max-file-size").unwrap_or(limits.max_bytes);
    limits.max_depth = number("max-depth").unwrap_or(limits.max_depth);
    limits.read_only_token = options["permissions-policy"] == "LimitedRead";
    limits
}

fn reader_example(case: &Value) -> Result<(), String> {
    let path = format!(".github/workflows/{}", case["name"].as_str().unwrap());
    let file = SourceFile { path: &path, text: case["workflow"].as_str().unwrap() };
    let files = Called(serde_json::from_value(case["files"].clone()).unwrap_or_default());
    let setting = Setting { files: &files, ..Setting::default() };
    let all = check_within(&file, setting, &limits(&case["options"]));
    let found = workflows::errors(&all);
    if case["verdict"] == "accept" {
        if !found.is_empty() {
            return Err(format!("refused: {found:?}"));
        }
        return compare(&file, &case["expected"], &files);
    }
    if found.is_empty() {
        return Err("accepted".to_owned());
    }
    let wanted: BTreeSet<(u64, u64)> = case["positions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|place| Some((place[0].as_u64()?, place[1].as_u64()?)))
        .collect();
    let place = |d: &tidegate_pipelines::Diagnostic| (d.span.line as u64, d.span.column as u64);
    let told: BTreeSet<_> = all.iter().map(place).collect();
    let errors: BTreeSet<_> = all.iter().filter(|d| d.is_error()).map(place).collect();
    let missing: Vec<_> = wanted.difference(&told).collect();
    let more: Vec<_> = errors.difference(&wanted).collect();
    if missing.is_empty() && (wanted.is_empty() || more.is_empty()) {
        Ok(())
    } else {
        Err(format!("missing {missing:?}, too many {more:?}: {found:?}"))
    }
}

/// The plan against what GitHub makes of the file: jobs, names, conditions, and steps with their ids.
fn compare(file: &SourceFile<'_>, expected: &Value, files: &Called) -> Result<(), String> {
    let events =
        ["push", "pull_request", "workflow_dispatch", "schedule", "release", "image_version", "workflow_run"];
    let mut plan = None;
    for event in events {
        if let Some(found) = workflows::plan(file, event, files)? {
            plan = Some(found);
            break;
        }
    }
    let Some(plan) = plan else {
        // What is only called starts with nothing, and was read without mistakes.
        let called = file.text.contains("workflow_call");
        return if called { Ok(()) } else { Err("no event starts it".to_owned()) };
    };
    jobs(&expected["jobs"], "", &plan)
}

fn jobs(expected: &Value, prefix: &str, plan: &Plan) -> Result<(), String> {
    for job in expected.as_array().into_iter().flatten() {
        let id = text(&job["id"]);
        let name = format!("{prefix}{id}");
        if job["type"] == "reusableWorkflowJob" {
            let call = plan.calls.iter().find(|call| call.name == name);
            let call = call.ok_or(format!("there is no call `{name}`"))?;
            same(
                "call if",
                condition(&job["if"]),
                call.condition.clone().unwrap_or_else(|| "success()".to_owned()),
            )?;
            jobs(&job["jobs"], &format!("{} / ", call.key), plan)?;
            continue;
        }
        let stage = plan.stages.iter().find(|stage| stage.name == name);
        stage_is(job, stage.ok_or(format!("there is no job `{name}`"))?)?;
    }
    Ok(())
}

fn stage_is(job: &Value, stage: &StagePlan) -> Result<(), String> {
    let id = &stage.name;
    same(&format!("if of {id}"), condition(&job["if"]), implied(stage.condition.as_deref()))?;
    let steps = workflows::steps(stage);
    let wanted = job["steps"].as_array().cloned().unwrap_or_default();
    same(&format!("steps of {id}"), wanted.len(), steps.len())?;
    for (wanted, step) in wanted.iter().zip(steps) {
        same("step id", text(&wanted["id"]), step.id.clone().unwrap_or_default())?;
        same("step if", condition(&wanted["if"]), implied(step.condition.as_deref()))?;
        match &step.does {
            Does::Uses(action) => same("uses", text(&wanted["uses"]), action.action.clone())?,
            Does::Run(script) if wanted["run"]["type"] != 3 => {
                same("run", text(&wanted["run"]), filled(&script.script))?;
            }
            Does::Run(_) | Does::Wait(_) | Does::Cancel(_) => {}
        }
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, wanted: T, found: T) -> Result<(), String> {
    if wanted == found { Ok(()) } else { Err(format!("{what}: {found:?}, not {wanted:?}")) }
}

/// A template that reads nothing, filled in; any other as it is.
fn filled(template: &str) -> String {
    let contexts = BTreeMap::new();
    let hash_files = |_: &[String]| Err("there are no files".to_owned());
    let values = Values { contexts: &contexts, status: Status::Success, hash_files: &hash_files };
    lenient::text(template, &values).unwrap_or_else(|_| template.to_owned())
}

/// A literal, plain or with its place.
fn text(value: &Value) -> String {
    value.as_str().or_else(|| value["lit"].as_str()).unwrap_or_default().to_owned()
}

fn condition(value: &Value) -> String {
    value["expr"].as_str().unwrap_or_default().to_owned()
}

/// GitHub writes out the `success()` that a condition implies.
fn implied(condition: Option<&str>) -> String {
    let Some(condition) = condition else { return "success()".to_owned() };
    let asks = ["success(", "failure(", "cancelled(", "always("];
    // Text in quotes calls nothing.
    let lower: String = condition.to_lowercase().split('\'').step_by(2).collect();
    match asks.iter().any(|function| lower.contains(function)) {
        true => condition.to_owned(),
        false => format!("success() && ({condition})"),
    }
}

fn valid_files() -> Option<Row> {
    let mut row = Row::new("actionlint/ok");
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for entry in fs::read_dir(path("actionlint/ok")?).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    for (name, text) in &files {
        let found =
            workflows::errors(&check(&SourceFile { path: &format!(".github/workflows/{name}"), text }));
        row.count(name, if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) });
    }
    Some(row)
}
