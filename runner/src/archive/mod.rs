//! Files of a workspace into an archive (`tar.zst`) and back, against a workspace that a hostile process may be
//! changing at the same time.
//!
//! Invariant: no path is ever resolved through a symbolic link or out of the root, neither for reading nor for
//! writing; see [`beneath`].

pub mod beneath;
pub mod owner;
mod pack;
mod unpack;

pub use pack::{Packed, pack, pack_chosen, pack_plain};
pub use unpack::{Limits, unpack};

/// Why an archive could not be made or unpacked, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A pattern is no glob.
    #[error("`{glob}` is no file pattern: {reason}")]
    Glob {
        /// The pattern.
        glob: String,
        /// Why not.
        reason: String,
    },
    /// The archive holds what must not be unpacked.
    #[error("the archive is refused: {0}")]
    Refused(String),
    /// It is not the text that is looked for.
    #[error("{0}")]
    NoText(String),
    /// This machine's disk.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was being done, as a verb phrase.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl ArchiveError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Which paths are meant by a list of globs. A pattern that begins with `!` takes out again what it matches; the last
/// matching pattern decides. A plain path means that file, or everything below that folder. `*` stays in its folder.
pub struct Selection {
    patterns: Vec<(globset::GlobMatcher, bool)>,
}

impl Selection {
    /// Compiles the patterns.
    pub fn new(globs: &[String]) -> Result<Self, ArchiveError> {
        let mut patterns = Vec::new();
        for glob in globs {
            let (text, included) = match glob.strip_prefix('!') {
                Some(rest) => (rest, false),
                None => (glob.as_str(), true),
            };
            let text = text.trim_start_matches("./").trim_end_matches('/');
            for variant in [text.to_owned(), format!("{text}/**")] {
                let compiled =
                    globset::GlobBuilder::new(&variant).literal_separator(true).build().map_err(|error| {
                        ArchiveError::Glob { glob: glob.clone(), reason: error.kind().to_string() }
                    })?;
                patterns.push((compiled.compile_matcher(), included));
            }
        }
        Ok(Self { patterns })
    }

    /// Whether a path relative to the root is meant.
    pub fn includes(&self, path: &str) -> bool {
        self.patterns
            .iter()
            .rev()
            .find(|(glob, _)| glob.is_match(path))
            .is_some_and(|(_, included)| *included)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_matching_pattern_decides() {
        let globs = ["dist", "reports/*.xml", "!dist/**/*.map", "./a.txt"].map(str::to_owned);
        let selection = Selection::new(&globs).unwrap();
        for path in ["dist/app.js", "dist/deep/app.js", "reports/junit.xml", "a.txt"] {
            assert!(selection.includes(path), "{path}");
        }
        for path in ["dist/app.map", "dist/deep/app.map", "reports/deep/junit.xml", "b.txt", "distance"] {
            assert!(!selection.includes(path), "{path}");
        }
    }
}
