//! Carries an action out: the row with its old state in `WHERE`, the event, the hint, the message to the forge, all in
//! the caller's transaction.

use serde_json::json;
use tidegate_protocol::{
    ids::StageId,
    status::{DeploymentStatus, GateStatus, RunStatus, StageStatus},
};

use super::action::Action;
use crate::{
    deploy,
    error::Error,
    hub::Hint,
    store::{Moment, NewGate, RunRow, StageRow, Tx},
};

/// Carries one action out. `stages` are the run's, as they were when it was decided.
pub async fn apply(tx: &mut Tx, run: &RunRow, stages: &[StageRow], action: &Action) -> Result<(), Error> {
    match action {
        Action::MoveRun { to, reason } => move_run(tx, run, *to, reason.as_deref()).await,
        Action::ExplainRun { reason } => {
            tx.set_run_reason(run.id, Some(reason)).await?;
            tx.event(run.id, None, "run.pending", reason, json!({})).await
        }
        Action::End { stage, to, reason } => {
            end_stage(tx, run, find(stages, *stage)?, *to, Some(reason)).await
        }
        Action::Expand { stage, made } => super::expand::replace(tx, run, find(stages, *stage)?, made).await,
        Action::Queue { stage, environment, pinned, gate, begins } => {
            let stage = find(stages, *stage)?;
            if let Some(environment) = environment {
                tx.set_stage_environment(stage.id, environment).await?;
            }
            if let Some(gate) = gate {
                tx.consume_gate(*gate, true).await?;
            }
            for call in begins {
                tx.begin_call(run.id, call).await?;
            }
            tx.set_stage_dispatch(stage.id, *pinned, std::time::Duration::ZERO).await?;
            tx.move_stage(stage.id, stage.status, StageStatus::Queued, Some("waits for a runner")).await?;
            let message = format!("{} is ready for a runner", stage.key);
            tx.event(run.id, Some(&stage.key), "stage.queued", &message, json!({})).await?;
            tx.notify(Hint::StageQueued).await
        }
        Action::EnterGroup { stage, group } => tx.enter_group(*stage, group).await,
        Action::EnterCallGroup { call, group, concurrency } => {
            tx.enter_call_group(run.id, call, group, concurrency).await
        }
        Action::LeaveCallGroup { call } => tx.leave_call_group(run.id, call).await,
        Action::OpenGate { stage, environment, name, image, required } => {
            let stage = find(stages, *stage)?;
            let new = NewGate {
                run: run.id,
                stage: stage.id,
                environment: *environment,
                sha: &run.sha,
                plan_digest: run.plan_digest.as_deref().unwrap_or_default(),
                stage_digest: &stage.digest(),
                image,
            };
            let gate = tx.open_gate(&new).await?;
            tx.set_stage_environment(stage.id, name).await?;
            let reason = match required {
                0 => "waits for its timer".to_owned(),
                _ => format!("waits for approval: 0 of {required}"),
            };
            match stage.status {
                StageStatus::Gated => tx.set_stage_reason(stage.id, Some(&reason)).await?,
                from => tx.move_stage(stage.id, from, StageStatus::Gated, Some(&reason)).await?,
            }
            let detail = json!({ "gate": gate, "environment": name, "image": image });
            let message = format!("{} {reason}", stage.key);
            tx.event(run.id, Some(&stage.key), "gate.opened", &message, detail).await
        }
        Action::PassGate { gate, stage } => {
            tx.move_gate(*gate, GateStatus::Open, GateStatus::Approved, Some("its timer ended")).await?;
            let key = &find(stages, *stage)?.key;
            let message = format!("the timer of {key} ended");
            tx.event(run.id, Some(key), "gate.approved", &message, json!({ "gate": gate })).await
        }
        Action::ExpireGate { gate, stage } => {
            let reason = "its gate expired: nobody decided in time";
            tx.move_gate(*gate, GateStatus::Open, GateStatus::Expired, Some(reason)).await?;
            let key = &find(stages, *stage)?.key;
            tx.event(run.id, Some(key), "gate.expired", &format!("{key}: {reason}"), json!({ "gate": gate }))
                .await
        }
        Action::Hold { stage, environment, reason } => {
            let stage = find(stages, *stage)?;
            if let Some(environment) = environment {
                tx.set_stage_environment(stage.id, environment).await?;
            }
            tx.set_stage_reason(stage.id, Some(reason)).await?;
            let message = format!("{} {reason}", stage.key);
            tx.event(run.id, Some(&stage.key), "stage.held", &message, json!({})).await
        }
        Action::Stop { stage, reason } => {
            ask_to_stop(tx, run, find(stages, *stage)?, reason.as_deref()).await
        }
        Action::MoveDeployment { deployment, from, to, reason } => {
            move_deployment(tx, run, stages, *deployment, *from, *to, reason.as_deref()).await
        }
        Action::RollBack { deployment, to } => deploy::put_back(tx, run, stages, *deployment, *to).await,
    }
}

