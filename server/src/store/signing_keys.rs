//! Keys that identity tokens are signed with.

use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Db, Tx, unwrap};
use crate::error::Error;

/// A key as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub struct SigningKey {
    /// Its id, which is the `kid` of what it signs.
    pub id: Uuid,
    /// The private key, sealed.
    pub sealed: Vec<u8>,
}

impl Db {
    /// The public keys, the newest first.
    pub async fn public_keys(&self) -> Result<Vec<Value>, Error> {
        let rows: Vec<Json<Value>> =
            sqlx::query_scalar("select public from signing_keys order by created_at desc, id desc limit 20")
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}

impl Tx {
    /// The key that signs now, unless it is older than so many days: then it is time for another.
    pub async fn signing_key(&mut self, days: i32) -> Result<Option<SigningKey>, Error> {
        Ok(sqlx::query_as(
            "select id, sealed from signing_keys where created_at > now() - make_interval(days => $1)
             order by created_at desc, id desc limit 1",
        )
        .bind(days)
        .fetch_optional(&mut *self.inner)
        .await?)
    }

    /// Of several servers that find that there is no key, one makes it. Lasts as long as the transaction.
    pub async fn lock_signing_keys(&mut self) -> Result<(), Error> {
        sqlx::query("lock table signing_keys in share row exclusive mode").execute(&mut *self.inner).await?;
        Ok(())
    }

    /// Adds a key, which signs from now on.
    pub async fn insert_signing_key(&mut self, key: &SigningKey, public: &Value) -> Result<(), Error> {
        sqlx::query("insert into signing_keys (id, sealed, public) values ($1, $2, $3)")
            .bind(key.id)
            .bind(&key.sealed)
            .bind(Json(public))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Lets go of keys that have had a successor for a day. Gives how many.
    pub async fn purge_signing_keys(&mut self, limit: i64) -> Result<i64, Error> {
        let done = sqlx::query(
            "delete from signing_keys where id in (
                 select k.id from signing_keys k where exists (
                     select from signing_keys n
                     where n.created_at > k.created_at and n.created_at < now() - interval '1 day')
                 limit $1)",
        )
        .bind(limit)
        .execute(&mut *self.inner)
        .await?;
        Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))
    }
}
