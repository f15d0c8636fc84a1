//! What handlers take: paths, queries and bodies whose mistakes are answered in the API's own shape, and the
//! runner that calls.

use axum::{
    extract::{FromRef, FromRequest, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use tidegate_protocol::{ids::RunnerId, messages::EPOCH_HEADER};

use super::{
    Shared,
    error::{ApiError, RunnerError},
};
use crate::{app::App, auth, error::Error};

/// A JSON body.
#[derive(Debug, FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub struct Body<T>(pub T);

/// Parts of the path. An id that is none is 400.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

/// The query.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);

impl FromRef<Shared> for App {
    fn from_ref(shared: &Shared) -> Self {
        shared.app.clone()
    }
}

/// The key of an `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The runner that calls, known by its key.
#[derive(Debug, Clone, Copy)]
pub struct AuthedRunner(pub RunnerId);

impl FromRequestParts<Shared> for AuthedRunner {
    type Rejection = RunnerError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, RunnerError> {
        let unknown = ApiError::Unauthorized("this runner is not known here; enrol it with a new token");
        let Some(key) = bearer(&parts.headers) else { return Err(unknown.into()) };
        match shared.app.db.runner_of_key(&auth::fingerprint(key)).await? {
            Some(id) => Ok(Self(id)),
            None => Err(unknown.into()),
        }
    }
}

/// The epoch of a runner's call about an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Epoch(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for Epoch {
    type Rejection = RunnerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, RunnerError> {
        let header = parts.headers.get(EPOCH_HEADER).and_then(|value| value.to_str().ok());
        match header.and_then(|text| text.parse().ok()) {
            Some(epoch) => Ok(Self(epoch)),
            None => {
                Err(Error::Invalid(format!("the header {EPOCH_HEADER} must hold the attempt's epoch")).into())
            }
        }
    }
}

/// A secret in a body.
#[derive(Clone, utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct Secret(pub SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}
