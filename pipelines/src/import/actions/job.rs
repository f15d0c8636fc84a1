//! A job as a stage, but for its matrix and its steps.

use super::{
    Workflow, concurrency, condition_of,
    expressions::{Piece, Value, pieces},
    matrix, minutes, steps, truth,
};
use crate::{
    diagnostic::Place,
    import::{
        draft::{Accepts, Stage, Yaml, map},
        reading::{Notes, fields, get, get_text, get_texts, text, texts, variables},
    },
    yaml::{Kind, Node},
};

/// A job as a stage. None, with a note, where it calls another file.
pub(super) fn stage(name: String, node: &Node, workflow: &Workflow<'_>, notes: &mut Notes) -> Option<Stage> {
    if let Some(uses) = get(node, "uses") {
        notes.add(
            uses.place,
            format!("the job `{name}` uses the reusable workflow {}", text(uses).unwrap_or_default()),
            "import that file too, and copy its stages",
        );
        return None;
    }
    let mut stage = Stage { name, ..Stage::default() };
    for need in get_texts(node, "needs") {
        if let Some(need) = workflow.stages.get(need) {
            stage.needs.push((need.clone(), Accepts::Success));
        }
    }
    if let Some(condition) = get(node, "if") {
        stage.condition = condition_of(condition, workflow, notes);
    }
    labels(node, &mut stage, notes);
    if let Some(strategy) = get(node, "strategy") {
        matrix::read(strategy, workflow, &mut stage, notes);
    }
    if let Some(node) = get(node, "concurrency") {
        stage.concurrency = concurrency(node, workflow, notes);
    }
    for output in get(node, "outputs").map(fields).unwrap_or_default() {
        let what = format!("the output `{}`", output.key.value);
        if let Some(value) = workflow.template(&output.value, &what, notes) {
            stage.outputs.insert(output.key.value.clone(), value);
        }
    }
    if let Some(container) = get(node, "container") {
        let image = get(container, "image").unwrap_or(container);
        stage.image = workflow.template(image, "the container's image", notes);
        for key in ["options", "volumes", "ports", "credentials"] {
            if let Some(node) = get(container, key) {
                notes.add(
                    node.place,
                    format!("the container's `{key}` has no counterpart"),
                    "a sandbox gets nothing of its host",
                );
            }
        }
    }
    for service in get(node, "services").map(fields).unwrap_or_default() {
        self::service(&service.key.value, &service.value, workflow, &mut stage, notes);
    }
    for (name, place, value) in get(node, "env").map(variables).unwrap_or_default() {
        env(name, value, place, workflow, &mut stage, notes);
    }
    stage.timeout = minutes(node, "timeout-minutes", notes);
    stage.continue_on_error = truth(node, "continue-on-error", notes);
    for (key, todo) in [
        (
            "environment",
            "make a `deploy` stage for the environment: its rules and its gate are on the server",
        ),
        ("permissions", "stages get no token of the forge: give the stage a secret"),
        ("defaults", "`shell` may stand under `defaults`, `working_directory` on a step"),
    ] {
        if let Some(node) = get(node, key) {
            notes.add(node.place, format!("`{key}` of `{}` was not carried over", stage.name), todo);
        }
    }
    let own = get(node, "defaults")
        .and_then(|one| get(one, "run"))
        .and_then(|one| get_text(one, "working-directory"));
    let directory = own.or(workflow.working_directory);
    steps::read(node, directory, workflow, &mut stage, notes);
    Some(stage)
}

/// An environment value of a stage: a secret, or a template.
fn env(
    name: String,
    value: &Node,
    place: Place,
    workflow: &Workflow<'_>,
    stage: &mut Stage,
    notes: &mut Notes,
) {
    if let [Piece::Expression(expression)] = pieces(text(value).unwrap_or_default()).as_slice()
        && let Ok(Value::Secret(secret)) = workflow.translate(expression)
    {
        stage.secrets.insert(name, secret);
        return;
    }
    let what = format!("the value `{name}`");
    if let Some(value) = workflow.template(value, &what, notes) {
        stage.env.insert(name, value);
    } else if text(value).is_none() {
        notes.add(place, format!("{what} is no text"), "write it as text");
    }
}

fn labels(node: &Node, stage: &mut Stage, notes: &mut Notes) {
    let Some(runs_on) = get(node, "runs-on") else { return };
    let hosted = |label: &str| {
        ["ubuntu-", "windows-", "macos-"].iter().any(|system| label.starts_with(system))
            || label.contains("${{")
    };
    let labels =
        if matches!(runs_on.kind, Kind::Map(_)) { get_texts(runs_on, "labels") } else { texts(runs_on) };
    for label in labels {
        match label {
            "self-hosted" | "linux" | "Linux" | "x64" | "X64" => {}
            label if label.starts_with("windows") || label.starts_with("macos") => {
                notes.add(
                    runs_on.place,
                    format!("`{}` runs on {label}", stage.name),
                    "stages run in Linux containers: leave it where it is, or find an image",
                );
            }
            label if hosted(label) => {}
            label => stage.runs_on.push(label.to_owned()),
        }
    }
}

fn service(name: &str, node: &Node, workflow: &Workflow<'_>, stage: &mut Stage, notes: &mut Notes) {
    let image = get(node, "image").unwrap_or(node);
    let Some(image) = workflow.template(image, "a service's image", notes) else { return };
    let mut env = Vec::new();
    for (name, place, value) in get(node, "env").map(variables).unwrap_or_default() {
        match workflow.template(value, &format!("the service's value `{name}`"), notes) {
            Some(value) => env.push((name, Yaml::text(value))),
            None => notes.add(
                place,
                format!("the service's value `{name}` was not carried over"),
                "a service's values may not be secrets",
            ),
        }
    }
    if let Some(node) = get(node, "options") {
        notes.add(
            node.place,
            format!("options of the service `{name}` were not carried over"),
            "say under `ready` how to find out that it is up",
        );
    }
    if let Some(node) = get(node, "ports") {
        notes.add(
            node.place,
            format!("ports of the service `{name}` are not needed"),
            format!("reach it as `{name}` at its own port"),
        );
    }
    let service = map([("image", Some(Yaml::text(image))), ("env", Some(Yaml::Map(env)))]);
    stage.services.push((name.to_owned(), service));
}
