//! The runner on real parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod actions;
mod agent;
mod aws_actions;
mod builtins;
mod conformance;
mod containers;
mod contract;
mod docker;
mod docker_actions;
mod docker_builds;
mod documentation;
mod faults;
mod images;
mod local;
mod scenario_keys;
mod scenarios;
mod slack_and_releases;
mod steps;
mod support;
mod toolkit;
mod verbs;

/// The shim is built by a cargo of its own, which nobody asks to test it; what is pure in it is tested with the runner.
#[expect(dead_code, reason = "its tests use a part of it")]
#[path = "../../shim/src/files.rs"]
mod shim_files;
#[path = "../../shim/src/forward/mod.rs"]
mod shim_forward;
#[expect(dead_code, reason = "its tests use a part of it")]
#[path = "../../shim/src/own.rs"]
mod shim_own;
