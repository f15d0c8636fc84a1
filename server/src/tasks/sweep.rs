//! What time does by itself: leases that end, runners that fall silent, gates that expire, stages that nobody can
//! take.
//!
//! An attempt is called lost when its lease ended longer ago than [`MARGIN`], by the database's clock, and not
//! before this server and the database have been up for lease and margin: runners that could not renew because
//! nobody answered get the time to. Each attempt is a transaction of its own, and one that cannot be worked on does
//! not hold up the others.

use std::time::Duration;

use tidegate_protocol::{
    ids::{AttemptId, RunId},
    status::AttemptStatus,
};

use crate::{
    app::App,
    error::Error,
    schedule::{self, AttemptEnd},
    store::{Superseded, Waiting, WaitingStage},
};

/// What a runner may be late.
pub const MARGIN: Duration = Duration::from_secs(5);
/// What is said of a stage that a runner could take again.
const TAKEABLE: &str = "waits for a runner";

/// Looks at everything once. False: nothing was to be done.
pub async fn once(app: &App) -> Result<bool, Error> {
    let lost = lost_attempts(app).await?;
    superseded(app).await?;
    waiting_runs(app).await?;
    let explained = explain_waiting(app).await?;
    offline_runners(app).await?;
    Ok(lost || explained)
}

/// Calls attempts lost whose lease ended.
async fn lost_attempts(app: &App) -> Result<bool, Error> {
    if app.started.elapsed() < app.config.lease + MARGIN {
        return Ok(false);
    }
    let mut any = false;
    for (attempt, run) in app.db.expired_attempts(app.config.lease, MARGIN).await? {
        match lose(app, attempt, run).await {
            Ok(lost) => any |= lost,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => tracing::error!(%attempt, ?error, "an attempt could not be called lost"),
        }
    }
    Ok(any)
}

async fn lose(app: &App, attempt: AttemptId, run: RunId) -> Result<bool, Error> {
    let mut tx = app.db.begin().await?;
    let run = tx.lock_run(run).await?;
    let reason = "its runner was lost: the lease ended without a word from it";
    // Between the look and the lock the runner may have come back.
    let Some((stage, number)) = tx.lose_attempt(attempt, MARGIN, reason).await? else { return Ok(false) };
    let stage = tx.stage(stage).await?;
    let end = AttemptEnd {
        number,
        status: AttemptStatus::Lost,
        outcome: None,
        reason: Some(reason.to_owned()),
        exit_code: None,
        outputs: Default::default(),
    };
    schedule::attempt_ended(&mut tx, &run, &stage, end).await?;
    tx.commit().await?;
    app.metrics.lost.inc();
    tracing::warn!(run = %run.id, stage = %stage.key, %attempt, "an attempt was lost");
    Ok(true)
}

/// Runs that wait for time or for others: gates expire, timers end, environments and concurrency groups are free
/// again.
async fn waiting_runs(app: &App) -> Result<(), Error> {
    for run in app.db.runs_that_wait(1000).await? {
        match advance(app, run).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => tracing::error!(%run, ?error, "a run that waits could not be looked at"),
        }
    }
    Ok(())
}

/// What a newer one of its concurrency group takes the place of is stopped. Each in a transaction of its own: it belongs
/// to another run than the newer one, which waits for its end.
async fn superseded(app: &App) -> Result<(), Error> {
    for one in app.db.superseded(100).await? {
        match supersede(app, &one).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => tracing::error!(?one, ?error, "what is to give up its place could not be stopped"),
        }
    }
    Ok(())
}

async fn supersede(app: &App, one: &Superseded) -> Result<(), Error> {
    let reason = format!("`{}` of run {}, which is newer, takes its place", one.by, one.by_run);
    let mut tx = app.db.begin().await?;
    let run = tx.lock_run(one.run).await?;
    if let Some(id) = one.stage {
        let stage = tx.stage(id).await?;
        // Its turn may have come since.
        if !(one.waiting_only && stage.status.is_at_work()) {
            schedule::stop_stage(&mut tx, &run, &stage, &reason).await?;
        }
    } else if let Some(call) = &one.call {
        let known = tx.call_groups(run.id).await?.into_iter().find(|known| &known.call == call);
        if known.is_some_and(|known| !(one.waiting_only && known.at_work)) {
            schedule::stop_call(&mut tx, &run, call, &reason).await?;
        }
    }
    tx.commit().await
}

async fn advance(app: &App, run: RunId) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    if tx.try_lock_run(run).await?.is_some() {
        schedule::advance(&mut tx, run).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Says of queued stages that no runner online can take them, and takes it back.
async fn explain_waiting(app: &App) -> Result<bool, Error> {
    let mut any = false;
    for WaitingStage { stage, run, key, waiting } in app.db.waiting_stages().await? {
        let reason = why(&waiting).unwrap_or_else(|| TAKEABLE.to_owned());
        if waiting.reason.as_deref() == Some(&reason) {
            continue;
        }
        let mut tx = app.db.begin().await?;
        // Whoever has the run is about to change it, and the next look will see.
        if tx.try_lock_run(run).await?.is_none() || !tx.explain_queued(stage, &reason).await? {
            continue;
        }
        let message = format!("stage `{key}`: {reason}");
        tx.event(run, Some(&key), "stage.waiting", &message, serde_json::json!({ "reason": reason })).await?;
        tx.commit().await?;
        any = true;
    }
    Ok(any)
}

/// Why no runner can take a stage; none: one can. The words it begins with are known to
/// [`crate::store::Db::waiting_stages`].
fn why(waiting: &Waiting) -> Option<String> {
    if waiting.served {
        return None;
    }
    if let Some(name) = &waiting.pinned {
        let state = if waiting.disabled { "disabled" } else { "not online" };
        return Some(format!("runner `{name}`, the only one that can take it, is {state}"));
    }
    let labels = if waiting.missing.is_empty() { &waiting.labels } else { &waiting.missing };
    let with = match labels.as_slice() {
        [] => String::new(),
        [label] => format!(" with label {label}"),
        labels => format!(" with labels {}", labels.join(", ")),
    };
    let disabled = if waiting.disabled { "; one that is disabled could take it" } else { "" };
    Some(format!("no runner{with} is online{disabled}"))
}

/// Runners that fell silent have no free slots.
async fn offline_runners(app: &App) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    for name in tx.forget_free_slots().await? {
        tracing::warn!(runner = %name, "a runner is no longer online");
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_what_is_missing() {
        let stage = |labels: &[&str], missing: &[&str]| Waiting {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            missing: missing.iter().map(|label| (*label).to_owned()).collect(),
            ..Waiting::default()
        };
        assert_eq!(why(&Waiting { served: true, ..stage(&[], &[]) }), None);
        assert_eq!(why(&stage(&[], &[])).unwrap(), "no runner is online");
        assert_eq!(why(&stage(&["docker", "gpu"], &["gpu"])).unwrap(), "no runner with label gpu is online");
        // Each label is there, but on different runners.
        assert_eq!(why(&stage(&["arm", "gpu"], &[])).unwrap(), "no runner with labels arm, gpu is online");
        let disabled = Waiting { disabled: true, ..stage(&["gpu"], &["gpu"]) };
        assert!(why(&disabled).unwrap().ends_with("; one that is disabled could take it"));
        let pinned = Waiting { pinned: Some("one".to_owned()), ..stage(&["docker"], &[]) };
        assert_eq!(why(&pinned).unwrap(), "runner `one`, the only one that can take it, is not online");
    }
}
