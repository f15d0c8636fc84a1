//! Unpacking: an archive that somebody else may have made, into a folder, and never anywhere else.

use std::{
    collections::HashSet,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use super::{ArchiveError, beneath::Root, pack::stays_inside};

/// What an archive may hold at the most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes after decompression.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 500_000, bytes: 16 << 30 }
    }
}

/// Unpacks a `tar.zst` below `root`, in place of files of the same names. Blocking. Refused, with nothing outside
/// `root` touched: absolute paths, `..`, links that lead out, hard links, devices, an entry twice, too much. Gives the
/// number of entries.
pub fn unpack(archive: impl Read, root: &Path, limits: Limits) -> Result<u64, ArchiveError> {
    let root = Root::open(root).map_err(ArchiveError::io(format!("open {}", root.display())))?;
    let decoder = zstd::Decoder::new(archive).map_err(ArchiveError::io("read the archive"))?;
    let counted = Counted { inner: decoder, left: limits.bytes };
    let mut tar = tar::Archive::new(counted);
    let mut seen = HashSet::new();
    let mut links = HashSet::new();
    let entries = tar.entries().map_err(ArchiveError::io("read the archive"))?;
    for entry in entries {
        let mut entry = entry.map_err(ArchiveError::io("read the archive"))?;
        if seen.len() as u64 >= limits.entries {
            return Err(ArchiveError::Refused(format!("it has more than {} entries", limits.entries)));
        }
        let raw = entry.path().map_err(ArchiveError::io("read a path in the archive"))?.into_owned();
        let path = clean(&raw)?;
        if path.as_os_str().is_empty() {
            continue;
        }
        let kind = entry.header().entry_type();
        if !seen.insert(path.clone()) && !kind.is_dir() {
            return Err(ArchiveError::Refused(format!("{} is in it twice", path.display())));
        }
        if path.ancestors().skip(1).any(|above| links.contains(above)) {
            return Err(ArchiveError::Refused(format!("{} goes through a link", path.display())));
        }
        let place = path.parent().unwrap_or(Path::new(""));
        root.make_folders(place).map_err(ArchiveError::io(format!("make {}", place.display())))?;
        if kind.is_dir() {
            root.make_folders(&path).map_err(ArchiveError::io(format!("make {}", path.display())))?;
        } else if kind.is_file() {
            let mode = entry.header().mode().unwrap_or(0o644);
            let mut file =
                root.create(&path, mode).map_err(ArchiveError::io(format!("write {}", path.display())))?;
            io::copy(&mut entry, &mut file).map_err(|error| too_large(error, &path, limits))?;
        } else if kind.is_symlink() {
            let target =
                entry.link_name().ok().flatten().map(|target| target.into_owned()).unwrap_or_default();
            if target.as_os_str().is_empty() || !stays_inside(&path, &target) {
                return Err(ArchiveError::Refused(format!(
                    "{} is a link to {}, outside",
                    path.display(),
                    target.display()
                )));
            }
            root.make_link(&target, &path).map_err(ArchiveError::io(format!("link {}", path.display())))?;
            links.insert(path);
        } else {
            return Err(ArchiveError::Refused(format!(
                "{} is neither file, folder nor link",
                path.display()
            )));
        }
    }
    Ok(seen.len() as u64)
}

/// The path's ordinary parts; anything else is refused.
fn clean(path: &Path) -> Result<PathBuf, ArchiveError> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return Err(ArchiveError::Refused(format!("{} leads out of it", path.display()))),
        }
    }
    Ok(clean)
}

fn too_large(error: io::Error, path: &Path, limits: Limits) -> ArchiveError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        ArchiveError::Refused(format!("it unpacks to more than {} bytes", limits.bytes))
    } else {
        ArchiveError::Io { what: format!("write {}", path.display()), source: error }
    }
}

/// Stops a bomb: reading past the limit is an error.
struct Counted<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
