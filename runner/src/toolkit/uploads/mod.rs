//! Files on their way here: sent in parts, in any order and side by side, and put together once all was sent.
//!
//! An upload is a folder: `what.json`, a file for each part, and `list.json`, the parts' order, once it was told. A part
//! is written under a name of its own and then renamed, so that a part that is sent again, or twice at once, is one of
//! the two, whole. After a restart of the runner all of it is still there. What is never finished goes with the attempt's
//! folder.
//!
//! Invariant: the bytes of all uploads on disk are at most [`MOST_BYTES`]; each byte is counted before it is written.

mod assemble;
mod parts;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

pub(super) use self::parts::Part;
use super::trouble::Trouble;

/// Bytes of all uploads of an attempt on disk.
const MOST_BYTES: u64 = 20 << 30;
/// Unfinished uploads at a time.
const MOST_OPEN: usize = 100;
/// Uploads of an attempt in all.
const MOST_EVER: usize = 10_000;

/// What an upload is to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    /// A cache entry.
    Cache { key: String, version: String },
    /// An artifact, sent as a ZIP archive or as the file itself.
    Artifact { name: String, zip: bool },
}

/// An upload, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    #[serde(skip)]
    pub(super) id: u64,
    pub(super) goal: Goal,
    /// When it was begun, in milliseconds.
    begun: i64,
    /// It was put together and stored; asked for again, it is not stored again.
    #[serde(default)]
    pub(super) stored: bool,
}

/// All uploads of an attempt.
pub(super) struct Uploads {
    folder: PathBuf,
    bytes: AtomicU64,
}

impl Uploads {
    /// Opens the folder, with what an earlier process left in it.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut bytes = 0;
        for upload in fs::read_dir(folder)? {
            for file in fs::read_dir(upload?.path())? {
                let file = file?;
                if file.path().extension().is_some_and(|extension| extension == "new") {
                    // Whoever wrote it is gone.
                    fs::remove_file(file.path())?;
                } else {
                    bytes += file.metadata()?.len();
                }
            }
        }
        Ok(Self { folder: folder.to_owned(), bytes: AtomicU64::new(bytes) })
    }

    /// Begins one, and gives its number.
    pub(super) fn begin(&self, goal: Goal) -> Result<u64, Trouble> {
        let all = self.all()?;
        if all.len() >= MOST_EVER {
            return Err(Trouble::too_much(format!("a stage has at most {MOST_EVER} uploads")));
        }
        let open = all.into_iter().filter(|upload| !upload.stored).count();
        if open >= MOST_OPEN {
            return Err(Trouble::too_much(format!(
                "{MOST_OPEN} uploads are not finished yet; finish some first"
            )));
        }
        // What JavaScript can hold exactly.
        let id = u64::from(rand::random::<u32>()) << 16 | u64::from(rand::random::<u16>());
        let folder = self.place(id);
        fs::create_dir(&folder)?;
        let begun = jiff::Timestamp::now().as_millisecond();
        self.write(&Upload { id, goal, begun, stored: false })?;
        Ok(id)
    }

    fn place(&self, id: u64) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn write(&self, upload: &Upload) -> Result<(), Trouble> {
        let path = self.place(upload.id).join("what.json");
        let bytes = serde_json::to_vec(upload).map_err(Trouble::broken)?;
        fs::write(path.with_extension("new"), bytes)?;
        Ok(fs::rename(path.with_extension("new"), path)?)
    }

    /// An upload by its number.
    pub(super) fn get(&self, id: u64) -> Result<Upload, Trouble> {
        match fs::read(self.place(id).join("what.json")) {
            Ok(bytes) => {
                let upload: Upload = serde_json::from_slice(&bytes).map_err(Trouble::broken)?;
                Ok(Upload { id, ..upload })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Trouble::not_found("there is no such upload"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn all(&self) -> Result<Vec<Upload>, Trouble> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let Ok(id) = entry?.file_name().to_string_lossy().parse() else { continue };
            // One that is just being begun is nobody's yet.
            all.extend(self.get(id));
        }
        Ok(all)
    }

    /// The latest upload with this goal.
    pub(super) fn latest(&self, is: impl Fn(&Goal) -> bool) -> Result<Option<Upload>, Trouble> {
        let all = self.all()?.into_iter().filter(|upload| is(&upload.goal));
        Ok(all.max_by_key(|upload| (upload.begun, upload.id)))
    }

    /// It is stored: its parts are let go.
    pub(super) fn end(&self, upload: Upload) -> Result<(), Trouble> {
        let id = upload.id;
        self.write(&Upload { stored: true, ..upload })?;
        let mut freed = 0;
        for file in fs::read_dir(self.place(id))? {
            let path = file?.path();
            if path.ends_with("what.json") {
                continue;
            }
            // What was assembled was never counted.
            if !path.ends_with("content.new") {
                freed += fs::metadata(&path).map_or(0, |data| data.len());
            }
            fs::remove_file(path)?;
        }
        let _ = self
            .bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |bytes| Some(bytes.saturating_sub(freed)));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
