//! Reading logs back.

use bytes::Bytes;
use tidegate_protocol::ids::AttemptId;

use crate::{app::App, error::Error};

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

/// Reads at most `max` bytes (rounded up to the end of a chunk's part) of a step's log from an offset.
pub async fn read(
    _app: &App,
    _attempt: AttemptId,
    _step: u32,
    _offset: u64,
    _max: usize,
) -> Result<LogPiece, Error> {
    Err(Error::internal("not built yet"))
}
