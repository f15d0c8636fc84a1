//! Artifacts, reports and caches of local runs, in folders.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tidegate_pipelines::plan::{ReportKind, StageKey};
use tidegate_protocol::messages::{ListedArtifact, Stored};

use crate::stage::{FoundCache, Results, ResultsError};

/// Folders in place of a server. Names and keys may hold any character, so files are named by their hash; artifacts
/// and reports get a readable name beside it.
pub(crate) struct FolderResults {
    results: PathBuf,
    caches: PathBuf,
    stage: StageKey,
}

impl FolderResults {
    pub(crate) fn new(results: &Path, caches: &Path, stage: StageKey) -> Self {
        Self { results: results.to_owned(), caches: caches.to_owned(), stage }
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
        put(archive, &self.artifact(&self.stage, name))
    }

    async fn get_artifact(&self, stage: &StageKey, name: &str, to: &Path) -> Result<(), ResultsError> {
        let from = self.artifact(stage, name);
        if !from.exists() {
            return Err(ResultsError::NotFound(format!("the stage `{stage}` kept no artifact `{name}`")));
        }
        put(&from, to).map(|_| ())
    }

    /// What the folders hold; names that are no plain file names are not told.
    async fn list_artifacts(&self) -> Result<Vec<ListedArtifact>, ResultsError> {
        let mut listed = Vec::new();
        for stage in fs::read_dir(self.results.join("artifacts")).into_iter().flatten().flatten() {
            for file in fs::read_dir(stage.path()).into_iter().flatten().flatten() {
                let (Ok(key), Ok(name)) = (stage.file_name().into_string(), file.file_name().into_string())
                else {
                    continue;
                };
                let Some(name) = name.strip_suffix(".tar.zst") else { continue };
                let size = file.metadata().map_or(0, |data| data.len());
                listed.push(ListedArtifact { stage: StageKey(key), name: name.to_owned(), size });
            }
        }
        listed.sort_by(|a, b| (&a.stage.0, &a.name).cmp(&(&b.stage.0, &b.name)));
        Ok(listed)
    }

    /// Beside each entry lies a file with its key, by which prefixes are found; the newest wins.
    async fn find_cache(
        &self,
        key: &str,
        restore_keys: &[String],
        to: &Path,
    ) -> Result<Option<FoundCache>, ResultsError> {
        let mut entries: Vec<(std::time::SystemTime, String, PathBuf)> = fs::read_dir(&self.caches)
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
        let newest = |wanted: &dyn Fn(&str) -> bool| entries.iter().rev().find(|(_, key, _)| wanted(key));
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

    async fn put_cache(&self, key: &str, archive: &Path) -> Result<Stored, ResultsError> {
        let name = hex::encode(Sha256::digest(key));
        let place = self.caches.join(format!("{name}.zst"));
        let fail = |source| ResultsError::Io { what: place.display().to_string(), source };
        if place.exists() {
            return stored(&place).map_err(fail);
        }
        let kept = put(archive, &place)?;
        fs::write(place.with_extension("key"), key).map_err(fail)?;
        Ok(kept)
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

    #[tokio::test]
    async fn caches_are_found_by_key_then_by_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let results =
            FolderResults::new(folder.path(), &folder.path().join("caches"), StageKey("t".to_owned()));
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, b"one").unwrap();
        results.put_cache("pip-a", &from).await.unwrap();
        fs::write(&from, b"two").unwrap();
        // An entry is never written again.
        results.put_cache("pip-a", &from).await.unwrap();
        let found = results.find_cache("pip-a", &[], &to).await.unwrap();
        assert_eq!(found.unwrap().key, "pip-a");
        assert_eq!(fs::read(&to).unwrap(), b"one");
        assert_eq!(results.find_cache("pip-b", &[], &to).await.unwrap(), None);
        let found = results.find_cache("pip-b", &["npm-".to_owned(), "pip-".to_owned()], &to).await.unwrap();
        assert_eq!(found.unwrap().key, "pip-a");
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
