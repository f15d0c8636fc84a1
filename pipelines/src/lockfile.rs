//! `.github/tidegate-actions.lock`: the commit that each reference to a remote action leads to.
//!
//! A line is `owner/repository@reference` and forty hex digits; `#` begins a comment. Which references a file makes is
//! read from its tree, wherever it has `uses`: jobs, steps, and the steps of composite actions.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Diagnostic, SourceFile,
    import::reading,
    yaml::{Kind, Node},
};

/// Where the file is, below a repository's top folder.
pub const PATH: &str = ".github/tidegate-actions.lock";
const HEAD: &str = "# Written by `tidegate lock`: the commit that each reference leads to.\n";

/// A reference to a repository: `owner/repository@reference`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `owner/repository`.
    pub repository: String,
    /// A tag, branch or commit.
    pub reference: String,
}

impl Reference {
    /// What a `uses` refers to; None for local actions and images.
    pub fn parse(uses: &str) -> Option<Self> {
        let (place, reference) = uses.trim().split_once('@')?;
        if place.starts_with('.') || place.contains("://") || reference.is_empty() {
            return None;
        }
        let mut parts = place.split('/');
        let (owner, name) = (parts.next()?, parts.next()?);
        let plain = |part: &str| {
            !part.is_empty()
                && !matches!(part, "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let printable = reference.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        (plain(owner) && plain(name) && printable)
            .then(|| Self { repository: format!("{owner}/{name}"), reference: reference.to_owned() })
    }

    /// Whether it is a whole commit id already, which nobody can move.
    pub fn commit(&self) -> Option<&str> {
        is_commit(&self.reference).then_some(self.reference.as_str())
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.repository, self.reference)
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The remote actions (and reusable workflows) that a file refers to.
pub fn references(file: &SourceFile<'_>) -> Result<BTreeSet<Reference>, Vec<Diagnostic>> {
    let tree = reading::tree(file)?;
    let mut found = BTreeSet::new();
    let mut open: Vec<&Node> = vec![&tree];
    while let Some(node) = open.pop() {
        match &node.kind {
            Kind::List(items) => open.extend(items),
            Kind::Map(entries) => {
                for entry in entries {
                    match (&entry.value.kind, entry.key.value.as_str()) {
                        (Kind::Scalar(scalar), "uses") => found.extend(Reference::parse(&scalar.text)),
                        _ => open.push(&entry.value),
                    }
                }
            }
            Kind::Scalar(_) | Kind::Broken => {}
        }
    }
    Ok(found)
}

/// A lock: the commit of each reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// By reference.
    pub commits: BTreeMap<Reference, String>,
}

impl Lock {
    /// Reads the file. An error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lock = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let read = match words.as_slice() {
                [] => continue,
                [action, commit] => Reference::parse(action).filter(|_| is_commit(commit)).zip(Some(*commit)),
                _ => None,
            };
            let (reference, commit) = read.ok_or_else(|| {
                format!(
                    "line {}: expected `owner/repository@reference` and a commit of forty hex digits",
                    index + 1
                )
            })?;
            lock.commits.insert(reference, commit.to_lowercase());
        }
        Ok(lock)
    }

    /// The file's text: sorted, so that a change of one action is a change of one line.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (reference, commit) in &self.commits {
            text.push_str(&format!("{reference} {commit}\n"));
        }
        text
    }

    /// What is different in another lock, in order.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        let all: BTreeSet<&Reference> = self.commits.keys().chain(other.commits.keys()).collect();
        let change = |reference: &Reference| {
            let (before, after) = (self.commits.get(reference), other.commits.get(reference));
            (before != after).then(|| Change {
                reference: reference.clone(),
                before: before.cloned(),
                after: after.cloned(),
            })
        };
        all.into_iter().filter_map(change).collect()
    }
}

/// A difference between two locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The action.
    pub reference: Reference,
    /// Its commit before; None: it was not there.
    pub before: Option<String>,
    /// Its commit now; None: it is not there any more.
    pub after: Option<String>,
}

