//! From a repository to a workspace: a local mirror per repository, and a checkout of one commit.
//!
//! This is the runner's only user of git2. Invariants: nothing is written outside mirror and destination; no
//! credential is ever in the destination; hooks and filters of the repository are never run; a ref or URL from the
//! outside is checked before git sees it. Mirrors are locked by a file, so several stages (and runners) may share them.
//!
//! The workspace gets a `.git` of its own with just that commit (as after a clone of depth 1): sharing the mirror's
//! objects would let a stage change what the next one checks out.

mod history;
mod published;

use std::{
    cell::Cell,
    fs::File,
    path::{Path, PathBuf},
};

use git2::{AutotagOption, Cred, CredentialType, FetchOptions, Oid, RemoteCallbacks, Repository};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use tidegate_protocol::messages::Source;
use url::Url;

pub use history::{Depth, Wish, checkout_as};
pub use published::{Resolved, export, read_file, resolve};

/// Why a checkout failed, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The server asked for something that is not allowed or makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The remote does not answer, or refuses the credentials.
    #[error("cannot fetch {reference} of {repository}: {reason}")]
    Fetch {
        /// `owner/name`.
        repository: String,
        /// The ref.
        reference: String,
        /// Git's own words.
        reason: String,
    },
    /// The ref does not lead to the commit any more.
    #[error("commit {sha} is not in {repository} any more: {reference} was moved (a forced push?)")]
    Gone {
        /// `owner/name`.
        repository: String,
        /// The ref.
        reference: String,
        /// The commit.
        sha: String,
    },
    /// This machine's disk or git data.
    #[error("cannot {what}: {reason}")]
    Local {
        /// What was being done, as a verb phrase.
        what: String,
        /// Why it failed.
        reason: String,
    },
}

impl SourceError {
    fn local(what: impl Into<String>) -> impl FnOnce(git2::Error) -> Self {
        let what = what.into();
        move |error| Self::Local { what, reason: error.message().to_owned() }
    }

    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Local { what, reason: error.to_string() }
    }
}

/// What a checkout did, for the set-up log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// Whether the commit was in the mirror already.
    pub from_mirror: bool,
    /// Things to say: submodules that were not fetched.
    pub notes: Vec<String>,
}

/// Puts the source's commit into `dest`, an empty folder, through the repository's mirror below `mirrors`. Blocking.
pub fn checkout(
    mirrors: &Path,
    source: &Source,
    dest: &Path,
    allow_file: bool,
) -> Result<Checkout, SourceError> {
    checkout_as(mirrors, source, dest, allow_file, &Wish::default())
}

/// A mirror, locked.
struct Mirror {
    repository: Repository,
    from_mirror: bool,
    _lock: Flock<File>,
}

/// The repository's mirror with the source's commit in it.
fn present(mirrors: &Path, source: &Source, allow_file: bool) -> Result<(Mirror, Oid), SourceError> {
    let url = check(source, allow_file)?;
    let oid = Oid::from_str(&source.sha).map_err(|_| refused_sha(&source.sha))?;
    let folder = mirrors.join(mirror_name(source));
    std::fs::create_dir_all(&folder).map_err(SourceError::io(format!("create {}", folder.display())))?;
    let lock = lock(&folder)?;
    let repository = open_mirror(&folder)?;
    let from_mirror = repository.find_commit(oid).is_ok();
    if !from_mirror {
        fetch(&repository, source, &url, oid)?;
    }
    if repository.find_commit(oid).is_err() {
        return Err(SourceError::Gone {
            repository: source.repository.clone(),
            reference: source.reference.clone(),
            sha: source.sha.clone(),
        });
    }
    Ok((Mirror { repository, from_mirror, _lock: lock }, oid))
}

fn refused_sha(sha: &str) -> SourceError {
    SourceError::Refused(format!("`{sha}` is no commit id: forty hex digits are wanted"))
}

/// Checks everything that came from outside.
fn check(source: &Source, allow_file: bool) -> Result<Url, SourceError> {
    check_commit(source)?;
    check_url(source, allow_file)
}

fn check_commit(source: &Source) -> Result<(), SourceError> {
    if source.sha.len() != 40 || !source.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(refused_sha(&source.sha));
    }
    let valid = source.reference.starts_with("refs/") && git2::Reference::is_valid_name(&source.reference);
    if !valid {
        return Err(SourceError::Refused(format!("`{}` is no full ref name", source.reference)));
    }
    Ok(())
}

