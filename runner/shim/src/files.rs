//! The files by which a step hands on outputs, environment values and search paths.
//!
//! `name=value` sets a value of one line; `name<<WORD`, lines, `WORD` one of several. Standard output is never
//! read for this: a log line can set nothing. [`pairs`] has Tidegate's own rules, [`github_pairs`] the ones of
//! GitHub's runner, which takes any name and keeps every space.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// The largest such file.
pub const LIMIT: u64 = 1 << 20;

/// Reads one of a step's files without following a link. A missing file is an empty one.
pub fn read(path: &Path, name: &str) -> Result<String, String> {
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(format!("{name} cannot be read: {error}")),
    };
    if !file.metadata().is_ok_and(|data| data.is_file()) {
        return Err(format!("{name} is not a plain file any more"));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{name} cannot be read: {error}"))?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!("{name} holds more than {} KiB", LIMIT / 1024));
    }
    String::from_utf8(bytes).map_err(|_| format!("{name} holds bytes that are not UTF-8"))
}

/// Reads `name=value` and `name<<WORD` entries.
pub fn pairs(text: &str, file: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        if line.trim().is_empty() {
            continue;
        }
        let heredoc = line.find("<<").filter(|at| line.find('=').is_none_or(|equals| *at < equals));
        let (name, value) = if let Some(at) = heredoc {
            let word = line[at + 2..].trim();
            if word.is_empty() {
                return Err(format!("{file}, line {number}: `<<` needs a word that ends the value"));
            }
            let mut value = String::new();
            loop {
                match lines.next() {
                    Some((_, line)) if line == word => break,
                    Some((_, line)) => {
                        if !value.is_empty() {
                            value.push('\n');
                        }
                        value.push_str(line);
                    }
                    None => return Err(format!("{file}, line {number}: no line `{word}` ends the value")),
                }
            }
            (&line[..at], value)
        } else if let Some((name, value)) = line.split_once('=') {
            (name, value.to_owned())
        } else {
            return Err(format!("{file}, line {number}: expected `name=value` or `name<<WORD`"));
        };
        let name = name.trim();
        if !is_name(name) {
            return Err(format!(
                "{file}, line {number}: `{name}` is no name; use letters, digits, `_` and `-`"
            ));
        }
        pairs.push((name.to_owned(), value));
    }
    Ok(pairs)
}

/// Why a file cannot be read by GitHub's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// Neither `name=value` nor `name<<WORD`, or a name or word is missing. The line's number.
    Format(usize),
    /// No line is the word that was to end the value.
    NoEnd(String),
    /// The value's last line ends with the file.
    Cut(String),
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Format(line) => {
                write!(f, "line {line} is neither `name=value` nor `name<<WORD` with a name and a word")
            }
            Self::NoEnd(word) => write!(f, "no line `{word}` ends the value"),
            Self::Cut(word) => {
                write!(f, "the file ends inside a value: the line `{word}` that ends it is missing")
            }
        }
    }
}

/// Reads `name=value` and `name<<WORD` entries by GitHub's rules: a byte order mark and empty lines count for
/// nothing, and nothing is trimmed but the ends of lines. A value of several lines keeps its line ends as they are.
pub fn github_pairs(text: &str) -> Result<Vec<(String, String)>, Mistake> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Lines { text, at: 0, number: 0 };
    let mut pairs = Vec::new();
    while let Some(line) = lines.next() {
        if line.content.is_empty() {
            continue;
        }
        let equals = line.content.find('=');
        let heredoc = line.content.find("<<").filter(|at| equals.is_none_or(|equals| *at < equals));
        let (name, value) = if let Some(at) = heredoc {
            let word = &line.content[at + 2..];
            if word.is_empty() {
                return Err(Mistake::Format(line.number));
            }
            let begin = lines.at;
            let mut end = begin;
            loop {
                match lines.next() {
                    Some(line) if line.content == word => break,
                    Some(line) if line.terminated => end = line.end,
                    Some(_) => return Err(Mistake::Cut(word.to_owned())),
                    None => return Err(Mistake::NoEnd(word.to_owned())),
                }
            }
            (&line.content[..at], &text[begin..end])
        } else if let Some(at) = equals {
            (&line.content[..at], &line.content[at + 1..])
        } else {
            return Err(Mistake::Format(line.number));
        };
        if name.is_empty() {
            return Err(Mistake::Format(line.number));
        }
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

struct Lines<'a> {
    text: &'a str,
    at: usize,
    number: usize,
}

