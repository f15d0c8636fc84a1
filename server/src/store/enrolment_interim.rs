//! Until the rest of the store has them.

use sqlx::types::Json;
use tidegate_protocol::ids::RunnerId;

use super::{
    Db, Tx, unwrap,
    views::{AuditEntry, Runner},
};
use crate::error::Error;

impl Db {
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

    /// The newest entries, newest first.
    pub async fn audit_entries(&self, before: Option<i64>, limit: i64) -> Result<Vec<AuditEntry>, Error> {
        let rows: Vec<Json<AuditEntry>> = sqlx::query_scalar(
            "select to_json(q) from (select seq, at, actor, action, subject, detail, encode(hash, 'hex') as hash from audit
             where $1::bigint is null or seq < $1 order by seq desc limit $2) q",
        )
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}

impl Tx {
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
