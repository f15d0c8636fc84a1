//! Reads what a mirror has: the files of a commit, and commits. Fetches nothing; all of it blocks.

use std::{collections::BTreeSet, path::Path};

use git2::Oid;

use super::{CommitFacts, GitError, LARGEST_FILE, MOST_FILES, PipelineFile, Place, names::check_path};
use crate::store::views::Commit;

/// What is told of a commit.
pub(super) fn facts(commit: &git2::Commit<'_>) -> CommitFacts {
    CommitFacts {
        sha: commit.id().to_string(),
        message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
        author: commit.author().to_string(),
    }
}

/// The files of places, by path, and sentences about those that were not read.
pub(super) fn read_places(
    commit: &git2::Commit<'_>,
    mirror: &git2::Repository,
    places: &[Place],
) -> Result<(Vec<PipelineFile>, Vec<String>), GitError> {
    let tree = tree_of(commit)?;
    let mut paths = BTreeSet::new();
    for place in places {
        match place {
            Place::File(path) => {
                check_path(path)?;
                paths.insert(path.clone());
            }
            Place::Folder(folder) => paths.extend(yaml_files(mirror, &tree, folder)),
        }
    }
    let (mut files, mut refused) = (Vec::new(), Vec::new());
    if paths.len() > MOST_FILES {
        refused.push(format!(
            "of {} pipeline files only the first {MOST_FILES} are read, by their paths",
            paths.len()
        ));
    }
    for path in paths.into_iter().take(MOST_FILES) {
        match read_blob(mirror, &tree, &path) {
            Ok(Some(text)) => files.push(PipelineFile { path, text }),
            Ok(None) => {}
            Err(GitError::Gone(reason)) => refused.push(reason),
            Err(error) => return Err(error),
        }
    }
    Ok((files, refused))
}

/// Paths of the YAML files of a folder. A name that is no UTF-8 is no pipeline's.
fn yaml_files(mirror: &git2::Repository, tree: &git2::Tree<'_>, folder: &str) -> Vec<String> {
    let inner = tree.get_path(Path::new(folder)).ok().and_then(|entry| mirror.find_tree(entry.id()).ok());
    let Some(inner) = inner else { return Vec::new() };
    let blobs = inner.iter().filter(|entry| entry.kind() == Some(git2::ObjectType::Blob));
    let names = blobs.filter_map(|entry| std::str::from_utf8(entry.name_bytes()).map(str::to_owned).ok());
    names
        .filter(|name| name.ends_with(".yml") || name.ends_with(".yaml"))
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

/// The commit's files.
pub(super) fn tree_of<'a>(commit: &git2::Commit<'a>) -> Result<git2::Tree<'a>, GitError> {
    commit.tree().map_err(|error| GitError::Away(format!("the mirror is broken: {}", error.message())))
}

/// A file's text; none: it is not there.
pub(super) fn read_blob(
    mirror: &git2::Repository,
    tree: &git2::Tree<'_>,
    path: &str,
) -> Result<Option<String>, GitError> {
    let Ok(entry) = tree.get_path(Path::new(path)) else { return Ok(None) };
    let Ok(blob) = mirror.find_blob(entry.id()) else {
        return Err(GitError::Gone(format!("{path} is no file")));
    };
    if blob.size() > LARGEST_FILE {
        return Err(GitError::Gone(format!(
            "{path} has {} bytes; a pipeline file has at most {LARGEST_FILE}",
            blob.size()
        )));
    }
    Ok(Some(String::from_utf8_lossy(blob.content()).into_owned()))
}

/// What `to` has and `from` has not, newest first; an error when one of them is not in the mirror.
pub(super) fn commits_in(
    folder: &Path,
    from: &str,
    to: &str,
    limit: usize,
) -> Result<Vec<Commit>, git2::Error> {
    let mirror = git2::Repository::open_bare(folder)?;
    let (from, to) = (Oid::from_str(from)?, Oid::from_str(to)?);
    mirror.find_commit(from)?;
    let mut walk = mirror.revwalk()?;
    walk.push(to)?;
    walk.hide(from)?;
    let mut commits = Vec::new();
    for oid in walk.take(limit) {
        let commit = mirror.find_commit(oid?)?;
        commits.push(Commit {
            sha: commit.id().to_string(),
            title: String::from_utf8_lossy(commit.message_bytes())
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
            author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
        });
    }
    Ok(commits)
}
