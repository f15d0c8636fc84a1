//! What is wrong with a file, and where: diagnostics, and the collector that every part reports to ([`Problems`]).
//!
//! Inside the crate a place is a pair of byte offsets ([`Place`]). Lines and columns are worked out once, when
//! a diagnostic is made, so that whoever shows one needs nothing but the diagnostic.

mod problems;

use serde::{Deserialize, Serialize};

pub(crate) use problems::{Problems, Shelf};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing runs until it is mended.
    Error,
    /// It runs, but probably not as meant.
    Warning,
}

/// A range of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Line of the first byte, from 1.
    pub line: usize,
    /// Column of the first byte in characters, from 1.
    pub column: usize,
    /// Line of the end, from 1.
    pub end_line: usize,
    /// Column after the last character, from 1.
    pub end_column: usize,
}

/// Another place that a diagnostic is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What is there.
    pub message: String,
    /// The file, where it is another one than the diagnostic's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// One mistake (or warning) in a pipeline file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Stable code, see [`crate::codes`].
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The file: as in [`SourceFile::path`], or another one that it uses, as [`crate::FileRef`] is written.
    pub file: String,
    /// Where in the file.
    pub span: Span,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Other places that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

impl Diagnostic {
    /// Whether it stops the pipeline.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A range of bytes in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Which file: 0 is the one that is compiled, others are those that it uses.
    pub file: u16,
}

impl Place {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start), file: 0 }
    }

    /// The same place in the file of another one.
    pub(crate) fn in_file_of(self, other: Self) -> Self {
        Self { file: other.file, ..self }
    }
}

/// A value with the place it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spanned<T> {
    pub value: T,
    pub place: Place,
}

impl<T> Spanned<T> {
    pub(crate) fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}