struct Line<'a> {
    content: &'a str,
    number: usize,
    /// Where its content ends in the text.
    end: usize,
    terminated: bool,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        self.number += 1;
        let newline = rest.find('\n');
        let content = newline.map_or(rest, |at| rest[..at].strip_suffix('\r').unwrap_or(&rest[..at]));
        let end = self.at + content.len();
        self.at += newline.map_or(rest.len(), |at| at + 1);
        Some(Line { content, number: self.number, end, terminated: newline.is_some() })
    }
}

/// Whether a name may not be set by `GITHUB_ENV`: it would change how every later action is executed.
pub fn is_blocked(name: &str) -> bool {
    name.eq_ignore_ascii_case("NODE_OPTIONS")
}

/// Reads one search path a line, in order.
pub fn paths(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Vec<(String, String)> {
        pairs(text, "TIDEGATE_OUTPUT").unwrap()
    }

    #[test]
    fn one_line_and_several_lines() {
        let text = "a=1\n\nb==x=y<<z\nc<<END\none\n\ntwo=2\nEND\nd=\n";
        let expected = [("a", "1"), ("b", "=x=y<<z"), ("c", "one\n\ntwo=2"), ("d", "")];
        assert_eq!(ok(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn mistakes_name_the_line() {
        for (text, part) in [
            ("a=1\nnonsense\n", "line 2: expected"),
            ("x<<EOF\nnever\n", "line 1: no line `EOF`"),
            ("x<<\n", "line 1: `<<` needs"),
            ("1x=2\n", "`1x` is no name"),
            ("a b=2\n", "`a b` is no name"),
            ("=2\n", "`` is no name"),
        ] {
            let message = pairs(text, "TIDEGATE_ENV").unwrap_err();
            assert!(message.contains(part) && message.contains("TIDEGATE_ENV"), "{text:?}: {message}");
        }
    }

    #[test]
    fn github_takes_names_and_spaces_as_they_are() {
        let text = "\u{feff}A B = 1 \n\nC<<END\n one\n\ntwo=2\nEND\nD<<E\nE\nF=\nG==x<<y";
        let expected = [("A B ", " 1 "), ("C", " one\n\ntwo=2"), ("D", ""), ("F", ""), ("G", "=x<<y")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(github_pairs(text).unwrap(), expected);
        assert_eq!(github_pairs("").unwrap(), []);
        assert_eq!(github_pairs("\u{feff}").unwrap(), []);
    }

    #[test]
    fn windows_line_ends_are_no_part_of_names_words_and_short_values() {
        let text = "A=1\r\nB<<END\r\none\r\ntwo\r\nEND\r\n\r\n";
        let expected = [("A", "1"), ("B", "one\r\ntwo")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(github_pairs(text).unwrap(), expected);
    }

    #[test]
    fn what_github_refuses_is_told_apart() {
        for (text, mistake) in [
            ("a=1\nnonsense", Mistake::Format(2)),
            ("=1", Mistake::Format(1)),
            ("<<X\nX", Mistake::Format(1)),
            ("a<<\n", Mistake::Format(1)),
            ("a<<X\n", Mistake::NoEnd("X".to_owned())),
            ("a<<X\none\n", Mistake::NoEnd("X".to_owned())),
            ("a<<X\none", Mistake::Cut("X".to_owned())),
            ("a<<X\n X", Mistake::Cut("X".to_owned())),
        ] {
            assert_eq!(github_pairs(text).unwrap_err(), mistake, "{text:?}");
        }
    }

    #[test]
    fn search_paths_keep_their_order() {
        assert_eq!(paths("/a\n\n /b \n"), ["/a", "/b"]);
    }
}
