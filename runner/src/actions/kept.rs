//! Artifacts that a stage has kept so far: copies in the attempt's scratch folder, so that its later steps can have them
//! again, whether they were kept by a built-in action or through the services for libraries ([`crate::toolkit`]).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tidegate_pipelines::plan::StageKey;

use crate::stage::StageDirs;

/// Characters that no name may have, as on GitHub.
const FORBIDDEN: [char; 11] = ['"', ':', '<', '>', '|', '*', '?', '\r', '\n', '\\', '/'];

/// The place of one artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept(PathBuf);

/// Whether an artifact may be called that; else a sentence.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(FORBIDDEN) {
        return Err(format!(
            "an artifact's name has none of \" : < > | * ? \\ / and line ends, and this one is `{name}`"
        ));
    }
    Ok(())
}

/// A number for an artifact, the same on every machine.
pub(crate) fn number(stage: &StageKey, name: &str) -> u64 {
    let digest = Sha256::digest(format!("{stage}\n{name}"));
    // What JavaScript can hold exactly.
    digest.iter().take(6).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn folder(dirs: &StageDirs) -> PathBuf {
    dirs.scratch().join("artifacts")
}

impl Kept {
    /// The place of an artifact, whether it is there or not.
    pub(crate) fn of(dirs: &StageDirs, name: &str) -> Self {
        Self(folder(dirs).join(hex::encode(Sha256::digest(name))))
    }

    /// The names of all that are there, and the bytes of their archives.
    pub(crate) fn all(dirs: &StageDirs) -> Vec<(String, u64)> {
        let mut all: Vec<(String, u64)> = fs::read_dir(folder(dirs))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "name"))
            .filter_map(|path| {
                let size = fs::metadata(path.with_extension("")).ok()?.len();
                Some((fs::read_to_string(&path).ok()?, size))
            })
            .collect();
        all.sort();
        all
    }

    /// Whether it is there.
    pub(crate) fn is_there(&self) -> bool {
        self.0.exists()
    }

    /// Its archive.
    pub(crate) fn archive(&self) -> PathBuf {
        self.0.clone()
    }

    /// Where its archive is written before it is kept.
    pub(crate) fn fresh(&self) -> PathBuf {
        self.0.with_extension("new")
    }

    /// Who kept it; empty: nobody did.
    pub(crate) fn by(&self) -> String {
        fs::read_to_string(self.0.with_extension("by")).unwrap_or_default()
    }

    /// Takes over what was written.
    pub(crate) fn keep(&self, name: &str, by: &str) -> io::Result<()> {
        fs::rename(self.fresh(), &self.0)?;
        fs::write(self.0.with_extension("name"), name)?;
        fs::write(self.0.with_extension("by"), by)
    }

    /// Removes it.
    pub(crate) fn forget(&self) -> io::Result<()> {
        let gone = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        gone(&self.0.with_extension("name"))?;
        gone(&self.0.with_extension("by"))?;
        gone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_until_it_is_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let dirs = StageDirs { root: root.path().to_owned() };
        let kept = Kept::of(&dirs, "a b");
        assert!(Kept::all(&dirs).is_empty() && !kept.is_there());
        fs::create_dir_all(kept.archive().parent().unwrap()).unwrap();
        fs::write(kept.fresh(), "four").unwrap();
        assert!(!kept.is_there(), "not before it is whole");
        kept.keep("a b", "3").unwrap();
        assert_eq!((Kept::all(&dirs), kept.by().as_str()), (vec![("a b".to_owned(), 4)], "3"));
        kept.forget().unwrap();
        kept.forget().unwrap();
        assert!(Kept::all(&dirs).is_empty() && kept.by().is_empty());
    }

    #[test]
    fn names_are_no_paths() {
        assert!(check_name("dist (linux).1").is_ok());
        for bad in ["", "a/b", "a:b", "a\n"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(number(&StageKey("s".to_owned()), "n") < 1 << 53);
    }
}
