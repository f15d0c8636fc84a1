//! Who does something: a person, through a session or a token.

use serde::{Deserialize, Serialize};
use tidegate_protocol::ids::UserId;

use crate::error::Error;

/// What a person may do. Each role may do all that the ones before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Starts, cancels and reruns runs.
    Developer,
    /// Approves, rejects, freezes and rolls back.
    ReleaseManager,
    /// Everything, people and secrets included.
    Admin,
}

impl Role {
    /// The word in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::ReleaseManager => "release_manager",
            Self::Admin => "admin",
        }
    }

    /// The role for people to read.
    pub fn words(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::ReleaseManager => "release manager",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "developer" => Ok(Self::Developer),
            "release_manager" => Ok(Self::ReleaseManager),
            "admin" => Ok(Self::Admin),
            other => Err(Error::Invalid(format!(
                "`{other}` is no role: use viewer, developer, release_manager or admin"
            ))),
        }
    }
}

/// How a person proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A browser's session.
    Session,
    /// An API token.
    Token,
}

impl Via {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Token => "token",
        }
    }
}

/// A person at work. Made only by the authentication of a request (or by a test).
#[derive(Debug, Clone)]
pub struct Actor {
    /// The user's id.
    pub user: UserId,
    /// The user's name.
    pub username: String,
    /// The user's role now.
    pub role: Role,
    /// How they proved it.
    pub via: Via,
}

impl Actor {
    /// Refuses whoever has less than this role.
    pub fn require(&self, role: Role, what: &str) -> Result<(), Error> {
        if self.role >= role {
            return Ok(());
        }
        Err(Error::Forbidden(format!(
            "to {what} you need the role {}; {} is {}",
            role.words(),
            self.username,
            self.role.words()
        )))
    }
}
