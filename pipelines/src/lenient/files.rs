//! `hashFiles`, but for the files: which of them its patterns mean, in which order, and what it makes of their digests.
//!
//! Patterns are GitHub's: `*`, `?` and `[…]` within a name, `**` across folders, no braces; files whose names begin with
//! a dot are as others; a folder means all that is below it; `!` takes away what was let through before it.

use globset::{GlobBuilder, GlobMatcher};
use sha2::{Digest, Sha256};

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 1024;
/// The most patterns.
const MAX_PATTERNS: usize = 1000;

/// The patterns of one call.
#[derive(Debug, Clone)]
pub struct FilePatterns {
    list: Vec<FilePattern>,
    /// Whether symbolic links are followed.
    pub follow_links: bool,
}

#[derive(Debug, Clone)]
struct FilePattern {
    take: bool,
    /// What it names; None: only folders.
    itself: Option<GlobMatcher>,
    /// All below what it names.
    below: GlobMatcher,
}

impl FilePatterns {
    /// Reads the arguments of `hashFiles`. Each is a pattern a line; the first may be `--follow-symbolic-links`.
    /// `workspace` is the absolute path by which scripts know the folder that patterns are about.
    pub fn new(arguments: &[String], workspace: &str) -> Result<Self, String> {
        let mut patterns = Self { list: Vec::new(), follow_links: false };
        let mut rest = arguments;
        if let Some((option, others)) = arguments.split_first().filter(|(first, _)| first.starts_with("--")) {
            if !option.eq_ignore_ascii_case("--follow-symbolic-links") {
                return Err(format!("`hashFiles` has no option `{option}`, only `--follow-symbolic-links`"));
            }
            patterns.follow_links = true;
            rest = others;
        }
        for line in rest.iter().flat_map(|argument| argument.lines()).map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if patterns.list.len() == MAX_PATTERNS {
                return Err(format!("`hashFiles` takes {MAX_PATTERNS} patterns"));
            }
            patterns.list.push(FilePattern::new(line, workspace)?);
        }
        Ok(patterns)
    }

    /// Whether a file is meant; its path is below the workspace, with `/` between names.
    pub fn matches(&self, path: &str) -> bool {
        let mut meant = false;
        for pattern in &self.list {
            if pattern.take != meant && pattern.matches(path) {
                meant = pattern.take;
            }
        }
        meant
    }

    /// The files that are meant, in the order in which their digests are taken: folder by folder, by name.
    pub fn select<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> Vec<&'p str> {
        let mut meant: Vec<_> = paths.into_iter().filter(|path| self.matches(path)).collect();
        meant.sort_unstable_by(|a, b| a.split('/').cmp(b.split('/')));
        meant
    }
}

impl FilePattern {
    fn new(text: &str, workspace: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("a pattern may have {MAX_LENGTH} bytes, this one has {}", text.len()));
        }
        let mut pattern = text;
        let mut take = true;
        while let Some(rest) = pattern.strip_prefix('!') {
            take = !take;
            pattern = rest.trim_start();
        }
        let workspace = workspace.trim_end_matches('/');
        if let Some(rest) =
            pattern.strip_prefix(workspace).filter(|rest| rest.starts_with('/') && !workspace.is_empty())
        {
            pattern = rest.trim_start_matches('/');
        }
        let names: Vec<&str> = pattern.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        // Absolute ones and those that climb stay outside: no path below the workspace is like them.
        let root = if pattern.starts_with('/') { "/" } else { "" };
        let plain = format!("{root}{}", names.join("/")).replace('{', "[{]").replace('}', "[}]");
        let compile = |pattern: &str| {
            GlobBuilder::new(pattern)
                .literal_separator(true)
                .build()
                .map(|glob| glob.compile_matcher())
                .map_err(|error| format!("`{text}` is no pattern: {}", error.kind()))
        };
        let only_folders = pattern.ends_with('/') || plain.is_empty();
        let below = if plain.is_empty() { "**".to_owned() } else { format!("{plain}/**") };
        Ok(Self {
            take,
            itself: if only_folders { None } else { Some(compile(&plain)?) },
            below: compile(&below)?,
        })
    }

    fn matches(&self, path: &str) -> bool {
        self.itself.as_ref().is_some_and(|itself| itself.is_match(path)) || self.below.is_match(path)
    }
}

