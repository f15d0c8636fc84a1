//! Results of stages: artifacts, caches and reports, over content-addressed blobs.

mod artifacts;
mod blobs;
mod caches;
mod reports;

use std::pin::Pin;

pub use artifacts::{
    delete_artifact, list_artifacts, open_artifact, open_artifact_for_attempt, put_artifact,
};
use bytes::Bytes;
pub use caches::{find_cache, has_cache, put_cache};
use futures_util::Stream;
pub use reports::{judge, notes, put_report};

use crate::{error::Error, leases::held};

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
