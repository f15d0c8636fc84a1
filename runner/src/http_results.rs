//! Artifacts, caches and reports in the server's blobs. Each call is made again until it is answered or the lease
//! is lost: a server that restarts in the middle of an upload costs time, not a stage.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use tidegate_pipelines::plan::{CacheScope, ReportKind, StageKey};
use tidegate_protocol::messages::{AskIdToken, IdToken, ListedArtifact, Stored};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{AttemptClient, Backoff, ClientError},
    stage::{FoundCache, Results, ResultsError},
};

/// The server's blobs, for one attempt.
pub struct HttpResults {
    client: Arc<AttemptClient>,
    fence: CancellationToken,
}

impl HttpResults {
    /// `fence` ends every try, and is triggered when the server refuses the attempt.
    pub fn new(client: Arc<AttemptClient>, fence: CancellationToken) -> Self {
        Self { client, fence }
    }

    async fn persist<T, F>(&self, call: impl Fn() -> F + Send) -> Result<T, ResultsError>
    where
        F: Future<Output = Result<T, ClientError>> + Send,
    {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            let answer = tokio::select! {
                () = self.fence.cancelled() => {
                    return Err(ResultsError::Refused("the lease is lost".to_owned()));
                }
                answer = call() => answer,
            };
            match answer {
                Ok(value) => return Ok(value),
                Err(ClientError::Unavailable(reason)) => {
                    tracing::debug!(%reason, "trying again");
                    backoff.wait().await;
                }
                Err(ClientError::Refused(reason)) => {
                    tracing::warn!(%reason, "the server no longer takes this attempt's files");
                    self.fence.cancel();
                    return Err(ResultsError::Refused(reason));
                }
                Err(ClientError::NotFound(reason)) => return Err(ResultsError::NotFound(reason)),
                Err(ClientError::Invalid(reason)) => return Err(ResultsError::Invalid(reason)),
                Err(other) => return Err(ResultsError::Unavailable(other.to_string())),
            }
        }
    }
}

/// What a cache call is about. A server that knows no scopes is asked for the default one.
fn query(scope: CacheScope, key: &str) -> Vec<(&'static str, &str)> {
    let scope = match scope {
        CacheScope::Branch => None,
        CacheScope::Pipeline => Some(("scope", "pipeline")),
        CacheScope::Repository => Some(("scope", "repository")),
    };
    [("key", key)].into_iter().chain(scope).collect()
}

#[async_trait]
impl Results for HttpResults {
    async fn put_artifact(&self, name: &str, archive: &Path) -> Result<Stored, ResultsError> {
        let path = ["artifacts", name];
        self.persist(|| self.client.put_file(&path, &[], archive)).await
    }

    async fn get_artifact(&self, stage: &StageKey, name: &str, to: &Path) -> Result<(), ResultsError> {
        let path = ["artifacts", stage.0.as_str(), name];
        self.persist(|| self.client.get_file(&path, &[], "etag", to))
            .await?
            .map(|_| ())
            .ok_or_else(|| ResultsError::NotFound(format!("the stage `{stage}` kept no artifact `{name}`")))
    }

    async fn list_artifacts(&self) -> Result<Vec<ListedArtifact>, ResultsError> {
        let place = ["artifacts"];
        self.persist(|| self.client.get(&place)).await
    }

    async fn find_cache(
        &self,
        scope: CacheScope,
        key: &str,
        restore_keys: &[String],
        to: &Path,
    ) -> Result<Option<FoundCache>, ResultsError> {
        let mut query = query(scope, key);
        query.extend(restore_keys.iter().map(|prefix| ("restore", prefix.as_str())));
        let place = ["caches"];
        let found = self.persist(|| self.client.get_file(&place, &query, "tidegate-cache-key", to)).await;
        match found {
            Ok(found) => Ok(found.map(|key| FoundCache { key })),
            Err(ResultsError::NotFound(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    async fn put_cache(&self, scope: CacheScope, key: &str, archive: &Path) -> Result<Stored, ResultsError> {
        let query = query(scope, key);
        let place = ["caches"];
        self.persist(|| self.client.put_file(&place, &query, archive)).await
    }

    async fn has_cache(&self, scope: CacheScope, key: &str) -> Result<bool, ResultsError> {
        let place = ["cache-entry"];
        let query = query(scope, key);
        self.persist(|| self.client.has(&place, &query)).await
    }

    async fn delete_artifact(&self, name: &str) -> Result<(), ResultsError> {
        let place = ["artifacts", name];
        self.persist(|| self.client.delete(&place)).await
    }

    async fn id_token(&self, audience: Option<&str>) -> Result<String, ResultsError> {
        let place = ["id-token"];
        let asked = AskIdToken { audience: audience.map(str::to_owned) };
        let answered: IdToken = self.persist(|| self.client.ask(&place, &asked)).await?;
        Ok(answered.token)
    }

    async fn put_report(&self, kind: ReportKind, path: &str, bytes: Vec<u8>) -> Result<(), ResultsError> {
        let kind = match kind {
            ReportKind::Junit => "junit",
            ReportKind::Cobertura => "cobertura",
            ReportKind::Lcov => "lcov",
            ReportKind::Sarif => "sarif",
            ReportKind::Tap => "tap",
            ReportKind::Annotations => "annotations",
        };
        let query = [("path", path)];
        let place = ["reports", kind];
        self.persist(|| self.client.put_bytes(&place, &query, bytes.clone())).await
    }
}
