//! Tests of the language from outside, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod documentation;
mod events;
mod files;
mod formatting;
mod golden;
mod properties;
mod running;
mod triggers;
