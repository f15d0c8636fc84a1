//! Files on their way there: offered at a URL, and read as a whole or in ranges, often side by side.
//!
//! A file keeps its place while others are fetched after it, but not for ever: of more than [`MOST`], or of more bytes than
//! [`MOST_BYTES`], the oldest go. Whoever is reading one then reads on.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::trouble::Trouble;

/// Files that are offered at a time.
const MOST: usize = 40;
/// Their bytes together, unless one alone has more.
const MOST_BYTES: u64 = 20 << 30;

/// The files that are offered.
pub(super) struct Downloads {
    folder: PathBuf,
}

impl Downloads {
    /// Opens the folder, with what an earlier process left in it.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// A number for a new file, and the path that its content is written to before it is offered.
    pub(super) fn begin(&self) -> (u64, PathBuf) {
        let id = u64::from(rand::random::<u32>()) << 16 | u64::from(rand::random::<u16>());
        (id, self.folder.join(format!("{id}.new")))
    }

    /// Offers a file that is written.
    pub(super) fn offer(&self, id: u64) -> Result<(), Trouble> {
        let to = self.folder.join(id.to_string());
        fs::rename(to.with_extension("new"), to)?;
        self.make_room(MOST_BYTES)
    }

    fn make_room(&self, most_bytes: u64) -> Result<(), Trouble> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none() {
                let data = fs::metadata(&path)?;
                all.push((data.modified()?, data.len(), path));
            }
        }
        // The newest first: it is the one that is about to be read.
        all.sort_by(|one, other| other.cmp(one));
        let mut bytes = 0;
        for (at, (_, size, path)) in all.iter().enumerate() {
            bytes += size;
            if at > 0 && (at >= MOST || bytes > most_bytes) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Opens a file that is offered, and tells its size.
    pub(super) fn read(&self, id: u64) -> Result<(File, u64), Trouble> {
        match File::open(self.folder.join(id.to_string())) {
            Ok(file) => {
                let size = file.metadata()?.len();
                Ok((file, size))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Trouble::not_found("this file is not offered any more; ask for it again"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_file_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let downloads = Downloads::open(folder.path()).unwrap();
        let ids: Vec<u64> = (0..=MOST)
            .map(|at| {
                let (id, path) = downloads.begin();
                fs::write(&path, at.to_string()).unwrap();
                let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at as u64);
                File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
                assert_eq!(downloads.read(id).unwrap_err().status, 404, "not before it is whole");
                downloads.offer(id).unwrap();
                id
            })
            .collect();
        assert_eq!(downloads.read(ids[0]).unwrap_err().status, 404);
        assert_eq!(downloads.read(ids[1]).unwrap().1, 1);
        // The last three have two bytes each.
        downloads.make_room(5).unwrap();
        let left: Vec<u64> = ids.into_iter().filter(|id| downloads.read(*id).is_ok()).collect();
        assert_eq!(left.len(), 2);
        downloads.make_room(0).unwrap();
        assert!(downloads.read(left[1]).is_ok() && downloads.read(left[0]).is_err());
    }
}
