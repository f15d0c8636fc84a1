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
pub mod plan;
mod render;
mod trigger;

pub use context::{Context, EnvironmentFacts, ResolveError, StageFacts};
pub use diagnostic::{Diagnostic, Related, Severity, Span};
use plan::{StagePlan, Template};
pub use render::render;
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

/// Compiles a file for an event: parsing, checks, triggers, matrices.
pub fn compile(file: &SourceFile<'_>, _event: &event::Event) -> Compilation {
    Compilation { result: None, diagnostics: check(file) }
}

/// All that is wrong with a file, whatever the event.
pub fn check(file: &SourceFile<'_>) -> Vec<Diagnostic> {
    let mut problems = diagnostic::Problems::new(file);
    let everything = diagnostic::Place::new(0, problems.text().len());
    problems.report(codes::EMPTY, everything, "the parser of pipeline files is not part of this build yet");
    problems.finish()
}

/// What starts a file's pipeline.
pub fn triggers(_file: &SourceFile<'_>) -> Triggers {
    Triggers::default()
}

/// The stage with all its templates literal.
pub fn resolve(stage: &StagePlan, _context: &Context) -> Result<StagePlan, ResolveError> {
    Ok(stage.clone())
}

/// Whether a stage's condition holds, once its needs have ended.
pub fn condition(expression: &str, _stage: &StagePlan, _context: &Context) -> Result<bool, ResolveError> {
    Err(ResolveError {
        expression: expression.to_owned(),
        message: "conditions are not part of this build yet".to_owned(),
    })
}

/// The text of a template.
pub fn render_template(
    template: &Template,
    _stage: Option<&StagePlan>,
    _context: &Context,
) -> Result<String, ResolveError> {
    Ok(template.0.clone())
}

/// The JSON Schema of the language.
pub fn json_schema() -> serde_json::Value {
    serde_json::json!({})
}
