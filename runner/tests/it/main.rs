//! The runner on real parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod agent;
mod contract;
mod docker;
mod faults;
mod images;
mod local;
mod support;
mod verbs;
