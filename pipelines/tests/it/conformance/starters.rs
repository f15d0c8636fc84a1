//! Real workflows: that they are accepted, by which events they are started, and into which jobs, needs and steps.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tidegate_pipelines::{Setting, SourceFile, check, check_in};

use super::{
    Row, json, path,
    workflows::{self, Called},
};

pub fn rows() -> Vec<Row> {
    starters().into_iter().collect()
}

#[test]
fn all_are_read_as_they_are_meant() {
    for row in rows() {
        assert!(row.misses.is_empty(), "{}: {:#?}", row.set, row.misses);
    }
}

fn starters() -> Option<Row> {
    let set = json("starter-workflows.EXPECTED.json")?;
    let folder = path("starter-workflows")?;
    let mut row = Row::new("starter-workflows");
    for (name, wanted) in set["files"].as_object().unwrap() {
        // The set lists a few files more than it has.
        let Ok(text) = fs::read_to_string(folder.join(name)) else { continue };
        let text = text
            .replace("$default-branch", "main")
            .replace("$protected-branches", "main")
            .replace("$cron-daily", "0 0 * * *")
            .replace("$cron-weekly", "0 0 * * 0");
        row.count(name, judge(name, &text, wanted));
    }
    Some(row)
}

fn judge(name: &str, text: &str, wanted: &Value) -> Result<(), String> {
    let path = format!(".github/workflows/{}", name.rsplit('/').next().unwrap());
    let file = SourceFile { path: &path, text };
    let found = workflows::errors(&check(&file));
    if wanted["verdict"] != "accept" {
        return if found.is_empty() { Err("accepted".to_owned()) } else { Ok(()) };
    }
    if !found.is_empty() {
        return Err(format!("refused: {found:?}"));
    }
    let files = stand_ins(&file);
    let events: Vec<&str> =
        wanted["events"].as_array().unwrap().iter().map(|event| event.as_str().unwrap()).collect();
    let plan = events
        .iter()
        .find_map(|event| workflows::plan(&file, event, &files).transpose())
        .ok_or("no event starts it")??;
    let jobs = wanted["jobs"].as_object().unwrap();
    for (id, wanted) in jobs {
        if plan.calls.iter().any(|call| call.name == *id) {
            continue;
        }
        let Some(stage) = plan.stages.iter().find(|stage| stage.name == *id) else {
            return Err(format!("there is no job `{id}`"));
        };
        let steps = workflows::steps(stage).len() as u64;
        if wanted["steps"].as_u64().unwrap_or_default() != steps {
            return Err(format!("`{id}` has {steps} steps, not {}", wanted["steps"]));
        }
        let needs: BTreeSet<&str> = stage
            .needs
            .iter()
            .filter_map(|need| plan.stage(&need.stage))
            // The set knows jobs of the file alone, so what is inside a call stands for the call.
            .map(|stage| stage.name.split(" / ").next().unwrap())
            .collect();
        let meant: BTreeSet<&str> =
            wanted["needs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if needs != meant {
            return Err(format!("`{id}` needs {needs:?}, not {meant:?}"));
        }
    }
    let own = plan.stages.iter().filter(|stage| stage.call.is_none());
    let ids: BTreeSet<&str> = own.map(|stage| stage.name.as_str()).collect();
    let more: Vec<_> = ids.iter().filter(|id| !jobs.contains_key(**id)).collect();
    if more.is_empty() { Ok(()) } else { Err(format!("jobs that are not in the file: {more:?}")) }
}

/// The set does not bring what its files call, so something stands in for it that declares what it is given.
fn stand_ins(file: &SourceFile<'_>) -> Called {
    let mut files = Called::default();
    let mut declared = String::new();
    for _ in 0..20 {
        let setting = Setting { files: &files, ..Setting::default() };
        let found = workflows::errors(&check_in(file, setting));
        let Some(first) = found.first() else { break };
        let quoted: Vec<&str> = first.split('`').collect();
        if first.contains("cannot be read") {
            files.0.insert(quoted[1].to_owned(), stand_in(&declared));
        } else if first.contains("declares no") {
            let kind = if first.contains("declares no input") { "inputs" } else { "secrets" };
            let entry = if kind == "inputs" { "{type: string}" } else { "{}" };
            declared.push_str(&format!("{kind} {}: {entry}\n", quoted[3]));
            let text = stand_in(&declared);
            files.0.values_mut().for_each(|file| file.clone_from(&text));
        } else {
            break;
        }
    }
    files
}

fn stand_in(declared: &str) -> String {
    let of = |kind: &str| {
        let lines = declared.lines().filter_map(|line| line.strip_prefix(kind));
        lines.map(str::trim).collect::<Vec<_>>().join(", ")
    };
    format!(
        "on: {{workflow_call: {{inputs: {{{}}}, secrets: {{{}}}}}}}\njobs: {{called: {{runs-on: ubuntu-latest, steps: []}}}}\n",
        of("inputs"),
        of("secrets")
    )
}
