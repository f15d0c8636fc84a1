//! The end of a run, as an event for the repository's other pipelines.
//!
//! Those in the native language are asked about the commit that the run was about, with the trust that the run had.
//! Workflows are asked at the default branch's newest commit, as GitHub does: a run of a fork may start one there, whose
//! text the fork cannot change.

use serde_json::{Value, json};
use tidegate_pipelines::event::{Event, EventKind};
use tidegate_protocol::status::RunStatus;

use crate::{
    app::App,
    forge::events::{Told, Which, plain, tip_of_default},
    store::{RunRow, views::Repository},
};

/// What the end of a run tells.
pub fn told(app: &App, run: &RunRow, repository: &Repository) -> Vec<Told> {
    let event = Event {
        kind: EventKind::Upstream,
        activity: Some("completed".to_owned()),
        payload: Some(payload(app, run, repository)),
        ..plain("workflow_run", run.actor.clone(), repository)
    };
    let native = Event { git: run.event.git.clone(), trusted: run.trusted, ..event.clone() };
    let workflows = Event { git: tip_of_default(repository), ..event };
    vec![Told { event: native, files: Which::Native }, Told { event: workflows, files: Which::Workflows }]
}

/// In the shape that GitHub gives to it.
fn payload(app: &App, run: &RunRow, repository: &Repository) -> Value {
    let conclusion = match run.status {
        RunStatus::Succeeded | RunStatus::Warned => "success",
        RunStatus::Cancelled => "cancelled",
        _ => "failure",
    };
    let base = app.config.public_url.as_str().trim_end_matches('/');
    let git = &run.event.git;
    let pull_request = run.event.pull_request.as_ref();
    let head_branch =
        pull_request.map(|facts| facts.head_branch.as_str()).or(git.branch.as_deref()).or(git.tag.as_deref());
    let pull_requests: Vec<Value> = pull_request
        .filter(|facts| !facts.from_fork)
        .map(|facts| {
            json!({ "number": facts.number, "head": { "ref": facts.head_branch, "sha": run.sha },
                    "base": { "ref": facts.base_branch } })
        })
        .into_iter()
        .collect();
    json!({
        "action": "completed",
        "workflow": { "name": run.pipeline, "path": run.path },
        "workflow_run": {
            "id": run.number,
            "tidegate_id": run.id,
            "name": run.pipeline,
            "path": run.path,
            "display_title": run.title,
            "run_number": run.number,
            "run_attempt": 1,
            "event": run.event.name.as_deref().unwrap_or(run.event.kind.as_str()),
            "status": "completed",
            "conclusion": conclusion,
            "head_branch": head_branch,
            "head_sha": run.sha,
            "head_commit": { "id": run.sha, "message": git.message },
            "pull_requests": pull_requests,
            "actor": { "login": run.actor },
            "html_url": format!("{base}/runs/{}", run.id),
            "created_at": run.created_at,
            "updated_at": run.finished_at,
        },
        "repository": { "full_name": repository.full_name, "default_branch": repository.default_branch },
        "sender": { "login": run.actor },
    })
}
