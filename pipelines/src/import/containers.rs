//! What Woodpecker and Drone have in common: steps that are containers of their own and share one workspace.
//!
//! Steps in a row with one image become one stage. Where the image changes, the next stage takes the whole workspace
//! over as an artifact: that keeps what files the steps leave to each other, and is noted, since it can be done with less.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    draft::{Accepts, Names, Stage, Step, Yaml, map},
    reading::{Notes, fields, flag, get, get_text, get_texts, items, text, texts, variables},
};
use crate::{
    diagnostic::Place,
    native::is_variable,
    yaml::{Kind, Node},
};

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

/// When a step runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct When {
    pub condition: Option<String>,
    /// After failures too, or only after them.
    pub after: Option<&'static str>,
    pub never: bool,
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
        self::service(service, dialect, &mut all_services, notes);
    }
    for step in steps {
        if get(step.node, "detach").and_then(flag) == Some(true) {
            self::service(step, dialect, &mut all_services, notes);
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
            && only.name.as_deref().map(super::draft::name).as_deref() == Some(stage.name.as_str())
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

/// Environment values and secrets of a step.
fn environment(node: &Node, dialect: &Dialect<'_>, stage: &mut Stage, step: &mut Step, notes: &mut Notes) {
    for (name, place, value) in get(node, "environment").map(variables).unwrap_or_default() {
        if let Some(secret) = get(value, "from_secret").and_then(text) {
            stage.secrets.insert(name, super::draft::variable(secret));
        } else {
            let given = text(value).map(|whole| match &value.kind {
                // A list's item is `NAME=value`.
                Kind::Scalar(_) => whole.strip_prefix(&format!("{name}=")).unwrap_or(whole),
                _ => whole,
            });
            match given {
                Some(text) if is_variable(&name) => {
                    step.env.insert(name, (dialect.template)(text));
                }
                _ => notes.add(
                    place,
                    format!("the value `{name}` was not carried over"),
                    "its name or value is none that there can be here",
                ),
            }
        }
    }
    for secret in get(node, "secrets").map(items).unwrap_or_default() {
        let source = get_text(secret, "source").or_else(|| text(secret));
        if let Some(source) = source {
            let target = get_text(secret, "target").unwrap_or(source);
            stage.secrets.insert(super::draft::variable(target), super::draft::variable(source));
        }
    }
}

/// Which variables of the system a script reads.
fn read_variables(
    script: &str,
    dialect: &Dialect<'_>,
    step: &Container<'_>,
    used: &mut BTreeSet<String>,
    notes: &mut Notes,
) {
    let mut unknown = BTreeSet::new();
    for part in script.split('$').skip(1) {
        let name: String = part
            .trim_start_matches('{')
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        if !dialect.prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        if dialect.variables.iter().any(|(known, _)| *known == name) {
            used.insert(name);
        } else {
            unknown.insert(name);
        }
    }
    if !unknown.is_empty() {
        let list: Vec<String> = unknown.into_iter().collect();
        notes.add(step.place, format!("`{}` reads {}", step.name, list.join(", ")), "set them under `env`");
    }
}

fn service(
    container: &Container<'_>,
    dialect: &Dialect<'_>,
    list: &mut Vec<(String, Yaml)>,
    notes: &mut Notes,
) {
    let Some(image) = get_text(container.node, "image") else { return };
    let mut env = Vec::new();
    for (name, place, value) in get(container.node, "environment").map(variables).unwrap_or_default() {
        match text(value) {
            Some(whole) => {
                let value = whole.strip_prefix(&format!("{name}=")).unwrap_or(whole);
                env.push((name, Yaml::text((dialect.template)(value))));
            }
            None => notes.add(
                place,
                format!("the service's value `{name}` was not carried over"),
                "a service's values may not be secrets",
            ),
        }
    }
    let commands = get_texts(container.node, "commands");
    let command = (!commands.is_empty())
        .then(|| Yaml::texts(["sh".to_owned(), "-c".to_owned(), commands.join(" && ")]));
    let name = super::draft::name(&container.name);
    if !list.iter().any(|(known, _)| *known == name) {
        list.push((
            name,
            map([
                ("image", Some(Yaml::text((dialect.template)(image)))),
                ("env", Some(Yaml::Map(env))),
                ("command", command),
            ]),
        ));
    }
}

/// Conditions over branch, event and so on, from a mapping of `when` or `trigger`.
pub(super) fn filters(node: &Node, notes: &mut Notes) -> When {
    let mut parts = Vec::new();
    let mut when = When::default();
    for entry in fields(node) {
        let value = &entry.value;
        let (include, exclude) = match &value.kind {
            Kind::Map(_) => (get_texts(value, "include"), get_texts(value, "exclude")),
            _ => (texts(value), Vec::new()),
        };
        match entry.key.value.as_str() {
            "branch" => {
                let of_branch = |pattern: &str| pattern_of("git.branch", pattern);
                parts.extend(either(include.iter().map(|pattern| of_branch(pattern))));
                parts.extend(
                    either(exclude.iter().map(|pattern| of_branch(pattern))).map(|text| format!("!({text})")),
                );
            }
            "event" => {
                let word = |event: &&str| format!("event.kind == '{}'", kind(event));
                parts.extend(either(include.iter().map(word)));
                parts.extend(either(exclude.iter().map(word)).map(|text| format!("!({text})")));
            }
            "ref" => {
                let of_ref = |pattern: &str| pattern_of("git.reference", pattern);
                parts.extend(either(include.iter().map(|pattern| of_ref(pattern))));
                parts.extend(
                    either(exclude.iter().map(|pattern| of_ref(pattern))).map(|text| format!("!({text})")),
                );
            }
            "status" => {
                let (success, failure) = (include.contains(&"success"), include.contains(&"failure"));
                when.after = match (success, failure) {
                    (true, true) => Some("always"),
                    (false, true) => Some("failure"),
                    _ => None,
                };
            }
            other => notes.add(
                entry.key.place,
                format!("the condition `{other}` was not carried over"),
                "write it as an `if`, or under `on`",
            ),
        }
    }
    when.condition = (!parts.is_empty())
        .then(|| parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" && "));
    if let ([only], true) = (parts.as_slice(), when.condition.is_some()) {
        when.condition = Some(only.clone());
    }
    when
}

/// One of them must hold.
pub(super) fn either(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(" || "))
}

