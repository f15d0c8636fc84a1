//! Diagnostics as text for people, in the look of rustc: the line, the place underlined, the help below.

use std::ops::Range;

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle,
};

use crate::{
    SourceFile,
    diagnostic::{Diagnostic, Severity, Span},
};

/// Places farther apart than so many bytes are shown one by one.
const NEAR: usize = 16 * 1024;
/// Of a line that goes on for longer nothing is shown but where it is.
const LONG_LINE: usize = 4 * 1024;

/// All diagnostics of one file, with the lines they are about. Colour is ANSI escapes. Of another file that it uses
/// only the place is shown; [`render_all`] shows its lines too.
pub fn render(file: &SourceFile, diagnostics: &[Diagnostic], color: bool) -> String {
    render_all(&[*file], diagnostics, color)
}

/// As [`render`], with the lines of all these files.
pub fn render_all(files: &[SourceFile<'_>], diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&renderer.render(&report(files, diagnostic)));
        out.push_str("\n\n");
    }
    out
}

fn report<'a>(files: &[SourceFile<'a>], diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let known = |path: &str| files.iter().find(|file| file.path == path);
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
    let title = Group::with_title(title);
    let mut group = match known(&diagnostic.file) {
        Some(file) => {
            let mut places = vec![(range(file.text, &diagnostic.span), None)];
            for related in diagnostic.related.iter().filter(|related| related.file.is_none()) {
                places.push((range(file.text, &related.span), Some(related.message.as_str())));
            }
            shown(title, file, &places)
        }
        None => title.element(place(&diagnostic.file, &diagnostic.span)),
    };
    for related in &diagnostic.related {
        let Some(path) = related.file.as_deref() else { continue };
        let message = related.message.as_str();
        group = match known(path) {
            Some(file) => shown(group, file, &[(range(file.text, &related.span), Some(message))]),
            None => group.element(Level::NOTE.message(message)).element(place(path, &related.span)),
        };
    }
    match &diagnostic.help {
        Some(help) => vec![group.element(Level::HELP.message(help.as_str()))],
        None => vec![group],
    }
}

/// Places of one file: together when they are near each other, else one by one.
fn shown<'a>(group: Group<'a>, file: &SourceFile<'a>, places: &[Labelled<'a>]) -> Group<'a> {
    let near = reach(places).len() <= NEAR;
    match window(file.text, places).filter(|_| near) {
        Some(window) => group.element(snippet(file, window, places)),
        None => places.iter().fold(group, |group, place| {
            let alone = std::slice::from_ref(place);
            match window(file.text, alone) {
                Some(window) => group.element(snippet(file, window, alone)),
                None => group.element(origin(file, place.0.start)),
            }
        }),
    }
}

/// A place in a file that is not at hand.
fn place<'a>(path: &'a str, span: &Span) -> Origin<'a> {
    Origin::path(path).line(span.line).char_column(span.column)
}

/// A place, and what is said there where it is not the diagnostic's own.
type Labelled<'a> = (Range<usize>, Option<&'a str>);

