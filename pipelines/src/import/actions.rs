//! GitHub Actions workflows: triggers and jobs. Steps are in [`super::actions_steps`].

use std::collections::BTreeMap;

use super::{
    actions_steps::steps,
    draft::{Accepts, Draft, Names, Stage, Yaml, map},
    expressions::{Piece, Scope, Value, pieces, translate},
    reading::{Notes, fields, flag, get, get_text, get_texts, items, text, texts, tree, variables},
};
use crate::{
    Diagnostic, SourceFile,
    diagnostic::Place,
    yaml::{Kind, Node},
};

/// What all of a workflow's jobs look up.
pub(super) struct Workflow<'n> {
    /// From a job's id to the stage's name.
    pub stages: BTreeMap<String, String>,
    /// From an uploaded artifact's name to the stage that has it.
    pub artifacts: BTreeMap<String, String>,
    /// `defaults.run.working-directory`
    pub working_directory: Option<&'n str>,
}

impl Workflow<'_> {
    /// A native expression or template for one of a workflow.
    pub(super) fn translate(&self, expression: &str) -> Result<Value, String> {
        translate(expression, Scope { stage: &|job| self.stages.get(job).cloned() })
    }

    /// A text with its expressions translated; None, with a note, where one has no counterpart.
    pub(super) fn template(&self, node: &Node, what: &str, notes: &mut Notes) -> Option<String> {
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
    triggers(&root, &mut draft, notes);
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
        if let Some(stage) = self::job(stage, &job.value, &workflow, notes) {
            draft.stages.push(Stage { place: job.key.place, ..stage });
        }
    }
    let kept: Vec<String> = draft.stages.iter().map(|stage| stage.name.clone()).collect();
    for stage in &mut draft.stages {
        stage.needs.retain(|(need, _)| kept.contains(need));
    }
    Ok(draft)
}

fn job(name: String, node: &Node, workflow: &Workflow<'_>, notes: &mut Notes) -> Option<Stage> {
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
        matrix(strategy, workflow, &mut stage, notes);
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
    steps(node, directory, workflow, &mut stage, notes);
    Some(stage)
}

/// An `if`, with or without `${{ }}` around it.
pub(super) fn condition_of(node: &Node, workflow: &Workflow<'_>, notes: &mut Notes) -> Option<String> {
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

fn matrix(strategy: &Node, workflow: &Workflow<'_>, stage: &mut Stage, notes: &mut Notes) {
    let Some(matrix) = get(strategy, "matrix") else { return };
    // There it is so unless something else is said.
    stage.fail_fast = get(strategy, "fail-fast").is_none() || truth(strategy, "fail-fast", notes);
    stage.max_parallel = get_text(strategy, "max-parallel").and_then(|text| text.parse().ok());
    if matches!(matrix.kind, Kind::Scalar(_)) {
        stage.matrix = workflow.template(matrix, "the matrix", notes).map(Yaml::Text);
        return;
    }
    let mut axes = Vec::new();
    for entry in fields(matrix) {
        let combinations = matches!(entry.key.value.as_str(), "include" | "exclude");
        let value = match &entry.value.kind {
            Kind::Scalar(_) => workflow.template(&entry.value, "the matrix", notes).map(Yaml::Text),
            _ if combinations => combination_list(&entry.value),
            _ => scalar_list(&entry.value),
        };
        match value {
            Some(value) => axes.push((entry.key.value.clone(), value)),
            None => notes.add(
                entry.value.place,
                format!("the matrix's `{}` is no list of plain values", entry.key.value),
                "write its values out",
            ),
        }
    }
    stage.matrix = (!axes.is_empty()).then_some(Yaml::Map(axes));
}

/// A plain value as it is written.
fn plain(node: &Node) -> Option<Yaml> {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() && !scalar.text.contains("${{") => {
            let value = scalar.value();
            Some(if value.is_string() { Yaml::text(&scalar.text) } else { Yaml::Plain(scalar.text.clone()) })
        }
        _ => None,
    }
}

pub(super) fn scalar_list(node: &Node) -> Option<Yaml> {
    let Kind::List(items) = &node.kind else { return None };
    items.iter().map(plain).collect::<Option<Vec<_>>>().map(Yaml::List).filter(|list| !list.is_empty())
}

pub(super) fn combination_list(node: &Node) -> Option<Yaml> {
    let Kind::List(items) = &node.kind else { return None };
    let combination = |item: &Node| {
        let pairs = fields(item).into_iter().map(|one| Some((one.key.value.clone(), plain(&one.value)?)));
        pairs.collect::<Option<Vec<_>>>().filter(|pairs| !pairs.is_empty()).map(Yaml::Map)
    };
    items.iter().map(combination).collect::<Option<Vec<_>>>().map(Yaml::List)
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

/// Minutes as a duration.
pub(super) fn minutes(node: &Node, key: &str, notes: &mut Notes) -> Option<String> {
    let value = get(node, key)?;
    let minutes = text(value)
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|minutes| *minutes >= 0.1 && *minutes < 1e6);
    if minutes.is_none() {
        notes.add(value.place, format!("`{key}` is no number"), "write a duration such as `10m`");
    }
    minutes.map(|minutes| super::draft::duration((minutes * 60.0) as u64))
}

/// A flag; an expression is noted.
pub(super) fn truth(node: &Node, key: &str, notes: &mut Notes) -> bool {
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
    Some(map([
        ("group", Some(Yaml::text(group))),
        ("cancel_superseded", cancel.then(|| Yaml::Plain("true".to_owned()))),
    ]))
}

