//! From the tree to the typed file: one function per mapping of the language.

mod arguments;
mod library;
mod pipeline;
mod results;
mod services;
mod stage;
mod steps;
mod template;
mod triggers;
mod verbs;

pub(crate) use library::Library;
pub(crate) use pipeline::{emitted, pipeline};
