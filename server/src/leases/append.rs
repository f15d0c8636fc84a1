//! Log chunks: contiguous by offset, whatever is sent twice or out of order.
//!
//! The answer always says which byte comes next, so a runner that was restarted, or whose answer got lost, sends
//! from anywhere and is led to the right place: what is stored already is taken as sent, a hole is not stored, and
//! of a chunk that overlaps only the new part is.

use bytes::Bytes;
use tidegate_protocol::{
    ids::{AttemptId, RunnerId},
    messages::{LogAccepted, MAX_LOG_CHUNK},
};

use super::{held, step_index};
use crate::{app::App, error::Error, hub::Hint};

/// The level at which a part of a chunk is compressed again.
const LEVEL: i32 = 1;

/// Stores a chunk of log.
pub async fn append_log(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    step: u32,
    offset: u64,
    frame: Bytes,
) -> Result<LogAccepted, Error> {
    let step = step_index(step)?;
    let offset = i64::try_from(offset)
        .map_err(|_| Error::Invalid(format!("{offset} is larger than any log: no chunk begins there")))?;
    let chunk = Chunk::read(frame).await?;
    let mut tx = app.db.begin().await?;
    let held = held(app, &mut tx, runner, attempt, epoch, "log").await?;
    let end = tx.lock_log(attempt, step).await?;
    let Some(chunk) = chunk.from(end.bytes - offset).await? else {
        // Nothing new, or a hole before it.
        tx.commit().await?;
        return Ok(accepted(end.bytes, held.cancel));
    };
    let count = chunk.count()?;
    tx.append_chunk(attempt, step, end, count, chunk.lines, &chunk.frame).await?;
    tx.notify(Hint::Log(attempt)).await?;
    tx.commit().await?;
    app.metrics.log_bytes.inc_by(u64::from(count.unsigned_abs()));
    Ok(accepted(end.bytes + i64::from(count), held.cancel))
}

fn accepted(next: i64, cancel: bool) -> LogAccepted {
    LogAccepted { next_offset: next.unsigned_abs(), cancel }
}

/// A chunk as sent, and what is in it.
struct Chunk {
    frame: Bytes,
    bytes: Vec<u8>,
    lines: i64,
}

impl Chunk {
    async fn read(frame: Bytes) -> Result<Self, Error> {
        off_thread(move || {
            let bytes = zstd::bulk::decompress(&frame, MAX_LOG_CHUNK).map_err(|error| {
                Error::Invalid(format!(
                    "a log chunk is one zstd frame of at most {MAX_LOG_CHUNK} bytes of log, and this is none: {error}"
                ))
            })?;
            Ok(Self { lines: newlines(&bytes), frame, bytes })
        })
        .await
    }

    /// What of it is new when its first `stored` bytes are stored already; negative: bytes are missing before it.
    async fn from(self, stored: i64) -> Result<Option<Self>, Error> {
        let Ok(stored) = usize::try_from(stored) else { return Ok(None) };
        if stored >= self.bytes.len() {
            return Ok(None);
        }
        if stored == 0 {
            return Ok(Some(self));
        }
        off_thread(move || {
            let bytes = self.bytes.get(stored..).unwrap_or_default().to_vec();
            let frame = zstd::bulk::compress(&bytes, LEVEL)
                .map_err(|error| Error::internal(format!("a log chunk could not be compressed: {error}")))?;
            Ok(Some(Self { lines: newlines(&bytes), frame: frame.into(), bytes }))
        })
        .await
    }

    fn count(&self) -> Result<i32, Error> {
        i32::try_from(self.bytes.len()).map_err(|error| Error::Internal(error.into()))
    }
}

/// Newlines in a piece of log.
pub(crate) fn newlines(bytes: &[u8]) -> i64 {
    bytes.iter().map(|byte| i64::from(*byte == b'\n')).sum()
}

/// Compression takes milliseconds, which other calls would wait for.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.into()))?
}
