//! Diagnostics as text for people, in the look of rustc: the line, the place underlined, the help below.

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle,
};

use crate::{
    SourceFile,
    diagnostic::{Diagnostic, Severity, Span},
};

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
    let text_of = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text);
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
    let here: Vec<_> = diagnostic.related.iter().filter(|related| related.file.is_none()).collect();
    let mut group = match text_of(&diagnostic.file) {
        Some(text) => {
            let related = here.iter().map(|related| {
                AnnotationKind::Context.span(range(text, &related.span)).label(related.message.as_str())
            });
            title.element(
                Snippet::<Annotation<'_>>::source(text)
                    .path(diagnostic.file.as_str())
                    .annotation(AnnotationKind::Primary.span(range(text, &diagnostic.span)))
                    .annotations(related),
            )
        }
        None => title.element(origin(&diagnostic.file, &diagnostic.span)),
    };
    for related in diagnostic.related.iter().filter(|related| related.file.is_some()) {
        let path = related.file.as_deref().unwrap_or_default();
        group = match text_of(path) {
            Some(text) => group.element(Snippet::<Annotation<'_>>::source(text).path(path).annotation(
                AnnotationKind::Context.span(range(text, &related.span)).label(related.message.as_str()),
            )),
            None => group
                .element(Level::NOTE.message(related.message.as_str()))
                .element(origin(path, &related.span)),
        };
    }
    match &diagnostic.help {
        Some(help) => vec![group.element(Level::HELP.message(help.as_str()))],
        None => vec![group],
    }
}

fn origin<'a>(path: &'a str, span: &Span) -> Origin<'a> {
    Origin::path(path).line(span.line).char_column(span.column)
}

/// The span's bytes, made to fit the text: a stored diagnostic may meet a file that changed since. A span over
/// many lines (a whole stage) is cut to its first, which is enough to find it.
fn range(text: &str, span: &Span) -> std::ops::Range<usize> {
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
