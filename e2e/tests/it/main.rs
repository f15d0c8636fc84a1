//! Scenarios on real parts. They need Docker, Postgres (`DATABASE_URL`), the test image, and the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod architecture;
mod bad_input;
mod examples;
mod faults;
mod growing;
mod road;
mod scenarios;
mod toolkit;
mod workflow;
