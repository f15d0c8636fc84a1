//! A mirror: opened or made, fetched, read. The only module of the server that names git2; all of it blocks.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use git2::{AutotagOption, Cred, ErrorClass, ErrorCode, FetchOptions, Oid, RemoteCallbacks};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    CommitFacts, GitError, LARGEST_FILE, MOST_FILES, PATIENCE, PipelineFile, Place, Source, mirror_folder,
};
use crate::{
    app::App,
    forge::events::is_sha,
    repositories,
    store::views::{Commit, Repository},
};

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

fn facts(commit: &git2::Commit<'_>) -> CommitFacts {
    CommitFacts {
        sha: commit.id().to_string(),
        message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
        author: commit.author().to_string(),
    }
}

/// The files of places, by path, and sentences about those that were not read.
fn read_places(
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

fn tree_of<'a>(commit: &git2::Commit<'a>) -> Result<git2::Tree<'a>, GitError> {
    commit.tree().map_err(|error| GitError::Away(format!("the mirror is broken: {}", error.message())))
}

fn read_blob(
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

/// Only schemes that speak git over the network, and files where the server allows them.
pub fn check_url(url: &str, allow_file: bool) -> Result<Url, GitError> {
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

pub fn check_reference(reference: &str) -> Result<(), GitError> {
    if reference.starts_with("refs/") && git2::Reference::is_valid_name(reference) && !reference.contains('*')
    {
        return Ok(());
    }
    Err(GitError::Gone(format!("`{}` is no ref", reference.chars().take(200).collect::<String>())))
}

pub fn check_path(path: &str) -> Result<(), GitError> {
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
    fn reads_files_at_a_commit_and_what_a_branch_changed() {
        let folder = tempfile::tempdir().unwrap();
        let origin = git2::Repository::init_bare(folder.path().join("origin.git")).unwrap();
        let first = commit(&origin, "refs/heads/main", &[("p.yml", "one")], &[]);
        let second = commit(&origin, "refs/heads/topic", &[("p.yml", "two"), ("new", "x")], &[first]);
        let third = commit(&origin, "refs/heads/main", &[("p.yml", "three")], &[first]);
        let job = job(&folder);
        let one = |name: &str| [Place::File(name.to_owned())];
        let text = |source: &Source| source.files.first().map(|file| file.text.clone());

        let old = job.read("refs/heads/main", Some(&first.to_string()), &one("p.yml"), None).unwrap();
        assert_eq!(text(&old).as_deref(), Some("one"), "the commit of the event, not the branch's newest");
        let topic =
            job.read("refs/heads/topic", Some(&second.to_string()), &one("p.yml"), Some("main")).unwrap();
        assert_eq!(topic.changed_paths, Some(vec!["new".to_owned(), "p.yml".to_owned()]));
        let by_name = job.read("main", None, &one("missing.yml"), None).unwrap();
        assert_eq!(by_name.reference, "refs/heads/main");
        assert_eq!(by_name.commit.sha, third.to_string());
        assert_eq!(by_name.commit.author, "Ann <ann@example.org>");
        assert_eq!(text(&by_name), None);
        assert!(matches!(job.read("nothing", None, &one("p.yml"), None), Err(GitError::Gone(_))));
        let gone = "1".repeat(40);
        let gone = job.read("refs/heads/main", Some(&gone), &one("p.yml"), None);
        assert!(matches!(gone, Err(GitError::Gone(_))));
        assert_eq!(job.read_file(&second.to_string(), None, "new").unwrap().as_deref(), Some("x"));

        let between = commits_in(&job.folder, &first.to_string(), &second.to_string(), 10).unwrap();
        assert_eq!(between.len(), 1);
        assert_eq!(between[0].sha, second.to_string());
    }

    #[test]
    fn a_folder_gives_its_yaml_files_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let origin = git2::Repository::init_bare(folder.path().join("origin.git")).unwrap();
        let large = "#".repeat(LARGEST_FILE + 1);
        let files = [
            (".tidegate/b.yml", "b"),
            (".tidegate/a.yaml", "a"),
            (".tidegate/notes.md", "no"),
            (".tidegate/large.yml", large.as_str()),
            (".tidegate/parts/c.yml", "no"),
            (".github/workflows/ci.yml", "ci"),
            ("p.yml", "p"),
        ];
        deep_commit(&origin, "refs/heads/main", &files);
        let places = [
            Place::File("p.yml".to_owned()),
            Place::File(".tidegate/b.yml".to_owned()),
            Place::Folder(".tidegate"),
            Place::Folder(".github/workflows"),
            Place::Folder(".nothing"),
        ];
        let source = job(&folder).read("main", None, &places, None).unwrap();
        let read: Vec<_> = source.files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
        let expected = [
            (".github/workflows/ci.yml", "ci"),
            (".tidegate/a.yaml", "a"),
            (".tidegate/b.yml", "b"),
            ("p.yml", "p"),
        ];
        assert_eq!(read, expected);
        assert_eq!(source.refused.len(), 1);
        assert!(source.refused[0].starts_with(".tidegate/large.yml has"), "{:?}", source.refused);
    }

    #[test]
    fn more_files_than_are_read_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let origin = git2::Repository::init_bare(folder.path().join("origin.git")).unwrap();
        let names: Vec<String> = (0..MOST_FILES + 5).map(|n| format!(".tidegate/{n:03}.yml")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
        deep_commit(&origin, "refs/heads/main", &files);
        let source = job(&folder).read("main", None, &[Place::Folder(".tidegate")], None).unwrap();
        assert_eq!(source.files.len(), MOST_FILES);
        assert!(source.refused[0].contains("only the first 100"), "{:?}", source.refused);
    }

    fn job(folder: &tempfile::TempDir) -> Job {
        Job {
            folder: folder.path().join("mirror.git"),
            url: Url::from_file_path(folder.path().join("origin.git")).unwrap(),
            login: None,
            patience: PATIENCE,
        }
    }

    /// A commit with files in folders, without a parent.
    fn deep_commit(repository: &git2::Repository, reference: &str, files: &[(&str, &str)]) {
        let mut index = git2::Index::new().unwrap();
        for (path, text) in files {
            let entry = git2::IndexEntry {
                ctime: git2::IndexTime::new(0, 0),
                mtime: git2::IndexTime::new(0, 0),
                dev: 0,
                ino: 0,
                mode: 0o100_644,
                uid: 0,
                gid: 0,
                file_size: 0,
                id: repository.blob(text.as_bytes()).unwrap(),
                flags: 0,
                flags_extended: 0,
                path: path.as_bytes().to_vec(),
            };
            index.add(&entry).unwrap();
        }
        let tree = repository.find_tree(index.write_tree_to(repository).unwrap()).unwrap();
        let author = git2::Signature::now("Ann", "ann@example.org").unwrap();
        repository.commit(Some(reference), &author, &author, "a change", &tree, &[]).unwrap();
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
