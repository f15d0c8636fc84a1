//! How deployments follow their stages, and when what they replaced is put back. Pure.

use tidegate_protocol::status::{DeploymentStatus, StageStatus};

use super::{
    action::Action,
    facts::{DeploymentFacts, Facts, StageFacts},
    needs::ended,
};

/// What is to be done about the deployments of a run.
pub fn follow(facts: &Facts) -> Vec<Action> {
    facts.deployments.iter().filter_map(|deployment| follow_one(facts, deployment)).collect()
}

fn follow_one(facts: &Facts, deployment: &DeploymentFacts) -> Option<Action> {
    let stage = facts.stages.iter().find(|stage| stage.id == deployment.stage)?;
    let step = |to, reason| {
        Some(Action::MoveDeployment { deployment: deployment.id, from: deployment.status, to, reason })
    };
    match deployment.status {
        DeploymentStatus::Deploying | DeploymentStatus::Unknown => match stage.status {
            StageStatus::Succeeded => {
                let checked = smokes(facts, stage).next().is_some();
                let to = if checked { DeploymentStatus::Verifying } else { DeploymentStatus::Succeeded };
                step(to, None)
            }
            // What failed was not deployed, even where the run may go on without it.
            StageStatus::Failed | StageStatus::Warned | StageStatus::Cancelled => {
                let why = stage.reason.clone().unwrap_or_else(|| ended(stage.status).to_owned());
                step(DeploymentStatus::Failed, Some(why))
            }
            StageStatus::Unknown if deployment.status == DeploymentStatus::Deploying => {
                step(DeploymentStatus::Unknown, stage.reason.clone())
            }
            _ => None,
        },
        DeploymentStatus::Verifying => {
            let bad = smokes(facts, stage)
                .find(|smoke| matches!(smoke.status, StageStatus::Failed | StageStatus::Unknown));
            if let Some(smoke) = bad {
                let why = smoke.reason.as_deref().unwrap_or("it failed");
                return step(DeploymentStatus::Failed, Some(format!("`{}`: {why}", smoke.key())));
            }
            if !smokes(facts, stage).all(|smoke| smoke.status.is_final()) {
                return None;
            }
            let unchecked = smokes(facts, stage)
                .find(|smoke| matches!(smoke.status, StageStatus::Skipped | StageStatus::Cancelled));
            step(
                DeploymentStatus::Succeeded,
                unchecked.map(|smoke| format!("not verified: `{}` {}", smoke.key(), ended(smoke.status))),
            )
        }
        DeploymentStatus::Failed => {
            if is_back(facts, deployment) {
                return step(
                    DeploymentStatus::RolledBack,
                    Some("it failed, and what ran before was put back".to_owned()),
                );
            }
            let begun = facts.stages.iter().any(|one| one.rollback_of == Some(deployment.id));
            let to = deployment.previous.filter(|_| deployment.rollback_of.is_none() && !begun)?;
            Some(Action::RollBack { deployment: deployment.id, to })
        }
        DeploymentStatus::Succeeded | DeploymentStatus::RolledBack => None,
    }
}

/// Whether another deployment of this run undid this one.
pub fn is_back(facts: &Facts, undone: &DeploymentFacts) -> bool {
    facts
        .deployments
        .iter()
        .any(|one| one.rollback_of == Some(undone.id) && one.status == DeploymentStatus::Succeeded)
}

/// Whether a stage was to undo a deployment whose own stage has been run again since, and has gone well.
pub fn is_history(facts: &Facts, stage: &StageFacts) -> bool {
    let undone = facts.deployments.iter().find(|one| Some(one.id) == stage.rollback_of);
    undone.is_some_and(|undone| {
        facts
            .deployments
            .iter()
            .any(|one| one.stage == undone.stage && one.status == DeploymentStatus::Succeeded)
    })
}

/// The smoke stages of a deploy stage.
fn smokes<'a>(facts: &'a Facts, deploy: &'a StageFacts) -> impl Iterator<Item = &'a StageFacts> {
    facts.stages.iter().filter(|stage| stage.checks() == Some(deploy.key()))
}
