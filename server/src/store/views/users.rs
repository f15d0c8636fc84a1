//! People and their tokens, as pages show them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_protocol::ids::UserId;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::actor::Role;

/// A person who may log in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Their id.
    #[schema(value_type = Uuid)]
    pub id: UserId,
    /// The name they log in with.
    pub username: String,
    /// The name for people.
    pub display_name: String,
    /// What they may do.
    pub role: Role,
    /// May not log in, nor use tokens.
    pub disabled: bool,
    /// When they were added.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
}

/// A token for scripts, without its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// What its owner called it.
    pub name: String,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>)]
    pub last_used_at: Option<Timestamp>,
    /// When it ends.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Timestamp>,
}
