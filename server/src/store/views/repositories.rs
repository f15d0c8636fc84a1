//! Repositories, runners and the audit trail, as pages show them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_protocol::ids::{RepositoryId, RunnerId};
use utoipa::ToSchema;

/// A repository.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Repository {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: RepositoryId,
    /// `owner/name`.
    pub full_name: String,
    /// `github`, or `git` for one that is told of nothing.
    pub forge: String,
    /// Where it is cloned from.
    pub clone_url: String,
    /// Its default branch.
    pub default_branch: String,
    /// Path of its pipeline file.
    pub pipeline_path: String,
    /// Which files are pipelines: `file`, the one of `pipeline_path`; `tidegate`, that and those in `.tidegate`;
    /// `github`, those in `.github/workflows`; `both`, all of them.
    pub pipelines: String,
    /// When it was added.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
}

/// A secret, without its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretName {
    /// Its name.
    pub name: String,
    /// The environment it is for; absent: every stage.
    pub environment: Option<String>,
    /// Grows with each change.
    pub version: i32,
    /// When it was last changed.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: String,
}

/// A variable.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The environment it is for; absent: every stage.
    pub environment: Option<String>,
    /// Its value.
    pub value: String,
    /// When it was last changed.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: String,
}

/// A pipeline file at a commit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PipelineSummary {
    /// Its path.
    pub path: String,
    /// Whether a person may start it.
    pub manual: bool,
    /// What a person gives who does.
    pub inputs: Vec<PipelineInput>,
}

/// An input of a manual run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PipelineInput {
    /// Its name.
    pub name: String,
    /// `string`, `boolean`, `number`, `choice` or `environment`.
    pub kind: String,
    /// Whether a run cannot start without it.
    pub required: bool,
    /// The value when none is given.
    #[schema(value_type = Option<Object>)]
    pub default: Option<serde_json::Value>,
    /// The values of a choice.
    pub choices: Vec<String>,
    /// For the form.
    pub description: Option<String>,
}

/// A runner.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Runner {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: RunnerId,
    /// Its name.
    pub name: String,
    /// What it serves.
    pub labels: Vec<String>,
    /// Its program's version.
    pub version: String,
    /// When it enrolled.
    #[schema(value_type = String)]
    pub enrolled_at: Timestamp,
    /// When it last called.
    #[schema(value_type = Option<String>)]
    pub last_seen_at: Option<Timestamp>,
    /// How many stages it could take.
    pub free_slots: i32,
    /// Gets no work.
    pub disabled: bool,
    /// Called within the last minute.
    pub online: bool,
    /// Attempts that it is at work on.
    pub running: i64,
}

/// An entry of the audit trail.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// From 1, without gaps.
    pub seq: i64,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Particulars.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// Covers the entry and the hash before it, hex.
    pub hash: String,
}
