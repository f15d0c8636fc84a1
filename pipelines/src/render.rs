//! Diagnostics as text for people, in the look of rustc: the line, the place underlined, the help below.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};

use crate::{
    SourceFile,
    diagnostic::{Diagnostic, Severity, Span},
};

/// All diagnostics of one file, with the lines they are about. Colour is ANSI escapes.
pub fn render(file: &SourceFile, diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&renderer.render(&report(file, diagnostic)));
        out.push_str("\n\n");
    }
    out
}

fn report<'a>(file: &SourceFile<'a>, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let related = diagnostic.related.iter().map(|related| {
        AnnotationKind::Context.span(range(file.text, &related.span)).label(related.message.as_str())
    });
    let snippet = Snippet::<Annotation<'_>>::source(file.text)
        .path(file.path)
        .annotation(AnnotationKind::Primary.span(range(file.text, &diagnostic.span)))
        .annotations(related);
    let group =
        level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str()).element(snippet);
    match &diagnostic.help {
        Some(help) => vec![group.element(Level::HELP.message(help.as_str()))],
        None => vec![group],
    }
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
    fn survives_a_file_that_is_shorter_than_the_span() {
        let file = SourceFile { path: "pipeline.yml", text: "ü" };
        assert!(render(&file, &[diagnostic(1, 400)], false).contains("TG0201"));
    }
}
