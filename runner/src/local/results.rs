//! Artifacts, reports and caches of local runs, in folders.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tidegate_pipelines::plan::{CacheScope, CacheUser, ReportKind, StageKey};
use tidegate_protocol::messages::{ListedArtifact, Stored};

use crate::{
    stage::{FoundCache, Results, ResultsError},
    sync::lock,
};

/// The artifacts of a run with their sizes, by stage and name: names of files do not tell either.
pub(crate) type Kept = Arc<Mutex<BTreeMap<(StageKey, String), u64>>>;

/// Folders in place of a server. Names and keys may hold any character, so files are named by their hash; artifacts
/// and reports get a readable name beside it.
pub(crate) struct FolderResults {
    results: PathBuf,
    caches: PathBuf,
    run: RunPlace,
    stage: StageKey,
    kept: Kept,
}

/// What tells apart the caches of runs of different branches and pipelines.
#[derive(Debug, Clone)]
pub(crate) struct RunPlace {
    pub(crate) reference: String,
    pub(crate) default_branch: String,
    pub(crate) pipeline: String,
}

impl FolderResults {
    pub(crate) fn new(results: &Path, caches: &Path, run: RunPlace, stage: StageKey, kept: Kept) -> Self {
        Self { results: results.to_owned(), caches: caches.to_owned(), run, stage, kept }
    }

    /// The folders that cache entries are read from, in order; they are written to the first. As on a server.
    fn cache_folders(&self, scope: CacheScope) -> Vec<PathBuf> {
        let RunPlace { reference, default_branch, pipeline } = &self.run;
        let places = scope.places(&CacheUser { reference, default_branch, pipeline, trusted: true });
        places.iter().map(|place| self.caches.join(readable(place))).collect()
    }

    fn artifact(&self, stage: &StageKey, name: &str) -> PathBuf {
        self.results.join("artifacts").join(readable(&stage.0)).join(format!("{}.tar.zst", readable(name)))
    }
}

/// A name for the file system: what is not plain is replaced, and then a part of the hash tells names apart.
fn readable(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || "-_.".contains(char) { char } else { '-' })
        .collect();
    if plain == name && !name.starts_with('.') {
        return plain;
    }
    format!("{plain}-{}", &hex::encode(Sha256::digest(name))[..8])
}

/// A cache entry: when it was made, its key, its archive.
type Entry = (std::time::SystemTime, String, PathBuf);

/// The entries in a folder, oldest first.
fn entries(folder: &Path) -> Vec<Entry> {
    let mut entries: Vec<Entry> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "key"))
        .filter_map(|entry| {
            let stored_key = fs::read_to_string(entry.path()).ok()?;
            let archive = entry.path().with_extension("zst");
            Some((entry.metadata().ok()?.modified().ok()?, stored_key, archive))
        })
        .collect();
    entries.sort();
    entries
}

fn put(from: &Path, to: &Path) -> Result<Stored, ResultsError> {
    let fail = |what: &Path| {
        let what = what.display().to_string();
        move |source| ResultsError::Io { what, source }
    };
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(fail(folder))?;
    }
    let fresh = to.with_extension(format!("new-{}", uuid::Uuid::now_v7().simple()));
    fs::copy(from, &fresh).map_err(fail(&fresh))?;
    fs::rename(&fresh, to).map_err(fail(to))?;
    stored(to).map_err(fail(to))
}

fn stored(path: &Path) -> io::Result<Stored> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(Stored { sha256: hex::encode(hash.finalize()), size });
        }
        hash.update(&buffer[..count]);
        size += count as u64;
    }
}

#[async_trait]
impl Results for FolderResults {
    async fn put_artifact(&self, name: &str, archive: &Path) -> Result<Stored, ResultsError> {
        let stored = put(archive, &self.artifact(&self.stage, name))?;
        lock(&self.kept).insert((self.stage.clone(), name.to_owned()), stored.size);
        Ok(stored)
    }

