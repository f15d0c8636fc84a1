//! Bytes on their way into the database and out of it, a chunk at a time.
//!
//! An upload goes to a file first, because its hash is its name and is known only at its end, and because a slow
//! sender must not hold a transaction open. The file has no name any more while it is written: whatever happens,
//! nothing of it stays behind.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    sync::Semaphore,
};

use super::BlobReader;
use crate::{
    app::App,
    error::Error,
    store::{BLOB_CHUNK, BlobRef, Db},
};

/// How many blobs are stored at a time: each has a connection to the database for itself.
static STORING: Semaphore = Semaphore::const_new(4);

/// Bytes that were received whole.
pub(super) struct Received {
    file: File,
    pub(super) sha256: [u8; 32],
    pub(super) size: u64,
}

/// Receives a body.
pub(super) async fn receive<S, E>(app: &App, mut body: S) -> Result<Received, Error>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: std::fmt::Display + Send,
{
    let mut file = nameless(app).await.map_err(|error| broken_spool(app, &error))?;
    let (mut hasher, mut size) = (Sha256::new(), 0u64);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| Error::Invalid(format!("the body broke off: {error}")))?;
        size += piece.len() as u64;
        if size > app.config.largest_blob {
            return Err(Error::Invalid(format!(
                "it has more than {} MiB, and the server keeps no more of one thing",
                app.config.largest_blob >> 20
            )));
        }
        hasher.update(&piece);
        file.write_all(&piece).await.map_err(|error| broken_spool(app, &error))?;
    }
    file.flush().await.map_err(|error| broken_spool(app, &error))?;
    Ok(Received { file, sha256: hasher.finalize().into(), size })
}

/// A file that only this process can reach, and that is gone when it is closed.
async fn nameless(app: &App) -> std::io::Result<File> {
    let folder = app.config.data_dir.join("spool");
    fs::create_dir_all(&folder).await?;
    let path = folder.join(uuid::Uuid::now_v7().to_string());
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).await?;
    fs::remove_file(&path).await?;
    Ok(file)
}

fn broken_spool(app: &App, error: &std::io::Error) -> Error {
    Error::internal(format!("{} cannot be used: {error}", app.config.data_dir.join("spool").display()))
}

impl Received {
    /// Stores the bytes, unless they are there. Nothing refers to them yet.
    pub(super) async fn store(mut self, app: &App) -> Result<(), Error> {
        let size = i64::try_from(self.size).map_err(|_| Error::internal("a blob is too large to count"))?;
        let _turn = STORING.acquire().await.map_err(|_| Error::internal("the server ends"))?;
        let mut tx = app.db.begin().await?;
        if tx.begin_blob(&self.sha256, size).await? {
            self.file.rewind().await.map_err(|error| broken_spool(app, &error))?;
            let mut chunk = vec![0; BLOB_CHUNK];
            for index in 0.. {
                let filled =
                    fill(&mut self.file, &mut chunk).await.map_err(|error| broken_spool(app, &error))?;
                if filled == 0 {
                    break;
                }
                tx.insert_blob_chunk(&self.sha256, index, &chunk[..filled]).await?;
            }
        }
        tx.commit().await
    }
}

/// Reads until the buffer is full or the file ends.
async fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]).await? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Opens a blob. Its last chunk is given out only after all have been found to be what was stored.
pub(super) fn open(app: &App, blob: BlobRef) -> Result<BlobReader, Error> {
    let size = u64::try_from(blob.size).map_err(|_| Error::internal("a blob has a negative size"))?;
    let chunks = i32::try_from(size.div_ceil(BLOB_CHUNK as u64))
        .map_err(|_| Error::internal("a blob has too many chunks"))?;
    let sha256 = hex::encode(&blob.sha256);
    let reading = Reading {
        db: app.db.clone(),
        sha256: blob.sha256,
        size,
        chunks,
        next: 0,
        seen: 0,
        hasher: Sha256::new(),
    };
    let stream = stream::try_unfold(reading, |reading| -> Pin<Box<dyn Future<Output = _> + Send>> {
        Box::pin(reading.step())
    });
    Ok(BlobReader { name: blob.name, sha256, size, stream: Box::pin(stream) })
}

struct Reading {
    db: Db,
    sha256: Vec<u8>,
    size: u64,
    chunks: i32,
    next: i32,
    seen: u64,
    hasher: Sha256,
}

impl Reading {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        if self.next == self.chunks {
            return Ok(None);
        }
        let damaged = |what: &str| {
            Error::internal(format!("the blob {} is damaged: {what}", hex::encode(&self.sha256)))
        };
        let Some(data) = self.db.blob_chunk(&self.sha256, self.next).await? else {
            return Err(damaged("a chunk is missing"));
        };
        self.seen += data.len() as u64;
        self.hasher.update(&data);
        self.next += 1;
        if self.next == self.chunks {
            let sha256 = std::mem::take(&mut self.hasher).finalize();
            if self.seen != self.size || sha256.as_slice() != self.sha256 {
                return Err(damaged("its bytes are not those that were stored"));
            }
        }
        Ok(Some((Bytes::from(data), self)))
    }
}
