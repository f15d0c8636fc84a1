//! Runs as pages show them.
use crate::{
    actor::Actor,
    app::App,
    error::Error,
    store::views::{RunDetail, RunEvent, RunFilter, RunSummary},
};
use tidegate_protocol::ids::RunId;
fn later<T>() -> Result<T, Error> {
    Err(Error::internal("x"))
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
