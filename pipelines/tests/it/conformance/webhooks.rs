//! Payloads of a forge's webhooks: that they start the workflows that ask for them, and no others.
//!
//! For each payload there are three workflows: one that asks for its event, one that asks for its activity alone, and
//! one that asks for every other event. Events that no workflow can ask for start nothing.

use std::fs;

use serde_json::Value;
use tidegate_pipelines::{Compiled, SourceFile, check, compile, event::Event};

use super::{Row, path, workflows};

pub fn rows() -> Vec<Row> {
    payloads().into_iter().collect()
}

#[test]
fn all_start_what_asks_for_them() {
    for row in rows() {
        assert!(row.misses.is_empty(), "{}: {:#?}", row.set, row.misses);
    }
}

/// Every event that workflows may ask for.
const EVENTS: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "issue_comment",
    "issues",
    "label",
    "merge_group",
    "milestone",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "public",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "registry_package",
    "release",
    "repository_dispatch",
    "status",
    "watch",
    "workflow_dispatch",
    "workflow_run",
];

fn payloads() -> Option<Row> {
    let mut row = Row::new("github-webhooks/payload-examples");
    let mut folders: Vec<_> = fs::read_dir(path("github-webhooks/payload-examples")?)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let payload: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            let case = format!("{name}/{}", file.file_name().unwrap().to_string_lossy());
            row.count(&case, judge(&name, payload));
        }
    }
    Some(row)
}

fn told(name: &str, payload: Value) -> Event {
    let mut event = workflows::event(name);
    event.activity = payload["action"].as_str().map(str::to_owned);
    if let (Some(facts), Some(action)) = (&mut event.pull_request, &event.activity) {
        facts.action.clone_from(action);
    }
    if name == "push"
        && let Some(reference) = payload["ref"].as_str()
    {
        event.git.reference = reference.to_owned();
        event.git.branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
        event.git.tag = reference.strip_prefix("refs/tags/").map(str::to_owned);
    }
    event.git.message = String::new();
    event.payload = Some(payload);
    event
}

fn starts(on: &str, event: &Event) -> Result<bool, String> {
    let text = format!(
        "on: {on}\njobs: {{a: {{runs-on: self-hosted, container: \"x:1\", steps: [{{run: \"\"}}]}}}}\n"
    );
    let file = SourceFile { path: ".github/workflows/x.yml", text: &text };
    let compilation = compile(&file, event, Default::default());
    match compilation.result {
        Some(Compiled::Plan(_)) => Ok(true),
        Some(Compiled::NotTriggered { .. }) => Ok(false),
        None => Err(format!("{on}: {:?}", workflows::errors(&compilation.diagnostics))),
    }
}

fn judge(name: &str, payload: Value) -> Result<(), String> {
    let event = told(name, payload);
    let others: Vec<&str> = EVENTS.iter().copied().filter(|other| *other != name).collect();
    if starts(&format!("[{}]", others.join(", ")), &event)? {
        return Err("it starts a workflow that asks for something else".to_owned());
    }
    if !EVENTS.contains(&name) {
        return Ok(());
    }
    let activity = event.activity.clone().unwrap_or_default();
    let default_counts = match name {
        "pull_request" => matches!(activity.as_str(), "opened" | "synchronize" | "reopened"),
        _ => true,
    };
    let inactive =
        event.payload.as_ref().is_some_and(|payload| payload["deployment_status"]["state"] == "inactive");
    // An activity that is none of GitHub's list for workflows starts nothing.
    let listed = activity.is_empty() || knows(name, &activity) || !has_types(name);
    let wanted = default_counts && listed && !inactive;
    if starts(name, &event)? != wanted {
        return Err(format!("`{activity}` by default: {}", !wanted));
    }
    if has_types(name)
        && knows(name, &activity)
        && !starts(&format!("{{{name}: {{types: [{activity}]}}}}"), &event)?
    {
        return Err(format!("`{activity}` does not start what asks for it"));
    }
    Ok(())
}

/// Whether the language has an activity of an event.
fn knows(name: &str, activity: &str) -> bool {
    let text = format!("on: {{{name}: {{types: [{activity}]}}}}\njobs: {{a: {{runs-on: x}}}}\n");
    workflows::errors(&check(&SourceFile { path: ".github/workflows/x.yml", text: &text })).is_empty()
}

fn has_types(name: &str) -> bool {
    let text = format!("on: {{{name}: {{types: []}}}}\njobs: {{a: {{runs-on: x}}}}\n");
    workflows::errors(&check(&SourceFile { path: ".github/workflows/x.yml", text: &text })).is_empty()
}
