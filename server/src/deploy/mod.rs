//! Deployments: what changes what an environment runs, and how it goes back.

use tidegate_protocol::ids::{DeploymentId, EnvironmentId, RunId};

use crate::{actor::Actor, app::App, error::Error};

/// Goes back to an earlier deployment of the environment, by a new run.
pub async fn rollback(
    _app: &App,
    _environment: EnvironmentId,
    _to: DeploymentId,
    _actor: &Actor,
) -> Result<RunId, Error> {
    Err(Error::internal("not built yet"))
}
