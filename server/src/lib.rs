//! The coordinator: webhooks, runs, scheduling, gates, deployments, logs, and the HTTP API.
//!
//! ```text
//! http (people, runners, webhooks)   tasks (inbox, outbox, sweep, cron, retention)
//!        \                             /
//!   runs   leases   gates   deploy   results   identity   environments   secrets   repositories
//!        \                             /
//!          schedule (decide purely, apply in one transaction)
//!                      |
//!                    store (the only place that names the database)
//! ```

pub mod actor;
pub mod app;
pub mod auth;
pub mod bootstrap;
pub mod config;
pub mod deploy;
pub mod environments;
pub mod error;
pub mod forge;
pub mod gates;
pub mod git;
pub mod http;
pub mod hub;
pub mod identity;
pub mod intake;
pub mod leases;
pub mod logs;
pub mod metrics;
pub mod reports;
pub mod repositories;
pub mod results;
pub mod runs;
mod schedule;
pub mod secrets;
mod start;
pub mod store;
pub mod tasks;
pub mod variables;
pub mod webhook_secrets;

pub use start::{Server, StartError, start};
