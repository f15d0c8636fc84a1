//! Caches: names for blobs that a repository keeps for speed, apart by scope.

use tidegate_protocol::ids::RepositoryId;

use super::{BlobRef, Tx};
use crate::error::Error;

impl Tx {
    /// The entry with this key in this scope.
    pub async fn cache(
        &mut self,
        repository: RepositoryId,
        scope: &str,
        key: &str,
    ) -> Result<Option<BlobRef>, Error> {
        Ok(sqlx::query_as(
            "update caches set used_at = now() where repository_id = $1 and scope = $2 and key = $3
             returning key as name, sha256, size",
        )
        .bind(repository.0)
        .bind(scope)
        .bind(key)
        .fetch_optional(&mut *self.inner)
        .await?)
    }

    /// The newest entry in this scope whose key begins so.
    pub async fn newest_cache(
        &mut self,
        repository: RepositoryId,
        scope: &str,
        prefix: &str,
    ) -> Result<Option<BlobRef>, Error> {
        Ok(sqlx::query_as(
            "update caches set used_at = now() where (repository_id, scope, key) in (
                 select repository_id, scope, key from caches
                 where repository_id = $1 and scope = $2 and starts_with(key, $3)
                 order by created_at desc, key limit 1)
             returning key as name, sha256, size",
        )
        .bind(repository.0)
        .bind(scope)
        .bind(prefix)
        .fetch_optional(&mut *self.inner)
        .await?)
    }

    /// Adds an entry. A key that is there stays as it is.
    pub async fn put_cache(
        &mut self,
        repository: RepositoryId,
        scope: &str,
        blob: &BlobRef,
    ) -> Result<(), Error> {
        sqlx::query(
            "insert into caches (repository_id, scope, key, sha256, size) values ($1, $2, $3, $4, $5)
             on conflict do nothing",
        )
        .bind(repository.0)
        .bind(scope)
        .bind(&blob.name)
        .bind(&blob.sha256)
        .bind(blob.size)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
