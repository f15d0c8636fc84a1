//! Workflow commands (`::error file=…::…`), which GitHub Actions and Tidegate's runner show on the changed lines.

use std::fmt::Write;

use crate::diagnostic::{Diagnostic, Severity};

/// One command a line. Columns are given only where the place is on one line: readers take them for nothing else.
pub fn annotations(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for one in diagnostics {
        let command = match one.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let span = one.span;
        let _ = write!(
            out,
            "::{command} file={},line={},endLine={}",
            property(&one.file),
            span.line,
            span.end_line
        );
        if span.line == span.end_line {
            // Both columns count; ours ends after the last character.
            let _ = write!(
                out,
                ",col={},endColumn={}",
                span.column,
                span.end_column.saturating_sub(1).max(span.column)
            );
        }
        let _ = writeln!(out, ",title={}::{}", property(&one.code), data(&one.full_text()));
    }
    out
}

/// Text after the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::tests::two;

    #[test]
    fn nothing_in_a_message_ends_the_command() {
        assert_eq!(
            annotations(&two()).lines().collect::<Vec<_>>(),
            [
                "::error file=ci files/a%2Cb.yml,line=3,endLine=3,col=3,endColumn=5,title=TG0104::the key `a: b` is given \
                 twice, 100%25%0Aremove or rename one of the two",
                "::warning file=b.yml,line=5,endLine=7,title=TG0902::an image without a tag",
            ]
        );
    }
}
