//! Tests of the language from outside, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod conformance;
mod corpus;
mod documentation;
mod events;
mod examples;
mod expressions;
mod files;
mod formatting;
mod golden;
mod hostile;
mod import;
mod late;
mod pages;
mod properties;
mod reference;
mod running;
mod sarif;
mod stored;
mod triggers;
mod workflow_runs;
mod workflows;
