//! Whether an event starts a workflow, and if not, why not; and what starts it, for schedules and forms.

use serde_json::Value;

use super::{
    filter::FilterList,
    schema::{EVENTS, EventDef, Filters},
};
use crate::{
    InputKind, InputSpec, Schedule, Triggers,
    event::{Event, EventKind},
    nearest::listed,
    refusal::{LeftOut, Refusal},
    yaml::{Entry, Node},
};

/// The names under which workflows may ask for an event, the likeliest first. A pull request is told once for each
/// of its two names, because one runs the repository's own code with secrets and the other does not.
fn names(event: &Event) -> Vec<&str> {
    let given = event.name.as_deref();
    match event.kind {
        EventKind::Push | EventKind::Tag => vec![given.unwrap_or("push")],
        EventKind::PullRequest => vec![given.unwrap_or("pull_request")],
        EventKind::Schedule => vec!["schedule"],
        EventKind::Manual => vec!["workflow_dispatch"],
        EventKind::Release => vec!["release"],
        EventKind::Dispatch => vec!["repository_dispatch"],
        EventKind::Upstream => vec!["workflow_run"],
        EventKind::Forge => {
            let on_pull_request = given == Some("issue_comment")
                && payload(event, &["issue", "pull_request"]).is_some_and(|value| !value.is_null());
            let comment = on_pull_request.then_some("pull_request_comment");
            given.into_iter().chain(comment).collect()
        }
        EventKind::Rollback => Vec::new(),
    }
}

/// The event's name as workflows know it, or why it starts nothing.
pub(super) fn starts(on: &Node, event: &Event) -> Result<String, Refusal> {
    let names = names(event);
    let Some(first) = names.first() else { return Err("going back runs no workflow".to_owned().into()) };
    let found = names.iter().find_map(|name| trigger(on, name).map(|filters| (*name, filters)));
    let Some((name, filters)) = found else {
        let asked: Vec<String> = trigger_names(on);
        return Err(format!(
            "an event `{first}` does not start this workflow, only {}",
            listed(asked.iter().map(String::as_str))
        )
        .into());
    };
    if name == "deployment_status"
        && payload(event, &["deployment_status", "state"]).and_then(Value::as_str) == Some("inactive")
    {
        return Err("a deployment that became inactive starts no workflow".to_owned().into());
    }
    let known = EVENTS.iter().find(|known| known.name == name);
    if let Some(known) = known {
        activity(known, filters, event)?;
    }
    let has = known.map_or(Filters::NONE, |known| known.filters);
    let filter = filters.map(|node| Filter { event_name: name, node, event });
    if let Some(filter) = &filter {
        filter.passes(has)?;
    }
    // Whoever left it out on purpose is named only once nothing else is in the way.
    if matches!(name, "push" | "pull_request") && asks_to_skip(&event.git.message) {
        let reason = "the commit's message asks to skip workflows".to_owned();
        return Err(Refusal::left_out(LeftOut::Message, reason));
    }
    if let Some(filter) = &filter
        && has.has(Filters::PATHS)
    {
        filter.paths().map_err(|reason| Refusal::left_out(LeftOut::Paths, reason))?;
    }
    Ok(name.to_owned())
}

/// What a file's `on` says of an event: nothing, or its filters.
fn trigger<'n>(on: &'n Node, name: &str) -> Option<Option<&'n Node>> {
    match on.entries() {
        [] => on.texts().iter().any(|text| text.value == name).then_some(None),
        entries => {
            let entry = entries.iter().find(|entry| entry.key.value == name)?;
            Some(Some(&entry.value).filter(|value| !value.is_nothing()))
        }
    }
}

/// The events that a file names.
pub(super) fn trigger_names(on: &Node) -> Vec<String> {
    match on.entries() {
        [] => on.texts().into_iter().map(|text| text.value).collect(),
        entries => entries.iter().map(|entry| entry.key.value.clone()).collect(),
    }
}

fn payload<'e>(event: &'e Event, path: &[&str]) -> Option<&'e Value> {
    path.iter().try_fold(event.payload.as_ref()?, |value, key| value.get(key))
}

