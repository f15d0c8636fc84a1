//! Runs that time starts: for each schedule that is due, a run of its file at the default branch's newest commit.
//!
//! A schedule is moved to its next time before anything else, in the transaction that locks it, so however many
//! servers there are, one of them makes the run. Times that were missed while nobody looked make one run, not many.
//! When the repository's host does not answer, the schedule comes back in a minute; when the server dies between
//! moving and making, that one time is lost.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tidegate_pipelines::event::{Event, EventKind, GitFacts};

use crate::{
    app::App,
    error::Error,
    forge::events,
    git::{self, GitError, Place},
    repositories::{self, next_occurrence},
    runs::{self, Created, NewRun},
    store::{DueSchedule, views::Repository},
};

/// Who causes such a run.
const ACTOR: &str = "schedule";
/// Until a host that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(60);

/// Works on one schedule that is due. False: there is none.
pub async fn once(app: &App) -> Result<bool, Error> {
    let mut tx = app.db.begin().await?;
    let Some(due) = tx.take_due_schedule().await? else { return Ok(false) };
    let next = next_occurrence(&due.cron, &due.time_zone, due.now);
    tx.move_schedule(&due, next).await?;
    tx.commit().await?;

    let repository = match repositories::get(app, due.repository).await {
        Ok(repository) => repository,
        // It was deleted just now, and its schedules with it.
        Err(Error::NotFound(_)) => return Ok(true),
        Err(error) => return Err(error),
    };
    match start(app, &repository, &due).await {
        Ok(Created::Run(run) | Created::Existing(run)) => {
            tracing::info!(%run, repository = repository.full_name, cron = due.cron, "a schedule made a run");
        }
        Ok(Created::NotTriggered(reason) | Created::Skipped(reason)) => {
            tracing::info!(
                repository = repository.full_name,
                cron = due.cron,
                reason,
                "a schedule made no run"
            );
        }
        Err(GitError::Gone(reason)) => {
            tracing::warn!(
                repository = repository.full_name,
                cron = due.cron,
                reason,
                "a schedule made no run"
            );
        }
        Ok(Created::Later(reason)) | Err(GitError::Away(reason)) => {
            tracing::warn!(
                repository = repository.full_name,
                cron = due.cron,
                reason,
                "a schedule is tried again"
            );
            again(app, &due).await?;
        }
        Err(GitError::Core(error)) => {
            if error.is_transient() {
                again(app, &due).await?;
            }
            return Err(error);
        }
    }
    Ok(true)
}

/// Makes a schedule due again soon, unless it comes due sooner by itself.
async fn again(app: &App, due: &DueSchedule) -> Result<(), Error> {
    let soon = due.now.saturating_add(SignedDuration::try_from(AGAIN).unwrap_or(SignedDuration::ZERO));
    let Ok(soon) = soon else { return Ok(()) };
    let next = next_occurrence(&due.cron, &due.time_zone, due.now).map_or(soon, |next| next.min(soon));
    let mut tx = app.db.begin().await?;
    tx.move_schedule(due, Some(next)).await?;
    tx.commit().await
}

/// Makes a run of the schedule's file on the default branch as it is now.
async fn start(app: &App, repository: &Repository, due: &DueSchedule) -> Result<Created, GitError> {
    let git = events::tip_of_default(repository);
    let path = if due.path.is_empty() { &repository.pipeline_path } else { &due.path };
    let places = [Place::File(path.clone())];
    let wanted = git::Wanted { reference: &git.reference, sha: None, places: &places, base: None };
    let source = git::read(app, repository, wanted).await?;
    let Some(file) = source.files.into_iter().next() else {
        let why = source.refused.into_iter().next();
        let why = why.unwrap_or_else(|| format!("there is no {path} on {}", repository.default_branch));
        return Ok(Created::NotTriggered(why));
    };
    let event = Event {
        kind: EventKind::Schedule,
        git: GitFacts {
            sha: source.commit.sha,
            message: source.commit.message,
            author: source.commit.author,
            ..git
        },
        payload: Some(serde_json::json!({ "schedule": due.cron })),
        ..events::plain("schedule", ACTOR.to_owned(), repository)
    };
    let new = NewRun {
        repository: repository.id,
        event: Arc::new(event),
        path: file.path,
        text: file.text,
        delivery: None,
        rerun_of: None,
        depth: 0,
        skip: None,
    };
    Ok(runs::create(app, new).await?)
}
