//! Reading, checking, showing and formatting a file, whatever it holds, in both languages; and what an editor asks of it.

use tidegate_pipelines::{
    Diagnostic, SourceFile, check, editor::Document, findings, format, render, triggers,
};

/// The most diagnostics of a file.
const MOST: usize = 100;

pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for path in ["p.yml", ".github/workflows/p.yml"] {
        let file = SourceFile { path, text: &text };
        let found = check(&file);
        sound(&text, &found);
        assert!(render(&file, &found, false).len() < 2 << 20);
        findings::annotations(&found);
        findings::sarif(&found);
        triggers(&file);
        editor(path, &text, &found);
    }
    formatted(&text);
}

/// Diagnostics are few, short, and about the file.
pub fn sound(text: &str, found: &[Diagnostic]) {
    assert!(found.len() <= MOST);
    for one in found {
        assert!(one.message.len() <= 2100 && one.help.as_ref().is_none_or(|help| help.len() <= 2100));
        if one.file.ends_with("p.yml") {
            let span = one.span;
            assert!(text.get(span.start..span.end).is_some(), "{span:?} is no part of the file");
            assert!(span.line >= 1 && (span.line, span.column) <= (span.end_line, span.end_column));
        }
    }
}

fn editor(path: &str, text: &str, found: &[Diagnostic]) {
    let document = Document::new(path, text.to_owned());
    for at in [0, text.len() / 3, text.len() / 2, text.len()] {
        for item in document.complete(at) {
            assert!(text.get(item.range.clone()).is_some());
        }
        document.hover(at, found);
    }
    for fix in found.iter().flat_map(|one| document.fixes(one)) {
        assert!(text.get(fix.range.clone()).is_some());
    }
}

/// Formatting twice is formatting once, keeps comments, and mends or breaks nothing.
fn formatted(text: &str) {
    let Ok(once) = format(text) else { return };
    let twice = format(&once);
    assert_eq!(twice.as_deref(), Ok(once.as_str()), "formatting twice");
    assert_eq!(once.matches('#').count(), text.matches('#').count(), "comments");
    let codes = |text: &str| {
        let mut codes: Vec<String> =
            check(&SourceFile { path: "p.yml", text }).into_iter().map(|one| one.code).collect();
        codes.sort();
        codes
    };
    let (before, after) = (codes(text), codes(&once));
    assert!(before.len() >= MOST || before == after, "{before:?} became {after:?} by formatting");
}
