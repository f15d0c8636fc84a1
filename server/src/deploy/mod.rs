//! Deployments: the guard in front of each, their beginning, and the way back.
//!
//! How a deployment follows its stages is decided in [`crate::schedule`]. Here is what needs the database: the last
//! look before a stage is handed out, under the environment's lock, and the stages that put an earlier one back.

mod back;
mod guard;

pub(crate) use back::put_back;
pub use back::{rollback, source_of};
pub use guard::claim_guard;
use serde_json::json;
use tidegate_pipelines::plan::{StagePlan, Verb};
use tidegate_protocol::{ids::AttemptId, messages::DeploymentFacts};

use crate::{
    error::Error,
    schedule,
    store::{NewDeployment, RunRow, StageRow, Tx},
};

/// Records a deployment, before its stage is handed out. [`claim_guard`] has let it through in this transaction.
pub async fn begin(
    tx: &mut Tx,
    run: &RunRow,
    stage: &StageRow,
    resolved: &StagePlan,
    attempt: AttemptId,
) -> Result<DeploymentFacts, Error> {
    let Verb::Deploy(deploy) = &resolved.verb else {
        return Err(Error::internal(format!("stage {} is no deployment", stage.id)));
    };
    let name = deploy.environment.as_str();
    let environment =
        tx.lock_environment(run.repository_id, name).await?.ok_or(Error::NotFound("environment"))?;
    let (sha, _) = source_of(tx, run, stage).await?;
    let new = NewDeployment {
        environment: environment.id,
        run: run.id,
        stage: stage.id,
        attempt,
        image: deploy.image.as_str(),
        rollback_of: stage.rollback_of,
        actor: &run.actor,
        sha: &sha,
    };
    let begun = tx
        .begin_deployment(&new)
        .await?
        .ok_or_else(|| Error::internal("two deployments to one environment passed the guard"))?;
    let message = match stage.rollback_of {
        Some(_) => format!("{name} goes back to {}", begun.image),
        None => format!("{} is deployed to {name}", begun.image),
    };
    let detail = json!({ "deployment": begun.id, "environment": name, "image": begun.image, "previous_image": begun.previous_image });
    tx.event(run.id, Some(&stage.key), "deployment.deploying", &message, detail).await?;
    schedule::tell_deployment(tx, run, &begun).await?;
    Ok(DeploymentFacts {
        id: begun.id,
        previous_image: begun.previous_image,
        rollback: stage.rollback_of.is_some(),
    })
}
