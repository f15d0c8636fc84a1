//! What follows from the end of an attempt: another one, or the end of the stage. Pure.

use std::{collections::BTreeMap, time::Duration};

use tidegate_pipelines::plan::{RetryWhen, StagePlan};
use tidegate_protocol::{
    messages::Outcome,
    status::{AttemptStatus, StageStatus},
};

/// What an engine or network that failed gets at least to come back, before the stage is tried again.
const RECOVERY: Duration = Duration::from_secs(10);

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct AttemptEnd {
    /// Which attempt, from 1, since the stage was last started over.
    pub number: i32,
    /// `succeeded`, `failed`, `cancelled` or `lost`.
    pub status: AttemptStatus,
    /// What the runner said; none for a lost one.
    pub outcome: Option<Outcome>,
    /// Why, when it did not succeed.
    pub reason: Option<String>,
    /// Exit code of the step that failed.
    pub exit_code: Option<i32>,
    /// The stage's outputs.
    pub outputs: BTreeMap<String, String>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, after so long.
    Again {
        /// Back-off.
        wait: Duration,
        /// Why.
        reason: String,
    },
    /// The stage ends.
    End {
        /// How.
        to: StageStatus,
        /// Why.
        reason: Option<String>,
    },
}

/// What follows from the end of an attempt. `stopping`: the stage was asked to stop, so nothing is tried again.
pub fn after(plan: &StagePlan, end: &AttemptEnd, stopping: bool) -> Next {
    let reason = end.reason.clone();
    match end.status {
        AttemptStatus::Succeeded => return Next::End { to: StageStatus::Succeeded, reason: None },
        AttemptStatus::Cancelled => return Next::End { to: StageStatus::Cancelled, reason },
        AttemptStatus::Lost if !plan.retry_safe() => {
            return Next::End {
                to: StageStatus::Unknown,
                reason: Some(
                    "its runner was lost in mid-deployment, and nobody knows how far it came: look at the \
                     environment, then say how it ended"
                        .to_owned(),
                ),
            };
        }
        AttemptStatus::Lost | AttemptStatus::Failed | AttemptStatus::Running => {}
    }
    let number = u32::try_from(end.number).unwrap_or(u32::MAX);
    let lost = end.status == AttemptStatus::Lost;
    // A lost runner or engine says nothing about the stage: it has a second try even where none was asked for.
    let blameless = lost || end.outcome == Some(Outcome::Infrastructure);
    let most = if blameless { plan.retry.max_attempts.max(2) } else { plan.retry.max_attempts };
    if plan.retry_safe() && !stopping && number < most && (lost || tried_again(plan, end)) {
        let why = reason.unwrap_or_else(|| "it failed".to_owned());
        return Next::Again {
            wait: match (lost, blameless) {
                (true, _) => Duration::ZERO,
                (false, true) => RECOVERY.max(Duration::from_secs(plan.retry.backoff_seconds)),
                (false, false) => Duration::from_secs(plan.retry.backoff_seconds),
            },
            reason: format!("attempt {} of {most} did not succeed: {why}", end.number),
        };
    }
    let to = match (stopping && lost, plan.continue_on_error) {
        (true, _) => StageStatus::Cancelled,
        (false, true) => StageStatus::Warned,
        (false, false) => StageStatus::Failed,
    };
    Next::End { to, reason: reason.or_else(|| Some("it failed".to_owned())) }
}

fn tried_again(plan: &StagePlan, end: &AttemptEnd) -> bool {
    plan.retry.when.iter().any(|when| match (when, &end.outcome) {
        (RetryWhen::Failure, _) => true,
        (RetryWhen::Infrastructure, outcome) => outcome == &Some(Outcome::Infrastructure),
        (RetryWhen::Timeout, outcome) => outcome == &Some(Outcome::TimedOut),
        (RetryWhen::ExitCodes(codes), _) => end.exit_code.is_some_and(|code| codes.contains(&code)),
    })
}
