//! What Woodpecker and Drone have in common: steps that are containers of their own and share one workspace.
//!
//! Steps in a row with one image become one stage. Where the image changes, the next stage takes the whole workspace
//! over as an artifact: that keeps what files the steps leave to each other, and is noted, since it can be done with less.

mod filters;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    draft::{self, Accepts, Names, Stage, Step, Yaml, map},
    reading::{Notes, fields, flag, get, get_text, items, text, texts},
};
use crate::{
    diagnostic::Place,
    yaml::{Kind, Node},
};
use values::{environment, read_variables};

pub(super) use filters::{When, filters, triggers};

/// A step as both systems write it.
pub(super) struct Container<'n> {
    pub name: String,
    pub node: &'n Node,
    pub place: Place,
}

/// The steps of a file: a list, or a mapping by name.
pub(super) fn containers<'n>(node: Option<&'n Node>) -> Vec<Container<'n>> {
    let Some(node) = node else { return Vec::new() };
    match &node.kind {
        Kind::Map(_) => fields(node)
            .into_iter()
            .map(|one| Container { name: one.key.value.clone(), node: &one.value, place: one.key.place })
            .collect(),
        _ => items(node)
            .iter()
            .enumerate()
            .map(|(index, item)| Container {
                name: get_text(item, "name").map_or_else(|| format!("step-{}", index + 1), str::to_owned),
                node: item,
                place: item.place,
            })
            .collect(),
    }
}

/// What a front end knows that the other does not.
pub(super) struct Dialect<'d> {
    /// The step's condition, or that it never runs.
    pub when: &'d dyn Fn(&Node, &mut Notes) -> When,
    /// A text with the system's own substitutions as expressions.
    pub template: &'d dyn Fn(&str) -> String,
    /// Variables that the system sets, and expressions for them.
    pub variables: &'d [(&'d str, &'d str)],
    /// How such variables begin.
    pub prefixes: &'d [&'d str],
}

