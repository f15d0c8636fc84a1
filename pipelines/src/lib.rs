//! The pipeline language: from YAML to a [`plan::Plan`].
//!
//! This crate is pure and synchronous: it reads no file, opens no socket and knows no clock. It is what the
//! command line, the server and the editor support share, so that all of them say the same about a file.
//!
//! ```text
//! source text -> yaml (located tree) -> native (lowering + checks) -> plan
//!                                            expressions, matrix, triggers
//! ```

pub mod event;
pub mod plan;
