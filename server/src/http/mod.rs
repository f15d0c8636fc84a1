//! HTTP.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Serves until the token is cancelled and the requests in flight have ended.
pub async fn serve(_app: App, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
    let router = axum::Router::new();
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}
