//! Environments, their gates and deployments, as pages show them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_protocol::{
    ids::{DeploymentId, EnvironmentId, GateId, RepositoryId, RunId, StageId},
    status::{DeploymentStatus, GateStatus},
};
use utoipa::ToSchema;

/// An environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: EnvironmentId,
    /// Its repository's id.
    #[schema(value_type = Uuid)]
    pub repository_id: RepositoryId,
    /// Its repository, `owner/name`.
    pub repository: String,
    /// Its name.
    pub name: String,
    /// Where it can be reached.
    pub url: Option<String>,
    /// How many people must approve.
    pub required_approvals: i32,
    /// The role they need.
    pub approver_role: String,
    /// Only these, when there are any.
    pub approvers: Vec<String>,
    /// Whether who caused a run may approve it.
    pub allow_self_approval: bool,
    /// Globs of the branches and tags that may deploy; empty: all.
    pub branches: Vec<String>,
    /// Seconds between the gate's opening and the deployment, at least.
    pub wait_seconds: i32,
    /// Seconds until an undecided gate expires.
    pub gate_expires_seconds: i32,
    /// Set: nothing is deployed, and why.
    pub frozen_reason: Option<String>,
    /// What it runs.
    pub current: Option<Deployment>,
    /// What is under way.
    pub in_progress: Option<Deployment>,
}

/// A deployment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: DeploymentId,
    /// Its environment's id.
    #[schema(value_type = Uuid)]
    pub environment_id: EnvironmentId,
    /// Its environment's name.
    pub environment: String,
    /// Its run.
    #[schema(value_type = Uuid)]
    pub run_id: RunId,
    /// Its run's number.
    pub run_number: i64,
    /// What was deployed.
    pub image: String,
    /// What it replaced.
    pub previous_image: Option<String>,
    /// The deployment that it undoes.
    #[schema(value_type = Option<Uuid>)]
    pub rollback_of: Option<DeploymentId>,
    /// Where it is.
    #[schema(value_type = String)]
    pub status: DeploymentStatus,
    /// Why it is there.
    pub reason: Option<String>,
    /// Who caused it.
    pub actor: String,
    /// The commit.
    pub sha: String,
    /// The commit message's first line.
    pub title: String,
    /// When it began.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub finished_at: Option<Timestamp>,
}

/// A gate.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Gate {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: GateId,
    /// Its run.
    #[schema(value_type = Uuid)]
    pub run_id: RunId,
    /// Its run's number.
    pub run_number: i64,
    /// Its repository, `owner/name`.
    pub repository: String,
    /// The id of the stage that waits.
    #[schema(value_type = Uuid)]
    pub stage_id: StageId,
    /// The key of the stage that waits.
    pub stage: String,
    /// What would be deployed to.
    pub environment: EnvironmentName,
    /// Where it is.
    #[schema(value_type = String)]
    pub status: GateStatus,
    /// Why it is there.
    pub reason: Option<String>,
    /// The commit that an approval is for.
    pub sha: String,
    /// The image that an approval is for.
    pub image: String,
    /// How many people must approve.
    pub required_approvals: i32,
    /// What was decided so far.
    pub decisions: Vec<Decision>,
    /// When it opened.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When its wait timer ends.
    #[schema(value_type = String)]
    pub ready_at: Timestamp,
    /// When it expires.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
    /// Whether the person who asks may decide.
    pub may_approve: MayApprove,
    /// Who may.
    pub approvers: Vec<Person>,
    /// What would change.
    pub changes: Changes,
}

/// An environment, named.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentName {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: EnvironmentId,
    /// Its name.
    pub name: String,
    /// Where it can be reached.
    pub url: Option<String>,
}

/// One person's decision.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// Who.
    pub username: String,
    /// Their role at the time.
    pub role: String,
    /// `approve` or `reject`.
    pub verdict: String,
    /// What they said.
    pub comment: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
}

/// Whether the person who asks may decide.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct MayApprove {
    /// Yes or no.
    pub allowed: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// A person, named.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The log-in name.
    pub username: String,
    /// The name for people.
    pub display_name: String,
}

/// What a deployment would change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    /// What the environment runs.
    pub current_image: Option<String>,
    /// The commit of that.
    pub current_sha: Option<String>,
    /// What would run.
    pub new_image: String,
    /// The commit of that.
    pub new_sha: String,
    /// The commits between, when they are known.
    pub commits: Option<Vec<Commit>>,
    /// Since when the environment runs what it runs.
    #[schema(value_type = Option<String>)]
    pub current_deployed_at: Option<Timestamp>,
}

/// A commit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Commit {
    /// Forty hex digits.
    pub sha: String,
    /// The message's first line.
    pub title: String,
    /// Its author's name.
    pub author: String,
}
