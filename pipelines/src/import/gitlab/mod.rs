//! GitLab CI files: jobs become stages, `extends` and `default` are worked in, the order of `stages` becomes `needs`.

mod files;
mod job;
mod needs;
mod rules;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    draft::{Draft, Names, Stage, Yaml},
    reading::{Notes, fields, get, get_text, get_texts, text, texts, tree, variables},
};
use crate::{
    Diagnostic, SourceFile,
    native::is_variable,
    yaml::{Entry, Kind, Node},
};

/// Keys of the file that are no jobs.
const GLOBAL: &[&str] = &[
    "default",
    "include",
    "stages",
    "variables",
    "workflow",
    "image",
    "services",
    "cache",
    "before_script",
    "after_script",
    "pages",
    "spec",
    "types",
];
const DEFAULT_STAGES: &[&str] = &["build", "test", "deploy"];
/// `extends` goes no deeper.
const MOST_PARENTS: usize = 12;

/// A job with what it extends: values of a key are looked up from the first to the last.
struct Job<'n> {
    entry: &'n Entry,
    layers: Vec<&'n Node>,
}

impl<'n> Job<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        self.layers.iter().find_map(|layer| get(layer, key))
    }

    fn text(&self, key: &str) -> Option<&'n str> {
        self.get(key).and_then(text)
    }
}

pub(super) fn read(file: &SourceFile<'_>, notes: &mut Notes) -> Result<Draft, Vec<Diagnostic>> {
    let root = tree(file)?;
    let all = fields(&root);
    let mut draft = Draft::default();
    if let Some(include) = get(&root, "include") {
        notes.add(include.place, "included files were not read", "import them too, and copy their stages");
    }
    let default = get(&root, "default");
    let jobs: Vec<Job<'_>> = all
        .iter()
        .filter(|one| !GLOBAL.contains(&one.key.value.as_str()) || one.key.value == "pages")
        .filter(|one| !one.key.value.starts_with('.') && matches!(one.value.kind, Kind::Map(_)))
        .map(|entry| Job { entry, layers: layers(entry, &root, default) })
        .collect();
    let mut names = Names::default();
    let own: BTreeMap<&str, String> =
        jobs.iter().map(|job| (job.entry.key.value.as_str(), names.of(&job.entry.key.value))).collect();
    for (name, place, value) in get(&root, "variables").map(variables).unwrap_or_default() {
        match get_text(value, "value").or_else(|| text(value)) {
            Some(text) if is_variable(&name) => {
                draft.env.insert(name, text.to_owned());
            }
            _ => notes.add(
                place,
                format!("the variable `{name}` was not carried over"),
                "its name or value is none that there can be here",
            ),
        }
    }
    if let Some(workflow) = get(&root, "workflow") {
        notes.add(
            workflow.place,
            "`workflow` was not carried over",
            "say under `on` what starts the pipeline",
        );
    }
    let order = order(&root);
    let mut used = BTreeSet::new();
    for job in &jobs {
        let Some(name) = own.get(job.entry.key.value.as_str()) else { continue };
        let Some(stage) = job::stage(name, job, &root, notes, &mut used) else { continue };
        let mut stage = Stage { place: job.entry.key.place, ..stage };
        needs::add(job, &jobs, &order, &own, &mut stage, notes);
        draft.stages.push(stage);
    }
    let kept: BTreeSet<String> = draft.stages.iter().map(|stage| stage.name.clone()).collect();
    for stage in &mut draft.stages {
        stage.needs.retain(|(need, _)| kept.contains(need));
    }
    for (name, native) in variables::KNOWN {
        if used.contains(*name) {
            draft.env.entry((*name).to_owned()).or_insert_with(|| format!("${{{{ {native} }}}}"));
        }
    }
    draft.on = triggers(file.text);
    Ok(draft)
}

/// What a job's values are looked up in: itself, what it extends (the last one first), the defaults.
fn layers<'n>(entry: &'n Entry, root: &'n Node, default: Option<&'n Node>) -> Vec<&'n Node> {
    let mut layers: Vec<&Node> = Vec::new();
    let mut open = vec![&entry.value];
    while let Some(node) = open.pop() {
        if layers.len() >= MOST_PARENTS || layers.iter().any(|one| std::ptr::eq(*one, node)) {
            continue;
        }
        layers.push(node);
        open.extend(get_texts(node, "extends").into_iter().filter_map(|name| get(root, name)));
    }
    layers.extend(default);
    layers
}

/// The stages in their order, with those that always are.
fn order(root: &Node) -> Vec<String> {
    let named = get(root, "stages").map(texts).unwrap_or_else(|| DEFAULT_STAGES.to_vec());
    let all = std::iter::once(".pre").chain(named).chain(std::iter::once(".post"));
    all.map(str::to_owned).collect()
}

/// GitLab's pipelines start on pushes, and on what the rules speak of.
fn triggers(text: &str) -> Vec<(String, Yaml)> {
    let mut on = vec![("push".to_owned(), Yaml::Nothing)];
    if text.contains("CI_COMMIT_TAG") || text.contains("tags") {
        on.push(("tag".to_owned(), Yaml::Nothing));
    }
    if text.contains("merge_request") {
        on.push(("pull_request".to_owned(), Yaml::Nothing));
    }
    on.push(("manual".to_owned(), Yaml::Nothing));
    on
}
