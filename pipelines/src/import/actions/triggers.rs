//! What starts a workflow.

use crate::{
    diagnostic::Place,
    import::{
        draft::{Draft, Yaml, map},
        reading::{Notes, fields, flag, get, get_text, get_texts, items, text},
    },
    yaml::{Kind, Node},
};

/// `on`; without it the pipeline starts on pushes.
pub(super) fn read(root: &Node, draft: &mut Draft, notes: &mut Notes) {
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
                "docs/language/triggers.md says what starts a pipeline",
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
