//! The server's parts together, on a real database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod edge_openapi;
