//! What is wrong with a file, and where: diagnostics, and the collector that every part reports to.
//!
//! Inside the crate a place is a pair of byte offsets ([`Place`]). Lines and columns are worked out once, when
//! a diagnostic is made, so that whoever shows one needs nothing but the diagnostic.

use serde::{Deserialize, Serialize};

use crate::{SourceFile, codes::Code};

/// Diagnostics beyond this many say nothing new.
const LIMIT: usize = 100;
/// So many are kept to choose from; beyond that only errors, until there are [`LIMIT`] of them.
const FULL: usize = 2 * LIMIT;
/// A message is one sentence. Longer ones quote what is absurdly long.
const LONGEST: usize = 2000;

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
    /// The file, as in [`SourceFile::path`].
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
}

impl Place {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
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

/// Collects all that is wrong with one file.
pub(crate) struct Problems<'a> {
    file: &'a SourceFile<'a>,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
    list: Vec<Diagnostic>,
    errors: usize,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(file: &'a SourceFile<'a>) -> Self {
        let breaks = file.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { file, lines: std::iter::once(0).chain(breaks).collect(), list: Vec::new(), errors: 0 }
    }

    /// The file's whole text.
    pub(crate) fn text(&self) -> &'a str {
        self.file.text
    }

    /// Records a diagnostic; help and related places may be added to what is returned. A file that is nothing but
    /// mistakes costs no more than one with many.
    pub(crate) fn report(&mut self, code: Code, place: Place, message: impl Into<String>) -> Report<'_, 'a> {
        let is_error = code.severity == Severity::Error;
        if self.list.len() >= FULL && (!is_error || self.errors >= LIMIT) {
            return Report { problems: self, kept: false };
        }
        self.errors += usize::from(is_error);
        let diagnostic = Diagnostic {
            code: code.id.to_owned(),
            severity: code.severity,
            message: shortened(message.into()),
            file: self.file.path.to_owned(),
            span: self.span(place),
            help: None,
            related: Vec::new(),
        };
        self.list.push(diagnostic);
        Report { problems: self, kept: true }
    }

    /// Whether one more would not be kept, so that nothing need be worked out for it.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= FULL && self.errors >= LIMIT
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// All diagnostics in the order of the file, each once.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
        self.list.dedup();
        // Errors first when there are too many, so that a result never loses the reason for being none.
        if self.list.len() > LIMIT {
            self.list.sort_by_key(|diagnostic| !diagnostic.is_error());
            self.list.truncate(LIMIT);
            self.list.sort_by_key(|diagnostic| diagnostic.span.start);
        }
        self.list
    }

    fn span(&self, place: Place) -> Span {
        let (start, line, column) = self.position(place.start);
        let (end, end_line, end_column) = self.position(place.end.max(place.start));
        Span { start, end, line, column, end_line, end_column }
    }

    /// Offset (moved to a character's edge), line and column.
    fn position(&self, offset: usize) -> (usize, usize, usize) {
        let mut offset = offset.min(self.file.text.len());
        while !self.file.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or_default();
        let column = self.file.text.get(start..offset).map_or(0, |text| text.chars().count());
        (offset, line + 1, column + 1)
    }
}

/// A diagnostic just recorded.
pub(crate) struct Report<'p, 'a> {
    problems: &'p mut Problems<'a>,
    /// Whether it is among those that are told.
    kept: bool,
}

impl Report<'_, '_> {
    /// Says how to mend it.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        if self.kept
            && let Some(last) = self.problems.list.last_mut()
        {
            last.help = Some(shortened(help.into()));
        }
        self
    }

    /// Says how to mend it, if there is something to say.
    pub(crate) fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// Points at another place that belongs to it.
    pub(crate) fn related(self, place: Place, message: impl Into<String>) -> Self {
        if !self.kept {
            return self;
        }
        let span = self.problems.span(place);
        if let Some(last) = self.problems.list.last_mut() {
            last.related.push(Related { span, message: message.into() });
        }
        self
    }
}

/// Cut where it is too long to be read, at a character's edge.
fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        let mut end = LONGEST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn a_file_of_nothing_but_mistakes_keeps_its_errors() {
        let file = SourceFile { path: "p.yml", text: "x\n" };
        let mut problems = Problems::new(&file);
        for number in 0..2000 {
            problems.report(codes::ONLY_NEGATIVE, Place::new(0, 1), format!("{number}")).help("so");
        }
        for number in 0..2000 {
            problems
                .report(codes::SYNTAX, Place::new(1, 1), format!("{number}"))
                .related(Place::new(0, 1), "x");
        }
        problems.report(codes::SYNTAX, Place::new(0, 1), "é".repeat(3000));
        assert!(problems.has_errors());
        let found = problems.finish();
        assert_eq!((found.len(), found.iter().filter(|one| one.is_error()).count()), (LIMIT, LIMIT));
        assert!(found.iter().all(|one| one.help.is_none()), "help belongs to what it was said of");
        assert_eq!(shortened("é".repeat(3000)).chars().count(), 1001);
    }

    #[test]
    fn columns_count_characters_and_offsets_bytes() {
        let file = SourceFile { path: "p.yml", text: "a: ü\n✓✓: x\n" };
        let mut problems = Problems::new(&file);
        let x = file.text.find('x').unwrap();
        problems.report(codes::SYNTAX, Place::new(x, x + 1), "here");
        let span = problems.finish()[0].span;
        assert_eq!((span.line, span.column, span.end_column), (2, 5, 6));
        assert_eq!(span.start, x);
    }

    #[test]
    fn places_outside_the_file_are_clamped() {
        let file = SourceFile { path: "p.yml", text: "ü" };
        let mut problems = Problems::new(&file);
        problems.report(codes::SYNTAX, Place::new(1, 99), "inside a character");
        let span = problems.finish()[0].span;
        assert_eq!((span.start, span.end), (0, 2));
    }
}
