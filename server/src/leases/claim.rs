//! Claims: a runner asks for a stage and waits for one.
//!
//! The run is locked before its stage is looked at, as everywhere. Candidates of runs that somebody is at work on
//! are passed over first, so that many runners do not queue up behind one run; when only such are left, the claim
//! waits for the lock like everybody else. A stage that cannot be handed out for a reason of its own (a template, a
//! secret) fails with that reason and does not stand in the way of others.

use std::time::Duration;

use tidegate_protocol::{
    ids::{RunnerId, StageId},
    messages::{Claim, Lease, Outcome},
    status::{AttemptStatus, DeploymentStatus, StageStatus},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{clean, prepare};
use crate::{
    app::App,
    deploy,
    error::Error,
    hub::{Hint, wait_for},
    schedule::{self, AttemptEnd},
    store::{Candidate, Closing, Tx},
};

/// How long a claim sleeps when no hint comes.
const POLL: Duration = Duration::from_secs(2);
/// Labels of a runner, and characters of one, at most.
const MAX_LABELS: usize = 100;

/// Leases a stage to the runner; waits up to the claim's `wait_ms` for one, or until the server stops.
pub async fn claim(
    app: &App,
    runner: RunnerId,
    claim: &Claim,
    stop: &CancellationToken,
) -> Result<Option<Lease>, Error> {
    let claim = checked(claim)?;
    let deadline = Instant::now() + Duration::from_millis(claim.wait_ms);
    // Interest is registered before the first look.
    let mut hints = app.hub.subscribe();
    let mut tx = app.db.begin().await?;
    tx.runner_called(runner, &claim).await?;
    tx.commit().await?;
    let name = app.db.runner_name(runner).await?;
    let claimer = Claimer { app, runner, name, labels: &claim.labels };
    loop {
        if let Some(lease) = claimer.look().await? {
            return Ok(Some(lease));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stop.is_cancelled() {
            return Ok(None);
        }
        tokio::select! {
            () = wait_for(&mut hints, left.min(POLL), |hint| hint == Hint::StageQueued) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// The claim as it may be stored.
fn checked(claim: &Claim) -> Result<Claim, Error> {
    let fits = |text: &String| (1..=MAX_LABELS).contains(&text.chars().count()) && !text.contains('\0');
    if claim.labels.len() > MAX_LABELS || !claim.labels.iter().all(fits) {
        return Err(Error::Invalid(format!(
            "a runner has at most {MAX_LABELS} labels of 1 to {MAX_LABELS} characters; give it fewer or shorter ones"
        )));
    }
    let mut claim = claim.clone();
    claim.labels.sort();
    claim.labels.dedup();
    claim.version = clean(claim.version).chars().take(MAX_LABELS).collect();
    Ok(claim)
}

struct Claimer<'a> {
    app: &'a App,
    runner: RunnerId,
    name: String,
    labels: &'a [String],
}

impl Claimer<'_> {
    /// Leases the oldest stage that there is now.
    async fn look(&self) -> Result<Option<Lease>, Error> {
        // What was found not to be handed out is not offered again at this look.
        let mut except: Vec<StageId> = Vec::new();
        loop {
            let mut tx = self.app.db.begin().await?;
            let mut candidate = tx.take_claimable(self.runner, self.labels, &except).await?;
            if candidate.is_none() {
                candidate = tx.claimable(self.runner, self.labels, &except).await?;
            }
            let Some(candidate) = candidate else { return Ok(None) };
            match self.grant(tx, candidate).await {
                Ok(Granted::Lease(lease)) => return Ok(Some(*lease)),
                Ok(Granted::Gone) => {}
                Ok(Granted::Held) => except.push(candidate.stage),
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    except.push(candidate.stage);
                    if let Err(error) = self.fail(candidate, &sentence(candidate, error)).await {
                        tracing::error!(?error, stage = %candidate.stage, "a stage can neither be leased nor failed");
                    }
                }
            }
        }
    }

    /// Leases the stage, in one transaction that is undone when anything is in the way.
    async fn grant(&self, mut tx: Tx, candidate: Candidate) -> Result<Granted, Error> {
        let run = match tx.lock_run(candidate.run).await {
            Ok(run) => run,
            Err(Error::NotFound(_)) => return Ok(Granted::Gone),
            Err(error) => return Err(error),
        };
        if !tx.still_claimable(candidate.stage, self.runner, self.labels).await? {
            return Ok(Granted::Gone);
        }
        let stages = tx.stages(run.id).await?;
        let Some(stage) = stages.iter().find(|stage| stage.id == candidate.stage) else {
            return Ok(Granted::Gone);
        };
        if let Err(reason) = deploy::claim_guard(&mut tx, &run, stage).await? {
            tx.commit().await?;
            tracing::info!(run = %run.id, stage = %stage.key, %reason, "a stage is not handed out");
            return Ok(Granted::Held);
        }
        let begun = tx.begin_attempt(stage.id, run.id, self.runner, self.app.config.lease).await?;
        tx.move_stage(stage.id, StageStatus::Queued, StageStatus::Running, None).await?;
        let message =
            format!("stage `{}` runs on runner `{}`, attempt {}", stage.key, self.name, begun.number);
        let detail =
            serde_json::json!({ "attempt": begun.id, "number": begun.number, "runner": self.runner });
        tx.event(run.id, Some(&stage.key), "stage.running", &message, detail).await?;
        schedule::tell_commands(&mut tx, &run, stage, DeploymentStatus::Deploying, None).await?;
        let lease = prepare::lease(self.app, &mut tx, &run, &stages, stage, begun).await?;
        tx.commit().await?;
        self.app.metrics.leases.inc();
        tracing::info!(run = %run.id, stage = %stage.key, attempt = %begun.id, runner = %self.name, "leased");
        Ok(Granted::Lease(Box::new(lease)))
    }

    /// A stage that cannot be handed out fails as an attempt that ended at once.
    async fn fail(&self, candidate: Candidate, reason: &str) -> Result<(), Error> {
        let mut tx = self.app.db.begin().await?;
        let run = tx.lock_run(candidate.run).await?;
        if !tx.still_claimable(candidate.stage, self.runner, self.labels).await? {
            return Ok(());
        }
        let begun = tx.begin_attempt(candidate.stage, run.id, self.runner, self.app.config.lease).await?;
        tx.move_stage(candidate.stage, StageStatus::Queued, StageStatus::Running, None).await?;
        let closing =
            Closing { status: AttemptStatus::Failed, reason: Some(reason), exit_code: None, finish: None };
        tx.close_attempt(begun.id, &closing).await?;
        let stage = tx.stage(candidate.stage).await?;
        let end = AttemptEnd {
            number: begun.number,
            status: AttemptStatus::Failed,
            outcome: Some(Outcome::Failed),
            reason: Some(reason.to_owned()),
            exit_code: None,
            outputs: Default::default(),
        };
        schedule::attempt_ended(&mut tx, &run, &stage, end).await?;
        tx.commit().await?;
        tracing::warn!(run = %run.id, stage = %stage.key, %reason, "a stage could not be handed out and failed");
        Ok(())
    }
}

/// What came of a candidate.
enum Granted {
    Lease(Box<Lease>),
    /// Somebody else took it, or it is no longer queued.
    Gone,
    /// Its deployment may not begin now.
    Held,
}

/// What people are told of a stage that could not be handed out.
fn sentence(candidate: Candidate, error: Error) -> String {
    match error {
        Error::Internal(inner) => {
            tracing::error!(stage = %candidate.stage, error = format!("{inner:#}"), "a stage cannot be handed out");
            "the server could not prepare this stage; its log says why".to_owned()
        }
        other => other.to_string(),
    }
}
