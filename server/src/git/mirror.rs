//! A mirror: opened or made, and fetched until it has what is asked for. All of it blocks.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use git2::{AutotagOption, Cred, ErrorClass, ErrorCode, FetchOptions, Oid, RemoteCallbacks};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    GitError, PATIENCE, Place, Source, mirror_folder,
    names::{check_path, check_reference, check_url},
    tree::{facts, read_blob, read_places, tree_of},
};
use crate::{app::App, forge::events::is_sha, repositories, store::views::Repository};

/// More changed paths than this count as unknown, which lets every filter through.
const MOST_PATHS: usize = 20_000;

/// The lock of a mirror.
pub(super) fn lock_of(folder: &Path) -> Arc<Mutex<()>> {
    static LOCKS: OnceLock<Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>> = OnceLock::new();
    let mut locks = LOCKS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(locks.entry(folder.to_owned()).or_default())
}

/// What is needed to read a repository.
pub(super) struct Job {
    /// Its mirror.
    pub(super) folder: PathBuf,
    /// Where it is fetched from.
    pub(super) url: Url,
    /// What its host is shown.
    pub(super) login: Option<(String, SecretString)>,
    /// How long a fetch may take.
    pub(super) patience: Duration,
}

impl Job {
    /// For a repository that this server builds.
    pub(super) async fn of(app: &App, repository: &Repository) -> Result<Self, GitError> {
        let url = check_url(&repository.clone_url, app.config.allow_file_clone)?;
        let login = repositories::clone_login(app, repository.id).await?;
        Ok(Self { folder: mirror_folder(app, repository.id), url, login, patience: PATIENCE })
    }

    pub(super) fn read(
        &self,
        reference: &str,
        sha: Option<&str>,
        places: &[Place],
        base: Option<&str>,
    ) -> Result<Source, GitError> {
        let lock = lock_of(&self.folder);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mirror = self.open()?;
        let (reference, commit) = self.commit(&mirror, reference, sha)?;
        let changed_paths = base.and_then(|base| self.changed_paths(&mirror, base, &commit));
        let (files, refused) = read_places(&commit, &mirror, places)?;
        Ok(Source { reference, files, refused, commit: facts(&commit), changed_paths })
    }

    /// One file at a commit, a tag or a branch; none: it is not there.
    pub(super) fn read_file(
        &self,
        reference: &str,
        sha: Option<&str>,
        path: &str,
    ) -> Result<Option<String>, GitError> {
        check_path(path)?;
        let lock = lock_of(&self.folder);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mirror = self.open()?;
        let (_, commit) = self.commit(&mirror, reference, sha)?;
        read_blob(&mirror, &tree_of(&commit)?, path)
    }

