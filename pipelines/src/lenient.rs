//! Lenient expressions, from outside: what whoever runs a stage asks of its templates and conditions.
//!
//! The rules are GitHub's: values are converted into each other, names do not mind case, a context that is not
//! there is null. See [`crate::plan::Expressions::Lenient`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::context::ResolveError;

/// All that lenient expressions read.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// The contexts by name (`github`, `env`, `steps`, …). One of GitHub's that is not here is null.
    pub contexts: &'a BTreeMap<String, Value>,
    /// What `success()`, `failure()` and `cancelled()` are about.
    pub status: Status,
    /// `hashFiles(patterns)`: lower-case hex, nothing when no file matches, or why it cannot be told.
    pub hash_files: &'a dyn Fn(&[String]) -> Result<String, String>,
}

/// How all that comes before has ended so far: the steps of a stage, or what a stage needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing failed.
    #[default]
    Success,
    /// Something failed.
    Failure,
    /// A cancel was asked for.
    Cancelled,
}

/// What a template or condition reads, told without evaluating it. Names are as written, contexts in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// The contexts.
    pub contexts: BTreeSet<String>,
    /// The names of `secrets.NAME` and `secrets['NAME']`.
    pub secrets: BTreeSet<String>,
    /// Secrets are read whose names cannot be told: `secrets[…]`, `secrets.*`, `toJSON(secrets)`.
    pub any_secret: bool,
    /// The names of `needs.NAME` and `needs['NAME']`.
    pub needs: BTreeSet<String>,
    /// Needs are read whose names cannot be told.
    pub any_need: bool,
    /// Asks how all that comes before has ended: `success()`, `failure()`, `cancelled()`, `always()`.
    pub status: bool,
}

fn not_yet(text: &str) -> ResolveError {
    ResolveError { expression: text.to_owned(), message: "lenient expressions are not there yet".to_owned() }
}

/// The text of a template: `a ${{ x }} b`.
pub fn text(template: &str, _values: &Values<'_>) -> Result<String, ResolveError> {
    Err(not_yet(template))
}

/// The value of a template: of its expression when it is nothing but one, else its text.
pub fn value(template: &str, _values: &Values<'_>) -> Result<Value, ResolveError> {
    Err(not_yet(template))
}

/// Whether an `if` holds, with or without `${{ }}`. Unless it asks for the status it implies `success()`.
pub fn holds(condition: &str, _values: &Values<'_>) -> Result<bool, ResolveError> {
    Err(not_yet(condition))
}

/// What a template, or (with `condition`) an `if`, reads.
pub fn reads(text: &str, _condition: bool) -> Result<Reads, ResolveError> {
    Err(not_yet(text))
}
