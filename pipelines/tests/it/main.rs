//! Tests of the language from outside, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod conformance;
mod documentation;
mod events;
mod examples;
mod expressions;
mod files;
mod formatting;
mod golden;
mod hostile;
mod import;
mod properties;
mod running;
mod stored;
mod triggers;
mod workflow_runs;
mod workflows;
