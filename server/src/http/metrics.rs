//! Figures for Prometheus: counters of this process, and gauges that the database answers.

use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, metrics::gauge::Gauge};

use super::{Shared, error::ApiError};
use crate::{app::App, error::Error};

/// The route. It needs no log-in and holds only numbers.
pub fn router() -> Router<Shared> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let mut registry = app.metrics.registry();
    for (name, help, value) in app.db.gauges().await? {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Error::internal("the figures cannot be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
