//! Opening paths strictly below a folder: `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, so that no rename
//! or link, however well timed, leads out of it. The runner never touches a job's files in another way.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat},
    sys::stat::{Mode, mkdirat},
    unistd::{UnlinkatFlags, symlinkat, unlinkat},
};

/// A folder that paths are opened below.
pub struct Root {
    folder: OwnedFd,
}

impl Root {
    /// Opens the folder itself; its own path is trusted.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { folder: File::open(path)?.into() })
    }

    fn at(&self, path: &Path, flags: OFlag, mode: Mode) -> io::Result<File> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW).mode(mode).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS,
        );
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(openat2(self.folder.as_fd(), path, how)?.into())
    }

    /// Opens a file (or folder) for reading. Opening a pipe does not block.
    pub fn read(&self, path: &Path) -> io::Result<File> {
        self.at(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty())
    }

    /// Makes a new file; whatever stands there, short of a folder, is removed first.
    pub fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.remove(path)?;
        let mode = Mode::from_bits_truncate(mode & 0o777);
        self.at(path, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, mode)
    }

    /// The names in a folder below the root, sorted.
    pub fn names(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.entries(path).map(|(_, names)| names)
    }

    /// A folder below the root, opened, and the names in it, sorted.
    pub fn entries(&self, path: &Path) -> io::Result<(File, Vec<PathBuf>)> {
        let folder = self.at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        // The descriptor's own entry in /proc lists that very folder, whatever its path leads to by now.
        let listed = std::fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
        let mut names = listed
            .map(|entry| entry.map(|entry| PathBuf::from(entry.file_name())))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok((folder, names))
    }

    /// What a symbolic link below the root says.
    pub fn link(&self, path: &Path) -> io::Result<PathBuf> {
        let (folder, name) = self.parent(path)?;
        Ok(readlinkat(&folder, name)?.into())
    }

    /// Makes the folders down to `path`.
    pub fn make_folders(&self, path: &Path) -> io::Result<()> {
        let mut so_far = PathBuf::new();
        for part in path.components() {
            let (folder, name) =
                (self.at(&so_far, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?, part);
            match mkdirat(&folder, name.as_os_str(), Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            so_far.push(part);
        }
        Ok(())
    }

    /// Makes a symbolic link in place of whatever stands there, short of a folder.
    pub fn make_link(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.remove(path)?;
        let (folder, name) = self.parent(path)?;
        Ok(symlinkat(target, &folder, name)?)
    }

    /// Moves what is at `from`, a path of the runner's own, to a place below the root where nothing stands yet, or an
    /// empty folder of the same kind.
    pub fn place(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(to)?;
        // Through the descriptor, so that it is that very folder whatever its path leads to by now.
        std::fs::rename(from, Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        match unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the path itself is a symbolic link, without following it.
    pub fn is_link(&self, path: &Path) -> io::Result<bool> {
        let (folder, name) = self.parent(path)?;
        let stat = nix::sys::stat::fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(stat.st_mode & libc::S_IFMT == libc::S_IFLNK)
    }

    /// The opened folder of a path, and its last part.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(File, &'a Path)> {
        let name = path.file_name().map(Path::new).ok_or(io::ErrorKind::InvalidInput)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok((self.at(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?, name))
    }
}
