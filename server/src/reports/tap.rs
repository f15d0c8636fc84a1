//! The Test Anything Protocol, versions 12 to 14: lines that begin with `ok` or `not ok`. What stands indented is a part
//! of the test after it and is not counted again; what a failed test says in its YAML block or in comments is kept.

use super::{ITEMS, MESSAGE, NAME, Summary, TestFailure, cut};

/// Tests that a plan may announce; more is a mistake of whoever wrote it.
const MOST: u64 = 10_000_000;

pub(super) fn parse(bytes: &[u8]) -> Result<Summary, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut tap = Tap::default();
    for line in text.lines() {
        tap.line(line.trim_end_matches('\r'));
    }
    tap.finish()
}

#[derive(Default)]
struct Tap {
    seen: u64,
    failed: u64,
    skipped: u64,
    milliseconds: f64,
    failures: Vec<TestFailure>,
    /// Tests that the plan announces.
    planned: Option<u64>,
    bailed: Option<String>,
    /// What belongs to the last test may still follow.
    open: bool,
    block: bool,
}

impl Tap {
    fn line(&mut self, line: &str) {
        let inner = line.trim_start();
        if self.block || (line.len() > inner.len() && inner == "---") {
            return self.block(inner);
        }
        if line.len() > inner.len() {
            // A subtest: its result is the line after it.
            return;
        }
        if let Some(rest) = word(line, "not ok") {
            self.test(rest, false);
        } else if let Some(rest) = word(line, "ok") {
            self.test(rest, true);
        } else if let Some(last) = line.strip_prefix("1..") {
            let last = last.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            self.planned = last.parse().ok().filter(|count| *count <= MOST);
            self.open = false;
        } else if let Some(reason) = word(line, "Bail out!") {
            self.bailed = Some(cut(reason, MESSAGE));
        } else if let Some(comment) = line.strip_prefix('#') {
            self.say(comment.trim());
        }
    }

    fn test(&mut self, rest: &str, ok: bool) {
        self.seen += 1;
        self.open = false;
        let rest = rest.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
        let (name, directive) = split(rest);
        let directive = directive.trim_start().to_ascii_lowercase();
        if directive.starts_with("skip") {
            self.skipped += 1;
        } else if !ok && directive.starts_with("todo") {
            // Known not to work yet: that is no failure.
            self.skipped += 1;
        } else if !ok {
            self.failed += 1;
            self.open = self.failures.len() < ITEMS;
            if self.open {
                let name = name.trim().trim_start_matches('-').trim_start();
                let name = if name.is_empty() { format!("test {}", self.seen) } else { name.to_owned() };
                let failure =
                    TestFailure { suite: String::new(), name: cut(&name, NAME), message: String::new() };
                self.failures.push(failure);
            }
        }
        if let Some(time) = directive.strip_prefix("time=") {
            self.time(time);
        }
    }

    /// A line of the YAML block that follows a test.
    fn block(&mut self, line: &str) {
        match line {
            "---" => self.block = true,
            "..." => self.block = false,
            line => {
                if let Some(time) = line.strip_prefix("duration_ms:") {
                    self.time(time);
                } else {
                    self.say(line);
                }
            }
        }
    }

    fn time(&mut self, text: &str) {
        let number = text.trim().trim_end_matches("ms").trim();
        let time: f64 = number.parse().unwrap_or(0.0);
        if time.is_finite() && time > 0.0 {
            self.milliseconds += time.min(1e12);
        }
    }

    /// Adds to what the last test says, when it failed.
    fn say(&mut self, text: &str) {
        if let Some(failure) = self.failures.last_mut().filter(|_| self.open)
            && failure.message.len() < 4 * MESSAGE
        {
            let text = cut(text, MESSAGE);
            if !failure.message.is_empty() {
                failure.message.push('\n');
            }
            failure.message.push_str(&text);
        }
    }

    fn finish(mut self) -> Result<Summary, String> {
        if self.seen == 0 && self.planned.is_none() && self.bailed.is_none() {
            return Err("it holds no line of TAP (`ok 1 - name`, `not ok 2 - name`, `1..2`)".to_owned());
        }
        // What was announced and never came failed.
        let missing = self.planned.unwrap_or_default().saturating_sub(self.seen);
        if missing > 0 || self.bailed.is_some() {
            let message = match &self.bailed {
                Some(reason) => format!("bailed out: {reason}"),
                None => format!("{missing} of the tests that the plan announces never ran"),
            };
            let count = missing.max(1);
            self.seen += count;
            self.failed += count;
            if self.failures.len() < ITEMS {
                self.failures.push(TestFailure {
                    suite: String::new(),
                    name: "the plan".to_owned(),
                    message,
                });
            }
        }
        for failure in &mut self.failures {
            failure.message = cut(&failure.message, MESSAGE);
        }
        Ok(Summary::Tests {
            total: self.seen,
            failed: self.failed,
            skipped: self.skipped,
            duration_ms: self.milliseconds as u64,
            failures: self.failures,
        })
    }
}

/// What follows a word that stands alone at the line's beginning.
fn word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix(word).filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The description and what follows the first `#` that is not escaped.
fn split(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\\' => escaped = !escaped,
            '#' if !escaped => return (&text[..at], &text[at + 1..]),
            _ => escaped = false,
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (u64, u64, u64, u64, Vec<TestFailure>) {
        match parse(text.as_bytes()).unwrap() {
            Summary::Tests { total, failed, skipped, duration_ms, failures } => {
                (total, failed, skipped, duration_ms, failures)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_and_what_belongs_to_them() {
        let (total, failed, skipped, duration, failures) = read(
            "TAP version 14\n1..6\nok 1 - adds\n  ---\n  duration_ms: 12.5\n  ...\nnot ok 2 - subtracts # comment\n\
             \x20 ---\n  message: two is not one\n  severity: fail\n  ...\n# Subtest: inner\n    ok 1 - one\n    not ok 2 - two\n    1..2\n\
             not ok 3 - inner\nok 4 # SKIP no network\nnot ok 5 later # TODO not yet\nok\n",
        );
        assert_eq!((total, failed, skipped, duration), (6, 2, 2, 12));
        assert_eq!(failures[0].name, "subtracts");
        assert_eq!(failures[0].message, "message: two is not one\nseverity: fail\nSubtest: inner");
        assert_eq!(failures[1].name, "inner");
    }

    #[test]
    fn what_never_ran_failed() {
        let (total, failed, .., failures) = read("1..3\nok 1\n");
        assert_eq!((total, failed), (3, 2));
        assert!(failures[0].message.contains("2 of the tests"), "{failures:?}");
        let (total, failed, .., failures) = read("ok 1\nBail out! no database\n");
        assert_eq!((total, failed, failures[0].message.as_str()), (2, 1, "bailed out: no database"));
        assert_eq!(read("1..0 # skip nothing to do").0, 0);
    }

    #[test]
    fn what_is_no_tap_is_refused() {
        for bad in ["", "okay\n", "<testsuites/>", "hello\nworld"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let (total, failed, .., failures) = read(&"not ok\n".repeat(200));
        assert_eq!((total, failed, failures.len(), failures[3].name.as_str()), (200, 200, ITEMS, "test 4"));
        assert_eq!(read("1..99999999999999999999\nok 1\n").0, 1, "a plan that nobody can mean");
        assert_eq!(read("not ok 1 - a \\# b # time=3ms\n").4[0].name, "a \\# b");
    }
}
