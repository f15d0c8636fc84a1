//! What is written to the terminal: tables, statuses in colour, durations and times.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use owo_colors::{OwoColorize, Style};

/// Whether a person looks at standard output.
pub fn is_interactive() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// The style of a status word.
pub fn status_style(status: &str) -> Style {
    match status {
        "succeeded" | "approved" | "online" => Style::new().green(),
        "failed" | "rejected" | "unknown" | "lost" | "invalid" | "expired" => Style::new().red(),
        "warned" | "gated" | "waiting" | "open" | "rolled_back" | "frozen" => Style::new().yellow(),
        "running" | "deploying" | "verifying" => Style::new().cyan(),
        _ => Style::new().dimmed(),
    }
}

/// A mark for a status.
pub fn status_mark(status: &str) -> &'static str {
    match status {
        "succeeded" => "✓",
        "failed" | "invalid" | "rejected" => "✗",
        "warned" => "!",
        "unknown" | "lost" => "?",
        "skipped" | "cancelled" => "–",
        "gated" | "waiting" => "⏸",
        "running" => "▶",
        _ => "·",
    }
}

/// A table: columns are as wide as their widest cell. Colour codes may stand in cells.
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table as text, without a line end after the last row.
    pub fn render(&self) -> String {
        let mut widths: Vec<usize> = self.head.iter().map(|title| width(title)).collect();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                if let Some(most) = widths.get_mut(column) {
                    *most = (*most).max(width(cell));
                }
            }
        }
        let line = |cells: Vec<String>| {
            let mut text = String::new();
            for (column, cell) in cells.iter().enumerate() {
                text.push_str(cell);
                if column + 1 < cells.len() {
                    let gap = widths.get(column).copied().unwrap_or(0).saturating_sub(width(cell));
                    text.push_str(&" ".repeat(gap + 2));
                }
            }
            text
        };
        let mut lines = vec![line(self.head.iter().map(|title| title.dimmed().to_string()).collect())];
        lines.extend(self.rows.iter().map(|row| line(row.clone())));
        lines.join("\n")
    }

    /// Prints it, or a sentence when it has no rows.
    pub fn print(&self, when_empty: &str) {
        if self.rows.is_empty() {
            anstream::println!("{}", when_empty.dimmed());
        } else {
            anstream::println!("{}", self.render());
        }
    }
}

/// Columns that a text takes, colour codes aside. Good for the narrow characters that are used here.
pub fn width(text: &str) -> usize {
    let mut count = 0;
    let mut escape = false;
    for character in text.chars() {
        match character {
            '\u{1b}' => escape = true,
            'm' if escape => escape = false,
            _ if escape => {}
            _ => count += 1,
        }
    }
    count
}

/// At most `most` characters of a text, its first line, with an ellipsis where something is left out.
pub fn shorten(text: &str, most: usize) -> String {
    let first = text.lines().next().unwrap_or_default();
    if first.chars().count() <= most {
        return first.to_owned();
    }
    let mut short: String = first.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// `840 ms`, `3.2 s`, `4 min 07 s`, `2 h 05 min`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{:.1} s", span.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// How long ago a time was, in words.
pub fn ago(time: jiff::Timestamp) -> String {
    let seconds = jiff::Timestamp::now().as_second().saturating_sub(time.as_second());
    match seconds {
        ..1 => "now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86400),
    }
}

/// The first twelve digits of an image's digest, or of a commit: enough to compare by eye.
pub fn short_digest(image: &str) -> String {
    let digest = image.rsplit_once("sha256:").map_or(image, |(_, digest)| digest);
    digest.chars().take(12).collect()
}

/// Text from outside (logs, titles) with everything but printable characters and tabs removed, so that it
/// cannot steer the terminal.
pub fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\t' => clean.push_str("    "),
            _ if character.is_control() => {}
            _ => clean.push(character),
        }
    }
    clean
}

fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.peek() {
        Some('[') => {
            characters.next();
            for character in characters.by_ref() {
                if ('@'..='~').contains(&character) {
                    break;
                }
            }
        }
        Some(']') => {
            for character in characters.by_ref() {
                if character == '\u{7}' || character == '\u{1b}' {
                    break;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_colours() {
        let mut table = Table::new(&["stage", "result"]);
        table.row(["lint".to_owned(), "ok".green().to_string()]);
        table.row(["deploy-production".bold().to_string(), "failed".to_owned()]);
        let plain: Vec<String> = table.render().lines().map(harmless).collect();
        assert_eq!(
            plain,
            ["stage              result", "lint               ok", "deploy-production  failed"]
        );
    }

    #[test]
    fn escapes_from_outside_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31mred\u{1b}[0m b\u{1b}]52;c;x\u{7}c\rd"), "ared bcd");
    }

    #[test]
    fn durations_read_well() {
        let words = [0, 999, 1500, 61_000, 7_500_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(words, ["0 ms", "999 ms", "1.5 s", "1 min 01 s", "2 h 05 min"]);
    }

    #[test]
    fn digests_are_cut_after_their_algorithm() {
        assert_eq!(short_digest("r.example/a@sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_digest("0123456789abcdef"), "0123456789ab");
    }
}