fn activity(known: &EventDef, filters: Option<&Node>, event: &Event) -> Result<(), String> {
    let free = known.filters.has(Filters::FREE_TYPES);
    if known.types.is_empty() && !free {
        return Ok(());
    }
    let of_pull_request = event.pull_request.as_ref().map(|facts| facts.action.as_str());
    let told = payload(event, &["action"]).and_then(Value::as_str);
    let Some(activity) = event.activity.as_deref().or(of_pull_request).or(told) else { return Ok(()) };
    let asked = filters.and_then(|filters| filters.get("types")).map(Node::texts).unwrap_or_default();
    let asked: Vec<&str> = asked.iter().map(|text| text.value.as_str()).collect();
    let (wanted, by_default) = match (asked.as_slice(), known.by_default) {
        ([], []) if free => return Ok(()),
        ([], []) => (known.types, true),
        ([], by_default) => (by_default, true),
        (asked, _) => (asked, false),
    };
    if wanted.contains(&activity) {
        return Ok(());
    }
    let whose = if by_default { "by default" } else { "in this workflow" };
    Err(format!("`{activity}` is not among the activities of `{}` that count {whose}", known.name))
}

struct Filter<'f> {
    event_name: &'f str,
    node: &'f Node,
    event: &'f Event,
}

impl Filter<'_> {
    /// All filters but that of paths.
    fn passes(&self, has: Filters) -> Result<(), String> {
        if has.has(Filters::WORKFLOWS) {
            self.workflows()?;
        }
        if has.has(Filters::IMAGES) {
            self.names("names", &["image_version", "image_name"])?;
            self.names("versions", &["image_version", "version"])?;
        }
        if has.has(Filters::TAGS) {
            self.push()?;
        } else if has.has(Filters::BRANCHES) {
            let branch = self.branch();
            self.list("branches", branch.as_deref())?;
        }
        Ok(())
    }

    fn patterns(&self, key: &str) -> Option<FilterList> {
        let node = self.node.get(key)?;
        let texts = node.texts();
        Some(FilterList::new(texts.iter().map(|text| text.value.as_str())))
    }

    fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    fn tag(&self) -> Option<&str> {
        let git = &self.event.git;
        git.tag.as_deref().or_else(|| git.reference.strip_prefix("refs/tags/"))
    }

    /// The branch that an event's `branches` are about.
    fn branch(&self) -> Option<String> {
        let event = self.event;
        let text = |path: &[&str]| payload(event, path).and_then(Value::as_str).map(str::to_owned);
        match self.event_name {
            "workflow_run" => text(&["workflow_run", "head_branch"]).or_else(|| event.git.branch.clone()),
            "merge_group" => text(&["merge_group", "base_ref"])
                .map(|name| name.trim_start_matches("refs/heads/").to_owned()),
            "pull_request" | "pull_request_target" => event
                .pull_request
                .as_ref()
                .map(|facts| facts.base_branch.clone())
                .or_else(|| text(&["pull_request", "base", "ref"])),
            _ => {
                let short = event.git.reference.strip_prefix("refs/heads/").map(str::to_owned);
                event.git.branch.clone().or(short)
            }
        }
    }

    /// `branches` say nothing of tags and `tags` nothing of branches; who names only one of them wants only that.
    fn push(&self) -> Result<(), String> {
        let about_branches = self.has("branches") || self.has("branches-ignore");
        let about_tags = self.has("tags") || self.has("tags-ignore");
        match self.tag() {
            Some(_) if about_branches && !about_tags => {
                Err("a tag does not start this workflow: its `push` asks for branches".to_owned())
            }
            Some(tag) => self.list("tags", Some(tag)),
            None if about_tags && !about_branches => {
                Err("a branch does not start this workflow: its `push` asks for tags".to_owned())
            }
            None => self.list("branches", self.branch().as_deref()),
        }
    }

    fn list(&self, key: &str, name: Option<&str>) -> Result<(), String> {
        let Some(name) = name else { return Ok(()) };
        let event = self.event_name;
        if let Some(wanted) = self.patterns(key)
            && !wanted.wants(name)
        {
            return Err(format!("`{name}` matches none of on.{event}.{key}"));
        }
        let ignore = format!("{key}-ignore");
        if let Some(ignored) = self.patterns(&ignore).filter(|list| !list.is_empty())
            && ignored.ignores(name)
        {
            return Err(format!("`{name}` is ignored by on.{event}.{ignore}"));
        }
        Ok(())
    }

    /// Paths of tags are not looked at.
    fn paths(&self) -> Result<(), String> {
        let Some(changed) = self.event.changed_paths.as_ref().filter(|_| self.tag().is_none()) else {
            return Ok(());
        };
        let (event, count) = (self.event_name, changed.len());
        // Where it takes too long to tell the workflow starts: better once too often than not at all.
        if let Some(wanted) = self.patterns("paths")
            && !changed.iter().any(|path| wanted.wants(path) || wanted.gave_up())
        {
            return Err(format!("none of the {count} changed paths matches on.{event}.paths"));
        }
        if let Some(ignored) = self.patterns("paths-ignore").filter(|list| !list.is_empty())
            && !changed.is_empty()
            && changed.iter().all(|path| ignored.ignores(path) && !ignored.gave_up())
        {
            return Err(format!("all of the {count} changed paths are ignored by on.{event}.paths-ignore"));
        }
        Ok(())
    }

    /// Names of workflows are names, not patterns.
    fn workflows(&self) -> Result<(), String> {
        let Some(node) = self.node.get("workflows") else { return Ok(()) };
        let told = |path: &[&str]| payload(self.event, path).and_then(Value::as_str);
        let Some(name) = told(&["workflow_run", "name"]).or_else(|| told(&["workflow", "name"])) else {
            return Ok(());
        };
        if node.texts().iter().any(|text| text.value == name) {
            return Ok(());
        }
        Err(format!("the workflow `{name}` is none of on.workflow_run.workflows"))
    }

    fn names(&self, key: &str, path: &[&str]) -> Result<(), String> {
        let Some(name) = payload(self.event, path).and_then(Value::as_str) else { return Ok(()) };
        match self.patterns(key) {
            Some(list) if !list.wants(name) => {
                Err(format!("`{name}` matches none of on.{}.{key}", self.event_name))
            }
            _ => Ok(()),
        }
    }
}

