//! Problem matchers: regular expressions that find errors in a tool's ordinary output.
//!
//! A matcher is one pattern, or several for lines that follow each other; the last one may loop, when one head is
//! followed by many problems. Expressions are compiled by an engine that takes linear time; one that needs more
//! (look-around, back references) makes its matcher unusable, and the reason is told.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use tidegate_protocol::messages::{Annotation, AnnotationLevel};

use super::notes;

/// The longest line that is looked at, in bytes.
pub const LONGEST_LINE: usize = 8 << 10;
/// The most matchers at once, and patterns of one.
const MOST: usize = 64;
/// The largest compiled expression, in bytes.
const LARGEST: usize = 1 << 20;

/// What a matcher found in a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub file: Option<String>,
    /// A file (of a project) that the file's path is relative to.
    pub from_path: Option<String>,
    /// The line, as text.
    pub line: Option<String>,
    /// The column, as text.
    pub column: Option<String>,
    /// The tool's own code.
    pub code: Option<String>,
    /// The message.
    pub message: Option<String>,
    /// As the tool says it.
    pub severity: Option<String>,
}

/// The matchers that are at work.
#[derive(Default)]
pub struct Matchers {
    all: Vec<Matcher>,
}

/// One matcher with its memory of the lines before.
pub struct Matcher {
    owner: String,
    severity: Option<String>,
    from_path: Option<String>,
    patterns: Vec<Pattern>,
    /// What the pattern of that index found in the line before, with all before it.
    state: Vec<Option<Found>>,
}

