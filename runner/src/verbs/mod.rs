//! What the runner does itself: `build`, `push`, the compose driver of `deploy`, and the HTTP checks of `smoke`. A
//! sandbox never sees the engine, a registry's credentials or the place that is deployed to.
//!
//! Each verb is one step of its attempt, prints to that step's log, and ends as a [`VerbResult`]. Commands in a sandbox
//! (the `command` driver, a smoke stage's `commands`) are the stage's own business, not a verb's.

pub mod build;
mod compose;
pub mod deploy;
mod http_check;
pub mod push;
pub mod smoke;

use std::{collections::BTreeMap, future::Future};

use tidegate_protocol::{messages::Outcome, status::StepStatus};

use crate::{
    logs::line,
    sandbox::EngineError,
    stage::{Failure, StageContext, VerbResult},
};

/// Runs a verb as one step: named, timed, ended by a cancel or the stage's deadline, its failure said in its log.
async fn as_step(
    context: &StageContext,
    name: &str,
    work: impl AsyncFnOnce(u32) -> Result<BTreeMap<String, String>, Failure>,
) -> VerbResult {
    let step = context.steps.begin(name);
    let outcome = interruptible(context, work(step)).await;
    let status = match &outcome {
        Ok(_) => StepStatus::Succeeded,
        Err(failure) if failure.outcome == Outcome::Cancelled => StepStatus::Cancelled,
        Err(_) => StepStatus::Failed,
    };
    if let Err(failure) = &outcome {
        line(&*context.log, step, &failure.reason);
    }
    context.log.end(step);
    context.steps.end(step, status, outcome.as_ref().err().and_then(|failure| failure.exit_code));
    outcome.map_or_else(VerbResult::from, VerbResult::succeeded)
}

/// Drops the work when the stage is cancelled or its time is up.
async fn interruptible<T>(
    context: &StageContext,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(Failure::cancelled()),
        () = tokio::time::sleep_until(context.deadline) => {
            Err(context.timed_out())
        }
        outcome = work => outcome,
    }
}

/// An engine's error as the end of a stage: what the engine refuses is the stage's fault, the rest is not.
pub(crate) fn engine_failure(error: EngineError) -> Failure {
    match error {
        EngineError::Refused { .. } | EngineError::Image(_) => Failure::failed(error.to_string()),
        EngineError::Unreachable(_) | EngineError::TimedOut { .. } => {
            Failure::infrastructure(error.to_string())
        }
    }
}