/// What an event is called here.
pub(super) fn kind(event: &str) -> &str {
    match event {
        "pull_request_closed" | "pull_request_metadata" => "pull_request",
        "cron" => "schedule",
        "custom" | "promote" | "rollback" | "deployment" => "manual",
        other => other,
    }
}

/// A pattern of names as a comparison, or as a regular expression where it has stars.
fn pattern_of(what: &str, pattern: &str) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    if !pattern.contains(['*', '?', '{', '[']) {
        return format!("{what} == {}", quote(pattern));
    }
    let mut regex = String::from("^");
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                regex.push_str(".*");
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '{' => regex.push_str("(?:"),
            '}' => regex.push(')'),
            ',' => regex.push('|'),
            c if c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '[' | ']') => regex.push(c),
            c => {
                regex.push('\\');
                regex.push(c);
            }
        }
    }
    regex.push('$');
    format!("matches({what}, {})", quote(&regex))
}

/// Triggers that a `when` or `trigger` of the whole file speaks of.
pub(super) fn triggers(node: Option<&Node>) -> Vec<(String, Yaml)> {
    let mut on: Vec<(String, Yaml)> = Vec::new();
    let mut add = |key: &str, value: Yaml| {
        if !on.iter().any(|(known, _)| known == key) {
            on.push((key.to_owned(), value));
        }
    };
    for condition in node.map(items).unwrap_or_default() {
        let list = |key: &str| -> Vec<String> {
            let Some(value) = get(condition, key) else { return Vec::new() };
            match &value.kind {
                Kind::Map(_) => {
                    let taken = get_texts(value, "exclude").into_iter().map(|pattern| format!("!{pattern}"));
                    get_texts(value, "include").into_iter().map(str::to_owned).chain(taken).collect()
                }
                _ => texts(value).into_iter().map(str::to_owned).collect(),
            }
        };
        let branches = list("branch");
        let paths = list("path");
        let filters = map([
            ("branches", (!branches.is_empty()).then(|| Yaml::texts(branches))),
            ("paths", (!paths.is_empty()).then(|| Yaml::texts(paths))),
        ]);
        let filters = if filters.is_empty() { Yaml::Nothing } else { filters };
        let mut events = list("event");
        if events.is_empty() {
            events = ["push", "pull_request"].map(str::to_owned).to_vec();
        }
        for event in events {
            match kind(&event) {
                "push" => add("push", filters.clone()),
                "pull_request" => add("pull_request", filters.clone()),
                "tag" => add("tag", Yaml::Nothing),
                "manual" => add("manual", Yaml::Nothing),
                _ => {}
            }
        }
    }
    if on.is_empty() {
        on.push(("push".to_owned(), Yaml::Nothing));
        on.push(("pull_request".to_owned(), Yaml::Nothing));
    }
    on
}