/// The lines from the first of the places to the last, as bytes: the renderer reads all that it is given, for every
/// diagnostic again, so it is given nothing else of the file. None where a line is too long to be shown.
fn window(text: &str, places: &[Labelled<'_>]) -> Option<Range<usize>> {
    let Range { start, end } = reach(places);
    let from = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let to = text.get(end..)?.find('\n').map_or(text.len(), |at| end + at + 1);
    (start - from <= LONG_LINE && to - end <= LONG_LINE && end - start <= NEAR).then_some(from..to)
}

fn snippet<'a>(
    file: &SourceFile<'a>,
    window: Range<usize>,
    places: &[Labelled<'a>],
) -> Snippet<'a, Annotation<'a>> {
    let from = window.start;
    let annotations = places.iter().map(|(range, label)| {
        let range = range.start.saturating_sub(from)..range.end.saturating_sub(from);
        match label {
            Some(label) => AnnotationKind::Context.span(range).label(*label),
            None => AnnotationKind::Primary.span(range),
        }
    });
    Snippet::source(file.text.get(window).unwrap_or_default())
        .line_start(line(file.text, from))
        .path(file.path)
        .annotations(annotations)
}

/// Where it is, without the line.
fn origin<'a>(file: &SourceFile<'a>, at: usize) -> Origin<'a> {
    let head = file.text.get(..at).unwrap_or_default();
    let start = head.rfind('\n').map_or(0, |at| at + 1);
    let column = head.get(start..).map_or(0, |text| text.chars().count()) + 1;
    Origin::path(file.path).line(line(file.text, at)).char_column(column)
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// From the first byte of all places to the last.
fn reach(places: &[Labelled<'_>]) -> Range<usize> {
    let start = places.iter().map(|(range, _)| range.start).min().unwrap_or_default();
    start..places.iter().map(|(range, _)| range.end).max().unwrap_or_default().max(start)
}

/// The span's bytes, made to fit the text: a stored diagnostic may meet a file that changed since. A span over
/// many lines (a whole stage) is cut to its first, which is enough to find it.
fn range(text: &str, span: &Span) -> Range<usize> {
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(span.start);
    let end = boundary(span.end.max(start));
    let line_end = text[start..end].find('\n').map_or(end, |at| start + at);
    start..line_end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Related;

    fn diagnostic(start: usize, end: usize) -> Diagnostic {
        Diagnostic {
            code: "TG0201".into(),
            severity: Severity::Error,
            message: "unknown key `imgae`".into(),
            file: "pipeline.yml".into(),
            span: Span { start, end, line: 1, column: 1, end_line: 1, end_column: 1 },
            help: Some("did you mean `image`?".into()),
            related: vec![],
        }
    }

    #[test]
    fn shows_line_place_and_help() {
        let file = SourceFile { path: "pipeline.yml", text: "imgae: x\n" };
        let text = render(&file, &[diagnostic(0, 5)], false);
        assert!(text.contains("error[TG0201]: unknown key `imgae`"), "{text}");
        assert!(text.contains("pipeline.yml:1:1"), "{text}");
        assert!(text.contains("^^^^^"), "{text}");
        assert!(text.contains("help: did you mean `image`?"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(render(&file, &[diagnostic(0, 5)], true).contains('\u{1b}'));
    }

    #[test]
    fn a_place_far_away_is_shown_too() {
        let text = format!("first: 1\n{}first: 2\n", "# x\n".repeat(10_000));
        let file = SourceFile { path: "pipeline.yml", text: &text };
        let mut far = diagnostic(text.len() - 9, text.len() - 4);
        far.related = vec![Related { span: diagnostic(0, 5).span, message: "here".into(), file: None }];
        let shown = render(&file, &[far], false);
        assert!(shown.contains("pipeline.yml:10002:1") && shown.contains("10002 | first: 2"), "{shown}");
        assert!(shown.contains("1 | first: 1") && shown.contains("here"), "{shown}");
        assert!(shown.len() < 1000, "{shown}");
    }

    #[test]
    fn of_a_line_without_end_only_the_place_is_shown() {
        let text = format!("a: 1\n{{{}imgae: x}}\n", "a: 1, ".repeat(10_000));
        let file = SourceFile { path: "pipeline.yml", text: &text };
        let shown = render(&file, &[diagnostic(60_006, 60_011)], false);
        assert!(shown.contains("--> pipeline.yml:2:60002") && shown.len() < 300, "{shown}");
        let shown = render(&file, &[diagnostic(5, 60_000)], false);
        assert!(shown.contains("--> pipeline.yml:2:1") && shown.len() < 300, "{shown}");
    }

    #[test]
    fn other_files_are_shown_as_far_as_they_are_there() {
        let file = SourceFile { path: "pipeline.yml", text: "use: ./t.yml\n" };
        let other = SourceFile { path: "t.yml", text: "imgae: x\n" };
        let mut found = diagnostic(0, 5);
        found.file = "t.yml".to_owned();
        let span = Span { start: 0, end: 3, line: 1, column: 1, end_line: 1, end_column: 4 };
        let message = "used here".to_owned();
        found.related = vec![Related { span, message, file: Some("pipeline.yml".to_owned()) }];
        let text = render(&file, &[found.clone()], false);
        assert!(text.contains("--> t.yml:1:1") && !text.contains("imgae: x"), "{text}");
        assert!(text.contains("used here"), "{text}");
        let text = render_all(&[file, other], &[found], false);
        assert!(text.contains("1 | imgae: x") && text.contains("pipeline.yml:1:1"), "{text}");
    }

    #[test]
    fn survives_a_file_that_is_shorter_than_the_span() {
        let file = SourceFile { path: "pipeline.yml", text: "ü" };
        assert!(render(&file, &[diagnostic(1, 400)], false).contains("TG0201"));
    }
}
