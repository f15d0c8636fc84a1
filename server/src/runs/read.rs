//! Runs as pages show them.

use tidegate_protocol::ids::RunId;

use crate::{
    actor::Actor,
    app::App,
    error::Error,
    gates,
    store::views::{RunDetail, RunEvent, RunFilter, RunSummary},
};

/// Runs, newest first.
pub async fn list(app: &App, filter: &RunFilter) -> Result<Vec<RunSummary>, Error> {
    app.db.run_summaries(filter).await
}

/// A run's page, as this person sees it.
pub async fn detail(app: &App, run: RunId, viewer: &Actor) -> Result<RunDetail, Error> {
    let mut detail = app.db.run_detail(run).await?;
    detail.gates = gates::of_run(app, run, viewer).await?;
    Ok(detail)
}

/// The history of a run (none: of all) after this sequence number, oldest first, at most `limit`.
pub async fn events(app: &App, run: Option<RunId>, after: i64, limit: i64) -> Result<Vec<RunEvent>, Error> {
    app.db.run_events(run, after, limit).await
}

/// The newest sequence number there is: where a stream that wants only news begins.
pub async fn last_event(app: &App) -> Result<i64, Error> {
    app.db.last_event().await
}
