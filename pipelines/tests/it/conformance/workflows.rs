//! What the sets of workflows have in common: machines, files that are called, events by name.

use std::collections::BTreeMap;

use tidegate_pipelines::{
    Compiled, Diagnostic, FileRef, Files, InputKind, Setting, SourceFile, compile,
    event::{Event, EventKind},
    plan::{Plan, StagePlan, Step, Verb},
    sample, triggers,
};

use crate::events;

/// Files that are called, by the name under which they are called.
#[derive(Default)]
pub struct Called(pub BTreeMap<String, String>);

impl Files for Called {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        let name = match file {
            FileRef::Same(path) => format!("./{path}"),
            FileRef::Other { repository, path, reference } => format!("{repository}/{path}@{reference}"),
        };
        // Sets name files of the same repository in several ways.
        let known = self
            .0
            .iter()
            .find(|(key, _)| **key == name || name.strip_prefix("./").is_some_and(|path| key.contains(path)));
        known.map(|(_, text)| text.clone()).ok_or_else(|| format!("the set has no {name}"))
    }
}

/// Errors as text.
pub fn errors(found: &[Diagnostic]) -> Vec<String> {
    let told = |d: &Diagnostic| format!("{} {}:{} {}", d.code, d.span.line, d.span.column, d.message);
    found.iter().filter(|diagnostic| diagnostic.is_error()).map(told).collect()
}

/// An event by its name in workflows.
pub fn event(name: &str) -> Event {
    let mut event = match name {
        "pull_request" | "pull_request_target" => events::pull_request("main"),
        _ => events::push("main"),
    };
    event.kind = match name {
        "push" => EventKind::Push,
        "pull_request" | "pull_request_target" => EventKind::PullRequest,
        "schedule" => EventKind::Schedule,
        "workflow_dispatch" => EventKind::Manual,
        "release" => EventKind::Release,
        "repository_dispatch" => EventKind::Dispatch,
        "workflow_run" => EventKind::Upstream,
        _ => EventKind::Forge,
    };
    event.name = Some(name.to_owned());
    event
}

/// The plan of a file for an event, nothing when the event does not start it.
pub fn plan(file: &SourceFile<'_>, name: &str, files: &Called) -> Result<Option<Plan>, String> {
    // Sets ask for whatever labels they like.
    let setting = Setting { files, any_machine: true, ..Setting::default() };
    let mut event = event(name);
    event.activity = sample::activities(file, name).into_iter().next();
    if name == "workflow_dispatch" {
        event.inputs = needed_inputs(file);
    }
    let compilation = compile(file, &event, setting);
    match compilation.result {
        Some(Compiled::Plan(plan)) => Ok(Some(plan)),
        Some(Compiled::NotTriggered { .. }) => Ok(None),
        None => Err(format!("no plan: {:?}", errors(&compilation.diagnostics))),
    }
}

/// Something for each input that a manual run cannot do without.
fn needed_inputs(file: &SourceFile<'_>) -> BTreeMap<String, serde_json::Value> {
    let inputs = triggers(file).manual_inputs.unwrap_or_default().into_iter();
    let needed = inputs.filter(|input| input.required && input.default.is_none());
    needed
        .map(|input| {
            let text = match input.kind {
                InputKind::Boolean => "true",
                InputKind::Number => "1",
                _ => input.choices.first().map_or("x", String::as_str),
            };
            (input.name.clone(), text.into())
        })
        .collect()
}

pub fn steps(stage: &StagePlan) -> &[Step] {
    match &stage.verb {
        Verb::Run(run) => &run.steps,
        _ => &[],
    }
}