fn triggers(root: &Node, draft: &mut Draft, notes: &mut Notes) {
    let Some(on) = get(root, "on") else {
        draft.on.push(("push".to_owned(), Yaml::Nothing));
        return;
    };
    let names: Vec<(&str, Option<&Node>, Place)> = match &on.kind {
        Kind::Map(_) => fields(on)
            .into_iter()
            .map(|one| (one.key.value.as_str(), Some(&one.value), one.key.place))
            .collect(),
        _ => items(on).iter().filter_map(|item| Some((text(item)?, None, item.place))).collect(),
    };
    for (name, settings, place) in names {
        let settings = settings.filter(|node| !node.is_null());
        match name {
            "push" => {
                let filter = |key: &str| settings.is_some_and(|node| get(node, key).is_some());
                let tags = filter("tags") || filter("tags-ignore");
                let branches = filter("branches") || filter("branches-ignore");
                // Without a filter a push of a tag counts too.
                if branches || !tags {
                    draft.on.push(("push".to_owned(), settings.map_or(Yaml::Nothing, filters)));
                }
                if tags {
                    let patterns = settings.map(|node| patterns(node, "tags")).unwrap_or_default();
                    draft.on.push(("tag".to_owned(), Yaml::texts(patterns)));
                } else if !branches {
                    draft.on.push(("tag".to_owned(), Yaml::Nothing));
                }
            }
            "pull_request" | "pull_request_target" => {
                if name == "pull_request_target" {
                    notes.add(
                        place,
                        "`pull_request_target` became `pull_request`",
                        "runs of forks get no secrets here, and no stage that deploys",
                    );
                }
                if !draft.on.iter().any(|(key, _)| key == "pull_request") {
                    draft.on.push(("pull_request".to_owned(), settings.map_or(Yaml::Nothing, filters)));
                }
            }
            "schedule" => {
                let crons =
                    settings.map(items).unwrap_or_default().iter().filter_map(|item| get_text(item, "cron"));
                let list: Vec<Yaml> = crons.map(|cron| map([("cron", Some(Yaml::text(cron)))])).collect();
                if !list.is_empty() {
                    draft.on.push(("schedule".to_owned(), Yaml::List(list)));
                }
            }
            "workflow_dispatch" => draft.on.push(("manual".to_owned(), inputs(settings))),
            "release" | "repository_dispatch" => {
                let types = settings.map(|node| get_texts(node, "types")).unwrap_or_default();
                let only = map([("types", Some(Yaml::texts(types)))]);
                draft.on.push((name.to_owned(), if only.is_empty() { Yaml::Nothing } else { only }));
            }
            "workflow_run" => upstream(settings, place, draft, notes),
            other => notes.add(
                place,
                format!("the event `{other}` was not carried over"),
                "see `on` in docs/language.md for what starts a pipeline",
            ),
        }
    }
    if draft.on.is_empty() {
        draft.on.push(("manual".to_owned(), Yaml::Nothing));
    }
}

/// Runs of other workflows: those are pipelines here, by the same names once they are imported.
fn upstream(settings: Option<&Node>, place: Place, draft: &mut Draft, notes: &mut Notes) {
    let names = settings.map(|node| get_texts(node, "workflows")).unwrap_or_default();
    if names.is_empty() {
        return;
    }
    notes.add(
        place,
        "`workflow_run` became `pipeline`",
        "import the workflows that it names, so that there are pipelines of these names",
    );
    let branches = settings.map(|node| patterns(node, "branches")).unwrap_or_default();
    let pipeline = map([
        ("names", Some(Yaml::texts(names))),
        ("statuses", Some(Yaml::texts(["succeeded", "failed", "cancelled"]))),
        ("branches", Some(Yaml::texts(branches))),
    ]);
    draft.on.push(("pipeline".to_owned(), pipeline));
}

fn filters(node: &Node) -> Yaml {
    let list = |patterns: Vec<String>| (!patterns.is_empty()).then(|| Yaml::texts(patterns));
    let filters = map([
        ("types", Some(Yaml::texts(get_texts(node, "types")))),
        ("branches", list(patterns(node, "branches"))),
        ("paths", list(get_texts(node, "paths").into_iter().map(str::to_owned).collect())),
        ("paths_ignore", list(get_texts(node, "paths-ignore").into_iter().map(str::to_owned).collect())),
    ]);
    if filters.is_empty() { Yaml::Nothing } else { filters }
}

/// Patterns, those of `…-ignore` as ones that take away.
fn patterns(node: &Node, key: &str) -> Vec<String> {
    let mut all: Vec<String> = get_texts(node, key).into_iter().map(str::to_owned).collect();
    all.extend(get_texts(node, &format!("{key}-ignore")).into_iter().map(|pattern| format!("!{pattern}")));
    all
}

fn inputs(settings: Option<&Node>) -> Yaml {
    let inputs = settings.and_then(|node| get(node, "inputs")).map(fields).unwrap_or_default();
    let list: Vec<(String, Yaml)> = inputs
        .into_iter()
        .map(|one| {
            let node = &one.value;
            let options = get_texts(node, "options");
            let kind = get_text(node, "type").filter(|kind| *kind != "choice");
            let number = matches!(kind, Some("number" | "boolean"));
            let value = |text: &str| if number { Yaml::Plain(text.to_owned()) } else { Yaml::text(text) };
            let required = get(node, "required").and_then(flag).filter(|required| *required);
            let input = map([
                ("description", get_text(node, "description").map(Yaml::text)),
                ("type", kind.map(Yaml::text)),
                ("choices", (!options.is_empty()).then(|| Yaml::texts(options))),
                ("default", get_text(node, "default").filter(|text| !text.is_empty()).map(value)),
                ("required", required.map(|_| Yaml::Plain("true".to_owned()))),
            ]);
            (one.key.value.clone(), input)
        })
        .collect();
    if list.is_empty() { Yaml::Nothing } else { map([("inputs", Some(Yaml::Map(list)))]) }
}
