//! Runs as pages show them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_protocol::{
    ids::{ArtifactId, AttemptId, DeploymentId, RepositoryId, RunId, RunnerId, StageId},
    status::{AttemptStatus, RunStatus, StageStatus, StepStatus},
};
use utoipa::ToSchema;

use super::{Deployment, Gate};
use crate::reports::Summary;

/// A run in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: RunId,
    /// Its number in its repository.
    pub number: i64,
    /// Its repository's id.
    #[schema(value_type = Uuid)]
    pub repository_id: RepositoryId,
    /// Its repository, `owner/name`.
    pub repository: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Path of its pipeline file.
    pub path: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub status: RunStatus,
    /// Why it is there.
    pub reason: Option<String>,
    /// What started it.
    pub event_kind: String,
    /// The commit.
    pub sha: String,
    /// The full ref.
    pub reference: String,
    /// The commit message's first line.
    pub title: String,
    /// Who caused it.
    pub actor: String,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When its first stage began.
    #[schema(value_type = Option<String>)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub finished_at: Option<Timestamp>,
    /// Its stages, counted by status.
    pub stage_counts: BTreeMap<String, i64>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only of this repository.
    pub repository: Option<RepositoryId>,
    /// Only of this pipeline file.
    pub path: Option<String>,
    /// Only in this state.
    pub status: Option<RunStatus>,
    /// Only those made before this one.
    pub before: Option<RunId>,
    /// How many at most.
    pub limit: i64,
}

/// A run's page.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    /// As in a list.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Mistakes in its pipeline file, as `tidegate_pipelines::Diagnostic`s.
    #[schema(value_type = Vec<Object>)]
    pub diagnostics: Vec<serde_json::Value>,
    /// Path of its pipeline file.
    pub source_path: Option<String>,
    /// The pipeline file.
    pub source_text: Option<String>,
    /// The run that this one repeats.
    #[schema(value_type = Option<Uuid>)]
    pub rerun_of: Option<RunId>,
    /// False for a fork's run.
    pub trusted: bool,
    /// Who asked it to stop.
    pub cancel_requested: Option<String>,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
    /// Its gates.
    pub gates: Vec<Gate>,
    /// Its artifacts.
    pub artifacts: Vec<Artifact>,
    /// Its deployments.
    pub deployments: Vec<Deployment>,
}

/// An edge of the graph.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Need {
    /// The key of the stage before.
    pub stage: String,
    /// `succeeded`, `failed` or `finished`.
    pub accepts: String,
}

/// A stage.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: StageId,
    /// Its key in the plan.
    pub key: String,
    /// Its name in the file.
    pub name: String,
    /// What people call it; absent: its key.
    pub title: Option<String>,
    /// Its verb.
    pub verb: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub status: StageStatus,
    /// Why it is there.
    pub reason: Option<String>,
    /// What comes before.
    pub needs: Vec<Need>,
    /// Its place in the file.
    pub position: i32,
    /// The environment that it is about.
    pub environment: Option<String>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// The deployment that it undoes.
    #[schema(value_type = Option<Uuid>)]
    pub rollback_of: Option<DeploymentId>,
    /// When it became ready for a runner.
    #[schema(value_type = Option<String>)]
    pub queued_at: Option<Timestamp>,
    /// When its first attempt began.
    #[schema(value_type = Option<String>)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub finished_at: Option<Timestamp>,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Reports of its last attempt.
    pub reports: Vec<Report>,
}

/// The runner of an attempt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunnerName {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: RunnerId,
    /// Its name.
    pub name: String,
}

/// An attempt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: AttemptId,
    /// From 1.
    pub number: i32,
    /// Where it is.
    #[schema(value_type = String)]
    pub status: AttemptStatus,
    /// Why it ended as it did.
    pub reason: Option<String>,
    /// Exit code of the step that failed.
    pub exit_code: Option<i32>,
    /// Who executes it.
    pub runner: RunnerName,
    /// When it was leased.
    #[schema(value_type = String)]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub finished_at: Option<Timestamp>,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// A step of an attempt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// From 0; 0 is the runner's own set-up.
    pub index: i32,
    /// What the page shows.
    pub name: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub status: StepStatus,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// Milliseconds it took.
    pub duration_ms: Option<i64>,
    /// When it began.
    #[schema(value_type = Option<String>)]
    pub started_at: Option<Timestamp>,
    /// Bytes of log stored.
    pub log_bytes: i64,
    /// Newlines in them.
    pub log_lines: i64,
}

/// A report of a stage.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// `junit`, `tap`, `cobertura`, `lcov`, `sarif` or `annotations`.
    pub kind: String,
    /// The file's path in the workspace.
    pub path: String,
    /// What it says.
    pub summary: Summary,
}

/// An artifact.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: ArtifactId,
    /// The key of the stage that made it.
    pub stage: String,
    /// Its name there.
    pub name: String,
    /// Bytes of its `tar.zst`.
    pub size: i64,
    /// SHA-256 of them, hex.
    pub sha256: String,
    /// When it was stored.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it may be deleted.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Timestamp>,
}

/// One entry of a run's history.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunEvent {
    /// Global, growing: a stream resumes after it.
    pub seq: i64,
    /// The run.
    #[schema(value_type = Uuid)]
    pub run_id: RunId,
    /// The stage's key, when it is about one.
    pub stage: Option<String>,
    /// What kind of thing happened, `stage.queued` for example.
    pub kind: String,
    /// The same for people.
    pub message: String,
    /// Particulars.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
}
