//! What has been kept long enough goes, a bounded number at a time. Each function answers how much went, so that
//! the caller sees whether there may be more. Rows that somebody is at work on are left for the next time.

use super::Tx;
use crate::error::Error;

impl Tx {
    /// Deletes the logs of attempts whose run ended so many days ago. Their steps stay, with nothing to read.
    pub async fn purge_logs(&mut self, days: i32, limit: i64) -> Result<i64, Error> {
        Ok(sqlx::query_scalar(
            "with old as (select w.attempt_id, w.index from steps w join attempts a on a.id = w.attempt_id
                          join runs r on r.id = a.run_id
                          where w.log_bytes > 0 and a.status <> 'running'
                            and r.finished_at < now() - make_interval(days => $1)
                          limit $2 for update of w skip locked),
                  gone as (delete from log_chunks c using old where c.attempt_id = old.attempt_id and c.step = old.index),
                  emptied as (update steps w set log_bytes = 0, log_lines = 0 from old
                              where w.attempt_id = old.attempt_id and w.index = old.index)
             select count(*) from old",
        )
        .bind(days)
        .bind(limit)
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// Deletes artifacts whose time has come.
    pub async fn purge_artifacts(&mut self, limit: i64) -> Result<i64, Error> {
        self.purge(
            sqlx::query(
                "delete from artifacts where id in (
                     select id from artifacts where expires_at < now() limit $1 for update skip locked)",
            )
            .bind(limit),
        )
        .await
    }

    /// Deletes cache entries that nobody read for so many days.
    pub async fn purge_caches(&mut self, days: i32, limit: i64) -> Result<i64, Error> {
        self.purge(
            sqlx::query(
                "delete from caches where (repository_id, scope, key) in (
                     select repository_id, scope, key from caches where used_at < now() - make_interval(days => $1)
                     limit $2 for update skip locked)",
            )
            .bind(days)
            .bind(limit),
        )
        .await
    }

    /// Deletes blobs that nothing refers to. Those stored within the last day are spared: what is about to refer to
    /// them may not have committed yet, and storing a blob that is there makes it young again.
    pub async fn purge_blobs(&mut self, limit: i64) -> Result<i64, Error> {
        self.purge(
            sqlx::query(
                "delete from blobs where sha256 in (
                     select b.sha256 from blobs b where b.created_at < now() - interval '1 day'
                       and not exists (select from artifacts f where f.sha256 = b.sha256)
                       and not exists (select from caches c where c.sha256 = b.sha256)
                     limit $1 for update skip locked)",
            )
            .bind(limit),
        )
        .await
    }

    /// Deletes sessions that ended.
    pub async fn purge_sessions(&mut self, limit: i64) -> Result<i64, Error> {
        self.purge(
            sqlx::query(
                "delete from sessions where token_hash in (
                     select token_hash from sessions where expires_at < now() limit $1 for update skip locked)",
            )
            .bind(limit),
        )
        .await
    }

    /// Empties deliveries that were done with so many days ago. The rows stay: they tell a repeat from news.
    pub async fn purge_deliveries(&mut self, days: i32, limit: i64) -> Result<i64, Error> {
        self.purge(
            sqlx::query(
                "update deliveries set body = '' where id in (
                     select id from deliveries where state <> 'received' and body <> ''
                       and received_at < now() - make_interval(days => $1)
                     limit $2 for update skip locked)",
            )
            .bind(days)
            .bind(limit),
        )
        .await
    }

    /// Empties messages that were sent, or given up, so many days ago. The rows stay: their keys keep the same from
    /// being written twice.
    pub async fn purge_outbox(&mut self, days: i32, limit: i64) -> Result<i64, Error> {
        self.purge(
            sqlx::query(
                "update outbox set payload = 'null' where id in (
                     select id from outbox where state <> 'waiting' and payload <> 'null'
                       and created_at < now() - make_interval(days => $1)
                     limit $2 for update skip locked)",
            )
            .bind(days)
            .bind(limit),
        )
        .await
    }

    /// Deletes evidence of refused writes of so many days ago.
    pub async fn purge_refused_writes(&mut self, days: i32, limit: i64) -> Result<i64, Error> {
        self.purge(
            sqlx::query(
                "delete from refused_writes where id in (
                     select id from refused_writes where at < now() - make_interval(days => $1)
                     limit $2 for update skip locked)",
            )
            .bind(days)
            .bind(limit),
        )
        .await
    }

    async fn purge(
        &mut self,
        query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<i64, Error> {
        let done = query.execute(&mut *self.inner).await?;
        Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))
    }
}
