//! What a command came to, as a step: its outputs, and in words why it failed. Pure but for the questions whether a
//! cancel was asked for and how long the stage may take.

use std::{collections::BTreeMap, time::Duration};

use super::{Failure, engine::Engine, turn::Turn};
use crate::sandbox::shim::wire::Finished;

/// What a step came to.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) exit_code: Option<i32>,
    pub(super) took: Option<Duration>,
    pub(super) failure: Option<Failure>,
    /// The failure is nothing but an exit code, or was told already: the log need not say more.
    pub(super) plain: bool,
}

impl From<Failure> for Came {
    fn from(failure: Failure) -> Self {
        Self { exit_code: failure.exit_code, failure: Some(failure), ..Self::default() }
    }
}

impl Engine<'_> {
    /// What a command came to, as a step.
    pub(super) fn judge(&self, turn: &Turn, finished: &Finished) -> Came {
        Came {
            outputs: finished.outputs.clone(),
            exit_code: finished.exit_code,
            took: Some(Duration::from_millis(finished.duration_ms)),
            failure: self.failure_of(turn, finished),
            plain: finished.exit_code.is_some() && finished.error.is_none() && !finished.out_of_memory,
        }
    }

    fn failure_of(&self, turn: &Turn, finished: &Finished) -> Option<Failure> {
        let name = &turn.name;
        let failed =
            |reason: String| Some(Failure { exit_code: finished.exit_code, ..Failure::failed(reason) });
        if let Some(error) = &finished.error {
            return failed(format!("step `{name}`: {error}"));
        }
        if finished.cancelled && !self.ctx.cancel.is_cancelled() {
            // The shim passes on what its container is told, and nobody here asked for it.
            return Some(Failure::infrastructure(format!(
                "step `{name}` was stopped from outside: the container engine was shut down, or somebody stopped the container"
            )));
        }
        if finished.cancelled {
            return Some(Failure::cancelled());
        }
        if finished.timed_out {
            let own = turn.own_limit.filter(|own| finished.duration_ms as f64 + 50.0 >= own * 1000.0);
            return Some(match own {
                Some(seconds) => Failure::timed_out(format!("step `{name}` took longer than {seconds} s")),
                None => self.ctx.timed_out(),
            });
        }
        let memory = if finished.out_of_memory { " after running out of memory" } else { "" };
        match (finished.exit_code, finished.signal) {
            (Some(0), _) => None,
            (Some(code), _) => failed(format!("step `{name}` ended with exit code {code}{memory}")),
            (None, Some(signal)) => failed(format!("step `{name}` was ended by signal {signal}{memory}")),
            (None, None) => failed(format!("step `{name}` ended in an unknown way")),
        }
    }
}
