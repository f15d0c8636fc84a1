//! Drone files: one or several pipelines, each a document of its own; their stages become those of one pipeline.

use std::collections::BTreeMap;

use super::{
    containers::{Dialect, When, containers, filters, stages, triggers},
    draft::{Accepts, Draft, Names},
    reading::{Notes, flag, get, get_text, get_texts, tree},
};
use crate::{Diagnostic, SourceFile, codes, yaml::Node};

/// Variables of Drone that have a counterpart.
const VARIABLES: &[(&str, &str)] = &[
    ("DRONE_COMMIT", "git.sha"),
    ("DRONE_COMMIT_SHA", "git.sha"),
    ("DRONE_COMMIT_BRANCH", "git.branch"),
    ("DRONE_BRANCH", "git.branch"),
    ("DRONE_TAG", "git.tag"),
    ("DRONE_COMMIT_REF", "git.reference"),
    ("DRONE_COMMIT_MESSAGE", "git.message"),
    ("DRONE_COMMIT_AUTHOR", "git.author"),
    ("DRONE_COMMIT_BEFORE", "git.before"),
    ("DRONE_PULL_REQUEST", "event.pull_request.number"),
    ("DRONE_TARGET_BRANCH", "event.pull_request.base_branch"),
    ("DRONE_SOURCE_BRANCH", "event.pull_request.head_branch"),
    ("DRONE_REPO", "event.repository"),
    ("DRONE_REPO_BRANCH", "event.default_branch"),
    ("DRONE_BUILD_EVENT", "event.kind"),
];

pub(super) fn read(file: &SourceFile<'_>, notes: &mut Notes) -> Result<Draft, Vec<Diagnostic>> {
    let mut draft = Draft::default();
    let mut names = Names::default();
    // From a pipeline's name to its last stages.
    let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let documents = documents(file.text);
    let many = documents.len() > 1;
    for (base, text) in documents {
        notes.base = base;
        let root = match tree(&SourceFile { path: file.path, text }) {
            Ok(root) => root,
            Err(found) if found.iter().all(|one| one.code == codes::EMPTY.id) => continue,
            Err(found) => return Err(found),
        };
        match get_text(&root, "kind") {
            Some("pipeline") | None => {}
            Some(kind) => {
                if kind != "signature" {
                    notes.add(
                        root.place,
                        format!("a document of kind `{kind}` was left out"),
                        "put secrets on the server",
                    );
                }
                continue;
            }
        }
        pipeline(&root, many, &mut draft, &mut names, &mut ends, notes);
    }
    notes.base = 0;
    if draft.on.is_empty() {
        draft.on = triggers(None);
    }
    Ok(draft)
}

/// The documents of a file and where each begins.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut all = Vec::new();
    let mut begin = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            all.push((begin, at));
            begin = at + line.len();
        }
        at += line.len();
    }
    all.push((begin, text.len()));
    all.into_iter()
        .filter_map(|(from, to)| Some((from, text.get(from..to)?)))
        .filter(|(_, part)| !part.trim().is_empty())
        .collect()
}

fn pipeline(
    root: &Node,
    many: bool,
    draft: &mut Draft,
    names: &mut Names,
    ends: &mut BTreeMap<String, Vec<String>>,
    notes: &mut Notes,
) {
    if let Some(kind) = get_text(root, "type").filter(|kind| !matches!(*kind, "docker" | "kubernetes")) {
        let place = get(root, "type").map_or(root.place, |node| node.place);
        notes.add(
            place,
            format!("the pipeline is of type `{kind}`"),
            "stages run in containers: give them an image",
        );
    }
    for trigger in triggers(get(root, "trigger")) {
        if !draft.on.iter().any(|(known, _)| *known == trigger.0) {
            draft.on.push(trigger);
        }
    }
    let name = get_text(root, "name").unwrap_or("default");
    let dialect =
        Dialect { when: &when, template: &substituted, variables: VARIABLES, prefixes: &["DRONE_", "CI_"] };
    let mut steps = containers(get(root, "steps"));
    if many {
        steps.iter_mut().for_each(|step| step.name = format!("{name}-{}", step.name));
    }
    let services = containers(get(root, "services"));
    let (mut made, used) = stages(&steps, &services, &dialect, names, notes);
    for (variable, native) in VARIABLES.iter().filter(|(variable, _)| used.contains(*variable)) {
        draft.env.insert((*variable).to_owned(), format!("${{{{ {native} }}}}"));
    }
    let no_clone = get(root, "clone").and_then(|clone| get(clone, "disable")).and_then(flag) == Some(true);
    let before: Vec<String> = get_texts(root, "depends_on")
        .into_iter()
        .filter_map(|one| ends.get(one).cloned())
        .flatten()
        .collect();
    for stage in &mut made {
        if no_clone {
            stage.checkout = Some(false);
        }
        if stage.needs.is_empty() {
            stage.needs = before.iter().map(|need| (need.clone(), Accepts::Success)).collect();
        }
    }
    let needed: Vec<String> =
        made.iter().flat_map(|stage| stage.needs.iter().map(|(need, _)| need.clone())).collect();
    let last = made.iter().map(|stage| stage.name.clone()).filter(|name| !needed.contains(name));
    ends.insert(name.to_owned(), last.collect());
    for (key, todo) in [
        ("volumes", "a sandbox gets nothing of its host; files are kept by `cache` and `artifacts`"),
        ("node", "labels of runners stand under `runs_on`"),
        ("platform", "labels of runners stand under `runs_on`"),
        ("concurrency", "see `concurrency` in docs/language/file.md"),
        ("image_pull_secrets", "give the runner the registry's log-in"),
    ] {
        if let Some(node) = get(root, key) {
            notes.add(node.place, format!("`{key}` was not carried over"), todo);
        }
    }
    draft.stages.extend(made);
}

/// `${NAME}` is filled in before anything runs.
fn substituted(text: &str) -> String {
    let mut out = text.to_owned();
    for (name, native) in VARIABLES {
        out = out.replace(&format!("${{{name}}}"), &format!("${{{{ {native} }}}}"));
    }
    out
}

fn when(step: &Node, notes: &mut Notes) -> When {
    get(step, "when").map(|node| filters(node, notes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn documents_keep_their_places() {
        let text = "---\na: 1\n---\nb: 2\n";
        assert_eq!(super::documents(text), [(4, "a: 1\n"), (13, "b: 2\n")]);
    }
}
