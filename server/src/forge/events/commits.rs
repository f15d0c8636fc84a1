//! Pushes: commits that arrive on a branch, tags that are made or moved.

use serde::Deserialize;
use tidegate_pipelines::event::{Event, EventKind, GitFacts};

use super::{Told, Which, check_sha, is_sha, is_zero, plain};
use crate::{forge::events::Parsed, store::views::Repository};

/// A push with more commits than this may be truncated, so its list of paths is not complete.
const COMMITS_IN_FULL: usize = 1000;

#[derive(Deserialize)]
pub(super) struct Push {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    forced: bool,
    #[serde(default)]
    commits: Vec<Commit>,
    head_commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    #[serde(default)]
    message: String,
    author: Option<Author>,
    #[serde(default)]
    added: Vec<String>,
    #[serde(default)]
    removed: Vec<String>,
    #[serde(default)]
    modified: Vec<String>,
}

#[derive(Deserialize)]
struct Author {
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: Option<String>,
}

/// What a push means.
pub(super) fn push(push: &Push, actor: String, repository: &Repository) -> Result<Parsed, String> {
    if push.deleted || is_zero(&push.after) {
        return Ok(Parsed::Ignored(format!("{} was deleted", push.reference)));
    }
    check_sha(&push.after)?;
    let (kind, branch, tag) = match push.reference.split_once("refs/heads/") {
        Some(("", branch)) => (EventKind::Push, Some(branch.to_owned()), None),
        _ => match push.reference.split_once("refs/tags/") {
            Some(("", tag)) => (EventKind::Tag, None, Some(tag.to_owned())),
            _ => return Ok(Parsed::Ignored(format!("{} is neither a branch nor a tag", push.reference))),
        },
    };
    let head = push.head_commit.as_ref().or(push.commits.last());
    let author = head.and_then(|commit| commit.author.as_ref()).map(|author| match &author.email {
        Some(email) => format!("{} <{email}>", author.name),
        None => author.name.clone(),
    });
    let event = Event {
        kind,
        git: GitFacts {
            // An annotated tag's `after` is the tag object; the mirror finds the commit behind it.
            sha: push.after.clone(),
            reference: push.reference.clone(),
            branch,
            tag,
            before: (is_sha(&push.before) && !is_zero(&push.before)).then(|| push.before.clone()),
            message: head.map(|commit| commit.message.clone()).unwrap_or_default(),
            author: author.unwrap_or_default(),
        },
        changed_paths: changed(push),
        ..plain("push", actor, repository)
    };
    Ok(Parsed::Events(vec![Told { event, files: Which::All }]))
}

/// The paths that a push touches, when its payload tells all of them.
fn changed(push: &Push) -> Option<Vec<String>> {
    if push.created || push.forced || push.commits.is_empty() || push.commits.len() > COMMITS_IN_FULL {
        return None;
    }
    let mut paths: Vec<String> = push
        .commits
        .iter()
        .flat_map(|commit| commit.added.iter().chain(&commit.removed).chain(&commit.modified).cloned())
        .collect();
    paths.sort_unstable();
    paths.dedup();
    Some(paths)
}
