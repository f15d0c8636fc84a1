//! The audit trail: who did what. Entries are numbered without gaps and each one's hash covers the entry and the
//! hash before it, so that an entry cannot be changed, taken away or put between without its being seen.
//!
//! Writers wait for each other on one lock until their transactions end. It comes after every other lock: the entry
//! is the last thing that a transaction writes.

use serde_json::Value;
use sqlx::types::Json;

use super::{Db, Tx, unwrap, views::AuditEntry};
use crate::error::Error;

/// The number of the lock that writers of the trail take.
const LOCK: i64 = 0x7469_6465_6175;

/// The hash of an entry after the hash before it. A JSON array keeps the fields apart, and Postgres writes the
/// same value always the same way; the time counts in microseconds, whatever the session's time zone.
macro_rules! hash {
    () => {
        "sha256(e.before || convert_to(jsonb_build_array(e.seq, (extract(epoch from e.at) * 1000000)::bigint,
            e.actor, e.action, e.subject, e.detail)::text, 'UTF8'))"
    };
}

impl Db {
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

    /// The number of the first entry that is not as it was written, or before which one is missing.
    pub async fn broken_audit_entry(&self) -> Result<Option<i64>, Error> {
        Ok(sqlx::query_scalar(concat!(
            "select seq from (select a.*, coalesce(lag(hash) over (order by seq), '') as before,
                                     row_number() over (order by seq) as place from audit a) e
             where seq <> place or hash <> ",
            hash!(),
            " order by seq limit 1"
        ))
        .fetch_optional(&self.pool)
        .await?)
    }
}

impl Tx {
    /// Writes down who did what to what.
    pub async fn audit(
        &mut self,
        actor: &str,
        action: &str,
        subject: &str,
        detail: Value,
    ) -> Result<(), Error> {
        sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *self.inner).await?;
        sqlx::query(concat!(
            "insert into audit (seq, at, actor, action, subject, detail, hash)
             select e.seq, e.at, e.actor, e.action, e.subject, e.detail, ",
            hash!(),
            " from (select coalesce(last.seq, 0) + 1 as seq, clock_timestamp() as at, $1::text as actor,
                           $2::text as action, $3::text as subject, $4::jsonb as detail, coalesce(last.hash, '') as before
                    from (select) one left join (select seq, hash from audit order by seq desc limit 1) last on true) e"
        ))
        .bind(actor)
        .bind(action)
        .bind(subject)
        .bind(Json(detail))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
