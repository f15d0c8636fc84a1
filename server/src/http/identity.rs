//! What those read who are shown this server's identity tokens: where its keys are, and the keys.

use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Shared, error::ApiError};
use crate::{app::App, identity};

/// The routes. Both are for everybody and hold nothing that is not public.
pub fn router() -> Router<Shared> {
    Router::new()
        .route("/.well-known/openid-configuration", get(document))
        .route("/.well-known/jwks", get(keys))
}

/// A key may sign from the moment on that it is made, so nobody may remember the list for long.
const BRIEFLY: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=60")];

async fn document(State(app): State<App>) -> Response {
    (BRIEFLY, Json(identity::document(&app))).into_response()
}

async fn keys(State(app): State<App>) -> Result<Response, ApiError> {
    Ok((BRIEFLY, Json(identity::public_keys(&app).await?)).into_response())
}
