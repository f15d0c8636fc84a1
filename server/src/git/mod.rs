//! Reading repositories: a bare mirror per repository under `<data>/mirrors`, fetched as needed.
//!
//! [`mirror`], [`tree`] and [`names`] are the only modules of the server that name git2. It blocks, and runs off the async threads;
//! one lock per mirror keeps two fetches of the same repository apart. A mirror is a cache: it can be deleted at
//! any time. Names of refs, commits and paths are checked before they are used, and credentials are given only
//! to the host of the repository's own clone URL.

mod files;
mod mirror;
mod names;
mod tree;

use std::{path::PathBuf, sync::PoisonError, time::Duration};

pub use files::OtherFiles;
use mirror::{Job, lock_of};
pub(crate) use names::{check_path, check_reference, check_url};
use tidegate_protocol::ids::RepositoryId;

use crate::{
    app::App,
    error::Error,
    store::views::{Commit, Repository},
};

/// A fetch that moves nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(240);
/// A pipeline file larger than this is none.
pub(crate) const LARGEST_FILE: usize = 1 << 20;
/// Pipeline files of a repository.
pub(crate) const MOST_FILES: usize = 100;

/// Why a repository could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It will not work the next time either.
    #[error("{0}")]
    Gone(String),
    /// It may work later.
    #[error("{0}")]
    Away(String),
    /// Not git's fault.
    #[error(transparent)]
    Core(#[from] Error),
}

impl From<GitError> for Error {
    fn from(error: GitError) -> Self {
        match error {
            GitError::Gone(message) => Self::Invalid(message),
            GitError::Away(message) => Self::Refused(message),
            GitError::Core(error) => error,
        }
    }
}

/// Where pipeline files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// One file.
    File(String),
    /// The files of a folder that end in `.yml` or `.yaml`, not those of folders in it.
    Folder(&'static str),
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A full ref (`refs/heads/main`), or a branch, tag or commit when `sha` is none.
    pub reference: &'a str,
    /// The commit, where it is known; else that of the ref.
    pub sha: Option<&'a str>,
    /// Which files.
    pub places: &'a [Place],
    /// The branch that changed paths are told against.
    pub base: Option<&'a str>,
}

/// What was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// The full ref.
    pub reference: String,
    /// The commit.
    pub commit: CommitFacts,
    /// The files that are there, by path.
    pub files: Vec<PipelineFile>,
    /// Sentences about those that are there and were not read.
    pub refused: Vec<String>,
    /// Paths that differ from where the base branch was left; none: not asked for, or too many.
    pub changed_paths: Option<Vec<String>>,
}

/// A file at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineFile {
    /// Relative to the repository's root.
    pub path: String,
    /// All of its text.
    pub text: String,
}

/// Facts of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFacts {
    /// Forty hex digits.
    pub sha: String,
    /// Its message.
    pub message: String,
    /// `Name <address>`.
    pub author: String,
}

/// Fetches what is wanted and reads it.
pub async fn read(app: &App, repository: &Repository, wanted: Wanted<'_>) -> Result<Source, GitError> {
    let job = Job::of(app, repository).await?;
    let (reference, sha) = (wanted.reference.to_owned(), wanted.sha.map(str::to_owned));
    let (places, base) = (wanted.places.to_vec(), wanted.base.map(str::to_owned));
    off_thread(move || job.read(&reference, sha.as_deref(), &places, base.as_deref())).await
}

/// The commits that `to` has and `from` has not, newest first, at most `limit`. None: the mirror does not know
/// both. Fetches nothing, so it is quick enough for a page.
pub async fn commits_between(
    app: &App,
    repository: &Repository,
    from: &str,
    to: &str,
    limit: usize,
) -> Result<Option<Vec<Commit>>, GitError> {
    let folder = mirror_folder(app, repository.id);
    let (from, to) = (from.to_owned(), to.to_owned());
    off_thread(move || Ok(tree::commits_in(&folder, &from, &to, limit).ok())).await
}

/// Removes the mirror of a repository that was deleted. What cannot be removed is only disk space.
pub(crate) async fn forget(app: &App, repository: RepositoryId) {
    let folder = mirror_folder(app, repository);
    let removed = tokio::task::spawn_blocking(move || {
        let lock = lock_of(&folder);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err((folder, error)),
            _ => Ok(()),
        }
    });
    if let Ok(Err((folder, error))) = removed.await {
        tracing::warn!(folder = %folder.display(), %error, "a deleted repository's mirror stays behind");
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    let work = tokio::task::spawn_blocking(work);
    match tokio::time::timeout(PATIENCE + Duration::from_secs(20), work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(GitError::Core(Error::internal("reading a repository did not end well"))),
        Err(_) => Err(GitError::Away("the repository's host does not answer".to_owned())),
    }
}

fn mirror_folder(app: &App, repository: RepositoryId) -> PathBuf {
    app.config.data_dir.join("mirrors").join(format!("{repository}.git"))
}
