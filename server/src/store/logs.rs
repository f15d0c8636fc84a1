//! Steps and their logs: contiguous chunks of compressed bytes.
//!
//! A step's row is the lock for its log: who appends holds it, so `log_bytes` is where the next chunk begins and
//! chunks neither overlap nor leave holes. Writers hold the attempt too ([`Tx::fenced`]), attempt before step.

use serde::Deserialize;
use sqlx::types::Json;
use tidegate_protocol::{ids::AttemptId, messages::StepReport};

use super::{Db, Tx, unwrap};
use crate::error::Error;

/// How much of a step's log is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct LogEnd {
    /// Bytes from the first on.
    pub bytes: i64,
    /// Newlines in them.
    pub lines: i64,
    /// The step, or its whole attempt, has ended: no more comes.
    pub ended: bool,
}

/// A stored piece of log.
#[derive(Debug, Clone)]
pub struct LogChunk {
    /// Where it begins.
    pub byte_start: i64,
    /// Its bytes, uncompressed.
    pub byte_count: i32,
    /// Newlines before it.
    pub line_start: i64,
    /// A zstd frame.
    pub data: Vec<u8>,
}

/// How far a step is in its life. What was said of a later part is never undone by a report that was late, or that
/// a runner tells again after it was started anew.
fn rank(status: &str) -> u8 {
    match status {
        "pending" => 0,
        "running" => 1,
        _ => 2,
    }
}

impl Db {
    /// How much of a step's log there is.
    pub async fn log_end(&self, attempt: AttemptId, step: i32) -> Result<LogEnd, Error> {
        let row: Option<Json<LogEnd>> = sqlx::query_scalar(
            "select json_build_object('bytes', t.log_bytes, 'lines', t.log_lines,
                'ended', a.status <> 'running' or t.status not in ('pending', 'running'))
             from steps t join attempts a on a.id = t.attempt_id where t.attempt_id = $1 and t.index = $2",
        )
        .bind(attempt.0)
        .bind(step)
        .fetch_optional(&self.pool)
        .await?;
        row.map(unwrap).ok_or(Error::NotFound("step"))
    }

    /// The chunk that holds the byte at `offset`, and those after it that end within `max` bytes from there.
    pub async fn log_chunks(
        &self,
        attempt: AttemptId,
        step: i32,
        offset: i64,
        max: i64,
    ) -> Result<Vec<LogChunk>, Error> {
        let rows: Vec<(i64, i32, i64, Vec<u8>)> = sqlx::query_as(
            "with first as (select max(byte_start) as at from log_chunks
                            where attempt_id = $1 and step = $2 and byte_start <= $3)
             select c.byte_start, c.byte_count, c.line_start, c.data from log_chunks c, first
             where c.attempt_id = $1 and c.step = $2 and c.byte_start >= first.at
               and (c.byte_start = first.at or c.byte_start + c.byte_count <= $3 + $4)
             order by c.byte_start",
        )
        .bind(attempt.0)
        .bind(step)
        .bind(offset)
        .bind(max)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(byte_start, byte_count, line_start, data)| LogChunk {
                byte_start,
                byte_count,
                line_start,
                data,
            })
            .collect())
    }
}

impl Tx {
    /// Notes what a runner says of a step. The first name and the furthest status stay. Answers whether that was
    /// news.
    pub async fn put_step(
        &mut self,
        attempt: AttemptId,
        index: i32,
        report: &StepReport,
    ) -> Result<bool, Error> {
        let known: Option<(String, String)> = sqlx::query_as(
            "select name, status from steps where attempt_id = $1 and index = $2 for no key update",
        )
        .bind(attempt.0)
        .bind(index)
        .fetch_optional(&mut *self.inner)
        .await?;
        let status = report.status.as_str();
        let news = known.is_none_or(|(name, before)| {
            rank(status) > rank(&before)
                || rank(status) == rank(&before) && name.is_empty() && !report.name.is_empty()
        });
        if !news {
            return Ok(false);
        }
        sqlx::query(
            "insert into steps (attempt_id, index, name, status, exit_code, duration_ms, started_at, finished_at)
             values ($1, $2, $3, $4, $5, $6,
                case when $4 not in ('pending', 'skipped')
                     then now() - make_interval(secs => coalesce($6, 0) / 1000.0) end,
                case when $4 not in ('pending', 'running') then now() end)
             on conflict (attempt_id, index) do update set
                name = case when excluded.name = '' then steps.name else excluded.name end,
                status = excluded.status,
                exit_code = coalesce(steps.exit_code, excluded.exit_code),
                duration_ms = coalesce(steps.duration_ms, excluded.duration_ms),
                started_at = coalesce(steps.started_at, excluded.started_at),
                finished_at = coalesce(steps.finished_at, excluded.finished_at)",
        )
        .bind(attempt.0)
        .bind(index)
        .bind(&report.name)
        .bind(status)
        .bind(report.exit_code)
        .bind(report.duration_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)))
        .execute(&mut *self.inner)
        .await?;
        Ok(true)
    }

    /// How much of a step's log is stored; nobody else appends until this transaction ends. A step that was not
    /// reported yet begins with its log.
    pub async fn lock_log(&mut self, attempt: AttemptId, step: i32) -> Result<LogEnd, Error> {
        sqlx::query(
            "insert into steps (attempt_id, index, name, status, started_at) values ($1, $2, '', 'running', now())
             on conflict do nothing",
        )
        .bind(attempt.0)
        .bind(step)
        .execute(&mut *self.inner)
        .await?;
        let row: Json<LogEnd> = sqlx::query_scalar(
            "select json_build_object('bytes', log_bytes, 'lines', log_lines, 'ended', false)
             from steps where attempt_id = $1 and index = $2 for no key update",
        )
        .bind(attempt.0)
        .bind(step)
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(unwrap(row))
    }

    /// Stores the next bytes of a log. `end` is what [`Tx::lock_log`] answered in this transaction.
    pub async fn append_chunk(
        &mut self,
        attempt: AttemptId,
        step: i32,
        end: LogEnd,
        byte_count: i32,
        lines: i64,
        frame: &[u8],
    ) -> Result<(), Error> {
        sqlx::query(
            "with chunk as (insert into log_chunks (attempt_id, step, byte_start, byte_count, line_start, data)
                            values ($1, $2, $3, $4, $5, $6))
             update steps set log_bytes = $3 + $4, log_lines = $5 + $7 where attempt_id = $1 and index = $2",
        )
        .bind(attempt.0)
        .bind(step)
        .bind(end.bytes)
        .bind(byte_count)
        .bind(end.lines)
        .bind(frame)
        .bind(lines)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Ends the steps of an attempt that ended: what ran was stopped, what had not begun never will.
    pub(in crate::store) async fn close_steps(&mut self, attempt: AttemptId) -> Result<(), Error> {
        sqlx::query(
            "update steps set status = case status when 'running' then 'cancelled' else 'skipped' end,
                finished_at = now()
             where attempt_id = $1 and status in ('pending', 'running')",
        )
        .bind(attempt.0)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
