//! Patterns over branches, tags and paths.
//!
//! `*` and `?` stay within one segment, `**` crosses them. A list is read in order and the last pattern that
//! matches decides; `!` in front takes away. A list of nothing but `!` patterns means everything but those.

use globset::{GlobBuilder, GlobMatcher};

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 512;

/// A list of patterns.
#[derive(Debug, Clone)]
pub struct Patterns {
    list: Vec<(bool, GlobMatcher)>,
}

impl Patterns {
    /// Reads a list; patterns that cannot be read are left out (they were reported by [`check`]).
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        let read = |pattern: &'p str| {
            let (take, pattern) = parts(pattern);
            compile(pattern).ok().map(|matcher| (take, matcher))
        };
        Self { list: patterns.into_iter().filter_map(read).collect() }
    }

    /// Whether the list lets this through. An empty list lets everything through.
    pub fn matches(&self, text: &str) -> bool {
        let only_takes_away = self.list.iter().all(|(take, _)| !take);
        let last = self.list.iter().rev().find(|(_, matcher)| matcher.is_match(text));
        last.map_or(only_takes_away, |(take, _)| *take)
    }
}

/// Why a pattern cannot be read.
pub fn check(pattern: &str) -> Result<(), String> {
    compile(parts(pattern).1).map(drop)
}

fn parts(pattern: &str) -> (bool, &str) {
    match pattern.strip_prefix('!') {
        Some(rest) => (false, rest),
        None => (true, pattern),
    }
}

fn compile(pattern: &str) -> Result<GlobMatcher, String> {
    if pattern.is_empty() {
        return Err("the pattern is empty".to_owned());
    }
    if pattern.len() > MAX_LENGTH {
        return Err(format!("a pattern may have {MAX_LENGTH} bytes, this one has {}", pattern.len()));
    }
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], text: &str) -> bool {
        Patterns::new(patterns.iter().copied()).matches(text)
    }

    #[test]
    fn stars_and_segments() {
        assert!(matches(&["release/*"], "release/1"));
        assert!(!matches(&["release/*"], "release/1/x"));
        assert!(matches(&["release/**"], "release/1/x"));
        assert!(!matches(&["*"], "a/b"));
        assert!(matches(&["**"], "a/b"));
        assert!(matches(&["src/**/*.rs"], "src/lib.rs"));
        assert!(matches(&["v[0-9]*"], "v1.2"));
        assert!(!matches(&["main"], "mainline"));
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let list = ["release/**", "!release/old/**", "release/old/keep"];
        assert!(matches(&list, "release/1"));
        assert!(!matches(&list, "release/old/1"));
        assert!(matches(&list, "release/old/keep"));
        assert!(!matches(&list, "main"));
        assert!(matches(&["!wip/*"], "main"));
        assert!(!matches(&["!wip/*"], "wip/x"));
        assert!(matches(&[], "anything"));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        assert!(check("a[").is_err());
        assert!(check("!").unwrap_err().contains("empty"));
        assert!(check(&"a".repeat(513)).unwrap_err().contains("512"));
        assert!(check("{a,b}/**").is_ok());
    }
}