/// The commit that a reference leads to among the refs of its repository (names in full, tags also as `…^{}` for what
/// they point at): a tag, else a branch.
pub fn resolve(reference: &str, refs: &BTreeMap<String, String>) -> Option<String> {
    if is_commit(reference) {
        return Some(reference.to_lowercase());
    }
    let whole = reference.starts_with("refs/").then(|| reference.to_owned());
    let names = [Some(format!("refs/tags/{reference}")), Some(format!("refs/heads/{reference}")), whole];
    names.into_iter().flatten().find_map(|name| {
        refs.get(&format!("{name}^{{}}")).or_else(|| refs.get(&name)).map(|commit| commit.to_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Reference {
        Reference::parse(text).unwrap()
    }

    #[test]
    fn references_are_found_wherever_they_stand() {
        let text = "jobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4\n      - {uses: ./local}\n      - uses: docker://alpine:3\n      - uses: a/b/sub/dir@main # x\n      - run: \"uses: no/no@v1\"\n  b: {uses: org/flows/.github/workflows/x.yml@v2}\nruns:\n  steps: [{uses: c/d@v1}]\n";
        let found = references(&SourceFile { path: "w.yml", text }).unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["a/b@main", "actions/checkout@v4", "c/d@v1", "org/flows@v2"]);
        assert!(references(&SourceFile { path: "w.yml", text: "jobs: [" }).is_err());
    }

    #[test]
    fn a_lock_is_written_sorted_and_read_again() {
        let commit = "A".repeat(40);
        let lock = Lock::parse(&format!("# x\n\nb/b@v1 {commit}\na/a@main {commit} # why\n")).unwrap();
        let low = "a".repeat(40);
        assert_eq!(lock.text(), format!("{HEAD}a/a@main {low}\nb/b@v1 {low}\n"));
        assert_eq!(Lock::parse(&lock.text()).unwrap(), lock);
        for wrong in ["a/a@v1 123", "a/a@v1", &format!("./a@v1 {commit}"), &format!("a/a@v1 {commit} x")] {
            assert!(Lock::parse(wrong).unwrap_err().starts_with("line 1"), "{wrong}");
        }
    }

    #[test]
    fn changes_are_told() {
        let (x, y) = ("1".repeat(40), "2".repeat(40));
        let lock = |pairs: &[(&str, &String)]| Lock {
            commits: pairs.iter().map(|(name, commit)| (one(name), (*commit).clone())).collect(),
        };
        let before = lock(&[("a/a@v1", &x), ("b/b@v1", &x), ("c/c@v1", &x)]);
        let after = lock(&[("a/a@v1", &y), ("b/b@v1", &x), ("d/d@v1", &x)]);
        let changes = before.changes(&after);
        let names: Vec<_> = changes.iter().map(|change| change.reference.to_string()).collect();
        assert_eq!(names, ["a/a@v1", "c/c@v1", "d/d@v1"]);
        assert_eq!((changes[1].after.as_ref(), changes[2].before.as_ref()), (None, None));
    }

    #[test]
    fn tags_lead_to_what_they_point_at_and_win_over_branches() {
        let refs: BTreeMap<String, String> = [
            ("refs/tags/v1", "1"),
            ("refs/tags/v1^{}", "2"),
            ("refs/heads/v1", "3"),
            ("refs/heads/main", "4"),
            ("refs/pull/1/head", "5"),
        ]
        .map(|(name, commit)| (name.to_owned(), commit.repeat(40)))
        .into();
        let at = |reference: &str| resolve(reference, &refs).map(|commit| commit[..1].to_owned());
        assert_eq!(at("v1").as_deref(), Some("2"));
        assert_eq!(at("main").as_deref(), Some("4"));
        assert_eq!(at("refs/heads/v1").as_deref(), Some("3"));
        assert_eq!(at("v9"), None);
        assert_eq!(at(&"b".repeat(40)).as_deref(), Some("b"));
    }
}
