//! Artifacts: names for blobs that a stage keeps.

use tidegate_pipelines::plan::StageKey;
use tidegate_protocol::ids::{ArtifactId, RunId, StageId};

use super::{Db, Held, Tx};
use crate::error::Error;

/// A blob that something refers to.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct BlobRef {
    /// The name that refers to it.
    pub name: String,
    /// Its content.
    pub sha256: Vec<u8>,
    /// Its bytes.
    pub size: i64,
}

impl Db {
    /// An artifact.
    pub async fn artifact(&self, id: ArtifactId) -> Result<BlobRef, Error> {
        let row = sqlx::query_as("select name, sha256, size from artifacts where id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        row.ok_or(Error::NotFound("artifact"))
    }
}

impl Tx {
    /// Gives a blob a name among the artifacts of an attempt's stage. That of an earlier attempt makes way.
    pub async fn put_artifact(&mut self, held: &Held, blob: &BlobRef, days: i32) -> Result<(), Error> {
        sqlx::query(
            "insert into artifacts (id, run_id, stage_id, attempt_id, name, sha256, size, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(days => $8))
             on conflict (stage_id, name) do update set attempt_id = excluded.attempt_id, sha256 = excluded.sha256,
                 size = excluded.size, created_at = now(), expires_at = excluded.expires_at",
        )
        .bind(ArtifactId::new().0)
        .bind(held.run.0)
        .bind(held.stage.0)
        .bind(held.attempt.0)
        .bind(&blob.name)
        .bind(&blob.sha256)
        .bind(blob.size)
        .bind(days)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Takes the name of an artifact of a stage away.
    pub async fn delete_artifact(&mut self, stage: StageId, name: &str) -> Result<(), Error> {
        sqlx::query("delete from artifacts where stage_id = $1 and name = $2")
            .bind(stage.0)
            .bind(name)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The artifacts of a run: stage, name and size, in the order of their making.
    pub async fn artifacts_of(&mut self, run: RunId) -> Result<Vec<(String, String, i64)>, Error> {
        Ok(sqlx::query_as(
            "select s.key, f.name, f.size from artifacts f join stages s on s.id = f.stage_id
             where f.run_id = $1 order by f.created_at, f.id limit 10000",
        )
        .bind(run.0)
        .fetch_all(&mut *self.inner)
        .await?)
    }

    /// An artifact of a stage of a run.
    pub async fn artifact_of(
        &mut self,
        run: RunId,
        stage: &StageKey,
        name: &str,
    ) -> Result<Option<BlobRef>, Error> {
        Ok(sqlx::query_as(
            "select f.name, f.sha256, f.size from artifacts f join stages s on s.id = f.stage_id
             where s.run_id = $1 and s.key = $2 and f.name = $3",
        )
        .bind(run.0)
        .bind(&stage.0)
        .bind(name)
        .fetch_optional(&mut *self.inner)
        .await?)
    }
}