    async fn get_artifact(&self, stage: &StageKey, name: &str, to: &Path) -> Result<(), ResultsError> {
        let from = self.artifact(stage, name);
        if !from.exists() {
            return Err(ResultsError::NotFound(format!("the stage `{stage}` kept no artifact `{name}`")));
        }
        put(&from, to).map(|_| ())
    }

    async fn list_artifacts(&self) -> Result<Vec<ListedArtifact>, ResultsError> {
        let kept = lock(&self.kept);
        let listed = kept.iter().map(|((stage, name), size)| ListedArtifact {
            stage: stage.clone(),
            name: name.clone(),
            size: *size,
        });
        Ok(listed.collect())
    }

    /// Beside each entry lies a file with its key, by which prefixes are found; the newest wins.
    async fn find_cache(
        &self,
        scope: CacheScope,
        key: &str,
        restore_keys: &[String],
        to: &Path,
    ) -> Result<Option<FoundCache>, ResultsError> {
        let folders: Vec<Vec<Entry>> =
            self.cache_folders(scope).iter().map(|folder| entries(folder)).collect();
        let newest = |wanted: &dyn Fn(&str) -> bool| {
            folders.iter().find_map(|entries| entries.iter().rev().find(|(_, key, _)| wanted(key)))
        };
        let exact = newest(&|stored| stored == key);
        let found = exact.or_else(|| {
            restore_keys.iter().find_map(|prefix| newest(&|stored| stored.starts_with(prefix.as_str())))
        });
        match found {
            Some((_, key, archive)) => {
                put(archive, to)?;
                Ok(Some(FoundCache { key: key.clone() }))
            }
            None => Ok(None),
        }
    }

    async fn put_cache(&self, scope: CacheScope, key: &str, archive: &Path) -> Result<Stored, ResultsError> {
        let name = hex::encode(Sha256::digest(key));
        let folder = self.cache_folders(scope).into_iter().next().unwrap_or_else(|| self.caches.clone());
        let place = folder.join(format!("{name}.zst"));
        let fail = |source| ResultsError::Io { what: place.display().to_string(), source };
        if place.exists() {
            return stored(&place).map_err(fail);
        }
        let kept = put(archive, &place)?;
        fs::write(place.with_extension("key"), key).map_err(fail)?;
        Ok(kept)
    }

    async fn has_cache(&self, scope: CacheScope, key: &str) -> Result<bool, ResultsError> {
        let name = format!("{}.zst", hex::encode(Sha256::digest(key)));
        Ok(self.cache_folders(scope).first().is_some_and(|folder| folder.join(name).exists()))
    }

