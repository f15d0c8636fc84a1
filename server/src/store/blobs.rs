//! Blobs: content-addressed, immutable, in chunks. What refers to none of them any more is collected by
//! [`crate::tasks::retention`], a day after it was last stored.

use super::{Db, Tx};
use crate::error::Error;

/// Bytes of a chunk; only a blob's last one is shorter.
pub const BLOB_CHUNK: usize = 1 << 20;

impl Db {
    /// A chunk of a blob.
    pub async fn blob_chunk(&self, sha256: &[u8], index: i32) -> Result<Option<Vec<u8>>, Error> {
        Ok(sqlx::query_scalar("select data from blob_chunks where sha256 = $1 and index = $2")
            .bind(sha256)
            .bind(index)
            .fetch_optional(&self.pool)
            .await?)
    }
}

impl Tx {
    /// Begins a blob. False: it is there; it is then young again, so that it is not collected before what is about
    /// to refer to it does. Of two who store the same at once, the second waits for the first.
    pub async fn begin_blob(&mut self, sha256: &[u8], size: i64) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(
            "insert into blobs (sha256, size) values ($1, $2)
             on conflict (sha256) do update set created_at = now() returning xmax = 0",
        )
        .bind(sha256)
        .bind(size)
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// Adds a chunk to a blob that this transaction began.
    pub async fn insert_blob_chunk(&mut self, sha256: &[u8], index: i32, data: &[u8]) -> Result<(), Error> {
        sqlx::query("insert into blob_chunks (sha256, index, data) values ($1, $2, $3)")
            .bind(sha256)
            .bind(index)
            .bind(data)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
