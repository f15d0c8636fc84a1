//! Reading repositories: a bare mirror per repository under `<data>/mirrors`, fetched as needed.
//!
//! The only module of the server that names git2. All of it is blocking and runs off the async threads; one
//! lock per mirror keeps two fetches of the same repository apart. A mirror is a cache: it can be deleted at
//! any time. Names of refs, commits and paths are checked before they are used, and credentials are given only
//! to the host of the repository's own clone URL.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use git2::{AutotagOption, Cred, ErrorClass, ErrorCode, FetchOptions, Oid, RemoteCallbacks};
use secrecy::{ExposeSecret, SecretString};
use tidegate_protocol::ids::RepositoryId;
use url::Url;

use crate::{
    app::App,
    error::Error,
    forge::events::is_sha,
    repositories,
    store::views::{Commit, Repository},
};

/// A fetch that moves nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(240);
/// A pipeline file larger than this is none.
const LARGEST_FILE: usize = 1 << 20;
/// More changed paths than this count as unknown, which lets every filter through.
const MOST_PATHS: usize = 20_000;

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

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A full ref (`refs/heads/main`), or a branch, tag or commit when `sha` is none.
    pub reference: &'a str,
    /// The commit, where it is known; else that of the ref.
    pub sha: Option<&'a str>,
    /// A file's path.
    pub path: &'a str,
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
    /// The file, if it is there.
    pub text: Option<String>,
    /// Paths that differ from where the base branch was left; none: not asked for, or too many.
    pub changed_paths: Option<Vec<String>>,
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
    let job = Job::new(app, repository).await?;
    let (reference, sha) = (wanted.reference.to_owned(), wanted.sha.map(str::to_owned));
    let (path, base) = (wanted.path.to_owned(), wanted.base.map(str::to_owned));
    off_thread(move || job.read(&reference, sha.as_deref(), &path, base.as_deref())).await
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
    let folder = mirror_of(app, repository);
    let (from, to) = (from.to_owned(), to.to_owned());
    off_thread(move || Ok(commits_in(&folder, &from, &to, limit).ok())).await
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

fn mirror_of(app: &App, repository: &Repository) -> PathBuf {
    mirror_folder(app, repository.id)
}

fn mirror_folder(app: &App, repository: RepositoryId) -> PathBuf {
    app.config.data_dir.join("mirrors").join(format!("{repository}.git"))
}

/// The lock of a mirror.
fn lock_of(folder: &Path) -> Arc<Mutex<()>> {
    static LOCKS: OnceLock<Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>> = OnceLock::new();
    let mut locks = LOCKS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(locks.entry(folder.to_owned()).or_default())
}

struct Job {
    folder: PathBuf,
    url: Url,
    login: Option<(String, SecretString)>,
}

impl Job {
    async fn new(app: &App, repository: &Repository) -> Result<Self, GitError> {
        let url = check_url(&repository.clone_url, app.config.allow_file_clone)?;
        let login = repositories::clone_login(app, repository.id).await?;
        Ok(Self { folder: mirror_of(app, repository), url, login })
    }

