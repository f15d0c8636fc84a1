//! What a file is compiled in: the other files that it may name, and what the server's settings say.
//!
//! The crate itself reads nothing; whoever calls it does ([`Files`]).

use std::collections::BTreeMap;

/// Another file that a pipeline file names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileRef {
    /// In the same repository, at the same commit; the path is relative to the repository's root.
    Same(String),
    /// In another repository.
    Other {
        /// `owner/name`.
        repository: String,
        /// Relative to its root.
        path: String,
        /// A commit, tag or branch, as in the file.
        reference: String,
    },
}

impl std::fmt::Display for FileRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Same(path) => f.write_str(path),
            Self::Other { repository, path, reference } => write!(f, "{repository}/{path}@{reference}"),
        }
    }
}

impl FileRef {
    /// The file that a diagnostic names ([`crate::Diagnostic::file`]).
    pub fn named(text: &str) -> Self {
        let other = || {
            let (path, reference) = text.rsplit_once('@')?;
            let mut parts = path.splitn(3, '/');
            let (owner, name, path) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Self::Other {
                repository: format!("{owner}/{name}"),
                path: path.to_owned(),
                reference: reference.to_owned(),
            })
        };
        other().unwrap_or_else(|| Self::Same(text.to_owned()))
    }
}

/// Reads other files. Calls may be repeated and must then answer the same.
pub trait Files {
    /// The file's text, or in one sentence why it cannot be had.
    fn read(&self, file: &FileRef) -> Result<String, String>;
}

/// No other files at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &FileRef) -> Result<String, String> {
        Err("other files cannot be read here".to_owned())
    }
}

/// What a file is compiled in.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The other files.
    pub files: &'a dyn Files,
    /// Where stages run that ask for a machine of a kind (`runs-on: ubuntu-latest`), by its label.
    pub machines: &'a BTreeMap<String, Machine>,
    /// Values that expressions read as `vars`.
    pub variables: &'a BTreeMap<String, String>,
    /// A machine that is not among them is no mistake: the plan is to be shown, and the stage has no image.
    pub any_machine: bool,
}

/// Where a stage runs that asks for a machine of a kind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    /// The image of its sandbox.
    pub image: String,
    /// Labels that its runner must carry.
    #[serde(default)]
    pub labels: Vec<String>,
}

static NOTHING: BTreeMap<String, Machine> = BTreeMap::new();
static NO_VARIABLES: BTreeMap<String, String> = BTreeMap::new();

impl Default for Setting<'_> {
    fn default() -> Self {
        Self { files: &NoFiles, machines: &NOTHING, variables: &NO_VARIABLES, any_machine: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_and_found_again() {
        let other = FileRef::Other {
            repository: "acme/ci".to_owned(),
            path: "node/test.yml".to_owned(),
            reference: "0".repeat(40),
        };
        for file in [other, FileRef::Same(".tidegate/x.yml".to_owned())] {
            assert_eq!(FileRef::named(&file.to_string()), file);
        }
    }
}
