//! `deploy`: what an environment runs is changed. The compose driver is carried out here; the command driver runs in a
//! sandbox like any steps, with [`facts`] in its environment.

use std::collections::BTreeMap;

use tidegate_pipelines::plan::{Deploy, Driver};
use tidegate_protocol::messages::Outcome;

use super::{as_step, compose};
use crate::stage::{Failure, StageContext, VerbResult};

/// What every deployment is told, as environment values, beside the stage's own.
pub fn facts(context: &StageContext, deploy: &Deploy) -> BTreeMap<String, String> {
    let deployment = context.lease.deployment.as_ref();
    let previous = deployment.and_then(|facts| facts.previous_image.clone()).unwrap_or_default();
    let rollback = deployment.is_some_and(|facts| facts.rollback);
    BTreeMap::from([
        ("TIDEGATE_IMAGE".to_owned(), deploy.image.as_str().to_owned()),
        ("TIDEGATE_PREVIOUS_IMAGE".to_owned(), previous),
        ("TIDEGATE_ENVIRONMENT".to_owned(), deploy.environment.as_str().to_owned()),
        ("TIDEGATE_ROLLBACK".to_owned(), rollback.to_string()),
    ])
}

/// Carries out a deployment by the compose driver. The command driver is none of its business.
pub async fn compose(context: &StageContext, deploy: &Deploy) -> VerbResult {
    let Driver::Compose { file, project, host, wait_seconds } = &deploy.driver else {
        return VerbResult::from(Failure::failed("this deployment has no compose file"));
    };
    let name = format!("deploy {}", deploy.environment.as_str());
    let mut result = as_step(context, &name, async |step| {
        let stack = compose::Stack {
            file,
            project: project.as_str(),
            host: host.as_ref().map(|host| host.as_str()),
            wait: std::time::Duration::from_secs(*wait_seconds),
            image: deploy.image.as_str(),
            facts: facts(context, deploy),
        };
        stack.up(context, step).await
    })
    .await;
    if let Some(failure) = &mut result.failure
        && matches!(failure.outcome, Outcome::Cancelled | Outcome::TimedOut)
    {
        // Half of its containers may have been replaced already.
        failure.reason = format!("{}; the deployment was interrupted and may be half done", failure.reason);
    }
    result
}
