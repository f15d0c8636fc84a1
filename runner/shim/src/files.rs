//! The files by which a step hands on outputs, environment values and search paths.
//!
//! `name=value` sets a value of one line; `name<<WORD`, lines, `WORD` one of several. Standard output is never
//! read for this: a log line can set nothing.

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

/// Reads one search path a line, in order.
pub fn paths(text: &str) -> Vec<String> {
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
    fn search_paths_keep_their_order() {
        assert_eq!(paths("/a\n\n /b \n"), ["/a", "/b"]);
    }
}
