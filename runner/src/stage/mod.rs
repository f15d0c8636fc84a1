//! One stage, from its lease to its result.
//!
//! | module | job |
//! | --- | --- |
//! | [`execute`] | the attempt's states: prepare, do, keep, clean |
//! | `prepare`, `fill`, `sandboxed`, `services`, `ports`, `fetching` | before the first step |
//! | [`commands`], `engine`, `background` | the steps, one after the other or beside each other |
//! | `turn`, `standing`, `evaluate`, `variables` | a step's turn: whether it runs, and with what |
//! | `command`, `judge` | a command that is sent, and what it came to |
//! | `script`, `uses`, `given`, `built_in`, `container` | what a step does |
//! | `pres`, `posts` | what its action does before and afterwards |
//! | `scope`, `surroundings`, `tape` | what its expressions read, the same after a restart |
//! | `talk`, `spoken`, `own` | one command in the sandbox, what it says, and whose the files are that it finds |
//! | `outputs`, `keep`, [`results`] | after the last step |

mod background;
mod built_in;
mod command;
pub mod commands;
mod container;
pub mod context;
mod engine;
mod evaluate;
mod execute;
mod fetching;
mod fill;
mod given;
mod hash_files;
mod judge;
mod keep;
mod outputs;
mod own;
pub mod paths;
mod ports;
mod posts;
mod prepare;
mod pres;
pub mod results;
mod sandboxed;
mod scope;
mod script;
mod services;
mod shell;
mod spoken;
mod standing;
pub mod steps;
mod strict;
mod surroundings;
mod talk;
mod tape;
mod turn;
mod uses;
mod variables;

pub use context::{RunnerFacts, StageContext, StageDirs, WorkspaceFrom};
pub use execute::{Executed, clean, clean_disk, clean_engine, execute};
pub(crate) use hash_files::hash;
pub use paths::Paths;
pub(crate) use prepare::copy_tree;
pub use results::{FoundCache, Results, ResultsError};
pub use steps::{StepBook, StepSink};

use std::collections::BTreeMap;

use tidegate_protocol::messages::Outcome;

/// What a verb came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerbResult {
    /// The stage's outputs; kept after a failure too.
    pub outputs: BTreeMap<String, String>,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
    /// The file with further stages that it wrote.
    pub emitted: Option<String>,
}

impl VerbResult {
    /// It succeeded with these outputs.
    pub fn succeeded(outputs: BTreeMap<String, String>) -> Self {
        Self { outputs, ..Self::default() }
    }
}

impl From<Failure> for VerbResult {
    fn from(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }
}

/// Why a stage did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// Never [`Outcome::Succeeded`].
    pub outcome: Outcome,
    /// One sentence for people.
    pub reason: String,
    /// Exit code of the step that failed.
    pub exit_code: Option<i32>,
}

impl Failure {
    /// The stage itself is to blame.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, reason: reason.into(), exit_code: None }
    }

    /// Runner, engine or network are to blame.
    pub fn infrastructure(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Infrastructure, reason: reason.into(), exit_code: None }
    }

    /// Out of time.
    pub fn timed_out(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::TimedOut, reason: reason.into(), exit_code: None }
    }

    /// Stopped on request.
    pub fn cancelled() -> Self {
        Self { outcome: Outcome::Cancelled, reason: "stopped on request".to_owned(), exit_code: None }
    }
}
