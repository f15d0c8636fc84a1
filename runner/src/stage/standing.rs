//! How a stage stands when a step's turn comes: well, failed, cancelled, out of time.
//!
//! A cancel or the deadline may come at any moment, and what was decided before it must be decided again after a restart:
//! each look is written to the tape before anything rests on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_pipelines::lenient::Status;
use tidegate_protocol::messages::Outcome;
use tokio::time::Instant;

use super::{Failure, engine::Engine, scope::Scope};

/// How long steps that run whatever happened may take once the stage is stopped or out of time.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// How things stand when a step's turn comes. In the order of getting worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    Success,
    Failure,
    Cancelled,
    TimedOut,
    /// Nothing can run any more.
    Over,
}

impl Engine<'_> {
    /// The stage fails; the first reason is the one that counts.
    pub(super) fn fail(&mut self, failure: Failure) {
        if matches!(failure.outcome, Outcome::Cancelled | Outcome::TimedOut) {
            self.stopped_at.get_or_insert_with(Instant::now);
        }
        self.failure.get_or_insert(failure);
    }

    /// Asks once how things stand, and takes note of a cancel or of the deadline.
    pub(super) fn standing(&mut self) -> Result<Standing, Failure> {
        let heard = self.tape.heard("standing")?;
        let standing = match heard {
            Some(standing) => standing,
            None => {
                let now = self.look();
                self.tape.note("standing", &now)?;
                now
            }
        };
        match standing {
            Standing::Cancelled if self.failure.is_none() => self.fail(Failure::cancelled()),
            Standing::TimedOut if self.failure.is_none() => self.fail(self.ctx.timed_out()),
            _ => {}
        }
        Ok(standing)
    }

    /// Whether anything can run at all.
    pub(super) fn can_run(&mut self) -> Result<bool, Failure> {
        Ok(self.standing()? != Standing::Over)
    }

    /// The stage was cancelled or is out of time.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// How long what comes next may take.
    pub(super) fn time_left(&self) -> Duration {
        match self.stopped_at {
            None => self.ctx.remaining(),
            Some(at) => AFTERWARDS.saturating_sub(at.elapsed()),
        }
    }

    fn look(&self) -> Standing {
        if self.ctx.fence.is_cancelled() || self.talk.is_over() && self.failure.is_some() {
            Standing::Over
        } else if self.stopped_at.is_some() {
            match &self.failure {
                Some(failure) if failure.outcome == Outcome::TimedOut => Standing::TimedOut,
                _ => Standing::Cancelled,
            }
        } else if self.failure.is_some() {
            Standing::Failure
        } else if self.ctx.cancel.is_cancelled() {
            Standing::Cancelled
        } else if self.ctx.remaining().is_zero() {
            Standing::TimedOut
        } else {
            Standing::Success
        }
    }

    /// What `success()` and the like are about, for a step of this scope.
    pub(super) fn status(&self, scope: &Scope) -> Status {
        let failed = if scope.is_top() { self.failure.is_some() } else { scope.failed };
        match (self.stopped_at, failed) {
            (Some(_), _) => Status::Cancelled,
            (None, true) => Status::Failure,
            (None, false) => Status::Success,
        }
    }
}
