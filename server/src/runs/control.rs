//! What people do to a run: stop it, run it again, say how a lost deployment ended.

use std::{collections::BTreeSet, sync::Arc};

use serde::Deserialize;
use serde_json::json;
use tidegate_pipelines::plan::{StageKey, Verb};
use tidegate_protocol::{
    ids::{RunId, StageId},
    status::{RunStatus, StageStatus},
};
use utoipa::ToSchema;

use super::{Created, NewRun};
use crate::{
    actor::{Actor, Role},
    app::App,
    error::Error,
    schedule,
    store::{Moment, RunRow, StageRow, Tx},
};

/// What to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything, as a new run.
    All,
    /// What failed and what depends on it, in place.
    Failed,
}

/// Stops a run. Stages that wait end now; those at work are asked to stop and end when their runners say so.
pub async fn cancel(app: &App, run: RunId, actor: &Actor) -> Result<(), Error> {
    actor.require(Role::Developer, "cancel a run")?;
    stop(app, run, &actor.username).await
}

/// As [`cancel`], by anybody or anything. Twice is once; a run that ended is left as it is.
pub(super) async fn stop(app: &App, id: RunId, by: &str) -> Result<(), Error> {
    stop_if(app, id, by, |status| !status.is_final()).await
}

/// As [`stop`], but a run whose turn in its concurrency group has come is left as it is.
pub(super) async fn stop_waiting(app: &App, id: RunId, by: &str) -> Result<(), Error> {
    stop_if(app, id, by, |status| status == RunStatus::Pending).await
}

async fn stop_if(app: &App, id: RunId, by: &str, meant: fn(RunStatus) -> bool) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let run = tx.lock_run(id).await?;
    if !meant(run.status) || run.cancel_requested.is_some() {
        return Ok(());
    }
    tx.set_cancel_requested(id, Some(by)).await?;
    let message = format!("the run is stopped by {by}");
    tx.event(id, None, "run.cancelling", &message, json!({ "by": by })).await?;
    schedule::advance(&mut tx, id).await?;
    tx.commit().await
}

/// Runs it again; answers the run that does.
pub async fn rerun(app: &App, id: RunId, scope: Scope, actor: &Actor) -> Result<RunId, Error> {
    actor.require(Role::Developer, "run something again")?;
    match scope {
        Scope::All => whole(app, id, actor).await,
        Scope::Failed => in_place(app, id, actor).await,
    }
}

async fn whole(app: &App, id: RunId, actor: &Actor) -> Result<RunId, Error> {
    let run = app.db.run(id).await?;
    let Some(text) = app.db.source_text(id).await? else {
        return Err(Error::Refused("a rollback is not run again: ask the environment to go back".to_owned()));
    };
    let mut event = run.event.clone();
    event.actor.clone_from(&actor.username);
    event.payload = app.db.begin().await?.payload(id).await?;
    let new = NewRun {
        repository: run.repository_id,
        event: Arc::new(event),
        path: run.path,
        text,
        delivery: None,
        rerun_of: Some(id),
        depth: run.depth,
        skip: None,
    };
    match super::create(app, new).await? {
        Created::Run(run) | Created::Existing(run) => Ok(run),
        Created::NotTriggered(reason) | Created::Skipped(reason) | Created::Later(reason) => {
            Err(Error::Refused(reason))
        }
    }
}

/// What failed and what depends on it goes back to the start; what succeeded stays as it is.
async fn in_place(app: &App, id: RunId, actor: &Actor) -> Result<RunId, Error> {
    let mut tx = app.db.begin().await?;
    let run = tx.lock_run(id).await?;
    if !matches!(run.status, RunStatus::Failed | RunStatus::Cancelled | RunStatus::Warned) {
        return Err(Error::Refused(format!(
            "the run is {}: only one that failed, was cancelled or warned can be taken up again",
            run.status
        )));
    }
    if let Some(group) = &run.concurrency_group {
        tx.lock_group(run.repository_id, group).await?;
        if let Some((_, number, _)) = tx.open_runs_of_group(run.repository_id, group).await?.first() {
            return Err(Error::Refused(format!(
                "run {number} of its concurrency group is open: wait for its end, or run everything again"
            )));
        }
    }
    let stages = tx.stages(id).await?;
    if stages.iter().any(|stage| stage.status == StageStatus::Unknown) {
        return Err(Error::Refused(
            "say first how the deployment whose runner was lost has ended (settle it), then run this again"
                .to_owned(),
        ));
    }
    let again = to_run_again(&stages);
    if again.is_empty() {
        return Err(Error::Refused("no stage of this run failed; run everything again".to_owned()));
    }
    tx.set_cancel_requested(id, None).await?;
    tx.move_run(id, run.status, RunStatus::Running, None).await?;
    schedule::tell_pipelines(&mut tx, &run, Moment::InProgress).await?;
    for stage in stages.iter().filter(|stage| again.contains(&stage.key)) {
        tx.void_gates(stage.id, "the stage is run again").await?;
        reset(&mut tx, stage).await?;
    }
    let message = format!("{} runs what failed again", actor.username);
    tx.event(id, None, "run.rerun", &message, json!({ "by": actor.username, "stages": again })).await?;
    schedule::advance(&mut tx, id).await?;
    tx.commit().await?;
    Ok(id)
}

