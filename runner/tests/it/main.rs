//! The runner on real parts.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod contract;
mod images;
mod support;
