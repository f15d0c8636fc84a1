//! Environments: places that things are deployed to, and their rules.

use serde::Deserialize;
use tidegate_protocol::ids::{EnvironmentId, RepositoryId};
use utoipa::ToSchema;

use crate::{
    actor::Actor,
    app::App,
    error::Error,
    store::views::{Deployment, Environment},
};

fn later<T>() -> Result<T, Error> {
    Err(Error::internal("not built yet"))
}

/// The rules of an environment.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Where it can be reached.
    pub url: Option<String>,
    /// How many people must approve.
    pub required_approvals: i32,
    /// The role they need: `developer`, `release_manager` or `admin`.
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
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            url: None,
            required_approvals: 0,
            approver_role: "release_manager".to_owned(),
            approvers: Vec::new(),
            allow_self_approval: false,
            branches: Vec::new(),
            wait_seconds: 0,
            gate_expires_seconds: 30 * 24 * 3600,
        }
    }
}

/// Makes an environment, or sets its rules.
pub async fn upsert(
    _app: &App,
    _repository: RepositoryId,
    _name: &str,
    _rules: Rules,
    _actor: &Actor,
) -> Result<Environment, Error> {
    later()
}

/// Deletes an environment with its history.
pub async fn delete(_app: &App, _id: EnvironmentId, _actor: &Actor) -> Result<(), Error> {
    later()
}

/// Holds all deployments to it.
pub async fn freeze(_app: &App, _id: EnvironmentId, _reason: &str, _actor: &Actor) -> Result<(), Error> {
    later()
}

/// Lets them go on.
pub async fn unfreeze(_app: &App, _id: EnvironmentId, _actor: &Actor) -> Result<(), Error> {
    later()
}

/// All environments, with what they run.
pub async fn list(_app: &App) -> Result<Vec<Environment>, Error> {
    later()
}

/// One environment.
pub async fn get(_app: &App, _id: EnvironmentId) -> Result<Environment, Error> {
    later()
}

/// The deployments of an environment, newest first.
pub async fn deployments(_app: &App, _id: EnvironmentId) -> Result<Vec<Deployment>, Error> {
    later()
}
