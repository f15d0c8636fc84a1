//! Where a stage's files go to and come from: the server's blobs, or a folder for local runs.

use std::path::Path;

use async_trait::async_trait;
use tidegate_pipelines::plan::{CacheScope, ReportKind, StageKey};
use tidegate_protocol::messages::{ListedArtifact, Stored};

/// Why a file could not be stored or had.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// There is no such artifact.
    #[error("{0}")]
    NotFound(String),
    /// The server says this attempt is no longer the stage's.
    #[error("the server no longer takes results of this attempt: {0}")]
    Refused(String),
    /// The server refused the file itself (too large, not readable as that report).
    #[error("{0}")]
    Invalid(String),
    /// The server cannot be reached or failed, and went on doing so until the lease was about to end.
    #[error("{0}")]
    Unavailable(String),
    /// This machine's disk.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// A cache entry that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCache {
    /// The key it was stored under; equal to the wanted one or begins with a restore key.
    pub key: String,
}

/// Artifacts, caches and reports. Every call may be repeated; every call retries by itself while the lease lasts.
/// Archives are `tar.zst` files on this machine's disk.
#[async_trait]
pub trait Results: Send + Sync {
    /// Stores an artifact of this stage.
    async fn put_artifact(&self, name: &str, archive: &Path) -> Result<Stored, ResultsError>;

    /// Writes an artifact of another stage of the run to `to`.
    async fn get_artifact(&self, stage: &StageKey, name: &str, to: &Path) -> Result<(), ResultsError>;

    /// The artifacts that earlier stages of the run kept, those only that this stage may get.
    async fn list_artifacts(&self) -> Result<Vec<ListedArtifact>, ResultsError>;

    /// Writes the best cache entry for the key, else for the first restore key that has one, to `to`. `scope` says
    /// whose entries count.
    async fn find_cache(
        &self,
        scope: CacheScope,
        key: &str,
        restore_keys: &[String],
        to: &Path,
    ) -> Result<Option<FoundCache>, ResultsError>;

    /// Stores a cache entry; an existing one stays as it is.
    async fn put_cache(&self, scope: CacheScope, key: &str, archive: &Path) -> Result<Stored, ResultsError>;

    /// Whether whoever takes reports judges them by their thresholds.
    fn judges(&self) -> bool {
        true
    }

    /// Whether there is a cache entry of exactly this key where this stage would write one.
    async fn has_cache(&self, scope: CacheScope, key: &str) -> Result<bool, ResultsError>;

    /// Removes an artifact that this stage kept; not an error when there is none.
    async fn delete_artifact(&self, name: &str) -> Result<(), ResultsError>;

    /// A signed token that says which job this is, for an audience; none: the one that is usual on the server.
    async fn id_token(&self, audience: Option<&str>) -> Result<String, ResultsError>;

    /// Hands in a report. `path` is relative to the workspace.
    async fn put_report(&self, kind: ReportKind, path: &str, bytes: Vec<u8>) -> Result<(), ResultsError>;
}
