//! Background tasks: each a `once()` that tests call, and a tiny loop around it.

pub mod deliveries;
pub mod sweep;

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::App,
    error::Error,
    hub::{Hint, wait_for},
};

/// How long a worker sleeps when no hint comes.
const POLL: Duration = Duration::from_secs(2);
/// How many deliveries are worked on at a time; those of one repository one after the other.
const DELIVERIES: usize = 4;

/// Starts every task; each ends when the token is cancelled.
pub fn spawn(app: &App, tracker: &TaskTracker, shutdown: &CancellationToken) {
    for _ in 0..DELIVERIES {
        let app = app.clone();
        tracker.spawn(work_off(app.clone(), shutdown.clone(), Hint::Delivery, async move || {
            deliveries::once(&app).await
        }));
    }
    // Only time brings it work, so it wakes by polling.
    let sweeper = app.clone();
    let sweep = async move || sweep::once(&sweeper).await;
    tracker.spawn(work_off(app.clone(), shutdown.clone(), Hint::Resync, sweep));
}

/// Calls `once` for as long as there is something to do, then sleeps until a hint or the next poll. Errors are
/// logged and waited out. Work that has begun is finished before the task ends.
async fn work_off(
    app: App,
    shutdown: CancellationToken,
    wanted: Hint,
    once: impl AsyncFn() -> Result<bool, Error>,
) {
    let mut hints = app.hub.subscribe();
    while !shutdown.is_cancelled() {
        match once().await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(Error::Internal(inner)) => {
                tracing::error!(?wanted, error = format!("{inner:#}"), "a task failed")
            }
            Err(error) => tracing::warn!(?wanted, %error, "a task failed"),
        }
        tokio::select! {
            () = wait_for(&mut hints, POLL, |hint| hint == wanted) => {}
            () = shutdown.cancelled() => {}
        }
    }
}
