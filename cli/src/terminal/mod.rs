//! What is written to the terminal: statuses in colour, durations and times; `table` lays out columns, `keys` reads
//! single keys.

pub mod keys;
mod table;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use owo_colors::Style;

pub use table::Table;

/// Whether a person looks at standard output.
pub fn is_interactive() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// Whether colours on standard output are seen by anybody, and wanted.
pub fn is_colored() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// How many columns standard output has; absent when it is no terminal.
pub fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
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

/// [`shorten`] for a text with colour codes: they count nothing, and stay.
pub fn shorten_styled(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut short = String::new();
    let (mut count, mut escape, mut cut) = (0, false, false);
    for character in text.chars() {
        if escape || character == '\u{1b}' {
            escape = character != 'm';
            short.push(character);
        } else if count + 1 < most {
            count += 1;
            short.push(character);
        } else if !cut {
            cut = true;
            short.push('…');
        }
    }
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
