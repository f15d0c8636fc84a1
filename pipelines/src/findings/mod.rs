//! Diagnostics in the forms that other programs read: SARIF for scanners' dashboards, annotations for GitHub's pages.

mod annotations;
mod sarif;

pub use annotations::annotations;
pub use sarif::sarif;

use crate::{
    codes::Code,
    diagnostic::{Diagnostic, Span},
};

impl Diagnostic {
    /// A diagnostic about a file as a whole, for one whose text cannot even be given to the compiler.
    pub fn about_file(code: Code, path: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.id.to_owned(),
            severity: code.severity,
            message: message.into(),
            file: path.to_owned(),
            span: Span { start: 0, end: 0, line: 1, column: 1, end_line: 1, end_column: 1 },
            help: None,
            related: Vec::new(),
        }
    }

    /// Message and help as one text.
    pub(crate) fn full_text(&self) -> String {
        match &self.help {
            Some(help) => format!("{}\n{help}", self.message),
            None => self.message.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Related, Severity};

    /// An error over part of a line, with help and a related place, and a warning without.
    pub(crate) fn two() -> Vec<Diagnostic> {
        let span = |start, line, column, end_column| Span {
            start,
            end: start + end_column - column,
            line,
            column,
            end_line: line,
            end_column,
        };
        vec![
            Diagnostic {
                code: "TG0104".into(),
                severity: Severity::Error,
                message: "the key `a: b` is given twice, 100%".into(),
                file: "ci files/a,b.yml".into(),
                span: span(10, 3, 3, 6),
                help: Some("remove or rename one of the two".into()),
                related: vec![Related {
                    span: span(0, 1, 1, 4),
                    message: "first given here".into(),
                    file: None,
                }],
            },
            Diagnostic {
                code: "TG0902".into(),
                severity: Severity::Warning,
                message: "an image without a tag".into(),
                file: "b.yml".into(),
                span: Span { end_line: 7, ..span(50, 5, 1, 4) },
                help: None,
                related: vec![],
            },
        ]
    }
}
