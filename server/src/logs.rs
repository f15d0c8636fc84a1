//! Reading logs back.

use bytes::Bytes;
use tidegate_protocol::ids::AttemptId;

use crate::{
    app::App,
    error::Error,
    leases::newlines,
    store::{LogChunk, LogEnd},
};

/// A piece of a step's log.
#[derive(Debug, Clone)]
pub struct LogPiece {
    /// Raw bytes from the offset that was asked for; empty: nothing more yet.
    pub bytes: Bytes,
    /// Where to go on.
    pub next_offset: u64,
    /// Newlines before the offset that was asked for.
    pub lines_before: u64,
    /// Nothing more comes after `next_offset`.
    pub finished: bool,
}

/// Reads at most `max` bytes of a step's log from an offset. It ends where a stored chunk ends, unless that alone is
/// too much, so who reads on from `next_offset` has each chunk opened once.
pub async fn read(
    app: &App,
    attempt: AttemptId,
    step: u32,
    offset: u64,
    max: usize,
) -> Result<LogPiece, Error> {
    let step = i32::try_from(step).map_err(|_| Error::NotFound("step"))?;
    // The end is read first: whatever comes in between is found by the next call.
    let end = app.db.log_end(attempt, step).await?;
    let from = i64::try_from(offset).unwrap_or(i64::MAX);
    if from > end.bytes {
        return Err(Error::Invalid(format!("the log has {} bytes so far, none at {offset}", end.bytes)));
    }
    if from == end.bytes {
        return Ok(piece(Vec::new(), from, end.lines, end));
    }
    let most = i64::try_from(max).unwrap_or(i64::MAX).min(i64::MAX - from);
    let chunks = app.db.log_chunks(attempt, step, from, most).await?;
    let open = move || open(&chunks, from, max);
    let opened = tokio::task::spawn_blocking(open).await.map_err(|error| Error::Internal(error.into()))??;
    match opened {
        Some((bytes, lines)) => Ok(piece(bytes, from, lines, end)),
        // The log was deleted since; what is left of it are its figures.
        None => Ok(LogPiece { finished: true, ..piece(Vec::new(), end.bytes, end.lines, end) }),
    }
}

fn piece(bytes: Vec<u8>, from: i64, lines: i64, end: LogEnd) -> LogPiece {
    let next = from + i64::try_from(bytes.len()).unwrap_or_default();
    LogPiece {
        bytes: bytes.into(),
        next_offset: next.unsigned_abs(),
        lines_before: lines.unsigned_abs(),
        finished: end.ended && next >= end.bytes,
    }
}

/// The bytes from `from` on, and the newlines before them. None: there are no chunks.
fn open(chunks: &[LogChunk], from: i64, max: usize) -> Result<Option<(Vec<u8>, i64)>, Error> {
    let Some(first) = chunks.first() else { return Ok(None) };
    let mut bytes: Vec<u8> = Vec::new();
    for chunk in chunks {
        let size = usize::try_from(chunk.byte_count).unwrap_or_default();
        let opened = zstd::bulk::decompress(&chunk.data, size)
            .map_err(|error| Error::internal(format!("a stored log chunk does not open: {error}")))?;
        if opened.len() != size {
            return Err(Error::internal("a stored log chunk has not as many bytes as its row says"));
        }
        bytes.extend_from_slice(&opened);
    }
    let skipped = usize::try_from(from - first.byte_start).unwrap_or_default().min(bytes.len());
    let lines = first.line_start + newlines(&bytes[..skipped]);
    bytes.drain(..skipped);
    bytes.truncate(max);
    Ok(Some((bytes, lines)))
}
