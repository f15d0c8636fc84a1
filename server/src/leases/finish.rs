//! The end of an attempt, as its runner reports it.

use std::collections::BTreeMap;

use tidegate_protocol::{
    ids::{AttemptId, RunnerId},
    messages::{Finish, Outcome},
    status::AttemptStatus,
};

use super::{clean, counted, emitted::Reading, held};
use crate::{
    app::App,
    error::Error,
    results,
    schedule::{self, AttemptEnd},
    store::Closing,
};

/// A reason, in characters.
const MAX_REASON: usize = 2_000;

/// The attempt ended. The same report again is answered the same and changes nothing.
pub async fn finish(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    finish: Finish,
) -> Result<(), Error> {
    let finish = cleaned(finish);
    let reading = Reading::ahead(app, runner, attempt, epoch, &finish).await?;
    let mut tx = app.db.begin().await?;
    let Some(known) = tx.ending(attempt).await? else {
        held(app, &mut tx, runner, attempt, epoch, "finish").await?;
        return Err(Error::NotFound("attempt"));
    };
    // The run before the attempt. Read again afterwards: the first report may just have been taken.
    let run = tx.lock_run(known.run).await?;
    if let Some(known) = tx.ending(attempt).await?
        && known.runner == runner
        && known.epoch == epoch
        && known.finish.as_ref() == Some(&finish)
    {
        return Ok(());
    }
    let held = counted(app, tx.fenced(runner, attempt, epoch, "finish").await)?;
    let stage = tx.stage(held.stage).await?;
    let breached = match finish.outcome {
        Outcome::Succeeded => results::judge(&mut tx, &run, attempt, &stage.plan).await?,
        _ => None,
    };
    let (breached, added) = match (&reading, breached) {
        (Some(reading), None) => match reading.taken(&mut tx, &run, &stage, attempt).await? {
            Ok(added) => (None, Some(added)),
            Err(reason) => (Some(reason), None),
        },
        (_, breached) => (breached, None),
    };
    let (outcome, reason) = match breached {
        Some(reason) => (Outcome::Failed, Some(reason)),
        None => (finish.outcome.clone(), finish.reason.clone()),
    };
    let status = match outcome {
        Outcome::Succeeded => AttemptStatus::Succeeded,
        Outcome::Failed | Outcome::TimedOut | Outcome::Infrastructure => AttemptStatus::Failed,
        Outcome::Cancelled => AttemptStatus::Cancelled,
    };
    let closing =
        Closing { status, reason: reason.as_deref(), exit_code: finish.exit_code, finish: Some(&finish) };
    tx.close_attempt(attempt, &closing).await?;
    if let Some(added) = added {
        added.store(&mut tx, &run, &stage).await?;
    }
    let end = AttemptEnd {
        number: held.number,
        status,
        outcome: Some(outcome),
        reason,
        exit_code: finish.exit_code,
        outputs: finish.outputs,
    };
    schedule::attempt_ended(&mut tx, &run, &stage, end).await?;
    tx.runner_seen(runner).await?;
    tx.commit().await?;
    app.metrics.finishes.inc();
    tracing::info!(run = %run.id, stage = %held.stage_key, %attempt, %status, "an attempt ended");
    Ok(())
}

/// The report with text that the database can keep.
fn cleaned(finish: Finish) -> Finish {
    Finish {
        outcome: finish.outcome,
        reason: finish.reason.map(|reason| clean(reason).chars().take(MAX_REASON).collect()),
        exit_code: finish.exit_code,
        outputs: finish
            .outputs
            .into_iter()
            .map(|(name, value)| (clean(name), clean(value)))
            .collect::<BTreeMap<_, _>>(),
        emitted: finish.emitted.map(clean),
    }
}