    fn read(
        &self,
        reference: &str,
        sha: Option<&str>,
        path: &str,
        base: Option<&str>,
    ) -> Result<Source, GitError> {
        if let Some(sha) = sha
            && !is_sha(sha)
        {
            return Err(GitError::Gone(format!("`{sha}` is no commit id")));
        }
        check_path(path)?;
        let lock = lock_of(&self.folder);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mirror = self.open()?;
        let (reference, oid) = match sha {
            Some(sha) => {
                check_reference(reference)?;
                (reference.to_owned(), self.find_commit(&mirror, reference, sha)?)
            }
            None => self.find_reference(&mirror, reference)?,
        };
        let commit =
            mirror.find_object(oid, None).and_then(|object| object.peel_to_commit()).map_err(|error| {
                GitError::Gone(format!("{oid} is no commit of {}: {}", self.url, error.message()))
            })?;
        let changed_paths = match base {
            Some(base) => self.changed_paths(&mirror, base, &commit),
            None => None,
        };
        Ok(Source {
            reference,
            text: read_blob(&mirror, &commit, path)?,
            commit: facts(&commit),
            changed_paths,
        })
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
            let _ = self.fetch(mirror, &["+refs/heads/*:refs/heads/*".to_owned()]);
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
        let deadline = Instant::now() + PATIENCE;
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

fn facts(commit: &git2::Commit<'_>) -> CommitFacts {
    CommitFacts {
        sha: commit.id().to_string(),
        message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
        author: commit.author().to_string(),
    }
}

fn read_blob(
    mirror: &git2::Repository,
    commit: &git2::Commit<'_>,
    path: &str,
) -> Result<Option<String>, GitError> {
    let tree = commit
        .tree()
        .map_err(|error| GitError::Away(format!("the mirror is broken: {}", error.message())))?;
    let Ok(entry) = tree.get_path(Path::new(path)) else { return Ok(None) };
    let Ok(blob) = mirror.find_blob(entry.id()) else {
        return Err(GitError::Gone(format!("{path} is no file at {}", commit.id())));
    };
    if blob.size() > LARGEST_FILE {
        return Err(GitError::Gone(format!(
            "{path} has {} bytes; a pipeline file has at most {LARGEST_FILE}",
            blob.size()
        )));
    }
    Ok(Some(String::from_utf8_lossy(blob.content()).into_owned()))
}

fn commits_in(folder: &Path, from: &str, to: &str, limit: usize) -> Result<Vec<Commit>, git2::Error> {
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

/// Only schemes that speak git over the network, and files where the server allows them.
pub(crate) fn check_url(url: &str, allow_file: bool) -> Result<Url, GitError> {
    let parsed =
        Url::parse(url).map_err(|error| GitError::Gone(format!("`{url}` is no clone URL: {error}")))?;
    match parsed.scheme() {
        "https" | "http" | "ssh" => Ok(parsed),
        "file" if allow_file => Ok(parsed),
        "file" => Err(GitError::Gone("file:// clone URLs are not allowed on this server".to_owned())),
        other => {
            Err(GitError::Gone(format!("{other}:// is no scheme to clone from: use https:// or ssh://")))
        }
    }
}

pub(crate) fn check_reference(reference: &str) -> Result<(), GitError> {
    if reference.starts_with("refs/") && git2::Reference::is_valid_name(reference) && !reference.contains('*')
    {
        return Ok(());
    }
    Err(GitError::Gone(format!("`{}` is no ref", reference.chars().take(200).collect::<String>())))
}

pub(crate) fn check_path(path: &str) -> Result<(), GitError> {
    let fine =
        !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if fine { Ok(()) } else { Err(GitError::Gone(format!("`{path}` is no path in a repository"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_do_harm_are_refused() {
        for reference in [
            "main",
            "refs/heads/../x",
            "refs/heads/*",
            "refs/heads/a b",
            "--upload-pack=x",
            "refs/heads/x.lock",
            "",
        ] {
            assert!(check_reference(reference).is_err(), "{reference}");
        }
        assert!(check_reference("refs/heads/feature/x").is_ok());
        for path in ["", "/etc/passwd", "../x", "a/../b"] {
            assert!(check_path(path).is_err(), "{path}");
        }
        assert!(check_path(".tidegate/pipeline.yml").is_ok());
        assert!(check_url("file:///x", false).is_err());
        assert!(check_url("file:///x", true).is_ok());
        assert!(check_url("ext::sh -c x", true).is_err());
        assert!(check_url("https://example.org/x.git", false).is_ok());
    }

    #[test]
    fn reads_a_file_at_a_commit_and_what_a_branch_changed() {
        let folder = tempfile::tempdir().unwrap();
        let origin = git2::Repository::init_bare(folder.path().join("origin.git")).unwrap();
        let first = commit(&origin, "refs/heads/main", &[("p.yml", "one")], &[]);
        let second = commit(&origin, "refs/heads/topic", &[("p.yml", "two"), ("new", "x")], &[first]);
        let third = commit(&origin, "refs/heads/main", &[("p.yml", "three")], &[first]);
        let job = Job {
            folder: folder.path().join("mirror.git"),
            url: Url::from_file_path(folder.path().join("origin.git")).unwrap(),
            login: None,
        };

        let old = job.read("refs/heads/main", Some(&first.to_string()), "p.yml", None).unwrap();
        assert_eq!(old.text.as_deref(), Some("one"), "the commit of the event, not the branch's newest");
        let topic = job.read("refs/heads/topic", Some(&second.to_string()), "p.yml", Some("main")).unwrap();
        assert_eq!(topic.changed_paths, Some(vec!["new".to_owned(), "p.yml".to_owned()]));
        let by_name = job.read("main", None, "missing.yml", None).unwrap();
        assert_eq!(by_name.reference, "refs/heads/main");
        assert_eq!(by_name.commit.sha, third.to_string());
        assert_eq!(by_name.commit.author, "Ann <ann@example.org>");
        assert_eq!(by_name.text, None);
        assert!(matches!(job.read("nothing", None, "p.yml", None), Err(GitError::Gone(_))));
        let gone = "1".repeat(40);
        assert!(matches!(job.read("refs/heads/main", Some(&gone), "p.yml", None), Err(GitError::Gone(_))));

        let between = commits_in(&job.folder, &first.to_string(), &second.to_string(), 10).unwrap();
        assert_eq!(between.len(), 1);
        assert_eq!(between[0].sha, second.to_string());
    }

    fn commit(
        repository: &git2::Repository,
        reference: &str,
        files: &[(&str, &str)],
        parents: &[Oid],
    ) -> Oid {
        let mut tree = repository.treebuilder(None).unwrap();
        for (name, text) in files {
            tree.insert(name, repository.blob(text.as_bytes()).unwrap(), 0o100_644).unwrap();
        }
        let tree = repository.find_tree(tree.write().unwrap()).unwrap();
        let author = git2::Signature::now("Ann", "ann@example.org").unwrap();
        let parents: Vec<_> = parents.iter().map(|oid| repository.find_commit(*oid).unwrap()).collect();
        let parents: Vec<_> = parents.iter().collect();
        let oid = repository.commit(None, &author, &author, "a change", &tree, &parents).unwrap();
        repository.reference(reference, oid, true, "test").unwrap();
        oid
    }
}
