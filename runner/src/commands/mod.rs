//! Workflow commands: what a step may say on its output, in GitHub's words (`::group::`, `::error file=…::`,
//! `::add-mask::`, …), and problem matchers. Pure; [`crate::stage`] gives it bytes and acts on what it finds.
//!
//! Only steps of stages with lenient expressions speak this. A native stage has no such thing: a log line can set
//! nothing there.

pub mod matchers;
pub mod notes;
pub mod parse;
pub mod stream;

pub use matchers::Matchers;
pub use parse::{Command, parse};
pub use stream::{Said, Stream, StreamSettings};
