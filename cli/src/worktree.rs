//! Facts of a working tree, as the event that a run of it is about.

use std::{collections::BTreeMap, path::Path};

use git2::Repository;
use serde_json::Value;
use tidegate_pipelines::event::{Event, EventKind, GitFacts};

use crate::failure::{Doing, Failure, Outcome};

/// What git says of a working tree.
pub struct WorkTree {
    /// Its top folder.
    pub root: std::path::PathBuf,
    facts: GitFacts,
    repository: String,
    default_branch: String,
    user: String,
    /// Files differ from the commit: the run is of the files.
    pub is_dirty: bool,
}

impl WorkTree {
    /// The working tree around a folder.
    pub fn open(at: &Path) -> Outcome<Self> {
        let repository = Repository::discover(at).map_err(|error| {
            Failure::usage(format!("{} is in no git repository", at.display()))
                .because(error.message())
                .mend("a run is about a commit: `git init` and commit first")
        })?;
        let root = repository
            .workdir()
            .ok_or_else(|| {
                Failure::usage(format!("{} is a bare repository", at.display()))
                    .mend("run it in a working tree")
            })?
            .to_path_buf();
        let head =
            repository.head().and_then(|head| Ok((head.peel_to_commit()?, head))).map_err(|error| {
                Failure::usage("the repository has no commit yet")
                    .because(error.message())
                    .mend("a run is about a commit: make one first")
            })?;
        let (commit, head) = head;
        let branch = if head.is_branch() { head.shorthand().ok().map(str::to_owned) } else { None };
        let author = commit.author();
        let facts = GitFacts {
            sha: commit.id().to_string(),
            reference: branch
                .as_ref()
                .map_or_else(|| "HEAD".to_owned(), |branch| format!("refs/heads/{branch}")),
            branch,
            tag: None,
            before: commit.parent_id(0).ok().map(|id| id.to_string()),
            message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
            author: format!(
                "{} <{}>",
                String::from_utf8_lossy(author.name_bytes()),
                String::from_utf8_lossy(author.email_bytes())
            ),
        };
        let mut options = git2::StatusOptions::new();
        options.include_untracked(true).exclude_submodules(true);
        let is_dirty = !repository
            .statuses(Some(&mut options))
            .doing("cannot compare the files with the commit")?
            .is_empty();
        Ok(Self {
            repository: remote_name(&repository).unwrap_or_else(|| local_name(&root)),
            default_branch: default_branch(&repository),
            user: std::env::var("USER").unwrap_or_else(|_| "local".to_owned()),
            root,
            facts,
            is_dirty,
        })
    }

    /// What can be said of a folder that is in no repository: next to nothing.
    pub fn unknown(folder: &Path) -> Self {
        let root = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        Self {
            repository: local_name(&root),
            default_branch: "main".to_owned(),
            user: std::env::var("USER").unwrap_or_else(|_| "local".to_owned()),
            facts: GitFacts {
                sha: "0".repeat(40),
                reference: "refs/heads/main".to_owned(),
                branch: Some("main".to_owned()),
                ..GitFacts::default()
            },
            root,
            is_dirty: false,
        }
    }

    /// The event: a push of the commit, or a person who asks.
    pub fn event(&self, kind: EventKind, inputs: BTreeMap<String, Value>) -> Event {
        let git = self.facts.clone();
        Event { inputs, ..Event::new(kind, &self.repository, &self.default_branch, git, &self.user) }
    }
}

/// `owner/name` of the remote `origin`.
fn remote_name(repository: &Repository) -> Option<String> {
    let remote = repository.find_remote("origin").ok()?;
    let url = String::from_utf8_lossy(remote.url_bytes()).into_owned();
    let path = url.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = path.rsplit(['/', ':']).filter(|part| !part.is_empty());
    let (name, owner) = (parts.next()?, parts.next()?);
    Some(format!("{owner}/{name}"))
}

fn local_name(root: &Path) -> String {
    let name = root.file_name().and_then(|name| name.to_str()).unwrap_or("repository");
    format!("local/{name}")
}

/// What the remote calls its default branch, else `main`.
fn default_branch(repository: &Repository) -> String {
    repository
        .find_reference("refs/remotes/origin/HEAD")
        .ok()
        .and_then(|head| {
            head.symbolic_target()
                .ok()
                .flatten()
                .and_then(|target| target.rsplit('/').next().map(str::to_owned))
        })
        .unwrap_or_else(|| "main".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(folder: &Path) -> Repository {
        let mut options = git2::RepositoryInitOptions::new();
        options.initial_head("main");
        let repository = Repository::init_opts(folder, &options).unwrap();
        std::fs::write(folder.join("a"), "1").unwrap();
        let mut index = repository.index().unwrap();
        index.add_path(Path::new("a")).unwrap();
        index.write().unwrap();
        let tree = index.write_tree().unwrap();
        let who = git2::Signature::now("Dev", "dev@example.org").unwrap();
        repository
            .commit(Some("HEAD"), &who, &who, "first\n\nbody", &repository.find_tree(tree).unwrap(), &[])
            .unwrap();
        repository
    }

    #[test]
    fn a_working_tree_tells_its_commit_and_whether_files_differ() {
        let folder = tempfile::tempdir().unwrap();
        let git = repository(folder.path());
        git.remote("origin", "git@forge.example:team/app.git").unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let tree = WorkTree::open(&folder.path().join("sub")).unwrap();
        assert!(!tree.is_dirty);
        let event = tree.event(EventKind::Push, BTreeMap::new());
        assert_eq!(event.repository, "team/app");
        assert_eq!(event.git.branch.as_deref(), Some("main"));
        assert_eq!(event.git.reference, "refs/heads/main");
        assert_eq!(event.git.author, "Dev <dev@example.org>");
        std::fs::write(folder.path().join("b"), "1").unwrap();
        assert!(WorkTree::open(folder.path()).unwrap().is_dirty);
    }

    #[test]
    fn no_repository_and_no_commit_are_explained() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(WorkTree::open(folder.path()).err().unwrap().code, 2);
        Repository::init(folder.path()).unwrap();
        let failure = WorkTree::open(folder.path()).err().unwrap();
        assert!(failure.to_string().contains("no commit"), "{failure}");
    }
}
