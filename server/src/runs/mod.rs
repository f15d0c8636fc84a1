//! Runs: made from an event and a pipeline file, cancelled, run again.

mod control;
mod create;
mod manual;
mod read;
mod setting;
mod skip;
mod workflow_run;

pub use control::{Scope, cancel, rerun, settle_unknown};
pub(crate) use create::mistakes;
pub use create::{Created, NewRun, create};
pub use manual::{Manual, pipelines, start};
pub use read::{detail, events, last_event, list};
pub(crate) use setting::files as other_files;
pub use skip::asked as asks_for_nothing;
pub use workflow_run::told as told_by_run;