struct Pattern {
    regex: Regex,
    groups: [Option<usize>; 7],
    repeats: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    problem_matcher: Vec<MatcherFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MatcherFile {
    #[serde(default)]
    owner: String,
    severity: Option<String>,
    from_path: Option<String>,
    #[serde(default)]
    pattern: Vec<PatternFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PatternFile {
    #[serde(default)]
    regexp: String,
    file: Option<i64>,
    from_path: Option<i64>,
    line: Option<i64>,
    column: Option<i64>,
    code: Option<i64>,
    message: Option<i64>,
    severity: Option<i64>,
    #[serde(default, rename = "loop")]
    repeats: bool,
}

/// Reads a matcher file. The error is one sentence.
pub fn read(json: &str) -> Result<Vec<Matcher>, String> {
    let file: File =
        serde_json::from_str(json.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())?;
    if file.problem_matcher.len() > MOST {
        return Err(format!("it has more than {MOST} matchers"));
    }
    let mut matchers: Vec<Matcher> = Vec::new();
    for one in file.problem_matcher {
        let matcher = matcher(one)?;
        if matchers.iter().any(|other| other.owner.eq_ignore_ascii_case(&matcher.owner)) {
            return Err(format!("two matchers have the owner `{}`", matcher.owner));
        }
        matchers.push(matcher);
    }
    Ok(matchers)
}

fn matcher(file: MatcherFile) -> Result<Matcher, String> {
    let MatcherFile { owner, severity, from_path, pattern } = file;
    if owner.trim().is_empty() {
        return Err("a matcher has no owner".to_owned());
    }
    let wrong = |what: &str| format!("matcher `{owner}`: {what}");
    if pattern.is_empty() || pattern.len() > MOST {
        return Err(wrong(&format!("it needs 1 to {MOST} patterns")));
    }
    let last = pattern.len() - 1;
    let mut set = [false; 7];
    let mut patterns = Vec::with_capacity(pattern.len());
    for (index, one) in pattern.into_iter().enumerate() {
        let regex = RegexBuilder::new(&one.regexp).size_limit(LARGEST).build();
        let regex = regex.map_err(|error| wrong(&format!("`{}` cannot be used: {error}", one.regexp)))?;
        if one.repeats && (last == 0 || index != last || one.message.is_none()) {
            return Err(wrong("only the last of several patterns may loop, and it must find the message"));
        }
        let numbers = [one.file, one.from_path, one.line, one.column, one.code, one.message, one.severity];
        let mut groups = [None; 7];
        for (at, number) in numbers.into_iter().enumerate() {
            let Some(number) = number else { continue };
            if std::mem::replace(&mut set[at], true) {
                return Err(wrong("two patterns find the same property"));
            }
            let group = usize::try_from(number).ok().filter(|group| *group < regex.captures_len());
            groups[at] =
                Some(group.ok_or_else(|| wrong(&format!("`{}` has no group {number}", one.regexp)))?);
        }
        patterns.push(Pattern { regex, groups, repeats: one.repeats });
    }
    let [.., message, _] = set;
    if !message {
        return Err(wrong("no pattern finds the message"));
    }
    let state = patterns.iter().map(|_| None).collect();
    Ok(Matcher { owner, severity, from_path, patterns, state })
}

impl Matcher {
    /// Whose it is; a later one of the same owner takes its place.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Looks at the next line.
    pub fn look(&mut self, line: &str) -> Option<Found> {
        let last = self.patterns.len() - 1;
        let mut found = None;
        // From the last one: each goes on from what its predecessor found in the line before.
        for (index, pattern) in self.patterns.iter().enumerate().rev() {
            let before = match index.checked_sub(1) {
                None => Some(Found::default()),
                Some(previous) => self.state[previous].clone(),
            };
            let now = before.as_ref().and_then(|before| pattern.find(line, before));
            if index < last {
                self.state[index] = now;
            } else if now.is_some() {
                found = now;
                self.state.fill(None);
                if pattern.repeats {
                    self.state[index - 1] = before;
                }
                break;
            }
        }
        let mut found = found?;
        found.severity = found.severity.or_else(|| self.severity.clone());
        found.from_path = found.from_path.or_else(|| self.from_path.clone());
        Some(found)
    }
}

impl Pattern {
    fn find(&self, line: &str, before: &Found) -> Option<Found> {
        let captures = self.regex.captures(line)?;
        let [file, from_path, line, column, code, message, severity] = self.groups.map(|group| {
            let text = captures.get(group?)?.as_str();
            (!text.is_empty()).then(|| text.to_owned())
        });
        let before = before.clone();
        Some(Found {
            file: file.or(before.file),
            from_path: from_path.or(before.from_path),
            line: line.or(before.line),
            column: column.or(before.column),
            code: code.or(before.code),
            message: message.or(before.message),
            severity: severity.or(before.severity),
        })
    }
}

impl Matchers {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds matchers, each in place of an older one of its owner.
    pub fn add(&mut self, matchers: Vec<Matcher>) {
        for matcher in matchers {
            self.remove(&matcher.owner);
            if self.all.len() < MOST {
                self.all.push(matcher);
            }
        }
    }

    /// Removes the one of this owner.
    pub fn remove(&mut self, owner: &str) {
        self.all.retain(|matcher| !matcher.owner.eq_ignore_ascii_case(owner));
    }

    /// What the first matcher that finds something says of the line; colours are looked through.
    pub fn look(&mut self, line: &str) -> Option<Annotation> {
        let plain = without_colours(line);
        let (at, found) =
            self.all.iter_mut().enumerate().find_map(|(at, matcher)| Some((at, matcher.look(&plain)?)))?;
        // The line is this one's: the others forget what they were in the middle of.
        for (_, other) in self.all.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            other.state.fill(None);
        }
        note(found)
    }
}

/// None: its severity says that it is none.
fn note(found: Found) -> Option<Annotation> {
    let level = match found.severity.as_deref().unwrap_or("error").to_ascii_lowercase().as_str() {
        "error" => AnnotationLevel::Error,
        "warning" => AnnotationLevel::Warning,
        "notice" | "info" => AnnotationLevel::Notice,
        _ => return None,
    };
    let mut message = found.message.unwrap_or_default();
    if let Some(code) = &found.code {
        message = format!("{code}: {message}");
    }
    let mut note =
        notes::placed(level, &message, [found.line.as_deref(), None], [found.column.as_deref(), None]);
    let folder = found.from_path.as_deref().and_then(|path| path.rsplit_once('/')).map(|(folder, _)| folder);
    note.file = found.file.map(|file| match folder {
        Some(folder) if !file.starts_with('/') => format!("{folder}/{file}"),
        _ => file,
    });
    Some(note)
}

/// The line without escape sequences that set colours.
fn without_colours(line: &str) -> std::borrow::Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return line.into();
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        let end = sequence.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(sequence.len());
        rest = sequence[end..].strip_prefix('m').unwrap_or(&sequence[end..]);
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOP: &str = r#"{"problemMatcher": [{"owner": "lint", "severity": "warning", "pattern": [
        {"regexp": "^file (.+)$", "file": 1},
        {"regexp": "^ +(\\d+):(\\d+) (.+?)( \\[(.+)\\])?$", "line": 1, "column": 2, "message": 3, "code": 5, "loop": true}
    ]}]}"#;

    #[test]
    fn one_head_and_many_problems() {
        let mut matchers = Matchers::default();
        matchers.add(read(LOOP).unwrap());
        let mut look = |line: &str| {
            matchers.look(line).map(|note| (note.file.unwrap(), note.line.unwrap(), note.message))
        };
        assert_eq!(look("file a.js"), None);
        assert_eq!(look("  3:4 wrong [no-x]"), Some(("a.js".into(), 3, "no-x: wrong".into())));
        assert_eq!(look("\u{1b}[31m  5:1 worse\u{1b}[0m"), Some(("a.js".into(), 5, "worse".into())));
        assert_eq!(look("done"), None);
        assert_eq!(look("  6:1 of no file"), None);
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        for (json, part) in [
            ("{", "EOF"),
            (
                r#"{"problemMatcher": [{"owner": "a", "pattern": [{"regexp": "(?=x)(.)", "message": 1}]}]}"#,
                "(?=x)",
            ),
            (
                r#"{"problemMatcher": [{"owner": "a", "pattern": [{"regexp": "(.)", "message": 2}]}]}"#,
                "no group 2",
            ),
            (r#"{"problemMatcher": [{"owner": "a", "pattern": [{"regexp": "(.)", "file": 1}]}]}"#, "message"),
        ] {
            let error = read(json).err().unwrap();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