/// `[skip ci]` and its like, or a trailer `skip-checks: true`.
fn asks_to_skip(message: &str) -> bool {
    let lower = message.to_lowercase();
    ["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"]
        .iter()
        .any(|mark| lower.contains(mark))
        || lower
            .lines()
            .any(|line| line.trim().strip_prefix("skip-checks:").is_some_and(|value| value.trim() == "true"))
}

/// What starts a workflow, for the server's schedules and forms.
pub(super) fn triggers(on: &Node) -> Triggers {
    let push = trigger(on, "push");
    let says = |key: &str| push.flatten().is_some_and(|node| node.get(key).is_some());
    let about_branches = says("branches") || says("branches-ignore");
    let about_tags = says("tags") || says("tags-ignore");
    let schedules = trigger(on, "schedule").flatten().map_or(&[][..], Node::items);
    Triggers {
        push: push.is_some() && (about_branches || !about_tags),
        tag: push.is_some() && (about_tags || !about_branches),
        pull_request: trigger(on, "pull_request").is_some() || trigger(on, "pull_request_target").is_some(),
        release: trigger(on, "release").is_some(),
        repository_dispatch: trigger(on, "repository_dispatch").is_some(),
        pipelines: trigger(on, "workflow_run")
            .flatten()
            .and_then(|node| node.get("workflows"))
            .map(Node::texts)
            .unwrap_or_default()
            .into_iter()
            .map(|name| name.value)
            .collect(),
        schedules: schedules
            .iter()
            .filter_map(|time| {
                let time_zone =
                    time.get("timezone").and_then(Node::filled).unwrap_or_else(|| "UTC".to_owned());
                Some(Schedule { cron: time.get("cron")?.text()?, time_zone })
            })
            .collect(),
        manual_inputs: trigger(on, "workflow_dispatch").map(|node| {
            let inputs = node.and_then(|node| node.get("inputs")).map_or(&[][..], Node::entries);
            inputs.iter().map(input).collect()
        }),
    }
}

fn input(entry: &Entry) -> InputSpec {
    let node = &entry.value;
    InputSpec {
        name: entry.key.value.clone(),
        kind: kind(node),
        required: node.get("required").is_some_and(|required| required.json() == Value::Bool(true)),
        default: node.get("default").map(Node::json).filter(|value| !value.is_null()),
        choices: node
            .get("options")
            .map(Node::texts)
            .unwrap_or_default()
            .into_iter()
            .map(|text| text.value)
            .collect(),
        description: node.get("description").and_then(Node::filled),
    }
}

fn kind(node: &Node) -> InputKind {
    match node.get("type").and_then(Node::text).as_deref() {
        Some("boolean") => InputKind::Boolean,
        Some("number") => InputKind::Number,
        Some("choice") => InputKind::Choice,
        Some("environment") => InputKind::Environment,
        _ => InputKind::String,
    }
}

/// The inputs that an event of this name has: those that a manual run declares. Others have none.
pub(super) fn declared(on: &Node, name: &str) -> Vec<InputSpec> {
    match name {
        "workflow_dispatch" => triggers(on).manual_inputs.unwrap_or_default(),
        _ => Vec::new(),
    }
}
