//! The pipeline language: from YAML to a [`plan::Plan`].
//!
//! This crate is pure and synchronous: it reads no file, opens no socket and knows no clock. It is what the
//! command line, the server and the editor support share, so that all of them say the same about a file.
//!
//! ```text
//! source text -> yaml (located tree) -> native (lowering + checks)  -> plan
//!                                    -> actions (checks + lowering) -> plan
//!                                       expressions, matrix, triggers
//! ```
//!
//! Which language a file is in is told by its path alone ([`language`]).

pub mod actions;
pub mod codes;
mod context;
mod diagnostic;
pub mod editor;
pub mod event;
mod expand;
mod expressions;
pub mod findings;
mod glob;
pub mod graph;
pub mod import;
pub mod lenient;
pub mod lockfile;
mod machine;
mod made;
mod matrix;
mod native;
mod nearest;
pub mod outline;
mod places;
mod plain;
pub mod plan;
mod quantity;
mod refusal;
mod render;
mod resolve;
pub mod sample;
mod schedule;
mod setting;
mod shell;
mod steps;
mod trigger;
mod yaml;

pub use context::{Context, EnvironmentFacts, ResolveError, StageFacts, StepFacts, StepResult};
pub use diagnostic::{Diagnostic, Related, Severity, Span};
pub use expand::expand;
pub use glob::{Patterns, check as check_pattern};
pub use made::made;
pub use native::{Emission, compile_emitted, expand_native, format, json_schema, template_schema};
pub use places::{Full, Places, Standing};
pub use plain::yaml as plain_yaml;
pub use refusal::LeftOut;
pub use render::{render, render_all};
pub use resolve::{condition, render_template, resolve};
pub use setting::{FileRef, Files, Machine, NoFiles, Setting};
pub use steps::{stage_outputs, step_condition, step_env};
pub use trigger::{InputKind, InputSpec, Schedule, Triggers};

/// The language of a pipeline file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `.tidegate/*.yml`, and whatever is not the other.
    Native,
    /// GitHub Actions: `.github/workflows/*.yml`.
    Actions,
}

/// The language of the file with this path.
pub fn language(path: &str) -> Language {
    let path = path.replace('\\', "/");
    let in_workflows = path.starts_with(".github/workflows/") || path.contains("/.github/workflows/");
    if in_workflows { Language::Actions } else { Language::Native }
}

/// Compiles a file for an event: parsing, checks, triggers, matrices.
pub fn compile(file: &SourceFile<'_>, event: &event::Event, setting: Setting<'_>) -> Compilation {
    match language(file.path) {
        Language::Native => native::compile(file, event, setting),
        Language::Actions => actions::compile(file, event, setting),
    }
}

/// All that is wrong with a file by the rules of its language, whatever the event.
pub fn check(file: &SourceFile<'_>) -> Vec<Diagnostic> {
    match language(file.path) {
        Language::Native => native::check(file),
        Language::Actions => actions::check(file),
    }
}

/// The same, with the other files that it names, and what no runner would carry out.
pub fn check_in(file: &SourceFile<'_>, setting: Setting<'_>) -> Vec<Diagnostic> {
    match language(file.path) {
        Language::Native => native::check_in(file, setting),
        Language::Actions => actions::check_in(file, setting),
    }
}

/// What starts a file's pipeline. A file with mistakes starts nothing by itself.
pub fn triggers(file: &SourceFile<'_>) -> Triggers {
    match language(file.path) {
        Language::Native => native::triggers(file),
        Language::Actions => actions::triggers(file),
    }
}

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
#[allow(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub enum Compiled {
    /// The event starts this.
    Plan(plan::Plan),
    /// The event starts nothing.
    NotTriggered {
        /// The pipeline's name.
        pipeline: String,
        /// Why not, in one sentence.
        reason: String,
        /// The pipeline asks for the event, and only this keeps it from being started: whoever waits for its status
        /// is to be told that it was skipped, and why.
        left_out: Option<LeftOut>,
    },
}
