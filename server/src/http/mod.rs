//! HTTP, by caller: runners ([`runner`]), the forge ([`webhook`]), monitors ([`health`]). The only module that names axum.

mod error;
mod extract;
mod health;
mod runner;
mod webhook;

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::{catch_panic::CatchPanicLayer, trace::TraceLayer};

use crate::{app::App, auth::Throttle};

/// What handlers share.
#[derive(Clone)]
pub struct Shared {
    /// The server's parts.
    pub app: App,
    /// Wrong passwords.
    pub throttle: Arc<Throttle>,
    /// Cancelled when the server stops: streams end, so that the server can.
    pub shutdown: CancellationToken,
}

/// All routes. `shutdown` ends streams that would otherwise never end.
pub fn router(app: App, shutdown: CancellationToken) -> Router {
    let shared = Shared { app, throttle: Arc::default(), shutdown };
    Router::new()
        .merge(runner::router())
        .merge(health::router())
        .merge(webhook::router())
        .layer(CatchPanicLayer::new())
        .layer(TraceLayer::new_for_http())
        .with_state(shared)
}

/// Serves until the token is cancelled and the requests in flight have ended.
pub async fn serve(app: App, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
    let service = router(app, shutdown.clone()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned()).await
}
