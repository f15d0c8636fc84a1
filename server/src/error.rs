//! What can go wrong inside the server, sorted by what the caller can do about it.
//!
//! Everything a person or a runner may read is in the variants that carry a sentence. [`Error::Internal`] is
//! logged where it is handled and answered with a constant: its text never leaves the process.

/// The server's error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or the caller may not know of it.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The request itself makes no sense; the sentence says what would.
    #[error("{0}")]
    Invalid(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// It makes sense, but not in the state things are in.
    #[error("{0}")]
    Refused(String),
    /// A runner's call about an attempt that is no longer the stage's.
    #[error("{0}")]
    Fenced(String),
    /// The database is away or overloaded: try again.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A mistake in the server or its data.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// An internal error from a sentence.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::Internal(anyhow::anyhow!(text.into()))
    }

    /// Whether the same call may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(anyhow::Error::new(error).context("data that does not read as its own type"))
    }
}
