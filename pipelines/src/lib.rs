//! The pipeline language: from YAML to a [`plan::Plan`].
//!
//! This crate is pure and synchronous: it reads no file, opens no socket and knows no clock. It is what the
//! command line, the server and the editor support share, so that all of them say the same about a file.
//!
//! ```text
//! source text -> yaml (located tree) -> native (lowering + checks) -> plan
//!                                            expressions, matrix, triggers
//! ```

pub mod codes;
mod context;
mod diagnostic;
pub mod event;
mod expressions;
mod glob;
pub mod lenient;
mod native;
mod nearest;
mod plain;
pub mod plan;
mod quantity;
mod render;
mod resolve;
mod schedule;
mod setting;
mod trigger;
mod yaml;

pub use context::{Context, EnvironmentFacts, ResolveError, StageFacts};
pub use diagnostic::{Diagnostic, Related, Severity, Span};
pub use glob::{Patterns, check as check_pattern};
pub use native::{check, compile, json_schema, triggers};
pub use plain::yaml as plain_yaml;
pub use render::render;
pub use resolve::{condition, render_template, resolve};
pub use setting::{FileRef, Files, Machine, NoFiles, Setting};
pub use trigger::{InputKind, InputSpec, Schedule, Triggers};

/// A pipeline file.
#[derive(Debug, Clone, Copy)]
pub struct SourceFile<'a> {
    /// Path inside the repository.
    pub path: &'a str,
    /// All of its text.
    pub text: &'a str,
}

/// What came of a file and an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Compilation {
    /// None exactly when there is an error among the diagnostics.
    pub result: Option<Compiled>,
    /// All that is wrong with the file, and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// A file without mistakes, applied to an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Compiled {
    /// The event starts this.
    Plan(plan::Plan),
    /// The event starts nothing.
    NotTriggered {
        /// Why not, in one sentence.
        reason: String,
    },
}
