//! Files on their way here: sent in parts, in any order and side by side, and put together once all was sent.
//!
//! An upload is a folder: `what.json`, a file for each part, and `list.json`, the parts' order, once it was told. A part
//! is written under a name of its own and then renamed, so that a part that is sent again, or twice at once, is one of
//! the two, whole. After a restart of the runner all of it is still there. What is never finished goes with the attempt's
//! folder.
//!
//! Invariant: the bytes of all uploads on disk are at most [`MOST_BYTES`]; each byte is counted before it is written.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::{messages::MOST_BLOCKS, trouble::Trouble};

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

/// Which part of a file is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// The block of this id; the order is told later.
    Block(String),
    /// What begins at this offset.
    At(u64),
}

impl Part {
    fn file(&self) -> String {
        match self {
            Self::Whole => "whole".to_owned(),
            // An id may hold any character.
            Self::Block(id) => format!("block-{}", hex::encode(Sha256::digest(id))),
            Self::At(offset) => format!("at-{offset:020}"),
        }
    }
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

    /// Takes a part in. `length`: how many bytes it must have, where that is known.
    pub(super) async fn receive<S, E>(
        &self,
        id: u64,
        part: &Part,
        length: Option<u64>,
        mut body: S,
    ) -> Result<(), Trouble>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
        E: std::fmt::Display,
    {
        if self.get(id)?.stored {
            return Err(Trouble::exists("this upload is finished: nothing can be added"));
        }
        let folder = self.place(id);
        let to = folder.join(part.file());
        if !to.exists() && fs::read_dir(&folder)?.count() > MOST_BLOCKS + 16 {
            return Err(Trouble::too_much(format!("a file has at most {MOST_BLOCKS} parts")));
        }
        let fresh = to.with_extension(format!("{}.new", rand::random::<u64>()));
        let mut counted = Counted { bytes: &self.bytes, own: 0, path: &fresh };
        let mut file = tokio::fs::File::create(&fresh).await?;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| Trouble::invalid(format!("the body broke off: {error}")))?;
            counted.add(piece.len() as u64)?;
            file.write_all(&piece).await?;
        }
        file.flush().await?;
        drop(file);
        if length.is_some_and(|length| length != counted.own) {
            return Err(Trouble::invalid("the body is shorter or longer than its headers say"));
        }
        let before = fs::metadata(&to).map_or(0, |data| data.len());
        fs::rename(&fresh, &to)?;
        counted.keep();
        self.bytes.fetch_sub(before, Ordering::AcqRel);
        if *part == Part::Whole {
            self.order(id, vec![part.file()])?;
        }
        Ok(())
    }

    /// Tells the order of blocks.
    pub(super) fn order_blocks(&self, id: u64, blocks: Vec<String>) -> Result<(), Trouble> {
        self.get(id)?;
        let files: Vec<String> = blocks.into_iter().map(|block| Part::Block(block).file()).collect();
        let folder = self.place(id);
        if files.iter().any(|file| !folder.join(file).exists()) {
            return Err(Trouble::invalid("the list has a block that was not sent"));
        }
        self.order(id, files)
    }

    fn order(&self, id: u64, files: Vec<String>) -> Result<(), Trouble> {
        let path = self.place(id).join("list.json");
        let fresh = path.with_extension(format!("{}.new", rand::random::<u64>()));
        fs::write(&fresh, serde_json::to_vec(&files).map_err(Trouble::broken)?)?;
        Ok(fs::rename(fresh, path)?)
    }

    /// Puts the file together. Blocking; nobody else does it for this upload meanwhile. `size`: how many bytes it must
    /// have, where the sender says so. Gives the file and its SHA-256.
    pub(super) fn assemble(&self, id: u64, size: Option<u64>) -> Result<(PathBuf, String), Trouble> {
        let folder = self.place(id);
        let files: Vec<String> = match fs::read(folder.join("list.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(Trouble::broken)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => contiguous(&folder)?,
            Err(error) => return Err(error.into()),
        };
        let content = folder.join("content.new");
        let mut to = Hashed { file: File::create(&content)?, hash: Sha256::new(), size: 0 };
        for file in &files {
            io::copy(&mut File::open(folder.join(file))?, &mut to)?;
            // Twice as much as was sent, for the moment, and no more: a list may name a block many times.
            if to.size > MOST_BYTES {
                return Err(Trouble::too_much("the file is larger than the runner keeps"));
            }
        }
        if let Some(size) = size.filter(|size| *size != to.size) {
            return Err(Trouble::invalid(format!("{} bytes were sent, and the sender says {size}", to.size)));
        }
        Ok((content, hex::encode(to.hash.finalize())))
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

/// The parts that were sent by their offsets, in order and without a gap.
fn contiguous(folder: &Path) -> Result<Vec<String>, Trouble> {
    let mut parts = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let offset = name.strip_prefix("at-").and_then(|offset| offset.parse::<u64>().ok());
        parts.extend(offset.map(|offset| (offset, name)));
    }
    parts.sort();
    let mut end = 0;
    for (offset, name) in &parts {
        if *offset != end {
            return Err(Trouble::invalid(format!("what was sent has a gap or an overlap at byte {end}")));
        }
        end += fs::metadata(folder.join(name))?.len();
    }
    if parts.is_empty() {
        return Err(Trouble::invalid("nothing was sent"));
    }
    Ok(parts.into_iter().map(|(_, name)| name).collect())
}

/// Bytes that are counted, and counted back when they come to nothing.
struct Counted<'u> {
    bytes: &'u AtomicU64,
    own: u64,
    path: &'u Path,
}

