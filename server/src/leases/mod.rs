//! Leases: which runner works at which stage, and the fence around what it writes.
//!
//! A claim ([`claim`]) makes an attempt with a new epoch and a lease by the database's clock. The runner renews;
//! when it does not, the sweep ([`crate::tasks::sweep`]) calls the attempt lost, not before lease and margin have
//! passed. By then the runner has ended everything of it by itself. Whatever still comes is refused by
//! [`crate::store::Tx::fenced`] and kept in `refused_writes`.
//!
//! The races, and what decides them:
//! - Two runners claim the same stage: the run's lock. The second sees that the stage is no longer queued.
//! - A stage is cancelled while it is claimed: the run's lock.
//! - A renewal meets the sweep: the attempt's row. Either the sweep sees the new expiry and lets go, or the renewal
//!   sees `lost` and is refused.
//! - A log chunk or a step meets the end of its attempt: the attempt's row, locked `for share` by the write.
//! - A report of the end meets the sweep: the run's lock. Who comes second changes nothing.
//! - A claim's answer is lost on the way: nobody renews, and the attempt is lost like any other.
//! - The server or the database was away: a lease that ran out meanwhile is still good until somebody calls it
//!   lost, and that waits until runners have had the time to renew.

mod append;
mod claim;
mod emitted;
mod facts;
mod finish;
mod prepare;

use tidegate_protocol::{
    ids::{AttemptId, RunnerId},
    messages::{Renew, Renewed, StepReport},
    status::StepStatus,
};

pub use append::append_log;
pub(crate) use append::newlines;
pub use claim::claim;
pub use finish::finish;

use crate::{
    app::App,
    error::Error,
    store::{Held, Tx},
};

/// Steps of an attempt at most.
const MAX_STEPS: u32 = 10_000;
/// A step's name, in characters.
const MAX_NAME: usize = 300;

/// The runner is still at work.
pub async fn renew(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    renew: &Renew,
) -> Result<Renewed, Error> {
    let backlog = i64::try_from(renew.backlog_bytes).unwrap_or(i64::MAX);
    let mut tx = app.db.begin().await?;
    let renewed = tx.renew_lease(runner, attempt, epoch, app.config.lease, backlog).await;
    let cancel = counted(app, renewed)?;
    tx.runner_seen(runner).await?;
    tx.commit().await?;
    Ok(Renewed { expires_in_ms: milliseconds(app.config.lease), cancel })
}

/// A step began or ended.
pub async fn report_step(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    report: &StepReport,
) -> Result<(), Error> {
    let index = step_index(report.index)?;
    let mut report = report.clone();
    report.name = clean(report.name).chars().take(MAX_NAME).collect();
    let mut tx = app.db.begin().await?;
    let held = held(app, &mut tx, runner, attempt, epoch, "steps").await?;
    if tx.put_step(attempt, index, &report).await? && report.status != StepStatus::Pending {
        let message = step_message(&report);
        let kind = format!("step.{}", report.status);
        let detail = serde_json::json!({ "attempt": attempt, "step": report.index });
        tx.event(held.run, Some(&held.stage_key), &kind, &message, detail).await?;
    }
    tx.commit().await
}

/// One sentence about a step.
fn step_message(report: &StepReport) -> String {
    let name = &report.name;
    match (report.status, report.exit_code) {
        (StepStatus::Pending, _) => format!("step `{name}` is to come"),
        (StepStatus::Running, _) => format!("step `{name}` began"),
        (StepStatus::Succeeded, _) => format!("step `{name}` succeeded"),
        (StepStatus::Failed, Some(code)) => format!("step `{name}` failed with exit code {code}"),
        (StepStatus::Failed, None) => format!("step `{name}` failed"),
        (StepStatus::Skipped, _) => format!("step `{name}` was skipped"),
        (StepStatus::Cancelled, _) => format!("step `{name}` was stopped"),
    }
}

/// [`Tx::fenced`], counted.
pub(crate) async fn held(
    app: &App,
    tx: &mut Tx,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    call: &str,
) -> Result<Held, Error> {
    counted(app, tx.fenced(runner, attempt, epoch, call).await)
}

fn counted<T>(app: &App, result: Result<T, Error>) -> Result<T, Error> {
    if let Err(Error::Fenced(reason)) = &result {
        app.metrics.fenced.inc();
        tracing::warn!(%reason, "a runner's write was refused");
    }
    result
}

/// A step's index as the database has it.
fn step_index(step: u32) -> Result<i32, Error> {
    if step >= MAX_STEPS {
        return Err(Error::Invalid(format!(
            "an attempt has at most {MAX_STEPS} steps, so there is no step {step}"
        )));
    }
    Ok(i32::try_from(step).unwrap_or(i32::MAX))
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Postgres keeps no NUL in text.
fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_postgres_refuses_is_made_fit() {
        assert_eq!(clean("a\0b".to_owned()), "a\u{fffd}b");
        assert_eq!(clean("plain".to_owned()), "plain");
    }

    #[test]
    fn a_step_far_out_is_no_step() {
        assert!(step_index(u32::MAX).is_err());
        assert_eq!(step_index(9_999).unwrap(), 9_999);
    }
}
