//! Works off the inbox: reads what the delivery says, fetches the pipeline file at its commit, makes the run.
//!
//! Every step can be repeated: a run is made once per delivery, whatever happens in between. A delivery whose
//! worker died comes back when its hold ends.

use std::time::Duration;

use tidegate_pipelines::event::{Event, EventKind};

use crate::{
    app::App,
    error::Error,
    forge::events::{self, Parsed},
    git::{self, GitError},
    repositories,
    runs::{self, Created, NewRun},
    store::Delivery,
};

/// Longer than a fetch may take.
const HOLD: Duration = Duration::from_secs(300);
/// How long what comes in goes before what is there.
const INTAKE_FIRST: Duration = Duration::from_millis(250);
/// After so many tries a delivery has failed.
const TRIES: i32 = 8;

enum Done {
    Processed(String),
    Ignored(String),
    Failed(String),
    Again(String),
}

/// Works on one delivery. False: there is none to work on now.
pub async fn once(app: &App) -> Result<bool, Error> {
    app.intake.quiet(INTAKE_FIRST).await;
    let mut tx = app.db.begin().await?;
    let Some(delivery) = tx.take_delivery(HOLD).await? else { return Ok(false) };
    tx.commit().await?;
    let done = match work(app, &delivery).await {
        Ok(done) => done,
        Err(error @ Error::Unavailable(_)) => Done::Again(error.to_string()),
        Err(Error::Internal(inner)) => {
            tracing::error!(delivery = %delivery.id, error = format!("{inner:#}"), "a delivery could not be worked on");
            Done::Again("an internal error; the server's log says which".to_owned())
        }
        Err(error) => Done::Failed(error.to_string()),
    };
    let mut tx = app.db.begin().await?;
    match &done {
        Done::Processed(result) => tx.close_delivery(delivery.id, "processed", result).await?,
        Done::Ignored(result) => tx.close_delivery(delivery.id, "ignored", result).await?,
        Done::Failed(result) => {
            tracing::warn!(delivery = %delivery.id, result, "a delivery failed");
            tx.close_delivery(delivery.id, "failed", result).await?;
        }
        Done::Again(result) if delivery.attempts >= TRIES => {
            tracing::warn!(delivery = %delivery.id, result, "a delivery failed for the last time");
            tx.close_delivery(delivery.id, "failed", result).await?;
        }
        Done::Again(result) => {
            let wait = Duration::from_secs(1 << delivery.attempts.clamp(0, 9));
            tracing::warn!(delivery = %delivery.id, result, wait = wait.as_secs(), "a delivery is tried again");
            tx.defer_delivery(delivery.id, wait, result).await?;
        }
    }
    tx.commit().await?;
    Ok(true)
}

async fn work(app: &App, delivery: &Delivery) -> Result<Done, Error> {
    let repository = repositories::get(app, delivery.repository).await?;
    let mut event = match events::parse(&delivery.event, &delivery.body, &repository) {
        Ok(Parsed::Event(event)) => *event,
        Ok(Parsed::Ignored(reason)) => return Ok(Done::Ignored(reason)),
        Err(reason) => return Ok(Done::Failed(reason)),
    };
    let wanted = git::Wanted {
        reference: &event.git.reference,
        sha: Some(&event.git.sha),
        path: &repository.pipeline_path,
        base: event.pull_request.as_ref().map(|pull_request| pull_request.base_branch.as_str()),
    };
    let source = match git::read(app, &repository, wanted).await {
        Ok(source) => source,
        Err(GitError::Gone(reason)) => return Ok(Done::Failed(reason)),
        Err(GitError::Away(reason)) => return Ok(Done::Again(reason)),
        Err(GitError::Core(error)) => return Err(error),
    };
    complete(&mut event, &source);
    let on_default =
        event.kind == EventKind::Push && event.git.branch.as_deref() == Some(&repository.default_branch);
    let Some(text) = source.text else {
        if on_default {
            repositories::set_schedules(app, repository.id, &[]).await?;
        }
        return Ok(Done::Ignored(format!("there is no {} at {}", repository.pipeline_path, event.git.sha)));
    };
    if on_default {
        let file = tidegate_pipelines::SourceFile { path: &repository.pipeline_path, text: &text };
        let schedules: Vec<(String, String)> = tidegate_pipelines::triggers(&file)
            .schedules
            .into_iter()
            .map(|schedule| (schedule.cron, schedule.time_zone))
            .collect();
        repositories::set_schedules(app, repository.id, &schedules).await?;
    }
    let new = NewRun {
        repository: repository.id,
        event,
        path: repository.pipeline_path,
        text,
        delivery: Some(delivery.id),
        rerun_of: None,
    };
    Ok(match runs::create(app, new).await? {
        Created::Run(run) | Created::Existing(run) => Done::Processed(format!("run {run}")),
        Created::NotTriggered(reason) => Done::Ignored(reason),
    })
}

/// What the repository knows better than the payload.
fn complete(event: &mut Event, source: &git::Source) {
    event.git.sha.clone_from(&source.commit.sha);
    event.git.author.clone_from(&source.commit.author);
    if event.kind != EventKind::PullRequest {
        event.git.message.clone_from(&source.commit.message);
    }
    if event.kind == EventKind::PullRequest {
        event.changed_paths.clone_from(&source.changed_paths);
    }
}