/// Back to blocked, as if it had never run, but for its attempts, which stay to be seen.
async fn reset(tx: &mut Tx, stage: &StageRow) -> Result<(), Error> {
    tx.move_stage(stage.id, stage.status, StageStatus::Blocked, None).await?;
    tx.set_stage_cancel(stage.id, false).await?;
    tx.set_stage_outputs(stage.id, &Default::default()).await
}

/// The stages that a rerun in place starts over: what did not succeed, what depends on that, and the deploy stage of
/// a smoke test among them, since what it deployed was taken back. What an earlier failure put back stays.
fn to_run_again(stages: &[StageRow]) -> BTreeSet<StageKey> {
    let bad = |stage: &&StageRow| {
        stage.rollback_of.is_none()
            && matches!(
                stage.status,
                StageStatus::Failed | StageStatus::Cancelled | StageStatus::Warned | StageStatus::Skipped
            )
    };
    // A stage that was skipped for a reason of its own is skipped for it again.
    let mut again: BTreeSet<StageKey> = stages.iter().filter(bad).map(|stage| stage.key.clone()).collect();
    if !stages.iter().filter(bad).any(|stage| stage.status != StageStatus::Skipped) {
        return BTreeSet::new();
    }
    loop {
        let mut more = BTreeSet::new();
        for stage in stages.iter().filter(|stage| stage.rollback_of.is_none()) {
            if let (true, Verb::Smoke(smoke)) = (again.contains(&stage.key), &stage.plan.verb) {
                more.insert(smoke.deploy.clone());
            }
            if stage.plan.needs.iter().any(|need| again.contains(&need.stage)) {
                more.insert(stage.key.clone());
            }
        }
        let before = again.len();
        again.extend(more);
        if again.len() == before {
            return again;
        }
    }
}

/// A person says how an `unknown` deploy stage ended. What depends on it goes on from there; a failed one is rolled
/// back.
pub async fn settle_unknown(app: &App, id: StageId, succeeded: bool, actor: &Actor) -> Result<(), Error> {
    actor.require(Role::ReleaseManager, "say how a deployment ended")?;
    let run = app.db.run_of_stage(id).await?;
    let mut tx = app.db.begin().await?;
    let run = tx.lock_run(run).await?;
    let stage = tx.stage(id).await?;
    if stage.status != StageStatus::Unknown {
        return Err(Error::Refused(format!(
            "the stage `{}` is {}: only an unknown one is settled",
            stage.key, stage.status
        )));
    }
    let (to, word) = match succeeded {
        true => (StageStatus::Succeeded, "succeeded"),
        false => (StageStatus::Failed, "failed"),
    };
    let reason = format!("{} says that it {word}", actor.username);
    tx.move_stage(id, StageStatus::Unknown, to, Some(&reason)).await?;
    let message = format!("{}: {reason}", stage.key);
    tx.event(run.id, Some(&stage.key), &format!("stage.{to}"), &message, json!({ "by": actor.username }))
        .await?;
    take_up(&mut tx, &run, &stage).await?;
    schedule::advance(&mut tx, run.id).await?;
    tx.audit(
        &actor.username,
        "stage.settled",
        &format!("run {} {}", run.number, stage.key),
        json!({ "as": word }),
    )
    .await?;
    tx.commit().await
}

/// What was skipped while the stage was unknown is looked at again, and a run that ended meanwhile goes on.
async fn take_up(tx: &mut Tx, run: &RunRow, settled: &StageRow) -> Result<(), Error> {
    if run.status.is_final() {
        tx.move_run(run.id, run.status, RunStatus::Running, None).await?;
    }
    let stages = tx.stages(run.id).await?;
    let mut open = BTreeSet::from([settled.key.clone()]);
    loop {
        let next = stages.iter().find(|stage| {
            !open.contains(&stage.key)
                && stage.status == StageStatus::Skipped
                && stage.plan.needs.iter().any(|need| open.contains(&need.stage))
        });
        let Some(stage) = next else { return Ok(()) };
        reset(tx, stage).await?;
        open.insert(stage.key.clone());
    }
}
