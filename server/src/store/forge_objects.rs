//! What the forge calls the things it was told of.

use tidegate_protocol::ids::RepositoryId;

use super::{Db, Tx};
use crate::error::Error;

/// A check run or a deployment at the forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgeObject {
    /// Its id there.
    pub remote_id: u64,
    /// It was told of an end.
    pub closed: bool,
}

impl Db {
    /// What a run (`check_run`) or a deployment (`deployment`) is at the forge; None: nothing yet.
    pub async fn forge_object(
        &self,
        repository: RepositoryId,
        kind: &str,
        thing: &str,
    ) -> Result<Option<ForgeObject>, Error> {
        let row: Option<(i64, bool)> = sqlx::query_as(
            "select remote_id, closed from forge_objects where repository_id = $1 and kind = $2 and thing = $3",
        )
        .bind(repository.0)
        .bind(kind)
        .bind(thing)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(id, closed)| ForgeObject { remote_id: id.cast_unsigned(), closed }))
    }
}

impl Tx {
    /// Remembers it; a newer one takes the place of an older.
    pub async fn put_forge_object(
        &mut self,
        repository: RepositoryId,
        kind: &str,
        thing: &str,
        object: ForgeObject,
    ) -> Result<(), Error> {
        sqlx::query(
            "insert into forge_objects (repository_id, kind, thing, remote_id, closed) values ($1, $2, $3, $4, $5)
             on conflict (repository_id, kind, thing) do update set remote_id = $4, closed = $5",
        )
        .bind(repository.0)
        .bind(kind)
        .bind(thing)
        .bind(object.remote_id.cast_signed())
        .bind(object.closed)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
