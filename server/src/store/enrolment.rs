//! Enrolment: single-use tokens turn into runners, and runners are known by their key.

use std::time::Duration;

use tidegate_protocol::ids::RunnerId;

use super::{Db, Tx};
use crate::error::Error;

impl Db {
    /// The runner with this key.
    pub async fn runner_of_key(&self, hash: &[u8]) -> Result<Option<RunnerId>, Error> {
        let id: Option<uuid::Uuid> = sqlx::query_scalar("select id from runners where key_hash = $1")
            .bind(hash)
            .fetch_optional(&self.pool)
            .await?;
        Ok(id.map(RunnerId))
    }
}

impl Tx {
    /// Adds an enrolment token, and forgets those that ended a day ago.
    pub async fn insert_enrolment_token(
        &mut self,
        hash: &[u8],
        created_by: &str,
        lifetime: Duration,
    ) -> Result<(), Error> {
        sqlx::query("delete from enrolment_tokens where expires_at < now() - interval '1 day'")
            .execute(&mut *self.inner)
            .await?;
        sqlx::query(
            "insert into enrolment_tokens (token_hash, created_by, expires_at)
             values ($1, $2, now() + make_interval(secs => $3))",
        )
        .bind(hash)
        .bind(created_by)
        .bind(lifetime.as_secs_f64())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Uses a token up; of two who try at once one succeeds. None: unknown, used or ended.
    pub async fn use_enrolment_token(&mut self, hash: &[u8]) -> Result<Option<String>, Error> {
        Ok(sqlx::query_scalar(
            "update enrolment_tokens set used_at = now()
             where token_hash = $1 and used_at is null and expires_at > now() returning created_by",
        )
        .bind(hash)
        .fetch_optional(&mut *self.inner)
        .await?)
    }

    /// Adds a runner.
    pub async fn enrol_runner(&mut self, name: &str, key_hash: &[u8]) -> Result<RunnerId, Error> {
        let id = RunnerId::new();
        sqlx::query("insert into runners (id, name, key_hash, last_seen_at) values ($1, $2, $3, now())")
            .bind(id.0)
            .bind(name)
            .bind(key_hash)
            .execute(&mut *self.inner)
            .await?;
        Ok(id)
    }
}