/// What `hashFiles` is, of the SHA-256 digests of its files in order: nothing when there is none.
pub fn digest_of(files: impl IntoIterator<Item = [u8; 32]>) -> String {
    let mut files = files.into_iter().peekable();
    if files.peek().is_none() {
        return String::new();
    }
    let mut all = Sha256::new();
    for digest in files {
        all.update(digest);
    }
    hex::encode(all.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 9] = [
        "package-lock.json",
        "a/package-lock.json",
        "a/.hidden/x.rs",
        "a/b/c.rs",
        "a/b.rs",
        "a-b/c.rs",
        "{a,b}/d.rs",
        ".github/x.yml",
        "a1.txt",
    ];

    fn selected(patterns: &[&str]) -> Vec<&'static str> {
        let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        FilePatterns::new(&patterns, "/work/app").unwrap().select(FILES)
    }

    #[test]
    fn patterns_mean_files_and_what_is_below_folders() {
        for (patterns, expected) in [
            (vec!["**/package-lock.json"], vec!["a/package-lock.json", "package-lock.json"]),
            (vec!["package-lock.json"], vec!["package-lock.json"]),
            (vec!["./a/*.rs"], vec!["a/b.rs"]),
            (vec!["a/b"], vec!["a/b/c.rs"]),
            (vec!["a/b/"], vec!["a/b/c.rs"]),
            (vec!["a/b.rs/"], vec![]),
            (vec!["a/**/*.rs"], vec!["a/.hidden/x.rs", "a/b/c.rs", "a/b.rs"]),
            (vec!["a/**/*.rs", "!a/b/**"], vec!["a/.hidden/x.rs", "a/b.rs"]),
            (vec!["!**/*.rs", "a/b.rs"], vec!["a/b.rs"]),
            (vec!["!a"], vec![]),
            (vec!["{a,b}/*.rs"], vec!["{a,b}/d.rs"]),
            (vec!["# a comment\n\n a1.txt \n.github"], vec![".github/x.yml", "a1.txt"]),
            (
                vec!["/work/app/a1.txt", "/work/app/../app/a/b.rs", "/work/application", "../app/a1.txt"],
                vec!["a1.txt"],
            ),
            (vec!["a**.txt"], vec!["a1.txt"]),
            (vec!["--follow-symbolic-links", "a?.txt"], vec!["a1.txt"]),
        ] {
            assert_eq!(selected(&patterns), expected, "{patterns:?}");
        }
        assert_eq!(selected(&["."]).len(), FILES.len());
        assert_eq!(
            selected(&["a/**", "a-b"]),
            ["a/.hidden/x.rs", "a/b/c.rs", "a/b.rs", "a/package-lock.json", "a-b/c.rs"]
        );
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let read = |pattern: &str| FilePatterns::new(&[pattern.to_owned()], "/w").map(|_| ());
        assert!(read("a[").unwrap_err().contains("`a[` is no pattern"));
        assert!(read("--what").unwrap_err().contains("only `--follow-symbolic-links`"));
        assert!(read(&"a".repeat(1025)).unwrap_err().contains("1024"));
        assert!(read(&"a\n".repeat(1001)).unwrap_err().contains("1000"));
    }

    #[test]
    fn digests_are_hashed_as_bytes() {
        assert_eq!(digest_of([]), "");
        let one: [u8; 32] = Sha256::digest(b"x").into();
        assert_eq!(digest_of([one]), hex::encode(Sha256::digest(one)));
    }
}
