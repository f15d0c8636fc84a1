//! Enrolment: single-use tokens turn into runners, runners are known by their key, and people see and disable them.

use std::time::Duration;

use sqlx::types::Json;
use tidegate_protocol::ids::RunnerId;

use super::{Db, Tx, unwrap, views::Runner};
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

    /// All runners, by name.
    pub async fn runners(&self) -> Result<Vec<Runner>, Error> {
        let rows: Vec<Json<Runner>> = sqlx::query_scalar(
            "select to_json(q) from (select n.id, n.name, n.labels, n.version, n.enrolled_at, n.last_seen_at, n.free_slots, n.disabled,
                coalesce(n.last_seen_at > now() - interval '1 minute', false) as online,
                (select count(*) from attempts a where a.runner_id = n.id and a.status = 'running') as running
             from runners n order by n.name, n.id) q",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
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

    /// Gives a runner no more work, or work again.
    pub async fn disable_runner(&mut self, runner: RunnerId, disabled: bool) -> Result<(), Error> {
        let done = sqlx::query("update runners set disabled = $2 where id = $1")
            .bind(runner.0)
            .bind(disabled)
            .execute(&mut *self.inner)
            .await?;
        if done.rows_affected() == 0 { Err(Error::NotFound("runner")) } else { Ok(()) }
    }
}
