//! Woodpecker files.

use super::{
    actions::{combination_list, scalar_list},
    containers::{Dialect, When, containers, filters, stages, triggers},
    draft::{Draft, Names, Stage, Yaml},
    reading::{Notes, fields, flag, get, items, text, tree},
};
use crate::{Diagnostic, SourceFile, native::is_variable, yaml::Node};

/// Variables of Woodpecker that have a counterpart.
const VARIABLES: &[(&str, &str)] = &[
    ("CI_COMMIT_SHA", "git.sha"),
    ("CI_COMMIT_BRANCH", "git.branch"),
    ("CI_COMMIT_TAG", "git.tag"),
    ("CI_COMMIT_REF", "git.reference"),
    ("CI_COMMIT_MESSAGE", "git.message"),
    ("CI_COMMIT_AUTHOR", "git.author"),
    ("CI_COMMIT_PULL_REQUEST", "event.pull_request.number"),
    ("CI_COMMIT_TARGET_BRANCH", "event.pull_request.base_branch"),
    ("CI_COMMIT_SOURCE_BRANCH", "event.pull_request.head_branch"),
    ("CI_PREV_COMMIT_SHA", "git.before"),
    ("CI_REPO", "event.repository"),
    ("CI_REPO_DEFAULT_BRANCH", "event.default_branch"),
    ("CI_PIPELINE_EVENT", "event.kind"),
];

pub(super) fn read(file: &SourceFile<'_>, notes: &mut Notes) -> Result<Draft, Vec<Diagnostic>> {
    let root = tree(file)?;
    let mut draft = Draft { on: triggers(get(&root, "when")), ..Draft::default() };
    let axes = matrix(&root, notes);
    let template = |text: &str| substituted(text, &axes);
    let dialect = Dialect { when: &when, template: &template, variables: VARIABLES, prefixes: &["CI_"] };
    let steps = containers(get(&root, "steps").or_else(|| get(&root, "pipeline")));
    let services = containers(get(&root, "services"));
    let (mut made, used) = stages(&steps, &services, &dialect, &mut Names::default(), notes);
    for (name, native) in VARIABLES.iter().filter(|(name, _)| used.contains(*name)) {
        draft.env.insert((*name).to_owned(), format!("${{{{ {native} }}}}"));
    }
    let no_clone = get(&root, "skip_clone").and_then(flag) == Some(true);
    for stage in &mut made {
        with_matrix(stage, &root, &axes);
        if no_clone {
            stage.checkout = Some(false);
        }
    }
    for (key, todo) in [
        ("depends_on", "import the other files too, and make one pipeline of them"),
        ("clone", "every stage has the run's commit checked out"),
        ("labels", "labels of runners stand under `runs_on`"),
        ("runs_on", "say it with `if: failure()` or `if: always()`"),
        ("workspace", "commands run in the checkout; `working_directory` is a folder in it"),
        ("variables", "YAML anchors work as they are"),
        ("concurrency", "see `concurrency` in docs/language/file.md"),
    ] {
        if let Some(node) = get(&root, key) {
            notes.add(node.place, format!("`{key}` was not carried over"), todo);
        }
    }
    draft.stages = made;
    Ok(draft)
}

/// The names of the matrix's values.
fn matrix(root: &Node, notes: &mut Notes) -> Vec<String> {
    let Some(matrix) = get(root, "matrix") else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    for entry in fields(matrix) {
        if entry.key.value == "include" {
            items(&entry.value).iter().flat_map(fields).for_each(|pair| add(&pair.key.value));
        } else if scalar_list(&entry.value).is_some() {
            add(&entry.key.value);
        } else {
            notes.add(
                entry.value.place,
                format!("`{}` of the matrix is no list of plain values", entry.key.value),
                "write its values out",
            );
        }
    }
    names
}

/// The matrix on a stage: its scripts read the values as variables.
fn with_matrix(stage: &mut Stage, root: &Node, axes: &[String]) {
    let Some(matrix) = get(root, "matrix").filter(|_| !axes.is_empty()) else { return };
    let entries = fields(matrix).into_iter().filter_map(|entry| {
        let value = if entry.key.value == "include" {
            combination_list(&entry.value)
        } else {
            scalar_list(&entry.value)
        };
        Some((entry.key.value.clone(), value?))
    });
    stage.matrix = Some(Yaml::Map(entries.collect()));
    for axis in axes.iter().filter(|axis| is_variable(axis)) {
        stage.env.insert(axis.clone(), format!("${{{{ matrix.{axis} }}}}"));
    }
}

/// `${NAME}` is filled in before anything runs: of the matrix, and of what Woodpecker knows.
fn substituted(text: &str, axes: &[String]) -> String {
    let mut out = text.to_owned();
    for axis in axes {
        out = out.replace(&format!("${{{axis}}}"), &format!("${{{{ matrix.{axis} }}}}"));
    }
    for (name, native) in VARIABLES {
        out = out.replace(&format!("${{{name}}}"), &format!("${{{{ {native} }}}}"));
    }
    out
}

/// Conditions of a step: a mapping, or a list of which one must hold.
fn when(step: &Node, notes: &mut Notes) -> When {
    let Some(node) = get(step, "when") else { return When::default() };
    let all: Vec<When> = items(node).iter().map(|one| filters(one, notes)).collect();
    let mut together = When::default();
    let conditions: Option<Vec<String>> = all.iter().map(|one| one.condition.clone()).collect();
    together.condition = conditions.filter(|list| !list.is_empty()).map(|list| match list.as_slice() {
        [one] => one.clone(),
        many => many.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" || "),
    });
    together.after = all.iter().find_map(|one| one.after);
    if let Some(node) = get(node, "evaluate") {
        notes.add(
            node.place,
            format!("the condition `{}` was not carried over", text(node).unwrap_or_default()),
            "write it as an `if`",
        );
    }
    together
}
