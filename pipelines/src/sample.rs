//! An event as a forge would tell it, made of what is known on a developer's machine: the commit of the working tree,
//! the name of the event, and as much of a payload as there is.
//!
//! What a payload says wins over the working tree; what neither says has a value that is likely (`opened` for a pull
//! request). The payload itself is completed with the same facts, because workflows read it as `github.event`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    SourceFile,
    event::{Event, EventKind, PullRequestFacts},
    import::reading::{self, get, texts},
};

/// What is known beside the working tree.
#[derive(Debug, Clone, Default)]
pub struct Known<'a> {
    /// The event's name at the forge (`push`, `pull_request`, `workflow_dispatch`, …) or here (`tag`, `manual`).
    pub name: &'a str,
    /// The ref, in full or as the name of a branch.
    pub reference: Option<&'a str>,
    /// What happened (`opened`, `published`, …).
    pub activity: Option<&'a str>,
    /// The activities that the file asks for ([`activities`]): one of them is likelier than another.
    pub asked_for: Vec<String>,
    /// What the forge said.
    pub payload: Option<Value>,
    /// Inputs that a person gave.
    pub inputs: BTreeMap<String, Value>,
    /// The schedule that came due.
    pub schedule: Option<String>,
}

/// The event. `tree` is a push of the working tree's commit. An error says what does not fit, in one sentence.
pub fn sample(tree: Event, known: Known<'_>) -> Result<Event, String> {
    if known.name.is_empty() || !known.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return Err(format!(
            "`{}` is no name of an event: they are like `push` and `pull_request`",
            known.name
        ));
    }
    let mut payload = match known.payload {
        None => Map::new(),
        Some(Value::Object(map)) => map,
        Some(_) => return Err("the payload is no JSON object".to_owned()),
    };
    let mut event = tree;
    event.inputs = known.inputs;
    event.name = Some(forge_name(known.name).to_owned());
    if let Some(text) = text_at(&payload, "/repository/full_name") {
        event.repository = text;
    }
    if let Some(text) = text_at(&payload, "/repository/default_branch") {
        event.default_branch = text;
    }
    if let Some(text) = text_at(&payload, "/sender/login") {
        event.actor = text;
    }
    set_reference(&mut event, known.name, known.reference, &payload);
    if let Some(sha) = text_at(&payload, "/after").or_else(|| text_at(&payload, "/pull_request/head/sha")) {
        event.git.sha = sha;
    }
    if let Some(sha) = text_at(&payload, "/before") {
        event.git.before = Some(sha);
    }
    if let Some(text) = text_at(&payload, "/head_commit/message") {
        event.git.message = text;
    }
    event.kind = kind(known.name, &event);
    event.activity =
        known.activity.map(str::to_owned).or_else(|| text_at(&payload, "/action")).or_else(|| {
            let usual = usual(known.name);
            match known.asked_for.first() {
                Some(first) if usual.as_ref().is_none_or(|usual| !known.asked_for.contains(usual)) => {
                    Some(first.clone())
                }
                _ => usual,
            }
        });
    event.changed_paths = changed(&payload);
    if let Some(Value::Object(given)) = payload.get("inputs") {
        for (name, value) in given {
            event.inputs.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    if is_pull_request(known.name) {
        let facts = pull_request(&event, &payload);
        // What runs for the branch that it is for is that branch's own.
        event.trusted = !facts.from_fork || known.name == "pull_request_target";
        event.pull_request = Some(facts);
    }
    complete(&mut payload, &event, known.schedule);
    event.payload = Some(Value::Object(payload));
    Ok(event)
}

/// The activities that a file asks for: `types` of an event under `on`.
pub fn activities(file: &SourceFile<'_>, name: &str) -> Vec<String> {
    let Ok(root) = reading::tree(file) else { return Vec::new() };
    let event = get(&root, "on").and_then(|on| get(on, forge_name(name)).or_else(|| get(on, name)));
    let types = event.and_then(|event| get(event, "types")).map(texts).unwrap_or_default();
    types.into_iter().map(str::to_owned).collect()
}

/// What GitHub calls it.
fn forge_name(name: &str) -> &str {
    match name {
        "tag" => "push",
        "manual" => "workflow_dispatch",
        "dispatch" => "repository_dispatch",
        "upstream" => "workflow_run",
        other => other,
    }
}

fn kind(name: &str, event: &Event) -> EventKind {
    match forge_name(name) {
        "push" if event.git.tag.is_some() => EventKind::Tag,
        "push" => EventKind::Push,
        "pull_request" => EventKind::PullRequest,
        "schedule" => EventKind::Schedule,
        "workflow_dispatch" => EventKind::Manual,
        "release" => EventKind::Release,
        "repository_dispatch" => EventKind::Dispatch,
        "workflow_run" => EventKind::Upstream,
        "rollback" => EventKind::Rollback,
        _ => EventKind::Forge,
    }
}

fn is_pull_request(name: &str) -> bool {
    name.starts_with("pull_request")
}

/// What most often happens to the thing that the event is about.
fn usual(name: &str) -> Option<String> {
    let word = match name {
        "pull_request" | "pull_request_target" | "issues" | "milestone" => "opened",
        "pull_request_review" => "submitted",
        "issue_comment"
        | "pull_request_review_comment"
        | "discussion"
        | "discussion_comment"
        | "label"
        | "branch_protection_rule" => "created",
        "release" | "registry_package" => "published",
        "workflow_run" | "upstream" | "check_run" | "check_suite" => "completed",
        "merge_group" => "checks_requested",
        "watch" => "started",
        _ => return None,
    };
    Some(word.to_owned())
}

/// Ref, branch and tag; of a pull request the merge ref.
fn set_reference(event: &mut Event, name: &str, given: Option<&str>, payload: &Map<String, Value>) {
    let told = given
        .map(str::to_owned)
        .or_else(|| text_at(payload, "/ref").filter(|_| !is_pull_request(name) && name != "delete"))
        .or_else(|| text_at(payload, "/merge_group/head_ref"))
        .or_else(|| {
            let tag = text_at(payload, "/release/tag_name")?;
            Some(format!("refs/tags/{tag}"))
        })
        .or_else(|| (name == "tag" || name == "release").then(|| "refs/tags/v1.0.0".to_owned()));
    if let Some(text) = told {
        let prefix = if name == "tag" { "refs/tags/" } else { "refs/heads/" };
        event.git.reference = if text.starts_with("refs/") { text } else { format!("{prefix}{text}") };
        event.git.branch = event.git.reference.strip_prefix("refs/heads/").map(str::to_owned);
        event.git.tag = event.git.reference.strip_prefix("refs/tags/").map(str::to_owned);
    }
}

/// The paths that the commits of a push touch, when the payload has them.
fn changed(payload: &Map<String, Value>) -> Option<Vec<String>> {
    let commits = payload.get("commits")?.as_array().filter(|commits| !commits.is_empty())?;
    let mut paths: Vec<String> = commits
        .iter()
        .flat_map(|commit| ["added", "removed", "modified"].map(|key| &commit[key]))
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|path| path.as_str().map(str::to_owned))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    Some(paths)
}

