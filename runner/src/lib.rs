//! The agent: leases stages from a server and executes them in sandboxes.
//!
//! | module | job |
//! | --- | --- |
//! | [`agent`] | the process: claim, execute, re-attach, shut down |
//! | [`local`] | the same stage code without a server, for `tidegate run` |
//! | [`actions`] | what a step with `uses` means |
//! | [`toolkit`] | the services that libraries of actions talk to |
//! | [`stage`] | one stage from lease to result: an explicit state machine |
//! | [`sandbox`] | where a stage runs: the contract, Docker, the talk with the shim |
//! | [`journal`] | what survives a restart of this process |
//! | [`client`] | the server's HTTP interface for runners |
//! | [`commands`] | what a step's output says in GitHub's words |
//! | [`logs`] | from a step's bytes to the server: mask, spool, ship |

pub mod actions;
pub mod agent;
pub mod archive;
pub mod client;
mod clock;
pub mod collect;
pub mod commands;
pub mod config;
mod enrol;
mod error;
mod http_results;
pub mod journal;
mod lease;
pub mod local;
pub mod logs;
pub mod mask;
pub mod sandbox;
pub mod source;
pub mod source_refs;
pub mod stage;
mod sync;
pub mod toolkit;
pub mod verbs;

pub use agent::run;
pub use config::RunnerConfig;
pub use error::RunnerError;
