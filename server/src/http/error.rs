//! How errors look from outside.
//!
//! Answers say what their variant allows to be said. An internal error's text goes to the log, under an id that
//! the answer names; the answer itself is always the same sentence.

use std::time::Duration;

use axum::{
    Json,
    extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidegate_protocol::messages::Refused;
use utoipa::ToSchema;

use crate::error::Error;

/// The body of every error for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// An error of the HTTP API.
#[derive(Debug)]
pub enum ApiError {
    /// From the server's core.
    Core(Error),
    /// Nobody is logged in, or the key is unknown.
    Unauthorized(&'static str),
    /// Too many tries.
    TooMany(Duration),
    /// The body is larger than this call takes.
    TooLarge,
    /// The body is of another type than this call takes.
    MediaType(String),
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::MediaType(rejection.body_text()),
            _ => Self::Core(Error::Invalid(rejection.body_text())),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ => Self::Core(Error::Invalid(rejection.body_text())),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::Core(Error::Invalid(rejection.body_text()))
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::Core(Error::Invalid(rejection.body_text()))
    }
}

impl ApiError {
    /// Status, code and sentence.
    fn parts(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Core(error) => core_parts(error),
            Self::Unauthorized(message) => (StatusCode::UNAUTHORIZED, "unauthorized", message.to_owned()),
            Self::TooMany(wait) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                format!("too many tries; wait {} s", wait.as_secs() + 1),
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "the body is larger than this call takes".to_owned(),
            ),
            Self::MediaType(message) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", message),
        }
    }
}

fn core_parts(error: Error) -> (StatusCode, &'static str, String) {
    match error {
        Error::NotFound(what) => (StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}")),
        Error::Invalid(message) => (StatusCode::BAD_REQUEST, "invalid", message),
        Error::Forbidden(message) => (StatusCode::FORBIDDEN, "forbidden", message),
        Error::Refused(message) => (StatusCode::CONFLICT, "refused", message),
        Error::Fenced(message) => (StatusCode::CONFLICT, "fenced", message),
        Error::Unavailable(reason) => {
            tracing::warn!(%reason, "answered 503: the database is away");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the database is not available; try again in a moment".to_owned(),
            )
        }
        Error::Internal(inner) => {
            tracing::error!(error = format!("{inner:#}"), "answered 500");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "something went wrong in the server; its log says what".to_owned(),
            )
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let wait = match &self {
            Self::TooMany(wait) => Some(wait.as_secs() + 1),
            Self::Core(Error::Unavailable(_)) => Some(1),
            _ => None,
        };
        let (status, code, message) = self.parts();
        let body = ErrorBody { error: ErrorDetail { code: code.to_owned(), message } };
        let mut response = (status, Json(body)).into_response();
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An error of the runners' API: as [`ApiError`], but only the fence answers 409, because a runner that reads
/// one stops its sandbox.
#[derive(Debug)]
pub struct RunnerError(pub ApiError);

impl<E: Into<ApiError>> From<E> for RunnerError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for RunnerError {
    fn into_response(self) -> Response {
        match self.0 {
            ApiError::Core(Error::Fenced(reason)) => {
                (StatusCode::CONFLICT, Json(Refused { reason })).into_response()
            }
            ApiError::Core(Error::Refused(message)) => {
                let body = ErrorBody { error: ErrorDetail { code: "refused".to_owned(), message } };
                (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
            }
            other => other.into_response(),
        }
    }
}
