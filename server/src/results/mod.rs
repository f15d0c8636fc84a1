//! Results of stages: artifacts, caches and reports, over content-addressed blobs.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use tidegate_pipelines::plan::{ReportKind, StageKey};
use tidegate_protocol::{
    ids::{ArtifactId, AttemptId, RunnerId},
    messages::Stored,
};

use crate::{app::App, error::Error};

fn later<T>() -> Result<T, Error> {
    Err(Error::internal("not built yet"))
}

/// A blob to read. The stream ends with an error when the bytes are not those that were stored.
pub struct BlobReader {
    /// A file name for people who download it.
    pub name: String,
    /// SHA-256, hex.
    pub sha256: String,
    /// Bytes in all.
    pub size: u64,
    /// The bytes.
    pub stream: Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>,
}

/// Stores an artifact of the attempt's stage.
pub async fn put_artifact<S, E>(
    _app: &App,
    _runner: RunnerId,
    _attempt: AttemptId,
    _epoch: i64,
    _name: &str,
    _body: S,
) -> Result<Stored, Error>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: std::fmt::Display + Send,
{
    later()
}

/// Opens an artifact of an earlier stage of the same run.
pub async fn open_artifact_for_attempt(
    _app: &App,
    _runner: RunnerId,
    _attempt: AttemptId,
    _epoch: i64,
    _stage: &StageKey,
    _name: &str,
) -> Result<BlobReader, Error> {
    later()
}

/// Opens an artifact for a person.
pub async fn open_artifact(_app: &App, _artifact: ArtifactId) -> Result<BlobReader, Error> {
    later()
}

/// Stores a cache entry; a key that is there already stays as it is.
pub async fn put_cache<S, E>(
    _app: &App,
    _runner: RunnerId,
    _attempt: AttemptId,
    _epoch: i64,
    _key: &str,
    _body: S,
) -> Result<Stored, Error>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: std::fmt::Display + Send,
{
    later()
}

/// The cache entry with this key, else the newest whose key begins with one of the prefixes, in their order.
/// Answers its key too.
pub async fn find_cache(
    _app: &App,
    _runner: RunnerId,
    _attempt: AttemptId,
    _epoch: i64,
    _key: &str,
    _restore: &[String],
) -> Result<Option<(String, BlobReader)>, Error> {
    later()
}

/// Reads and stores a report of the attempt.
pub async fn put_report(
    _app: &App,
    _runner: RunnerId,
    _attempt: AttemptId,
    _epoch: i64,
    _kind: ReportKind,
    _path: &str,
    _body: Bytes,
) -> Result<(), Error> {
    later()
}

/// Whether reports of a successful attempt are past the thresholds of its stage, and which.
pub async fn judge(
    _tx: &mut crate::store::Tx,
    _attempt: AttemptId,
    _plan: &tidegate_pipelines::plan::StagePlan,
) -> Result<Option<String>, Error> {
    Ok(None)
}
