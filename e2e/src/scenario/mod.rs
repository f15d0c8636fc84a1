//! Scenarios: folders with pipeline files and what is to come of them, as `scenarios/README.md` says.
//!
//! Reading them and comparing is here and knows no server, runner or engine, so that whoever can carry out a pipeline
//! may be held to the same folders: `e2e` does it with the real parts, the runner's tests with a fake sandbox.

mod compare;
mod read;
pub mod web;

pub use compare::differences;
pub use read::{Scenario, all, asked};
