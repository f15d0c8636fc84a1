//! `hashFiles`: the files of the workspace that patterns mean, read and hashed; which ones and in which order is said by
//! [`tidegate_pipelines::lenient`]. Links are left out, even where it is asked to follow them: in a workspace they may
//! lead anywhere on this machine.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use tidegate_pipelines::lenient::{FilePatterns, digest_of};

use crate::{archive::beneath::Root, sandbox::WORKSPACE};

/// The most files and folders that are looked at.
const MOST: usize = 500_000;
/// How deep folders are looked into.
const DEEPEST: usize = 100;

/// The hash in lower-case hex, nothing when no file matches, or why it cannot be told.
pub(crate) fn hash(workspace: &Path, patterns: &[String]) -> Result<String, String> {
    let selection = FilePatterns::new(patterns, WORKSPACE)?;
    let root = Root::open(workspace).map_err(|error| format!("the workspace cannot be read: {error}"))?;
    let mut digests: Vec<[u8; 32]> = Vec::new();
    let mut seen = 0;
    let mut buffer = vec![0; 256 << 10];
    // The next to look at is the last one.
    let mut open = names(&root, &PathBuf::new());
    while let Some(path) = open.pop() {
        seen += 1;
        if seen > MOST {
            return Err(format!("the workspace has more than {MOST} files"));
        }
        let (Some(text), Ok(mut file)) = (path.to_str(), root.read(&path)) else { continue };
        let Ok(data) = file.metadata() else { continue };
        if data.is_dir() {
            if path.components().count() < DEEPEST {
                open.extend(names(&root, &path));
            }
        } else if data.is_file() && selection.matches(text) {
            let mut one = Sha256::new();
            loop {
                match file.read(&mut buffer).map_err(|error| format!("{text} cannot be read: {error}"))? {
                    0 => break,
                    count => one.update(&buffer[..count]),
                }
            }
            digests.push(one.finalize().into());
        }
    }
    Ok(digest_of(digests))
}

/// A folder's entries, the first one last.
fn names(root: &Root, folder: &Path) -> Vec<PathBuf> {
    let names = root.names(folder).unwrap_or_default();
    names.into_iter().rev().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[&str]) -> String {
        let mut whole = Sha256::new();
        for part in parts {
            whole.update(Sha256::digest(part));
        }
        hex::encode(whole.finalize())
    }

    #[test]
    fn files_are_hashed_in_the_order_of_the_walk_and_links_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("b/lock", "two");
        write("a.lock", "one");
        write("c.lock", "three");
        write("b/node_modules/lock", "no");
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("d.lock")).unwrap();
        let hash = |patterns: &[&str]| {
            hash(folder.path(), &patterns.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(hash(&["**/*.lock", "**/lock", "!**/node_modules/**"]), digest(&["one", "two", "three"]));
        assert_eq!(hash(&["c.lock\na.lock"]), digest(&["one", "three"]));
        assert_eq!(hash(&["/workspace/c.lock"]), digest(&["three"]));
        assert_eq!(hash(&["nothing"]), "");
        assert_eq!(hash(&["d.lock"]), "");
    }
}