    async fn delete_artifact(&self, name: &str) -> Result<(), ResultsError> {
        let path = self.artifact(&self.stage, name);
        lock(&self.kept).remove(&(self.stage.clone(), name.to_owned()));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ResultsError::Io { what: path.display().to_string(), source })
            }
            _ => Ok(()),
        }
    }

    async fn id_token(&self, _audience: Option<&str>) -> Result<String, ResultsError> {
        Err(ResultsError::Invalid(
            "a local run has no identity tokens, since no server vouches for it: run this job on a server, or give \
             it a secret"
                .to_owned(),
        ))
    }

    /// There is nobody who knows earlier reports, or keeps a stage from succeeding.
    fn judges(&self) -> bool {
        false
    }

    async fn put_report(&self, kind: ReportKind, path: &str, bytes: Vec<u8>) -> Result<(), ResultsError> {
        let kind = format!("{kind:?}").to_lowercase();
        let place =
            self.results.join("reports").join(readable(&self.stage.0)).join(kind).join(readable(path));
        let fail = |source| ResultsError::Io { what: place.display().to_string(), source };
        fs::create_dir_all(place.parent().unwrap_or(&self.results)).map_err(fail)?;
        fs::write(&place, bytes).map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_branch(folder: &Path, branch: &str, pipeline: &str) -> FolderResults {
        let run = RunPlace {
            reference: format!("refs/heads/{branch}"),
            default_branch: "main".to_owned(),
            pipeline: pipeline.to_owned(),
        };
        FolderResults::new(folder, &folder.join("caches"), run, StageKey("t".to_owned()), Kept::default())
    }

    #[tokio::test]
    async fn caches_are_found_by_key_then_by_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let results = of_branch(folder.path(), "main", "a.yml");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let scope = CacheScope::Branch;
        fs::write(&from, b"one").unwrap();
        results.put_cache(scope, "pip-a", &from).await.unwrap();
        fs::write(&from, b"two").unwrap();
        // An entry is never written again.
        results.put_cache(scope, "pip-a", &from).await.unwrap();
        let found = results.find_cache(scope, "pip-a", &[], &to).await.unwrap();
        assert_eq!(found.unwrap().key, "pip-a");
        assert_eq!(fs::read(&to).unwrap(), b"one");
        assert_eq!(results.find_cache(scope, "pip-b", &[], &to).await.unwrap(), None);
        let prefixes = ["npm-".to_owned(), "pip-".to_owned()];
        let found = results.find_cache(scope, "pip-b", &prefixes, &to).await.unwrap();
        assert_eq!(found.unwrap().key, "pip-a");
    }

    fn stage(key: &str) -> StageKey {
        StageKey(key.to_owned())
    }

    #[tokio::test]
    async fn artifacts_are_listed_by_the_names_that_they_were_given() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::default();
        let of = |key: &str| FolderResults {
            stage: stage(key),
            kept: kept.clone(),
            ..of_branch(folder.path(), "main", "a.yml")
        };
        let from = folder.path().join("from");
        fs::write(&from, b"one").unwrap();
        of("make (one)").put_artifact("part one", &from).await.unwrap();
        of("a").put_artifact("plain", &from).await.unwrap();
        let listed = of("use").list_artifacts().await.unwrap();
        let names: Vec<_> = listed.iter().map(|one| (one.stage.0.as_str(), one.name.as_str())).collect();
        assert_eq!(names, [("a", "plain"), ("make (one)", "part one")]);
        of("a").delete_artifact("plain").await.unwrap();
        assert_eq!(of("use").list_artifacts().await.unwrap().len(), 1);
        let to = folder.path().join("to");
        of("use").get_artifact(&stage("make (one)"), "part one", &to).await.unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"one");
    }

    #[tokio::test]
    async fn a_caches_scope_is_kept_to() {
        use CacheScope::{Branch, Pipeline, Repository};
        let folder = tempfile::tempdir().unwrap();
        let main = of_branch(folder.path(), "main", "a.yml");
        let topic = of_branch(folder.path(), "topic/1", "a.yml");
        let other = of_branch(folder.path(), "topic/1", "b.yml");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, b"x").unwrap();
        let found = async |results: &FolderResults, scope| {
            results.find_cache(scope, "k", &[], &to).await.unwrap().is_some()
        };
        topic.put_cache(Branch, "k", &from).await.unwrap();
        assert!(found(&other, Branch).await && !found(&main, Branch).await);
        main.put_cache(Pipeline, "k", &from).await.unwrap();
        assert!(found(&topic, Pipeline).await && !found(&other, Pipeline).await);
        assert!(!found(&main, Repository).await);
        other.put_cache(Repository, "k", &from).await.unwrap();
        assert!(found(&main, Repository).await && found(&topic, Repository).await);
    }

    #[test]
    fn names_cannot_leave_their_folder() {
        for name in ["../../etc/passwd", "..", ".", "a/b", "test (node=20)"] {
            let readable = readable(name);
            assert!(
                !readable.contains('/') && !readable.starts_with("..-") || readable.len() > 8,
                "{readable}"
            );
            assert_ne!(readable, name);
        }
        assert_eq!(readable("coverage"), "coverage");
    }
}
