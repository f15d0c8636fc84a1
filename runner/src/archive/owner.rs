//! Gives files to a user, while a hostile process may be changing the tree. Only root may.
//!
//! Invariant: what is given is the very entry that was looked at in a folder that was opened below the root; a link is
//! given itself, never what it leads to.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::AtFlags,
    sys::stat::fstatat,
    unistd::{Gid, Uid, fchownat},
};

use super::beneath::Root;

/// How deep folders are walked: no path is longer.
const DEEPEST: usize = 2_000;

/// Gives everything in a folder that is not a user's to it. Blocking.
pub fn give(folder: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    let root = Root::open(folder)?;
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        if path.components().count() > DEEPEST {
            return Err(io::Error::other(format!("folders are more than {DEEPEST} deep")));
        }
        let (inside, names) = match root.entries(&path) {
            Ok(found) => found,
            // It vanished, or is something else by now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
            Err(error) => return Err(error),
        };
        for name in names {
            let entry = match fstatat(&inside, &name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(entry) => entry,
                Err(Errno::ENOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            if entry.st_uid != user {
                let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
                match fchownat(&inside, &name, Some(user), Some(group), AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if entry.st_mode & libc::S_IFMT == libc::S_IFDIR {
                open.push(path.join(name));
            }
        }
    }
    Ok(())
}

/// Whose a folder is: its user and group.
pub fn of(folder: &Path) -> io::Result<(u32, u32)> {
    let data = std::fs::symlink_metadata(folder)?;
    Ok((data.uid(), data.gid()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn everything_below_is_given_and_nothing_that_links_lead_to() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), "x").unwrap();
        fs::write(outside.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), at("a/link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("file"), at("a/b/link")).unwrap();
        let own = of(folder.path()).unwrap();
        // Whoever is not root can give to nobody but itself.
        let whom = if own.0 == 0 { (4321, 1234) } else { own };
        give(folder.path(), whom).unwrap();
        for path in ["a", "a/b", "a/b/file", "a/link", "a/b/link"] {
            assert_eq!(of(&at(path)).unwrap(), whom, "{path}");
        }
        assert_eq!(of(folder.path()).unwrap(), own, "the folder itself is not in itself");
        assert_eq!(of(&outside.path().join("file")).unwrap(), own);
        assert!(give(&at("nowhere"), whom).is_err());
    }
}
