//! `.github/tidegate-actions.lock`: which commit each action's reference must lead to.
//!
//! A line is `owner/repository@reference commit`; `#` begins a comment. Where the file is there, an action that it does
//! not name is refused too: a lock that some actions escape is none.

use std::collections::BTreeMap;

use super::reference::Remote;

/// The file's path in a repository.
pub const PATH: &str = ".github/tidegate-actions.lock";

/// A lock file, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    commits: BTreeMap<String, String>,
}

impl Lock {
    /// Reads the file. The error is one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut commits = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [action, commit]
                    if action.contains('@')
                        && commit.len() == 40
                        && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
                {
                    commits.insert(key(action), commit.to_lowercase());
                }
                _ => {
                    return Err(format!(
                        "{PATH}, line {}: expected `owner/repository@reference` and a commit of forty hex digits",
                        number + 1
                    ));
                }
            }
        }
        Ok(Self { commits })
    }

    /// Whether a reference may lead to this commit; else why not.
    pub fn allows(&self, action: &Remote, commit: &str) -> Result<(), String> {
        let name = format!("{}@{}", action.repository, action.reference);
        match self.commits.get(&key(&name)) {
            Some(locked) if locked.eq_ignore_ascii_case(commit) => Ok(()),
            Some(locked) => Err(format!(
                "`{name}` leads to {commit} now, and {PATH} says {locked}: look at what changed, then run `tidegate lock`"
            )),
            None => Err(format!("`{name}` is not in {PATH}: run `tidegate lock` to add it")),
        }
    }
}

/// Repositories do not mind case, references do.
fn key(action: &str) -> String {
    match action.split_once('@') {
        Some((repository, reference)) => format!("{}@{reference}", repository.to_lowercase()),
        None => action.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_must_be_the_one_in_the_file() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let lock = Lock::parse(&format!("# actions\n\nActions/Checkout@v4 {one} # v4.2\n")).unwrap();
        let action = |repository: &str, reference: &str| Remote {
            repository: repository.to_owned(),
            path: String::new(),
            reference: reference.to_owned(),
        };
        assert_eq!(lock.allows(&action("actions/checkout", "v4"), &one), Ok(()));
        assert!(lock.allows(&action("actions/checkout", "v4"), &two).unwrap_err().contains(&one));
        assert!(lock.allows(&action("actions/checkout", "V4"), &one).unwrap_err().contains("not in"));
        assert!(Lock::parse("actions/checkout@v4 abc").unwrap_err().contains("line 1"));
        assert!(Lock::parse("one\n").is_err());
    }
}