fn check_url(source: &Source, allow_file: bool) -> Result<Url, SourceError> {
    let url = Url::parse(&source.clone_url).map_err(|error| {
        SourceError::Refused(format!("the clone URL of {} is no URL: {error}", source.repository))
    })?;
    match url.scheme() {
        "https" | "ssh" | "http" => Ok(url),
        "file" if allow_file => Ok(url),
        "file" => Err(SourceError::Refused(format!(
            "{} is cloned from a file:// URL, which this runner does not allow (set allow_file_clone)",
            source.repository
        ))),
        other => Err(SourceError::Refused(format!("{other}:// is no protocol to clone with"))),
    }
}

/// The mirror's folder name: readable, and different for different URLs of one name.
fn mirror_name(source: &Source) -> String {
    let readable: String = source
        .repository
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' })
        .collect();
    let digest = hex::encode(&Sha256::digest(source.clone_url.as_bytes())[..6]);
    format!("{readable}-{digest}.git")
}

fn lock(folder: &Path) -> Result<Flock<File>, SourceError> {
    let path = folder.join("tidegate.lock");
    let what = format!("lock {}", path.display());
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(SourceError::io(what.clone()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| SourceError::Local { what, reason: error.to_string() })
}

/// Opens the mirror; one that a crash left half-made is made again.
fn open_mirror(folder: &Path) -> Result<Repository, SourceError> {
    if let Ok(mirror) = Repository::open_bare(folder) {
        return Ok(mirror);
    }
    Repository::init_bare(folder).map_err(SourceError::local(format!("make the mirror {}", folder.display())))
}

/// Fetches the ref and, where that does not bring the commit (the ref has moved on), the commit itself.
fn fetch(mirror: &Repository, source: &Source, url: &Url, oid: Oid) -> Result<(), SourceError> {
    let by_ref = fetch_refspec(mirror, source, url, &format!("+{0}:{0}", source.reference));
    if mirror.find_commit(oid).is_ok() {
        return Ok(());
    }
    let by_sha = fetch_refspec(mirror, source, url, &format!("+{0}:refs/tidegate/{0}", source.sha));
    if mirror.find_commit(oid).is_ok() {
        return Ok(());
    }
    // Of the two errors the first says what is wrong with the remote; without one, the commit is gone.
    by_ref.and(by_sha.or(Ok(())))
}

fn fetch_refspec(mirror: &Repository, source: &Source, url: &Url, refspec: &str) -> Result<(), SourceError> {
    fetch_refspecs(mirror, source, url, &[refspec])
}

fn fetch_refspecs(
    mirror: &Repository,
    source: &Source,
    url: &Url,
    refspecs: &[&str],
) -> Result<(), SourceError> {
    let mut options = FetchOptions::new();
    options
        .download_tags(AutotagOption::None)
        .follow_redirects(git2::RemoteRedirect::Initial)
        .update_fetchhead(false)
        .remote_callbacks(callbacks(source, url));
    let mut remote = mirror.remote_anonymous(&source.clone_url).map_err(failed(source))?;
    remote.fetch(refspecs, Some(&mut options), None).map_err(failed(source))
}

fn failed(source: &Source) -> impl Fn(git2::Error) -> SourceError {
    |error| SourceError::Fetch {
        repository: source.repository.clone(),
        reference: source.reference.clone(),
        reason: error.message().to_owned(),
    }
}

fn callbacks<'c>(source: &'c Source, url: &'c Url) -> RemoteCallbacks<'c> {
    let tries = Cell::new(0);
    let mut callbacks = RemoteCallbacks::new();
    callbacks.credentials(move |asked, user, allowed| {
        // The library asks again after a refusal; once was enough.
        tries.set(tries.get() + 1);
        if tries.get() > 1 {
            return Err(git2::Error::from_str("the credentials were refused"));
        }
        // Bound to the host they were given for, whatever the remote redirects to.
        let same_host = Url::parse(asked).is_ok_and(|asked| asked.host_str() == url.host_str());
        if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
            return match &source.login {
                Some((user, token)) if same_host => Cred::userpass_plaintext(user, token),
                _ => Err(git2::Error::from_str("the remote wants credentials and there are none for it")),
            };
        }
        if allowed.contains(CredentialType::SSH_KEY) {
            return Cred::ssh_key_from_agent(user.unwrap_or("git"));
        }
        Err(git2::Error::from_str("the remote wants a kind of credentials that is not supported"))
    });
    callbacks
}

fn write_file(path: &PathBuf, bytes: &[u8]) -> Result<(), SourceError> {
    std::fs::write(path, bytes).map_err(SourceError::io(format!("write {}", path.display())))
}

#[cfg(test)]
pub(crate) mod tests;
