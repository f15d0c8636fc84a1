//! Parts of a file as they come in: each is counted, written under a name of its own and renamed.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::{
    super::{messages::MOST_BLOCKS, trouble::Trouble},
    MOST_BYTES, Uploads,
};

/// Which part of a file is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Part {
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

impl Uploads {
    /// Takes a part in. `length`: how many bytes it must have, where that is known.
    pub(in super::super) async fn receive<S, E>(
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
    pub(in super::super) fn order_blocks(&self, id: u64, blocks: Vec<String>) -> Result<(), Trouble> {
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
