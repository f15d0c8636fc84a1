//! Errors, warnings and notices with a place in a file: from a command's properties, or a problem matcher's groups.

use tidegate_protocol::messages::{Annotation, AnnotationLevel};

use super::parse::Command;

/// The longest message that is kept, in characters.
const LONGEST: usize = 4_000;

/// What a command `error`, `warning` or `notice` says.
pub fn of_command(level: AnnotationLevel, command: &Command) -> Annotation {
    let text = |key: &str| command.property(key).map(str::to_owned);
    Annotation {
        title: text("title"),
        file: text("file"),
        ..placed(
            level,
            &command.data,
            [command.property("line"), command.property("endline")],
            [command.property("col"), command.property("endcolumn")],
        )
    }
}

/// A message at these lines and columns, each first and last. What does not go together is left out: columns need one
/// line, and a last one is never before the first.
pub fn placed(
    level: AnnotationLevel,
    message: &str,
    lines: [Option<&str>; 2],
    columns: [Option<&str>; 2],
) -> Annotation {
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<u32>().ok());
    let [mut line, mut end_line] = lines.map(number);
    let [mut column, mut end_column] = columns.map(number);
    line = line.or(end_line);
    column = column.or(end_column);
    if line.is_none() || end_line.is_some() && end_line != line {
        (column, end_column) = (None, None);
    }
    if end_line.is_some_and(|end| Some(end) < line) {
        (line, end_line) = (None, None);
    }
    if end_column.is_some_and(|end| Some(end) < column) {
        (column, end_column) = (None, None);
    }
    Annotation {
        step: 0,
        level,
        message: message.chars().take(LONGEST).collect(),
        title: None,
        file: None,
        line,
        end_line,
        column,
        end_column,
    }
}

/// How a note reads in a log.
pub fn shown(note: &Annotation) -> String {
    let (word, color) = match note.level {
        AnnotationLevel::Error => ("Error", 31),
        AnnotationLevel::Warning => ("Warning", 33),
        AnnotationLevel::Notice => ("Notice", 34),
    };
    let mut place = note.file.clone().unwrap_or_default();
    for number in [note.line, note.column].into_iter().flatten().filter(|_| note.file.is_some()) {
        place.push_str(&format!(":{number}"));
    }
    let parts = [Some(place.as_str()).filter(|place| !place.is_empty()), note.title.as_deref()];
    let mut text = format!("{word}: ");
    for part in parts.into_iter().flatten() {
        text.push_str(part);
        text.push_str(": ");
    }
    text.push_str(&note.message);
    coloured(&text, color)
}

/// Each line by itself in a colour, so that a page may begin anywhere.
pub fn coloured(text: &str, color: u8) -> String {
    text.split('\n')
        .map(|line| format!("\u{1b}[{color}m{}\u{1b}[0m\n", line.trim_end_matches('\r')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lines: [Option<&str>; 2], columns: [Option<&str>; 2]) -> [Option<u32>; 4] {
        let note = placed(AnnotationLevel::Error, "m", lines, columns);
        [note.line, note.end_line, note.column, note.end_column]
    }

    #[test]
    fn places_that_make_no_sense_are_left_out() {
        assert_eq!(place([Some("7"), None], [Some("3"), None]), [Some(7), None, Some(3), None]);
        assert_eq!(place([None, Some("7")], [None, None]), [Some(7), Some(7), None, None]);
        assert_eq!(place([Some("7"), Some("9")], [Some("3"), None]), [Some(7), Some(9), None, None]);
        assert_eq!(place([None, None], [Some("3"), Some("4")]), [None, None, None, None]);
        assert_eq!(place([Some("9"), Some("7")], [None, None]), [None, None, None, None]);
        assert_eq!(place([Some("7"), None], [Some("4"), Some("3")]), [Some(7), None, None, None]);
        assert_eq!(place([Some("x"), None], [None, None]), [None, None, None, None]);
    }

    #[test]
    fn a_note_is_a_coloured_line_with_its_place() {
        let mut note = placed(AnnotationLevel::Warning, "one\ntwo", [Some("7"), None], [Some("3"), None]);
        note.file = Some("src/a.rs".to_owned());
        assert_eq!(shown(&note), "\u{1b}[33mWarning: src/a.rs:7:3: one\u{1b}[0m\n\u{1b}[33mtwo\u{1b}[0m\n");
    }
}
