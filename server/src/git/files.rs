//! The other files that a pipeline file names: of its own repository at the same commit, or of another repository.
//!
//! Another repository is read only where somebody who runs the server has let it in: it is built here too, or a rule
//! of `sources` names it. A fork's run reads none that needs a login. All of it is bounded: files, repositories, time.
//! The same question is answered the same way for as long as one file is compiled.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tidegate_pipelines::{FileRef, Files, Patterns};
use tokio::runtime::Handle;

use super::{GitError, MOST_FILES, mirror::Job, names::check_url};
use crate::{app::App, repositories, store::views::Repository};

/// Other repositories that one file may name.
const MOST_REPOSITORIES: usize = 10;
/// What all of them may take together.
const ALL: Duration = Duration::from_secs(120);
/// What a fetch may take.
const EACH: Duration = Duration::from_secs(60);

/// Reads other files. Blocking: for threads where that is allowed.
pub struct OtherFiles {
    app: App,
    repository: Repository,
    reference: String,
    sha: String,
    trusted: bool,
    runtime: Handle,
    seen: Mutex<Seen>,
}

struct Seen {
    answers: HashMap<FileRef, Result<String, String>>,
    repositories: BTreeSet<String>,
    deadline: Instant,
    /// A host that did not answer: the same question may be answered later.
    away: Option<String>,
}

impl OtherFiles {
    /// Those that files of a repository may name at a commit. Within a tokio runtime.
    pub fn new(app: &App, repository: &Repository, reference: &str, sha: &str, trusted: bool) -> Self {
        Self {
            app: app.clone(),
            repository: repository.clone(),
            reference: reference.to_owned(),
            sha: sha.to_owned(),
            trusted,
            runtime: Handle::current(),
            seen: Mutex::new(Seen {
                answers: HashMap::new(),
                repositories: BTreeSet::new(),
                deadline: Instant::now() + ALL,
                away: None,
            }),
        }
    }

    /// Why a file could not be read that perhaps can be later.
    pub fn away(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).away.clone()
    }

    fn answer(&self, seen: &mut Seen, file: &FileRef) -> Result<String, String> {
        if seen.answers.len() >= MOST_FILES {
            return Err(format!("a pipeline names at most {MOST_FILES} other files"));
        }
        let (what, read) = match file {
            FileRef::Same(path) => (path.clone(), self.same(path)),
            FileRef::Other { repository, path, reference } => (
                format!("{path} of {repository} at {reference}"),
                self.other(seen, repository, path, reference),
            ),
        };
        match read {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err(format!("there is no {what}")),
            Err(GitError::Away(reason)) => {
                seen.away = Some(reason.clone());
                Err(reason)
            }
            Err(GitError::Gone(reason)) => Err(reason),
            Err(GitError::Core(error)) => {
                let reason = format!("{what} cannot be read just now");
                tracing::warn!(?error, %what, "another file of a pipeline cannot be read");
                seen.away = Some(reason.clone());
                Err(reason)
            }
        }
    }

    fn same(&self, path: &str) -> Result<Option<String>, GitError> {
        let job = self.runtime.block_on(Job::of(&self.app, &self.repository))?;
        job.read_file(&self.reference, Some(&self.sha), path)
    }

    fn other(
        &self,
        seen: &mut Seen,
        name: &str,
        path: &str,
        reference: &str,
    ) -> Result<Option<String>, GitError> {
        seen.repositories.insert(name.to_lowercase());
        if seen.repositories.len() > MOST_REPOSITORIES {
            return Err(GitError::Gone(format!(
                "a pipeline names files of at most {MOST_REPOSITORIES} other repositories"
            )));
        }
        let left = seen.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(GitError::Away(format!("other repositories took more than {} s", ALL.as_secs())));
        }
        let mut job = self.runtime.block_on(self.job(name))?;
        job.patience = left.min(EACH);
        job.read_file(reference, None, path)
    }

    /// How a repository is read that a file names.
    async fn job(&self, name: &str) -> Result<Job, GitError> {
        check_name(name)?;
        if name.eq_ignore_ascii_case(&self.repository.full_name) {
            return Job::of(&self.app, &self.repository).await;
        }
        let config = &self.app.config;
        let rule = config.sources.iter().find(|rule| Patterns::new([rule.from.as_str()]).matches(name));
        if let Some(rule) = rule {
            let folder = config.data_dir.join("mirrors").join("sources");
            std::fs::create_dir_all(&folder)
                .map_err(|error| GitError::Away(format!("{} cannot be made: {error}", folder.display())))?;
            return Ok(Job {
                folder: folder.join(format!("{}.git", name.to_lowercase().replace('/', "+"))),
                url: check_url(&rule.to.replace("{repository}", name), config.allow_file_clone)?,
                login: None,
                patience: EACH,
            });
        }
        let known = repositories::find(&self.app, name).await?.ok_or_else(|| {
            GitError::Gone(format!(
                "files of {name} cannot be read: add that repository to this server, or let it in with a rule of \
                 `sources` in the server's configuration"
            ))
        })?;
        let job = Job::of(&self.app, &known).await?;
        if !self.trusted && job.login.is_some() {
            return Err(GitError::Gone(format!(
                "a fork's run reads no files of {name}, which is not public"
            )));
        }
        Ok(job)
    }
}

impl Files for OtherFiles {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.answers.get(file) {
            return known.clone();
        }
        let answer = self.answer(&mut seen, file);
        seen.answers.insert(file.clone(), answer.clone());
        answer
    }
}

/// The name becomes a part of a path and of a URL.
fn check_name(name: &str) -> Result<(), GitError> {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    match name.split_once('/') {
        Some((owner, rest)) if part(owner) && part(rest) => Ok(()),
        _ => Err(GitError::Gone(format!(
            "`{}` is no repository: it would read owner/name",
            name.chars().take(100).collect::<String>()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_folder_are_refused() {
        for bad in ["a", "a/", "/a", "../a", "a/..", "a/b/c", "a/b c", "a/.git", ""] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("Acme-1/ci_v2.x").is_ok());
    }
}
