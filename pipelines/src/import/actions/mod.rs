//! GitHub Actions workflows: what all of a file says, and what its parts look up in it.

mod expressions;
mod job;
mod matrix;
mod steps;
mod triggers;

use std::collections::BTreeMap;

use super::{
    draft::{Draft, Names, Stage, Yaml, duration, map},
    reading::{Notes, fields, flag, get, get_text, items, text, tree, variables},
};
use crate::{Diagnostic, SourceFile, yaml::Node};
use expressions::{Piece, Scope, Value, pieces, translate};

pub(super) use matrix::{combination_list, scalar_list};

/// What all of a workflow's jobs look up.
struct Workflow<'n> {
    /// From a job's id to the stage's name.
    stages: BTreeMap<String, String>,
    /// From an uploaded artifact's name to the stage that has it.
    artifacts: BTreeMap<String, String>,
    /// `defaults.run.working-directory`
    working_directory: Option<&'n str>,
}

impl Workflow<'_> {
    /// A native expression or template for one of a workflow.
    fn translate(&self, expression: &str) -> Result<Value, String> {
        translate(expression, Scope { stage: &|job| self.stages.get(job).cloned() })
    }

    /// A text with its expressions translated; None, with a note, where one has no counterpart.
    fn template(&self, node: &Node, what: &str, notes: &mut Notes) -> Option<String> {
        let mut out = String::new();
        for piece in pieces(text(node)?) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Expression(expression) => match self.translate(expression) {
                    Ok(Value::Expression(native)) => out.push_str(&format!("${{{{ {native} }}}}")),
                    Ok(Value::Env(name)) => {
                        notes.add(
                            node.place,
                            format!("{what} reads `env.{name}`, and expressions here do not"),
                            "write the value itself",
                        );
                        return None;
                    }
                    Ok(Value::Secret(name)) => {
                        notes.add(
                            node.place,
                            format!("{what} reads the secret `{name}`"),
                            "secrets are variables of a stage here: name it under `secrets`",
                        );
                        return None;
                    }
                    Err(why) => {
                        notes.add(
                            node.place,
                            format!("{what} was left out: {why}"),
                            "say it with `git`, `event`, `inputs`, `matrix` or `stages`",
                        );
                        return None;
                    }
                },
            }
        }
        Some(out)
    }
}

pub(super) fn read(file: &SourceFile<'_>, notes: &mut Notes) -> Result<Draft, Vec<Diagnostic>> {
    let root = tree(file)?;
    let mut draft = Draft { name: get_text(&root, "name").map(str::to_owned), ..Draft::default() };
    triggers::read(&root, &mut draft, notes);
    let jobs = get(&root, "jobs").map(fields).unwrap_or_default();
    let mut names = Names::default();
    let mut workflow =
        Workflow { stages: BTreeMap::new(), artifacts: BTreeMap::new(), working_directory: None };
    for job in &jobs {
        let name = names.of(&job.key.value);
        workflow.stages.insert(job.key.value.clone(), name.clone());
        for upload in get(&job.value, "steps").map(items).unwrap_or_default() {
            if get_text(upload, "uses").is_some_and(|uses| uses.starts_with("actions/upload-artifact")) {
                let given = get(upload, "with").and_then(|with| get_text(with, "name")).unwrap_or("artifact");
                workflow.artifacts.insert(given.to_owned(), name.clone());
            }
        }
    }
    let run_defaults = get(&root, "defaults").and_then(|one| get(one, "run"));
    workflow.working_directory = run_defaults.and_then(|one| get_text(one, "working-directory"));
    for (name, place, value) in get(&root, "env").map(variables).unwrap_or_default() {
        if let Some(Piece::Expression(expression)) = pieces(text(value).unwrap_or_default()).first()
            && let Ok(Value::Secret(secret)) = workflow.translate(expression)
        {
            notes.add(
                place,
                format!("all jobs had the secret `{secret}`"),
                "name it under `secrets` of the stages that need it",
            );
        } else if let Some(value) = workflow.template(value, &format!("the value `{name}`"), notes) {
            draft.env.insert(name, value);
        }
    }
    if let Some(node) = get(&root, "concurrency") {
        draft.concurrency = concurrency(node, &workflow, notes);
    }
    if let Some(node) = get(&root, "permissions") {
        notes.add(
            node.place,
            "`permissions` has no counterpart: stages get no token of the forge",
            "give the stage that needs one a secret",
        );
    }
    draft.shell = Some("bash");
    for job in jobs {
        let Some(stage) = workflow.stages.get(&job.key.value).cloned() else { continue };
        if let Some(stage) = job::stage(stage, &job.value, &workflow, notes) {
            draft.stages.push(Stage { place: job.key.place, ..stage });
        }
    }
    let kept: Vec<String> = draft.stages.iter().map(|stage| stage.name.clone()).collect();
    for stage in &mut draft.stages {
        stage.needs.retain(|(need, _)| kept.contains(need));
    }
    Ok(draft)
}

/// An `if`, with or without `${{ }}` around it.
fn condition_of(node: &Node, workflow: &Workflow<'_>, notes: &mut Notes) -> Option<String> {
    let whole = text(node)?.trim();
    let inner = whole.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(whole).trim();
    match workflow.translate(inner) {
        Ok(Value::Expression(native)) => Some(native),
        Ok(Value::Secret(name) | Value::Env(name)) => {
            notes.add(
                node.place,
                format!("the condition reads `{name}`"),
                "conditions read `git`, `event`, `inputs`, `matrix` and `stages`",
            );
            None
        }
        Err(why) => {
            notes.add(
                node.place,
                format!("the condition `{inner}` was left out: {why}"),
                "without it this always runs: write it by hand",
            );
            None
        }
    }
}

/// Minutes as a duration.
fn minutes(node: &Node, key: &str, notes: &mut Notes) -> Option<String> {
    let value = get(node, key)?;
    let minutes = text(value)
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|minutes| *minutes >= 0.1 && *minutes < 1e6);
    if minutes.is_none() {
        notes.add(value.place, format!("`{key}` is no number"), "write a duration such as `10m`");
    }
    minutes.map(|minutes| duration((minutes * 60.0) as u64))
}

/// A flag; an expression is noted.
fn truth(node: &Node, key: &str, notes: &mut Notes) -> bool {
    let Some(value) = get(node, key) else { return false };
    flag(value).unwrap_or_else(|| {
        notes.add(value.place, format!("`{key}` is an expression"), "it is `true` or `false` here");
        false
    })
}

fn concurrency(node: &Node, workflow: &Workflow<'_>, notes: &mut Notes) -> Option<Yaml> {
    let group = get(node, "group").unwrap_or(node);
    // The workflow's name is known.
    let group = workflow.template(group, "the concurrency group", notes)?;
    let cancel = get(node, "cancel-in-progress").is_some() && truth(node, "cancel-in-progress", notes);
    if !cancel && get_text(node, "queue") != Some("max") {
        notes.add(
            node.place,
            "of those that wait in the concurrency group a newer one took the place of an older one: here all wait, in order",
            "add `cancel_superseded: true` if only the newest matters",
        );
    }
    Some(map([
        ("group", Some(Yaml::text(group))),
        ("cancel_superseded", cancel.then(|| Yaml::Plain("true".to_owned()))),
    ]))
}
