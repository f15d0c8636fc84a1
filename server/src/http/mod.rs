//! HTTP, by caller: people ([`api`], [`ui`]), runners ([`runner`]), the forge ([`webhook`]), monitors ([`health`], [`metrics`]), whoever checks identity tokens ([`identity`]). The only module that names axum.

mod access;
mod api;
mod error;
mod extract;
mod headers;
mod health;
mod identity;
mod metrics;
mod runner;
mod sse;
mod ui;
mod webhook;

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate,
        predicate::{DefaultPredicate, NotForContentType},
    },
    trace::TraceLayer,
};

pub use access::{Access, TABLE};
pub use api::document;

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
    // Artifacts are compressed already; raw logs are read in pieces, quickly.
    let worth_it = DefaultPredicate::new()
        .and(NotForContentType::const_new("application/zstd"))
        .and(NotForContentType::const_new("text/plain"));
    let shared = Shared { app, throttle: Arc::default(), shutdown };
    Router::new()
        .merge(api::router(&shared))
        .merge(runner::router())
        .merge(health::router())
        .merge(identity::router())
        .merge(metrics::router())
        .merge(webhook::router())
        .fallback(ui::serve)
        .layer(CompressionLayer::new().compress_when(worth_it))
        .layer(middleware::from_fn_with_state(shared.clone(), headers::secure))
        .layer(CatchPanicLayer::new())
        .layer(TraceLayer::new_for_http())
        .with_state(shared)
}

/// Serves until the token is cancelled and the requests in flight have ended.
pub async fn serve(app: App, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
    let service = router(app, shutdown.clone()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned()).await
}