/// Carries steps over; gives the system's variables that they read.
pub(super) fn stages(
    steps: &[Container<'_>],
    services: &[Container<'_>],
    dialect: &Dialect<'_>,
    names: &mut Names,
    notes: &mut Notes,
) -> (Vec<Stage>, BTreeSet<String>) {
    let graph = steps.iter().any(|step| get(step.node, "depends_on").is_some());
    let mut stages: Vec<Stage> = Vec::new();
    let mut stage_of: BTreeMap<&str, String> = BTreeMap::new();
    let mut used = BTreeSet::new();
    let mut all_services = Vec::new();
    for service in services {
        values::service(service, dialect, &mut all_services, notes);
    }
    for step in steps {
        if get(step.node, "detach").and_then(flag) == Some(true) {
            values::service(step, dialect, &mut all_services, notes);
            continue;
        }
        if let Some(settings) = get(step.node, "settings").filter(|_| get(step.node, "commands").is_none()) {
            let image = get_text(step.node, "image").unwrap_or_default();
            let todo = if image.contains("docker") || image.contains("buildx") || image.contains("kaniko") {
                "make a stage with `build`, and one with `push` that needs it"
            } else {
                "do the same with commands, in an image that has the tool"
            };
            notes.add(settings.place, format!("the plugin {image} of `{}` was left out", step.name), todo);
            continue;
        }
        let Some(commands) = get(step.node, "commands") else {
            notes.add(
                step.place,
                format!("`{}` has no commands", step.name),
                "write what its image does by itself",
            );
            continue;
        };
        let script = texts(commands).join("\n").replace("${{", "$ {{");
        if script.trim().is_empty() {
            notes.add(step.place, format!("`{}` has no commands", step.name), "it was left out");
            continue;
        }
        let when = (dialect.when)(step.node, notes);
        if when.never {
            continue;
        }
        let mut stage = Stage { name: names.of(&step.name), place: step.place, ..Stage::default() };
        let mut own = Step { name: Some(step.name.clone()), ..Step::script(format!("{script}\n")) };
        environment(step.node, dialect, &mut stage, &mut own, notes);
        read_variables(&script, dialect, step, &mut used, notes);
        own.when = when.after;
        own.continue_on_error = get_text(step.node, "failure") == Some("ignore");
        own.working_directory =
            get_text(step.node, "directory").map(|path| path.trim_start_matches("./").to_owned());
        for key in ["volumes", "privileged", "network_mode", "dns", "entrypoint", "user", "backend_options"] {
            if let Some(node) = get(step.node, key) {
                notes.add(
                    node.place,
                    format!("`{key}` of `{}` has no counterpart", step.name),
                    "a sandbox gets nothing of its host",
                );
            }
        }
        stage.condition = when.condition;
        stage.image = get_text(step.node, "image").map(|image| (dialect.template)(image));
        if stage.image.is_none() {
            stage.image = Some("debian:12".to_owned());
            notes.add(
                step.place,
                format!("`{}` names no image, and runs in debian:12", step.name),
                "name one that has what its commands need",
            );
        }
        let together = |last: &Stage| {
            !graph
                && last.image == stage.image
                && last.condition == stage.condition
                && last.secrets == stage.secrets
        };
        if let Some(last) = stages.last_mut().filter(|last| together(last)) {
            stage_of.insert(&step.name, last.name.clone());
            last.steps.push(own);
            continue;
        }
        before(step, graph, &stage_of, stages.last(), &mut stage, notes);
        stage_of.insert(&step.name, stage.name.clone());
        // A stage of its own ends with its step's failure.
        if own.when.is_some() && !stage.needs.is_empty() {
            let status = if own.when == Some("failure") { "failure()" } else { "always()" };
            stage.condition = Some(match &stage.condition {
                Some(condition) => format!("{status} && ({condition})"),
                None => status.to_owned(),
            });
            stage.needs.iter_mut().for_each(|(_, accepts)| *accepts = Accepts::Anything);
            own.when = None;
        }
        if own.continue_on_error && !graph {
            own.continue_on_error = false;
            stage.continue_on_error = true;
        }
        stage.steps.push(own);
        stages.push(stage);
    }
    hand_over(&mut stages, notes);
    for stage in &mut stages {
        stage.services.clone_from(&all_services);
        if let [only] = stage.steps.as_mut_slice()
            && only.name.as_deref().map(draft::name).as_deref() == Some(stage.name.as_str())
        {
            only.name = None;
        }
    }
    (stages, used)
}

/// What comes before a stage: as written, else the stage before it.
fn before(
    step: &Container<'_>,
    graph: bool,
    stage_of: &BTreeMap<&str, String>,
    last: Option<&Stage>,
    stage: &mut Stage,
    notes: &mut Notes,
) {
    if !graph {
        stage.needs.extend(last.map(|last| (last.name.clone(), Accepts::Success)));
        return;
    }
    for need in get(step.node, "depends_on").map(items).unwrap_or_default() {
        let Some(name) = get_text(need, "name").or_else(|| text(need)) else { continue };
        match stage_of.get(name) {
            Some(need) if !stage.needs.iter().any(|(known, _)| known == need) => {
                stage.needs.push((need.clone(), Accepts::Success));
            }
            Some(_) => {}
            None => {
                let optional = get(need, "optional").and_then(flag) == Some(true);
                if !optional {
                    notes.add(
                        need.place,
                        format!("`{}` needs `{name}`, which is not there before it", step.name),
                        "write the need by hand",
                    );
                }
            }
        }
    }
}

/// The whole workspace goes from stage to stage, as it did from step to step.
fn hand_over(stages: &mut [Stage], notes: &mut Notes) {
    let needed: BTreeSet<String> =
        stages.iter().flat_map(|stage| stage.needs.iter().map(|(need, _)| need.clone())).collect();
    let mut told = false;
    for stage in stages {
        if needed.contains(&stage.name) {
            stage.artifacts.push(map([
                ("name", Some(Yaml::text("workspace"))),
                ("paths", Some(Yaml::texts(["**"]))),
                ("when", Some(Yaml::text("always"))),
                ("retention", Some(Yaml::text("1d"))),
            ]));
        }
        stage.fetch = stage.needs.iter().map(|(need, _)| format!("{need}.workspace")).collect();
        if !stage.fetch.is_empty() && !told {
            told = true;
            notes.add(
                stage.place,
                "steps shared one workspace; stages hand it on as an artifact",
                "keep only the files that later stages need, or none",
            );
        }
    }
}
