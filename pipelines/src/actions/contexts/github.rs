//! The `github` context: what GitHub documents of it, from an event of any origin.

use serde_json::{Map, Value, json};

use super::RunFacts;
use crate::{
    event::{Event, EventKind},
    plan::Plan,
};

/// The whole context. The token and what belongs to one step is left to the runner.
pub(super) fn context(plan: &Plan, event: &Event, run: &RunFacts<'_>) -> Value {
    let name = plan.event_name.as_deref().unwrap_or(event.kind.as_str());
    let reference = reference(event, name);
    let (ref_name, ref_type) = short(&reference);
    let of_pull_request = matches!(name, "pull_request" | "pull_request_target");
    let facts = event.pull_request.as_ref().filter(|_| of_pull_request);
    let owner = event.repository.split('/').next().unwrap_or_default();
    let payload = payload(plan, event, name);
    let from_payload = |pointer: &str| payload.pointer(pointer).cloned().unwrap_or_default();
    let id = |pointer: &str| match payload.pointer(pointer) {
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    json!({
        "sha": event.git.sha,
        "ref": reference,
        "ref_name": ref_name,
        "ref_type": ref_type,
        "ref_protected": false,
        "head_ref": facts.map_or("", |facts| &facts.head_branch),
        "base_ref": facts.map_or("", |facts| &facts.base_branch),
        "event_name": name,
        "actor": event.actor,
        "actor_id": id("/sender/id"),
        "triggering_actor": event.actor,
        "repository": event.repository,
        "repository_id": id("/repository/id"),
        "repository_owner": owner,
        "repository_owner_id": id("/repository/owner/id"),
        "repository_visibility": from_payload("/repository/visibility"),
        "repositoryUrl": format!("git://{}/{}.git", host(run.server_url), event.repository),
        "run_id": run.id,
        "run_number": run.number.to_string(),
        "run_attempt": run.attempt.to_string(),
        "retention_days": "90",
        "workflow": plan.name,
        "workflow_ref": format!("{}/{}@{reference}", event.repository, plan.source.path),
        "workflow_sha": event.git.sha,
        "server_url": run.server_url,
        "api_url": run.api_url,
        "graphql_url": run.graphql_url,
        "workspace": run.workspace,
        "secret_source": if event.trusted { "Actions" } else { "None" },
        "event": payload,
    })
}

fn host(url: &str) -> &str {
    url.split("://").last().unwrap_or_default().trim_end_matches('/')
}

/// The ref that a run is about, as GitHub tells it.
fn reference(event: &Event, name: &str) -> String {
    match (name, &event.pull_request) {
        ("pull_request", Some(facts)) => format!("refs/pull/{}/merge", facts.number),
        ("pull_request_target", Some(facts)) => format!("refs/heads/{}", facts.base_branch),
        _ => event.git.reference.clone(),
    }
}

/// A ref's short name, and what it is.
fn short(reference: &str) -> (&str, &'static str) {
    if let Some(tag) = reference.strip_prefix("refs/tags/") {
        return (tag, "tag");
    }
    let branch = reference.strip_prefix("refs/heads/").or_else(|| reference.strip_prefix("refs/pull/"));
    (branch.unwrap_or(reference), "branch")
}

/// What the forge said; where it said nothing, the same facts in the form in which GitHub would have told them.
fn payload(plan: &Plan, event: &Event, name: &str) -> Value {
    let mut payload = match &event.payload {
        Some(Value::Object(payload)) => payload.clone(),
        _ => made(event),
    };
    if name == "workflow_dispatch" {
        // Inputs of an event are text, whatever their type.
        let inputs =
            plan.inputs.iter().map(|(name, value)| (name.clone(), crate::expand::text_of(value).into()));
        payload.insert("inputs".to_owned(), inputs.collect::<Map<_, _>>().into());
    }
    payload.into()
}

fn made(event: &Event) -> Map<String, Value> {
    let (owner, name) = event.repository.split_once('/').unwrap_or(("", &event.repository));
    let mut payload = Map::new();
    let mut put = |key: &str, value: Value| payload.insert(key.to_owned(), value);
    put(
        "repository",
        json!({
            "name": name,
            "full_name": event.repository,
            "default_branch": event.default_branch,
            "owner": { "login": owner, "name": owner },
        }),
    );
    put("sender", json!({ "login": event.actor }));
    if let Some(activity) = &event.activity {
        put("action", activity.as_str().into());
    }
    match (event.kind, &event.pull_request) {
        (EventKind::Push | EventKind::Tag, _) => {
            let commit = json!({ "id": event.git.sha, "message": event.git.message });
            put("ref", event.git.reference.as_str().into());
            put("before", event.git.before.as_deref().into());
            put("after", event.git.sha.as_str().into());
            put("head_commit", commit.clone());
            put("commits", json!([commit]));
        }
        (_, Some(facts)) => {
            put("action", facts.action.as_str().into());
            put("number", facts.number.into());
            put(
                "pull_request",
                json!({
                    "number": facts.number,
                    "title": facts.title,
                    "head": {
                        "ref": facts.head_branch,
                        "sha": event.git.sha,
                        "repo": { "fork": facts.from_fork },
                    },
                    "base": { "ref": facts.base_branch, "repo": { "full_name": event.repository } },
                }),
            );
        }
        _ => {
            put("ref", event.git.reference.as_str().into());
        }
    }
    payload
}
