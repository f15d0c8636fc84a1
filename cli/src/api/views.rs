//! What commands read of the server's answers. Fields that no command shows are left out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// A page of runs.
#[derive(Debug, Deserialize)]
pub struct Runs {
    /// Newest first.
    pub runs: Vec<Run>,
}

/// A run, with its stages where one was asked for.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    /// Id.
    pub id: String,
    /// Number in its repository.
    pub number: i64,
    /// `owner/name`.
    pub repository: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Where it is.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// What started it.
    pub event_kind: String,
    /// Commit.
    pub sha: String,
    /// The commit message's first line.
    pub title: String,
    /// Who caused it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its stages, in order.
    #[serde(default)]
    pub stages: Vec<Stage>,
    /// Its gates.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// What is wrong with its pipeline file.
    #[serde(default)]
    pub diagnostics: Vec<tidegate_pipelines::Diagnostic>,
}

impl Run {
    /// Whether nothing more happens to it by itself.
    pub fn is_final(&self) -> bool {
        !matches!(self.status.as_str(), "pending" | "running" | "waiting")
    }

    /// The stage with this key.
    pub fn stage(&self, key: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.key == key)
    }
}

/// A stage.
#[derive(Debug, Clone, Deserialize)]
pub struct Stage {
    /// Id.
    pub id: String,
    /// Unique in the run.
    pub key: String,
    /// `run`, `build`, ….
    pub verb: String,
    /// Where it is.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// The stages before it.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// The environment of a deploy or smoke stage.
    pub environment: Option<String>,
    /// Results for later stages.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its attempts, in order.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

/// A stage before another.
#[derive(Debug, Clone, Deserialize)]
pub struct Need {
    /// Its key.
    pub stage: String,
}

/// An attempt.
#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    /// Id.
    pub id: String,
    /// From 1.
    pub number: i64,
    /// Its steps, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// A step.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// From 0.
    pub index: u32,
    /// What the page shows.
    pub name: String,
    /// Where it is.
    pub status: String,
    /// Bytes of log stored so far.
    #[serde(default)]
    pub log_bytes: u64,
}

/// A page of gates.
#[derive(Debug, Deserialize)]
pub struct Gates {
    /// Oldest first.
    pub gates: Vec<Gate>,
}

/// A gate.
#[derive(Debug, Clone, Deserialize)]
pub struct Gate {
    /// Id.
    pub id: String,
    /// The run's number.
    pub run_number: i64,
    /// `owner/name`.
    pub repository: String,
    /// The stage behind it.
    pub stage: String,
    /// Where that deploys to.
    pub environment: EnvironmentName,
    /// Where it is.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// The commit that would be deployed.
    pub sha: String,
    /// The image that would be deployed.
    pub image: String,
    /// How many must agree.
    pub required_approvals: i64,
    /// What was decided so far.
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// What would change.
    pub changes: Option<Changes>,
}

/// An environment's name.
#[derive(Debug, Clone, Deserialize)]
pub struct EnvironmentName {
    /// `production`, ….
    pub name: String,
}

/// A decision at a gate.
#[derive(Debug, Clone, Deserialize)]
pub struct Decision {
    /// Who.
    pub username: String,
    /// `approve` or `reject`.
    pub verdict: String,
}

/// What a deployment would change.
#[derive(Debug, Clone, Deserialize)]
pub struct Changes {
    /// What runs now.
    pub current_image: Option<String>,
    /// What comes in, where known.
    pub commits: Option<Vec<Commit>>,
}

/// A commit.
#[derive(Debug, Clone, Deserialize)]
pub struct Commit {
    /// Forty hex digits.
    pub sha: String,
    /// First line.
    pub title: String,
    /// Who wrote it.
    pub author: String,
}

/// All environments.
#[derive(Debug, Deserialize)]
pub struct Environments {
    /// By repository and name.
    pub environments: Vec<Environment>,
}

/// An environment.
#[derive(Debug, Clone, Deserialize)]
pub struct Environment {
    /// Id.
    pub id: String,
    /// `owner/name`.
    pub repository: String,
    /// Its name.
    pub name: String,
    /// Where it answers.
    pub url: Option<String>,
    /// How many must agree.
    pub required_approvals: i64,
    /// Set: nothing is deployed.
    pub frozen_reason: Option<String>,
    /// What it runs.
    pub current: Option<Deployment>,
    /// What is on its way.
    pub in_progress: Option<Deployment>,
}

/// An environment's history.
#[derive(Debug, Deserialize)]
pub struct Deployments {
    /// Newest first.
    pub deployments: Vec<Deployment>,
}

/// A deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct Deployment {
    /// Id.
    pub id: String,
    /// The run's number.
    pub run_number: i64,
    /// What it put there.
    pub image: String,
    /// What it undoes.
    pub rollback_of: Option<String>,
    /// Where it is.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// Who caused it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
}

/// Something made: its id.
#[derive(Debug, Deserialize)]
pub struct Made {
    /// Its id.
    pub id: String,
}
