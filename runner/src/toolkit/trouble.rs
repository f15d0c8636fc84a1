//! Why a request came to nothing, as its sender is told: in the shape of both protocols, so that either library finds
//! its sentence.

use hyper::StatusCode;
use serde_json::json;

use crate::stage::ResultsError;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Trouble {
    pub(super) status: StatusCode,
    /// In Twirp's words.
    code: &'static str,
    message: String,
}

impl Trouble {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// The sender's mistake.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", message)
    }

    /// No token, or another one.
    pub(super) fn unauthorized() -> Self {
        let message = "the token is not the one that this stage's actions were given";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    /// The token does not allow it.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_denied", message)
    }

    /// There is none.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// There is one already.
    pub(super) fn exists(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "already_exists", message)
    }

    /// More than is taken.
    pub(super) fn too_much(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "resource_exhausted", message)
    }

    /// This machine's own trouble; the sender tries again.
    pub(super) fn broken(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("the runner cannot do it: {what}"))
    }

    /// The body that says it.
    pub(super) fn body(&self) -> serde_json::Value {
        json!({ "code": self.code, "msg": self.message, "message": self.message })
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::broken(error)
    }
}

impl From<ResultsError> for Trouble {
    fn from(error: ResultsError) -> Self {
        let message = error.to_string();
        match error {
            ResultsError::NotFound(_) => Self::not_found(message),
            ResultsError::Invalid(_) => Self::invalid(message),
            ResultsError::Refused(_) => Self::denied(message),
            ResultsError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            }
            ResultsError::Io { .. } => Self::broken(message),
        }
    }
}
