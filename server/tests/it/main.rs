//! The server's parts together, on a real database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod audit;
mod deliveries;
mod deployed;
mod deployments;
mod edge;
mod edge_openapi;
mod environments;
mod expanded;
mod files;
mod forge;
mod gates;
mod github_model;
mod github_rules;
mod identity;
mod intake;
mod leased;
mod leases;
mod logs;
mod origin;
mod payloads;
mod reads;
mod reports;
mod repositories;
mod results;
mod retention;
mod runner_api;
mod runs;
mod schedules;
mod secrets;
mod support;
mod sweep;
mod transitions;
mod turmoil;
mod upgrade;
mod workflows;
