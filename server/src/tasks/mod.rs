//! Background tasks: each a `once()` that tests call, and a tiny loop around it.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::app::App;

/// Starts every task; each ends when the token is cancelled.
pub fn spawn(_app: &App, _tracker: &TaskTracker, _shutdown: &CancellationToken) {}
