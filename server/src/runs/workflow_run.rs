//! What a run tells the repository's other pipelines: that it was asked for, that it began, and that it ended.
//!
//! Pipelines in the native language hear of the end alone. They are asked about the commit that the run was about, with
//! the trust that the run had. Workflows are asked at the default branch's newest commit, as GitHub does: a run of a
//! fork may start one there, whose text the fork cannot change.

use serde_json::{Value, json};
use tidegate_pipelines::event::{Event, EventKind};
use tidegate_protocol::status::RunStatus;

use crate::{
    app::App,
    forge::events::{Told, Which, plain, tip_of_default},
    store::{Moment, RunRow, views::Repository},
};

/// What is told at a moment of a run.
pub fn told(app: &App, run: &RunRow, moment: Moment, repository: &Repository) -> Vec<Told> {
    let event = Event {
        kind: EventKind::Upstream,
        activity: Some(moment.as_str().to_owned()),
        payload: Some(payload(app, run, moment, repository)),
        ..plain("workflow_run", run.actor.clone(), repository)
    };
    let native = (moment == Moment::Completed)
        .then(|| Event { git: run.event.git.clone(), trusted: run.trusted, ..event.clone() })
        .map(|event| Told { event, files: Which::Native });
    let workflows = Event { git: tip_of_default(repository), ..event };
    native.into_iter().chain([Told { event: workflows, files: Which::Workflows }]).collect()
}

/// In the shape that GitHub gives to it. The run may be further on by now; what is told is the moment.
fn payload(app: &App, run: &RunRow, moment: Moment, repository: &Repository) -> Value {
    let (status, conclusion, updated_at) = match moment {
        Moment::Requested => ("queued", None, Some(run.created_at)),
        Moment::InProgress => ("in_progress", None, run.started_at),
        Moment::Completed => ("completed", Some(conclusion(run.status)), run.finished_at),
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
        "action": moment.as_str(),
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
            "status": status,
            "conclusion": conclusion,
            "head_branch": head_branch,
            "head_sha": run.sha,
            "head_commit": { "id": run.sha, "message": git.message },
            "pull_requests": pull_requests,
            "actor": { "login": run.actor },
            "html_url": format!("{base}/runs/{}", run.id),
            "created_at": run.created_at,
            "run_started_at": run.started_at,
            "updated_at": updated_at,
        },
        "repository": { "full_name": repository.full_name, "default_branch": repository.default_branch },
        "sender": { "login": run.actor },
    })
}

fn conclusion(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Succeeded | RunStatus::Warned => "success",
        RunStatus::Cancelled => "cancelled",
        _ => "failure",
    }
}
