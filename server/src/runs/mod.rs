//! Runs: made from an event and a pipeline file, cancelled, run again.

mod control;
mod create;
mod read;

pub use control::{Scope, cancel, rerun, settle_unknown};
pub use create::{Created, NewRun, create};
pub use read::{detail, events, last_event, list};
