//! The agent: leases stages from a server and executes them in sandboxes.
//!
//! | module | job |
//! | --- | --- |
//! | [`stage`] | one stage from lease to result: an explicit state machine |
//! | [`sandbox`] | where a stage runs: the contract, Docker, a scripted fake, the talk with the shim |
//! | [`logs`] | from a step's bytes to the server: mask, spool, ship |

pub mod archive;
pub mod collect;
pub mod config;
pub mod logs;
pub mod mask;
pub mod sandbox;
pub mod source;
pub mod stage;
mod sync;
pub mod verbs;