impl Counted<'_> {
    fn add(&mut self, count: u64) -> Result<(), Trouble> {
        self.own += count;
        let all = self.bytes.fetch_add(count, Ordering::AcqRel) + count;
        if all > MOST_BYTES {
            return Err(Trouble::too_much(format!(
                "the uploads of a stage have at most {} GiB together",
                MOST_BYTES >> 30
            )));
        }
        Ok(())
    }

    fn keep(mut self) {
        self.own = 0;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.own > 0 {
            self.bytes.fetch_sub(self.own, Ordering::AcqRel);
            let _ = fs::remove_file(self.path);
        }
    }
}

struct Hashed {
    file: File,
    hash: Sha256,
    size: u64,
}

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn body(text: &'static str) -> impl Stream<Item = Result<Bytes, String>> + Send + Unpin {
        stream::iter(text.as_bytes().chunks(2).map(|piece| Ok(Bytes::from_static(piece))))
    }

    fn goal() -> Goal {
        Goal::Cache { key: "k".to_owned(), version: "v".to_owned() }
    }

    fn uploads() -> (tempfile::TempDir, Uploads) {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(&folder.path().join("uploads")).unwrap();
        (folder, uploads)
    }

    #[tokio::test]
    async fn blocks_come_in_any_order_and_again() {
        let (folder, uploads) = uploads();
        let id = uploads.begin(goal()).unwrap();
        let block = |name: &str| Part::Block(name.to_owned());
        uploads.receive(id, &block("../b"), Some(3), body("two")).await.unwrap();
        uploads.receive(id, &block("a"), None, body("0")).await.unwrap();
        uploads.receive(id, &block("a"), None, body("one")).await.unwrap();
        assert!(uploads.receive(id, &block("c"), Some(9), body("short")).await.is_err());
        assert!(uploads.order_blocks(id, vec!["a".to_owned(), "c".to_owned()]).is_err(), "c was not sent");
        assert!(uploads.assemble(id, None).is_err(), "no order was told");
        uploads.order_blocks(id, vec!["a".to_owned(), "../b".to_owned()]).unwrap();
        assert_eq!(uploads.bytes.load(Ordering::Acquire), 6);
        // A restart, and on.
        let uploads = Uploads::open(&folder.path().join("uploads")).unwrap();
        assert!(uploads.assemble(id, Some(7)).is_err());
        let (content, sha256) = uploads.assemble(id, Some(6)).unwrap();
        assert_eq!(fs::read_to_string(&content).unwrap(), "onetwo");
        assert_eq!(sha256, hex::encode(Sha256::digest("onetwo")));
        uploads.end(uploads.get(id).unwrap()).unwrap();
        assert!(uploads.get(id).unwrap().stored && !content.exists());
        let late = uploads.receive(id, &block("d"), None, body("late")).await;
        assert_eq!(late.unwrap_err().status, 409);
    }

    #[tokio::test]
    async fn parts_by_offset_must_leave_no_gap() {
        let (_folder, uploads) = uploads();
        let id = uploads.begin(goal()).unwrap();
        uploads.receive(id, &Part::At(3), Some(3), body("two")).await.unwrap();
        assert!(uploads.assemble(id, None).is_err());
        uploads.receive(id, &Part::At(0), Some(3), body("one")).await.unwrap();
        let (content, _) = uploads.assemble(id, Some(6)).unwrap();
        assert_eq!(fs::read_to_string(content).unwrap(), "onetwo");
        uploads.receive(id, &Part::At(5), None, body("x")).await.unwrap();
        assert!(uploads.assemble(id, None).is_err(), "an overlap");
    }

    #[tokio::test]
    async fn what_breaks_off_or_is_too_much_leaves_nothing() {
        let (folder, uploads) = uploads();
        let id = uploads.begin(goal()).unwrap();
        let broken = stream::iter([Ok(Bytes::from_static(b"half")), Err("gone")]);
        assert_eq!(uploads.receive(id, &Part::Whole, None, broken).await.unwrap_err().status, 400);
        assert_eq!(uploads.bytes.load(Ordering::Acquire), 0);
        assert_eq!(fs::read_dir(folder.path().join(format!("uploads/{id}"))).unwrap().count(), 1);
        uploads.bytes.store(MOST_BYTES - 1, Ordering::Release);
        assert_eq!(uploads.receive(id, &Part::Whole, None, body("ab")).await.unwrap_err().status, 413);
        assert_eq!(uploads.bytes.load(Ordering::Acquire), MOST_BYTES - 1);
        assert_eq!(uploads.receive(7, &Part::Whole, None, body("a")).await.unwrap_err().status, 404);
        for _ in 1..MOST_OPEN {
            uploads.begin(goal()).unwrap();
        }
        assert_eq!(uploads.begin(goal()).unwrap_err().status, 413);
    }

    #[tokio::test]
    async fn the_latest_upload_of_a_goal_is_found() {
        let (_folder, uploads) = uploads();
        uploads.begin(goal()).unwrap();
        let other = Goal::Artifact { name: "k".to_owned(), zip: true };
        let artifact = uploads.begin(other.clone()).unwrap();
        assert_eq!(uploads.latest(|goal| *goal == other).unwrap().unwrap().id, artifact);
        assert_eq!(uploads.latest(|goal| matches!(goal, Goal::Artifact { zip: false, .. })).unwrap(), None);
    }
}
