//! Environment values and secrets of steps, the system's variables that their scripts read, and services.

use std::collections::BTreeSet;

use super::{Container, Dialect};
use crate::{
    import::{
        draft::{self, Stage, Step, Yaml, map},
        reading::{self, Notes, get, get_text, get_texts, items, text, variables},
    },
    native::is_variable,
    yaml::{Kind, Node},
};

/// Environment values and secrets of a step.
pub(super) fn environment(
    node: &Node,
    dialect: &Dialect<'_>,
    stage: &mut Stage,
    step: &mut Step,
    notes: &mut Notes,
) {
    for (name, place, value) in get(node, "environment").map(variables).unwrap_or_default() {
        if let Some(secret) = get(value, "from_secret").and_then(text) {
            stage.secrets.insert(name, draft::variable(secret));
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
            stage.secrets.insert(draft::variable(target), draft::variable(source));
        }
    }
}

/// Which variables of the system a script reads.
pub(super) fn read_variables(
    script: &str,
    dialect: &Dialect<'_>,
    step: &Container<'_>,
    used: &mut BTreeSet<String>,
    notes: &mut Notes,
) {
    let mut unknown = BTreeSet::new();
    for name in reading::shell_variables(script) {
        if !dialect.prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        if dialect.variables.iter().any(|(known, _)| *known == name) {
            used.insert(name.to_owned());
        } else {
            unknown.insert(name);
        }
    }
    if !unknown.is_empty() {
        let list: Vec<&str> = unknown.into_iter().collect();
        notes.add(step.place, format!("`{}` reads {}", step.name, list.join(", ")), "set them under `env`");
    }
}

/// A container beside the stages, once by its name.
pub(super) fn service(
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
    let name = draft::name(&container.name);
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
