//! Collects what is wrong with a file and with those that it uses. However much it is, few things are told, and telling
//! them costs little.

use std::cell::OnceCell;

use super::{Diagnostic, Place, Related, Severity, Span};
use crate::{SourceFile, codes::Code};

/// Diagnostics beyond this many say nothing new.
const LIMIT: usize = 100;
/// So many are kept to choose from; beyond that only errors, until there are [`LIMIT`] of them.
const FULL: usize = 2 * LIMIT;
/// A message is one sentence. Longer ones quote what is absurdly long.
const LONGEST: usize = 2000;

/// Keeps the texts of files that another one uses for as long as its diagnostics are collected.
#[derive(Default)]
pub(crate) struct Shelf {
    first: OnceCell<Box<Kept>>,
}

struct Kept {
    path: String,
    text: String,
    rest: Shelf,
}

impl Shelf {
    fn keep(&self, path: String, text: String) -> SourceFile<'_> {
        let mut end = self;
        while let Some(kept) = end.first.get() {
            end = &kept.rest;
        }
        let kept = end.first.get_or_init(|| Box::new(Kept { path, text, rest: Self::default() }));
        SourceFile { path: &kept.path, text: &kept.text }
    }
}

/// A file whose diagnostics are collected.
struct Listed<'a> {
    file: SourceFile<'a>,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
}

impl<'a> Listed<'a> {
    fn new(file: SourceFile<'a>) -> Self {
        let breaks = file.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { file, lines: std::iter::once(0).chain(breaks).collect() }
    }
}

/// Collects all that is wrong with a file, and with those that it uses.
pub(crate) struct Problems<'a> {
    main: Listed<'a>,
    others: Vec<Listed<'a>>,
    shelf: Option<&'a Shelf>,
    /// The file that is being parsed: what is reported without a file is about this one.
    current: u16,
    list: Vec<Diagnostic>,
    errors: usize,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(file: &'a SourceFile<'a>) -> Self {
        Self {
            main: Listed::new(*file),
            others: Vec::new(),
            shelf: None,
            current: 0,
            list: Vec::new(),
            errors: 0,
        }
    }

    /// For a file that may use others.
    pub(crate) fn with_others(file: &'a SourceFile<'a>, shelf: &'a Shelf) -> Self {
        Self { shelf: Some(shelf), ..Self::new(file) }
    }

    /// Adds a file that is used; its number. None where there may be no others, or they are too many.
    pub(crate) fn add(&mut self, path: String, text: String) -> Option<u16> {
        let file = self.shelf?.keep(path, text);
        let number = u16::try_from(self.others.len() + 1).ok()?;
        self.others.push(Listed::new(file));
        Some(number)
    }

    /// Turns to a file, to parse it.
    pub(crate) fn turn_to(&mut self, file: u16) {
        self.current = file;
    }

    /// The whole text of the file that is being parsed.
    pub(crate) fn text(&self) -> &'a str {
        self.listed(self.current).file.text
    }

    /// What is written at a place.
    pub(crate) fn source(&self, place: Place) -> Option<&'a str> {
        self.listed(place.file).file.text.get(place.start..place.end)
    }

    fn listed(&self, file: u16) -> &Listed<'a> {
        let other = usize::from(file).checked_sub(1).and_then(|index| self.others.get(index));
        other.unwrap_or(&self.main)
    }

    /// A place without a file is one of the file that is being parsed.
    fn settled(&self, place: Place) -> Place {
        if place.file == 0 { Place { file: self.current, ..place } } else { place }
    }

    /// Records a diagnostic; help and related places may be added to what is returned. A file that is nothing but
    /// mistakes costs no more than one with many.
    pub(crate) fn report(&mut self, code: Code, place: Place, message: impl Into<String>) -> Report<'_, 'a> {
        let place = self.settled(place);
        let is_error = code.severity == Severity::Error;
        if self.list.len() >= FULL && (!is_error || self.errors >= LIMIT) {
            return Report { problems: self, kept: false };
        }
        self.errors += usize::from(is_error);
        let diagnostic = Diagnostic {
            code: code.id.to_owned(),
            severity: code.severity,
            message: shortened(message.into()),
            file: self.listed(place.file).file.path.to_owned(),
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

    /// Whether one more warning would be kept.
    pub(crate) fn has_room(&self) -> bool {
        self.list.len() < FULL
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// All diagnostics in the order of the file, each once.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        let main = self.main.file.path;
        let order = |one: &Diagnostic, other: &Diagnostic| {
            let key = |one: &Diagnostic| (one.file != main, one.span.start, one.span.end);
            // A file that is used twice says everything twice, so what is the same is put together.
            let same =
                || (&one.file, &one.code, &one.message).cmp(&(&other.file, &other.code, &other.message));
            key(one).cmp(&key(other)).then_with(same)
        };
        self.list.sort_by(order);
        self.list.dedup();
        // Errors first when there are too many, so that a result never loses the reason for being none.
        if self.list.len() > LIMIT {
            self.list.sort_by_key(|diagnostic| !diagnostic.is_error());
            self.list.truncate(LIMIT);
            self.list.sort_by(order);
        }
        self.list
    }

    fn span(&self, place: Place) -> Span {
        let listed = self.listed(place.file);
        let (start, line, column) = listed.position(place.start);
        let (end, end_line, end_column) = listed.position(place.end.max(place.start));
        Span { start, end, line, column, end_line, end_column }
    }

    pub(crate) fn path_of(&self, place: Place) -> &'a str {
        self.listed(place.file).file.path
    }
}

impl Listed<'_> {
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
        let place = self.problems.settled(place);
        let span = self.problems.span(place);
        let file = self.problems.path_of(place);
        if let Some(last) = self.problems.list.last_mut() {
            let file = (last.file != file).then(|| file.to_owned());
            last.related.push(Related { span, message: message.into(), file });
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
    fn other_files_are_told_apart() {
        let file = SourceFile { path: "p.yml", text: "a: b\n" };
        let shelf = Shelf::default();
        let mut problems = Problems::with_others(&file, &shelf);
        let other = problems.add("t.yml".to_owned(), "\nx: y\n".to_owned()).unwrap();
        let there = Place { file: other, ..Place::new(1, 2) };
        problems.report(codes::SYNTAX, there, "there").related(Place::new(0, 1), "here");
        problems.report(codes::SYNTAX, Place::new(0, 1), "here");
        problems.turn_to(other);
        problems.report(codes::SYNTAX, Place::new(1, 2), "there too");
        assert_eq!(problems.source(there), Some("x"));
        let list = problems.finish();
        let files: Vec<_> = list.iter().map(|one| (one.file.as_str(), one.span.line)).collect();
        assert_eq!(files, [("p.yml", 1), ("t.yml", 2), ("t.yml", 2)]);
        assert_eq!(list[1].related[0].file.as_deref(), Some("p.yml"));
        assert!(Problems::new(&file).add("x".into(), "y".into()).is_none());
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