fn pull_request(event: &Event, payload: &Map<String, Value>) -> PullRequestFacts {
    let number =
        [payload.get("number"), payload.get("pull_request").and_then(|request| request.get("number"))]
            .into_iter()
            .flatten()
            .find_map(Value::as_u64);
    let head = || event.git.branch.clone().unwrap_or_else(|| "feature".to_owned());
    let repository = |side: &str| {
        let request = payload.get("pull_request")?;
        request.pointer(&format!("/{side}/repo/id")).and_then(Value::as_u64)
    };
    PullRequestFacts {
        number: number.unwrap_or(1),
        action: event.activity.clone().unwrap_or_else(|| "opened".to_owned()),
        title: text_at(payload, "/pull_request/title")
            .unwrap_or_else(|| event.git.message.lines().next().unwrap_or_default().to_owned()),
        base_branch: text_at(payload, "/pull_request/base/ref")
            .unwrap_or_else(|| event.default_branch.clone()),
        head_branch: text_at(payload, "/pull_request/head/ref").unwrap_or_else(head),
        from_fork: match (repository("head"), repository("base")) {
            (Some(head), Some(base)) => head != base,
            _ => false,
        },
    }
}

/// Puts in what every payload has.
fn complete(payload: &mut Map<String, Value>, event: &Event, schedule: Option<String>) {
    let mut set = |key: &str, value: Value| {
        payload.entry(key).or_insert(value);
    };
    let (owner, name) = event.repository.split_once('/').unwrap_or(("local", &event.repository));
    set(
        "repository",
        json!({
            "name": name,
            "full_name": event.repository,
            "owner": { "login": owner, "name": owner },
            "default_branch": event.default_branch,
        }),
    );
    set("sender", json!({ "login": event.actor }));
    if let Some(activity) = &event.activity {
        set("action", activity.as_str().into());
    }
    match event.kind {
        EventKind::Push | EventKind::Tag => {
            set("ref", event.git.reference.as_str().into());
            set("before", event.git.before.clone().unwrap_or_else(|| "0".repeat(40)).into());
            set("after", event.git.sha.as_str().into());
            set("head_commit", json!({ "id": event.git.sha, "message": event.git.message }));
        }
        EventKind::Manual => {
            set("ref", event.git.reference.as_str().into());
            set("inputs", event.inputs.clone().into_iter().collect::<Map<_, _>>().into());
        }
        EventKind::Schedule => set("schedule", schedule.into()),
        EventKind::Release => set("release", json!({ "tag_name": event.git.tag })),
        _ => {}
    }
    if let Some(facts) = &event.pull_request {
        set("number", facts.number.into());
        set(
            "pull_request",
            json!({
                "number": facts.number,
                "title": facts.title,
                "base": { "ref": facts.base_branch },
                "head": { "ref": facts.head_branch, "sha": event.git.sha },
            }),
        );
    }
}

