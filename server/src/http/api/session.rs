//! Logging in and out.

use std::{net::SocketAddr, time::Instant};

use axum::{
    Extension, Json,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
};
use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::{
    Shared,
    access::{Caller, cookie_name},
    error::{ApiError, ErrorBody},
    extract::{Body, Secret},
};
use crate::auth::{self, Me};

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    /// The name to log in with.
    username: String,
    /// The password.
    #[schema(value_type = String)]
    password: Secret,
}

/// Logs in: answers with a cookie.
#[utoipa::path(post, operation_id = "session_log_in", path = "/api/v1/session", request_body = Credentials, security(()),
    responses((status = 200, body = Me), (status = 401, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(super) async fn log_in(
    State(shared): State<Shared>,
    connection: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    jar: CookieJar,
    Body(credentials): Body<Credentials>,
) -> Result<(CookieJar, Json<Me>), ApiError> {
    let address =
        connection.map(|Extension(ConnectInfo(address))| address.ip().to_string()).unwrap_or_default();
    let name = credentials.username.trim().to_lowercase();
    shared.throttle.check(&name, &address, Instant::now()).map_err(|wait| ApiError::TooMany(wait.0))?;
    // Counted before the slow check, so that many tries at once are not all free.
    shared.throttle.mistake(&name, &address, Instant::now());
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(session) = auth::log_in(&shared.app, &name, credentials.password.0, agent).await? else {
        tracing::warn!(name, address, "a log-in failed");
        return Err(ApiError::Unauthorized("the name or the password is wrong"));
    };
    shared.throttle.success(&name, &address);
    let public_url = &shared.app.config.public_url;
    let cookie = Cookie::build((cookie_name(public_url), session.key.expose_secret().to_owned()))
        .path("/")
        .http_only(true)
        .secure(public_url.scheme() == "https")
        .same_site(SameSite::Lax)
        .max_age(auth::SESSION_LIFETIME.try_into().unwrap_or_default())
        .build();
    Ok((jar.add(cookie), Json(Me { user: session.user })))
}

/// Who is logged in.
#[utoipa::path(get, operation_id = "session_me", path = "/api/v1/session", responses((status = 200, body = Me), (status = 401, body = ErrorBody)))]
pub(super) async fn me(caller: Caller) -> Json<Me> {
    Json(Me { user: caller.user })
}

/// Logs out.
#[utoipa::path(delete, operation_id = "session_log_out", path = "/api/v1/session", responses((status = 204)))]
pub(super) async fn log_out(
    State(shared): State<Shared>,
    caller: Caller,
    jar: CookieJar,
) -> Result<(CookieJar, StatusCode), ApiError> {
    if let Some(key) = caller.session() {
        auth::log_out(&shared.app, &SecretString::from(key)).await?;
    }
    let name = cookie_name(&shared.app.config.public_url);
    let gone = Cookie::build(name).path("/").secure(shared.app.config.public_url.scheme() == "https");
    Ok((jar.remove(gone), StatusCode::NO_CONTENT))
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    /// The one until now.
    #[schema(value_type = String)]
    current: Secret,
    /// The one from now on.
    #[schema(value_type = String)]
    new: Secret,
}

/// Changes one's own password; all other sessions end.
#[utoipa::path(put, operation_id = "session_change_password", path = "/api/v1/session/password", request_body = NewPassword,
    responses((status = 204), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn change_password(
    State(shared): State<Shared>,
    caller: Caller,
    Body(change): Body<NewPassword>,
) -> Result<StatusCode, ApiError> {
    let name = &caller.user.username;
    shared.throttle.check(name, "own password", Instant::now()).map_err(|wait| ApiError::TooMany(wait.0))?;
    shared.throttle.mistake(name, "own password", Instant::now());
    auth::change_password(&shared.app, &caller.actor, change.current.0, change.new.0, caller.session())
        .await?;
    shared.throttle.success(name, "own password");
    Ok(StatusCode::NO_CONTENT)
}