fn find(stages: &[StageRow], id: StageId) -> Result<&StageRow, Error> {
    stages
        .iter()
        .find(|stage| stage.id == id)
        .ok_or_else(|| Error::internal(format!("a decision names stage {id}, which is not the run's")))
}

/// Asks the runner of a stage to stop it. A reason stays with the stage, and is why it ended.
pub(crate) async fn ask_to_stop(
    tx: &mut Tx,
    run: &RunRow,
    stage: &StageRow,
    reason: Option<&str>,
) -> Result<(), Error> {
    tx.set_stage_cancel(stage.id, true).await?;
    let message = match reason {
        Some(reason) => {
            tx.set_stage_reason(stage.id, Some(reason)).await?;
            format!("{} is asked to stop: {reason}", stage.key)
        }
        None => format!("{} is asked to stop", stage.key),
    };
    tx.event(run.id, Some(&stage.key), "stage.stopping", &message, json!({})).await
}

/// Ends a stage. A gate that it still had is void.
pub(crate) async fn end_stage(
    tx: &mut Tx,
    run: &RunRow,
    stage: &StageRow,
    to: StageStatus,
    reason: Option<&str>,
) -> Result<(), Error> {
    tx.move_stage(stage.id, stage.status, to, reason).await?;
    if stage.status == StageStatus::Gated {
        tx.void_gates(stage.id, reason.unwrap_or("its stage ended")).await?;
    }
    if stage.status == StageStatus::Running {
        let went = match to {
            StageStatus::Succeeded => DeploymentStatus::Succeeded,
            _ => DeploymentStatus::Failed,
        };
        super::tell::commands(tx, run, stage, went, reason).await?;
    }
    let message = match reason {
        Some(reason) => format!("{} {to}: {reason}", stage.key),
        None => format!("{} {to}", stage.key),
    };
    tx.event(run.id, Some(&stage.key), &format!("stage.{to}"), &message, json!({})).await
}

async fn move_run(tx: &mut Tx, run: &RunRow, to: RunStatus, reason: Option<&str>) -> Result<(), Error> {
    tx.move_run(run.id, run.status, to, reason).await?;
    let message = match reason {
        Some(reason) => format!("the run is {to}: {reason}"),
        None => format!("the run is {to}"),
    };
    tx.event(run.id, None, &format!("run.{to}"), &message, json!({})).await?;
    match (run.status, to) {
        (_, to) if to.is_final() => super::tell::pipelines(tx, run, Moment::Completed).await?,
        (RunStatus::Pending, RunStatus::Running) => {
            super::tell::pipelines(tx, run, Moment::InProgress).await?;
        }
        _ => {}
    }
    super::tell::run(tx, run, to, reason, &[]).await
}

async fn move_deployment(
    tx: &mut Tx,
    run: &RunRow,
    stages: &[StageRow],
    id: tidegate_protocol::ids::DeploymentId,
    from: DeploymentStatus,
    to: DeploymentStatus,
    reason: Option<&str>,
) -> Result<(), Error> {
    tx.move_deployment(id, from, to, reason).await?;
    let deployment = tx.deployment(id).await?;
    let key = &find(stages, deployment.stage_id)?.key;
    let message = match reason {
        Some(reason) => format!("the deployment of {key} is {}: {reason}", words(to)),
        None => format!("the deployment of {key} is {}", words(to)),
    };
    let detail = json!({ "deployment": id, "image": deployment.image });
    tx.event(run.id, Some(key), &format!("deployment.{to}"), &message, detail).await?;
    super::tell::deployment(tx, run, &deployment).await
}

fn words(status: DeploymentStatus) -> &'static str {
    match status {
        DeploymentStatus::Deploying => "under way",
        DeploymentStatus::Verifying => "being verified",
        DeploymentStatus::Succeeded => "done",
        DeploymentStatus::Failed => "failed",
        DeploymentStatus::RolledBack => "rolled back",
        DeploymentStatus::Unknown => "unknown",
    }
}
