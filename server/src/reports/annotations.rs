//! What steps said of places in files and wrote for the run's page, as the runner hands it on. It was written by whatever
//! ran in a sandbox: all of it is bounded again here.

use serde::{Deserialize, Serialize};
use tidegate_pipelines::Diagnostic;
use tidegate_protocol::messages::{Annotation, AnnotationLevel, Annotations};
use utoipa::ToSchema;

use super::{MESSAGE, NAME, Summary, cut};

/// Steps whose summaries are kept.
const SUMMARIES: usize = 100;

/// What a step said of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Remark {
    /// `error`, `warning` or `notice`.
    pub level: String,
    /// What it says.
    pub message: String,
    /// Its heading.
    pub title: Option<String>,
    /// The file.
    pub file: Option<String>,
    /// The first line, from 1.
    pub line: Option<u32>,
    /// The last line.
    pub end_line: Option<u32>,
    /// The first column, from 1.
    pub column: Option<u32>,
    /// The last column.
    pub end_column: Option<u32>,
    /// The step's index in the attempt.
    pub step: u32,
}

/// What a step wrote for the run's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// The step's index in the attempt.
    pub step: u32,
    /// Markdown.
    pub text: String,
}

/// Reads it: what the stage's page shows, and what steps wrote.
pub fn read(bytes: &[u8]) -> Result<(Summary, Vec<Note>), String> {
    let told: Annotations =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no list of annotations: {error}"))?;
    let items: Vec<Remark> = told.annotations.into_iter().take(Annotations::MOST).map(remark).collect();
    let (mut notes, mut room) = (Vec::new(), Annotations::SUMMARY_BYTES);
    for one in told.summaries.into_iter().take(SUMMARIES) {
        let whole = one.text.replace('\0', "\u{fffd}");
        let text = &whole[..whole.floor_char_boundary(room)];
        // Nothing comes after what was cut off.
        room = if text.len() < whole.len() { 0 } else { room - text.len() };
        if !text.trim().is_empty() {
            notes.push(Note { step: one.step, text: text.to_owned() });
        }
    }
    let count = |level: &str| items.iter().filter(|item| item.level == level).count() as u64;
    let summary = Summary::Annotations {
        errors: told.errors.max(count("error")),
        warnings: told.warnings.max(count("warning")),
        notices: told.notices.max(count("notice")),
        notes: notes.len() as u64,
        items,
    };
    Ok((summary, notes))
}

/// What is wrong with a file that a stage wrote, in the same form.
pub fn of_diagnostics(diagnostics: &[Diagnostic]) -> Summary {
    let count = |errors: bool| diagnostics.iter().filter(|one| one.is_error() == errors).count() as u64;
    Summary::Annotations {
        errors: count(true),
        warnings: count(false),
        notices: 0,
        notes: 0,
        items: diagnostics.iter().take(Annotations::MOST).map(remark_of).collect(),
    }
}

fn remark_of(one: &Diagnostic) -> Remark {
    let message = match &one.help {
        Some(help) => format!("{}\nhelp: {help}", one.message),
        None => one.message.clone(),
    };
    let number = |number: usize| u32::try_from(number).ok();
    Remark {
        level: if one.is_error() { "error" } else { "warning" }.to_owned(),
        message: cut(&message, MESSAGE),
        title: Some(one.code.clone()),
        file: Some(cut(&one.file, NAME)),
        line: number(one.span.line),
        end_line: number(one.span.end_line),
        column: number(one.span.column),
        end_column: number(one.span.end_column),
        step: 0,
    }
}

fn remark(one: Annotation) -> Remark {
    let level = match one.level {
        AnnotationLevel::Error => "error",
        AnnotationLevel::Warning => "warning",
        AnnotationLevel::Notice => "notice",
    };
    let some = |text: Option<String>| text.map(|text| cut(&text, NAME)).filter(|text| !text.is_empty());
    Remark {
        level: level.to_owned(),
        message: cut(&one.message, MESSAGE),
        title: some(one.title),
        file: some(one.file),
        line: one.line.filter(|line| *line > 0),
        end_line: one.end_line.filter(|line| *line > 0),
        column: one.column.filter(|column| *column > 0),
        end_column: one.end_column.filter(|column| *column > 0),
        step: one.step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_all_is_counted() {
        let many: Vec<_> = (0..80)
            .map(|n| serde_json::json!({"step": 1, "level": "error", "message": "m\0".repeat(5000), "line": n}))
            .collect();
        let text = "é".repeat(Annotations::SUMMARY_BYTES);
        let body = serde_json::json!({
            "annotations": many, "errors": 80, "warnings": 1, "notices": 0,
            "summaries": [{"step": 1, "text": "# hello"}, {"step": 2, "text": text}, {"step": 3, "text": "gone"}],
        });
        let (summary, notes) = read(&serde_json::to_vec(&body).unwrap()).unwrap();
        let Summary::Annotations { errors, warnings, items, notes: count, .. } = summary else { panic!() };
        assert_eq!((errors, warnings, items.len(), count), (80, 1, Annotations::MOST, 2));
        assert_eq!(items[0].line, None, "lines begin with 1");
        assert!(items[1].message.chars().count() <= MESSAGE && !items[1].message.contains('\0'));
        assert_eq!(notes[0].text, "# hello");
        assert!(notes.iter().map(|note| note.text.len()).sum::<usize>() <= Annotations::SUMMARY_BYTES);
        for bad in ["", "[]x", "{\"annotations\": 3}", "{\"annotations\": [{\"level\": \"bad\"}]}"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(b"{}").unwrap().1.is_empty());
    }
}