    /// The commit with the full ref that it was found by.
    fn commit<'a>(
        &self,
        mirror: &'a git2::Repository,
        reference: &str,
        sha: Option<&str>,
    ) -> Result<(String, git2::Commit<'a>), GitError> {
        let (reference, oid) = match sha {
            Some(sha) if !is_sha(sha) => return Err(GitError::Gone(format!("`{sha}` is no commit id"))),
            Some(sha) => {
                check_reference(reference)?;
                (reference.to_owned(), self.find_commit(mirror, reference, sha)?)
            }
            None => self.find_reference(mirror, reference)?,
        };
        let commit = mirror.find_object(oid, None).and_then(|object| object.peel_to_commit());
        let commit = commit.map_err(|error| {
            GitError::Gone(format!("{oid} is no commit of {}: {}", self.url, error.message()))
        })?;
        Ok((reference, commit))
    }

    /// Opens the mirror; makes it when there is none.
    fn open(&self) -> Result<git2::Repository, GitError> {
        let broken =
            |error: git2::Error| GitError::Away(format!("the mirror cannot be used: {}", error.message()));
        match git2::Repository::open_bare(&self.folder) {
            Ok(mirror) => Ok(mirror),
            Err(error) if error.code() == ErrorCode::NotFound => {
                git2::Repository::init_bare(&self.folder).map_err(broken)
            }
            Err(error) => Err(broken(error)),
        }
    }

    /// The commit, fetched by its ref, or else by itself.
    fn find_commit(&self, mirror: &git2::Repository, reference: &str, sha: &str) -> Result<Oid, GitError> {
        let oid = Oid::from_str(sha).map_err(|_| GitError::Gone(format!("`{sha}` is no commit id")))?;
        let there = || mirror.find_object(oid, None).is_ok();
        if there() {
            return Ok(oid);
        }
        let by_reference = self.fetch(mirror, &[format!("+{reference}:{reference}")]);
        if there() {
            return Ok(oid);
        }
        // The ref has moved on or is gone: hosts that allow it give the commit itself.
        let _ = self.fetch(mirror, &[format!("+{sha}:refs/tidegate/{sha}")]);
        if there() {
            return Ok(oid);
        }
        match by_reference {
            Err(error @ GitError::Away(_)) => Err(error),
            // The host answered, and has not got it.
            _ => Err(GitError::Gone(format!(
                "{} has no commit {sha} (any more), looked for by {reference}",
                self.url
            ))),
        }
    }

    /// The ref that a person named, and its commit.
    fn find_reference(&self, mirror: &git2::Repository, name: &str) -> Result<(String, Oid), GitError> {
        if is_sha(name) {
            let reference = format!("refs/tidegate/{name}");
            let there = Oid::from_str(name).is_ok_and(|oid| mirror.find_object(oid, None).is_ok());
            if !there {
                let _ = self.fetch(mirror, &["+refs/heads/*:refs/heads/*".to_owned()]);
            }
            return Ok((reference.clone(), self.find_commit(mirror, &reference, name)?));
        }
        let candidates = if name.starts_with("refs/") {
            vec![name.to_owned()]
        } else {
            vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")]
        };
        let mut missing = GitError::Gone(format!("{} has no branch or tag `{name}`", self.url));
        for reference in candidates {
            check_reference(&reference)?;
            match self.fetch(mirror, &[format!("+{reference}:{reference}")]) {
                Ok(()) => {
                    if let Ok(oid) = mirror.refname_to_id(&reference) {
                        return Ok((reference, oid));
                    }
                }
                Err(error @ GitError::Away(_)) => missing = error,
                Err(_) => {}
            }
        }
        Err(missing)
    }

    fn fetch(&self, mirror: &git2::Repository, refspecs: &[String]) -> Result<(), GitError> {
        let deadline = Instant::now() + self.patience;
        let mut asked = 0;
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(|url, username, allowed| {
            // It asks again after a refusal: twice at most, then the refusal stands.
            asked += 1;
            let same_host = Url::parse(url).is_ok_and(|url| url.host_str() == self.url.host_str());
            match &self.login {
                Some((user, token)) if asked <= 2 && same_host && allowed.is_user_pass_plaintext() => {
                    Cred::userpass_plaintext(user, token.expose_secret())
                }
                _ if asked <= 2 && allowed.is_username() => Cred::username(username.unwrap_or("git")),
                _ if asked <= 2 && same_host && allowed.is_ssh_key() => {
                    Cred::ssh_key_from_agent(username.unwrap_or("git"))
                }
                _ => Err(git2::Error::new(
                    ErrorCode::Auth,
                    ErrorClass::Http,
                    "the host asks for credentials that are missing or wrong",
                )),
            }
        });
        callbacks.transfer_progress(|_| Instant::now() < deadline);
        let mut options = FetchOptions::new();
        options.remote_callbacks(callbacks).download_tags(AutotagOption::None);
        let mut remote = mirror
            .remote_anonymous(self.url.as_str())
            .map_err(|error| GitError::Gone(format!("{} cannot be cloned: {}", self.url, error.message())))?;
        remote.fetch(refspecs, Some(&mut options), None).map_err(|error| {
            let text = format!("{} cannot be fetched: {}", self.url, error.message());
            match (error.code(), error.class()) {
                (ErrorCode::Auth, _) => GitError::Gone(format!("{text}; set the repository's clone token")),
                (ErrorCode::NotFound | ErrorCode::InvalidSpec, _) => GitError::Gone(text),
                _ => GitError::Away(text),
            }
        })
    }

    /// Paths that the commit changes since it left the base branch.
    fn changed_paths(
        &self,
        mirror: &git2::Repository,
        base: &str,
        commit: &git2::Commit<'_>,
    ) -> Option<Vec<String>> {
        let reference = format!("refs/heads/{base}");
        check_reference(&reference).ok()?;
        self.fetch(mirror, &[format!("+{reference}:{reference}")]).ok()?;
        let tip = mirror.refname_to_id(&reference).ok()?;
        let fork_point = mirror.find_commit(mirror.merge_base(tip, commit.id()).ok()?).ok()?;
        let diff = mirror
            .diff_tree_to_tree(Some(&fork_point.tree().ok()?), Some(&commit.tree().ok()?), None)
            .ok()?;
        if diff.deltas().len() > MOST_PATHS {
            return None;
        }
        let mut paths: Vec<String> = diff
            .deltas()
            .flat_map(|delta| [delta.old_file().path(), delta.new_file().path()])
            .flatten()
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        Some(paths)
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
