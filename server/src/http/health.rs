//! Whether the server is alive, and whether it can serve.

use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::Shared;
use crate::app::App;

/// The routes. Both need no log-in and say nothing that matters.
pub fn router() -> Router<Shared> {
    Router::new().route("/health", get(health)).route("/ready", get(ready))
}

/// The process answers.
async fn health() -> &'static str {
    "ok\n"
}

/// The database answers too.
async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    match app.db.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}