fn text_at(payload: &Map<String, Value>, pointer: &str) -> Option<String> {
    let mut parts = pointer.split('/').skip(1);
    let mut value = payload.get(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::GitFacts;

    fn tree() -> Event {
        let git =
            GitFacts { message: "Do it\n\nwell".to_owned(), ..GitFacts::of_branch("work", &"a".repeat(40)) };
        Event::new(EventKind::Push, "team/app", "main", git, "ann")
    }

    fn made(name: &str, reference: Option<&str>, payload: Option<Value>) -> Event {
        sample(tree(), Known { name, reference, payload, ..Known::default() }).unwrap()
    }

    #[test]
    fn names_of_both_worlds_are_known() {
        for (name, kind, forge) in [
            ("push", EventKind::Push, "push"),
            ("tag", EventKind::Tag, "push"),
            ("manual", EventKind::Manual, "workflow_dispatch"),
            ("workflow_dispatch", EventKind::Manual, "workflow_dispatch"),
            ("schedule", EventKind::Schedule, "schedule"),
            ("release", EventKind::Release, "release"),
            ("repository_dispatch", EventKind::Dispatch, "repository_dispatch"),
            ("workflow_run", EventKind::Upstream, "workflow_run"),
            ("issue_comment", EventKind::Forge, "issue_comment"),
            ("pull_request_target", EventKind::Forge, "pull_request_target"),
        ] {
            let event = made(name, None, None);
            assert_eq!((event.kind, event.name.as_deref()), (kind, Some(forge)), "{name}");
        }
        assert!(sample(tree(), Known { name: "Push!", ..Known::default() }).is_err());
    }

    #[test]
    fn the_ref_decides_between_branch_and_tag() {
        let event = made("push", Some("refs/tags/v2"), None);
        assert_eq!(
            (event.kind, event.git.tag.as_deref(), event.git.branch),
            (EventKind::Tag, Some("v2"), None)
        );
        assert_eq!(made("push", Some("main"), None).git.reference, "refs/heads/main");
        assert_eq!(made("tag", Some("v3"), None).git.reference, "refs/tags/v3");
    }

    #[test]
    fn a_payload_wins_over_the_tree() {
        let payload = json!({
            "ref": "refs/heads/other", "after": "b".repeat(40), "sender": {"login": "bob"},
            "repository": {"full_name": "x/y", "default_branch": "trunk"},
            "commits": [{"added": ["b"], "modified": ["a"], "removed": []}, {"added": ["a"]}],
        });
        let event = made("push", None, Some(payload));
        assert_eq!((event.repository.as_str(), event.default_branch.as_str()), ("x/y", "trunk"));
        assert_eq!((event.git.branch.as_deref(), event.actor.as_str()), (Some("other"), "bob"));
        assert_eq!(event.changed_paths, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(event.git.sha, "b".repeat(40));
    }

    #[test]
    fn pull_requests_have_sides() {
        let event = made("pull_request", None, None);
        let facts = event.pull_request.clone().unwrap();
        assert_eq!((facts.base_branch.as_str(), facts.head_branch.as_str()), ("main", "work"));
        assert_eq!((facts.action.as_str(), facts.title.as_str()), ("opened", "Do it"));
        assert_eq!(event.payload.unwrap()["pull_request"]["base"]["ref"], "main");
        let fork = json!({"action": "labeled", "number": 7, "pull_request": {"title": "T",
            "head": {"ref": "x", "repo": {"id": 1}}, "base": {"ref": "dev", "repo": {"id": 2}}}});
        let event = made("pull_request", None, Some(fork));
        assert!(!event.trusted);
        assert_eq!(event.activity.as_deref(), Some("labeled"));
        assert_eq!(event.pull_request.unwrap().number, 7);
    }

    #[test]
    fn what_happened_is_what_the_file_asks_for() {
        let text = "on:\n  release: {types: [created, edited]}\n  pull_request: {types: [opened, closed]}\n";
        let file = SourceFile { path: "w.yml", text };
        let happened = |name: &str| {
            let known = Known { name, asked_for: activities(&file, name), ..Known::default() };
            sample(tree(), known).unwrap().activity
        };
        assert_eq!(happened("release").as_deref(), Some("created"));
        assert_eq!(happened("pull_request").as_deref(), Some("opened"));
        assert_eq!(happened("issue_comment").as_deref(), Some("created"));
        assert_eq!(happened("push"), None);
    }

    #[test]
    fn hostile_payloads_are_refused_or_ignored() {
        assert!(
            sample(tree(), Known { name: "push", payload: Some(json!([])), ..Known::default() }).is_err()
        );
        let odd = json!({"ref": 7, "repository": null, "commits": "x", "inputs": [], "pull_request": "x"});
        assert_eq!(made("pull_request", None, Some(odd)).git.reference, "refs/heads/work");
    }
}
