//! Runs: made from an event and a pipeline file, cancelled, run again.

use serde::Deserialize;
use tidegate_pipelines::event::Event;
use tidegate_protocol::ids::{DeliveryId, RepositoryId, RunId, StageId};
use utoipa::ToSchema;

use crate::{
    actor::Actor,
    app::App,
    error::Error,
    store::views::{RunDetail, RunEvent, RunFilter, RunSummary},
};

fn later<T>() -> Result<T, Error> {
    Err(Error::internal("not built yet"))
}

/// A run to make.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its repository.
    pub repository: RepositoryId,
    /// What happened.
    pub event: Event,
    /// Path of the pipeline file.
    pub path: String,
    /// The pipeline file at the event's commit.
    pub text: String,
    /// The delivery it came by; the same delivery makes no second run.
    pub delivery: Option<DeliveryId>,
    /// The run it repeats.
    pub rerun_of: Option<RunId>,
}

/// What came of a [`NewRun`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// A run; it may be `invalid`.
    Run(RunId),
    /// The file does not ask for a run on this event, and why.
    NotTriggered(String),
    /// The delivery made this run before.
    Existing(RunId),
}

/// What to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything, as a new run.
    All,
    /// What failed and what depends on it, in place.
    Failed,
}

/// Compiles the file and makes the run.
pub async fn create(_app: &App, _new: NewRun) -> Result<Created, Error> {
    later()
}

/// Stops a run.
pub async fn cancel(_app: &App, _run: RunId, _actor: &Actor) -> Result<(), Error> {
    later()
}

/// Runs it again; answers the run that does.
pub async fn rerun(_app: &App, _run: RunId, _scope: Scope, _actor: &Actor) -> Result<RunId, Error> {
    later()
}

/// A person says how an `unknown` deploy stage ended.
pub async fn settle_unknown(
    _app: &App,
    _stage: StageId,
    _succeeded: bool,
    _actor: &Actor,
) -> Result<(), Error> {
    later()
}

/// Runs, newest first.
pub async fn list(_app: &App, _filter: &RunFilter) -> Result<Vec<RunSummary>, Error> {
    later()
}

/// A run's page, as this person sees it.
pub async fn detail(_app: &App, _run: RunId, _viewer: &Actor) -> Result<RunDetail, Error> {
    later()
}

/// The history of a run (none: of all) after this sequence number, oldest first, at most `limit`.
pub async fn events(
    _app: &App,
    _run: Option<RunId>,
    _after: i64,
    _limit: i64,
) -> Result<Vec<RunEvent>, Error> {
    later()
}

/// The newest sequence number there is: where a stream that wants only news begins.
pub async fn last_event(_app: &App) -> Result<i64, Error> {
    later()
}
