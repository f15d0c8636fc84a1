//! Scheduling: what a run does next.
//!
//! ```text
//! gather (facts, under the run's lock) -> decide (pure) -> apply (one transaction)
//! ```
//!
//! [`advance`] is called in the transaction of whatever changed the run: its creation, an attempt's end, a decision
//! at a gate, a request to cancel, a timer. A crash in between undoes all of it, so there is no half-moved run.

mod action;
mod apply;
mod decide;
mod deployments;
mod expand;
mod facts;
mod gather;
mod groups;
mod lenient;
mod needs;
mod retry;
#[cfg(test)]
mod simulation;
mod tell;

pub(crate) use apply::end_stage;
pub(crate) use decide::{not_from_here, overtaken, subject};
pub(crate) use expand::add as add_stages;
pub(crate) use facts::goes_first;
pub use gather::plan_of;
pub use lenient::{Ended, Lenient, name_run};
pub use retry::AttemptEnd;
use retry::Next;
use serde_json::json;
pub(crate) use tell::{
    commands as tell_commands, deployment as tell_deployment, pipelines as tell_pipelines, run as tell_run,
    skipped as tell_skipped,
};
use tidegate_pipelines::{
    Context, EnvironmentFacts, ResolveError, StageFacts as EndedStage,
    plan::{StagePlan, path_of},
};
use tidegate_protocol::{
    ids::RunId,
    status::{AttemptStatus, StageStatus},
};

use crate::{
    error::Error,
    store::{RunRow, StageRow, Tx},
};

/// Rounds of deciding after which something is wrong with the decision itself.
const MOST_ROUNDS: usize = 200;

/// Does everything that is to be done about a run now. The caller has locked the run.
pub async fn advance(tx: &mut Tx, id: RunId) -> Result<(), Error> {
    for _ in 0..MOST_ROUNDS {
        let run = tx.lock_run(id).await?;
        if run.status.is_final() {
            return Ok(());
        }
        let stages = tx.stages(id).await?;
        let facts = gather::gather(tx, &run, &stages).await?;
        let actions = decide::decide(&facts);
        if actions.is_empty() {
            return Ok(());
        }
        for action in &actions {
            apply::apply(tx, &run, &stages, action).await?;
        }
    }
    Err(Error::internal(format!("the decision about run {id} does not come to an end")))
}

/// Stops one stage: what waits ends now, what is at work is asked to stop. What ended or was asked already is left as it
/// is. The run is locked.
pub async fn stop_stage(tx: &mut Tx, run: &RunRow, stage: &StageRow, reason: &str) -> Result<(), Error> {
    if stop(tx, run, stage, reason).await? { advance(tx, run.id).await } else { Ok(()) }
}

/// Stops all stages of a call in the same way. The run is locked.
pub async fn stop_call(tx: &mut Tx, run: &RunRow, call: &str, reason: &str) -> Result<(), Error> {
    let stages = tx.stages(run.id).await?;
    let calls = gather::plan_of(run)?.calls_with(stages.iter().map(|stage| &stage.plan));
    let is_inside =
        |stage: &&StageRow| path_of(&calls, stage.plan.call.as_deref()).iter().any(|outer| outer.key == call);
    for stage in stages.iter().filter(is_inside) {
        stop(tx, run, stage, reason).await?;
    }
    tx.stop_call(run.id, call).await?;
    advance(tx, run.id).await
}

/// False: there was nothing to stop.
async fn stop(tx: &mut Tx, run: &RunRow, stage: &StageRow, reason: &str) -> Result<bool, Error> {
    match stage.status {
        StageStatus::Blocked | StageStatus::Gated | StageStatus::Queued => {
            apply::end_stage(tx, run, stage, StageStatus::Cancelled, Some(reason)).await?;
        }
        StageStatus::Running if !stage.cancel_requested => {
            apply::ask_to_stop(tx, run, stage, Some(reason)).await?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The stages that have ended, as expressions see them.
pub fn ended(stages: &[StageRow]) -> Ended {
    let ended = stages.iter().filter(|stage| stage.status.is_final());
    ended
        .map(|stage| {
            let facts =
                EndedStage { status: stage.status.as_str().to_owned(), outputs: stage.outputs.clone() };
            (stage.key.clone(), facts)
        })
        .collect()
}

/// What the templates and conditions of a stage see: the event, inputs, stages that ended, its environment.
pub async fn context(
    tx: &mut Tx,
    run: &RunRow,
    stages: &[StageRow],
    stage: &StageRow,
) -> Result<Context, Error> {
    let mut context = gather::base_context(tx, run).await?;
    context.stages = ended(stages);
    if let Some(name) = &stage.environment {
        let environments = tx.environments_of(run.repository_id).await?;
        let url = environments.into_iter().find(|one| &one.name == name).and_then(|one| one.url);
        context.environment = Some(EnvironmentFacts { name: name.clone(), url });
    }
    Ok(context)
}

/// A stage with all its templates literal, as a runner receives it. The stages of a rollback are literal already, and
/// are not read again: what an earlier run filled in is text, not templates.
pub async fn resolve(
    tx: &mut Tx,
    run: &RunRow,
    stages: &[StageRow],
    stage: &StageRow,
) -> Result<Result<StagePlan, ResolveError>, Error> {
    if stage.rollback_of.is_some() {
        return Ok(Ok(stage.plan.clone()));
    }
    let context = context(tx, run, stages, stage).await?;
    Ok(tidegate_pipelines::resolve(&stage.plan, &context))
}

/// An attempt ended: its stage ends or is queued again, and the run goes on. The run is locked and the attempt's row
/// is closed already.
pub async fn attempt_ended(
    tx: &mut Tx,
    run: &RunRow,
    stage: &StageRow,
    mut end: AttemptEnd,
) -> Result<(), Error> {
    end.number -= stage.attempts_before;
    let stopping = stage.cancel_requested || (run.cancel_requested.is_some() && stage.rollback_of.is_none());
    let lost = end.status == AttemptStatus::Lost;
    if stage.cancel_requested && stage.reason.is_some() {
        // Why it was asked to stop says more than that it did.
        end.reason.clone_from(&stage.reason);
    }
    match retry::after(&stage.plan, &end, stopping) {
        Next::Again { wait, reason } => {
            tx.move_stage(stage.id, stage.status, StageStatus::Queued, Some(&reason)).await?;
            tx.set_stage_dispatch(stage.id, stage.pinned_runner, wait).await?;
            let kind = if lost { "stage.lost" } else { "stage.retried" };
            let detail = json!({ "attempt": end.number, "wait_seconds": wait.as_secs() });
            let message = format!("{} is queued again: {reason}", stage.key);
            tx.event(run.id, Some(&stage.key), kind, &message, detail).await?;
            tx.notify(crate::hub::Hint::StageQueued).await?;
        }
        Next::End { to, reason } => {
            if to == StageStatus::Succeeded || to == StageStatus::Warned {
                tx.set_stage_outputs(stage.id, &end.outputs).await?;
            }
            apply::end_stage(tx, run, stage, to, reason.as_deref()).await?;
        }
    }
    advance(tx, run.id).await
}
