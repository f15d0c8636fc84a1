//! Runs: rows and transitions. Whoever changes anything of a run locks its row first ([`Tx::lock_run`]).

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sqlx::types::Json;
use tidegate_pipelines::{
    Diagnostic,
    event::{Event, EventKind},
    plan::Plan,
};
use tidegate_protocol::{
    ids::{DeliveryId, RepositoryId, RunId},
    status::RunStatus,
};

use super::{Db, Tx, bytes_as_hex, is_duplicate, unwrap};
use crate::error::Error;

/// A run, without its file's text.
#[derive(Debug, Clone, Deserialize)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Its repository.
    pub repository_id: RepositoryId,
    /// Its number there.
    pub number: i64,
    /// The pipeline's name.
    pub pipeline: String,
    /// Path of its pipeline file.
    pub path: String,
    /// How many other runs lie before it, each of which started the next.
    pub depth: i32,
    /// Where it is.
    pub status: RunStatus,
    /// Why it is there.
    pub reason: Option<String>,
    /// What started it, without the payload: [`Tx::payload`].
    pub event: Event,
    /// The commit.
    pub sha: String,
    /// The full ref.
    pub reference: String,
    /// The commit message's first line.
    pub title: String,
    /// Who caused it.
    pub actor: String,
    /// What it does; none when it is invalid.
    pub plan: Option<Plan>,
    /// SHA-256 of the plan's JSON.
    #[serde(deserialize_with = "bytes_as_hex::option::deserialize")]
    pub plan_digest: Option<Vec<u8>>,
    /// The runs it may not overlap with.
    pub concurrency_group: Option<String>,
    /// The run that it repeats.
    pub rerun_of: Option<RunId>,
    /// False for a fork's run.
    pub trusted: bool,
    /// Who asked it to stop.
    pub cancel_requested: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its first stage began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A run to insert.
#[derive(Debug)]
pub struct InsertRun<'a> {
    /// Its id.
    pub id: RunId,
    /// Its number: [`Tx::next_run_number`].
    pub number: i64,
    /// Its repository.
    pub repository: RepositoryId,
    /// The pipeline's name. Where another file's pipeline has a run of this name at the same commit, the path is added:
    /// marks at the forge go by commit and name.
    pub pipeline: &'a str,
    /// Path of the pipeline file.
    pub path: &'a str,
    /// How many other runs lie before it, each of which started the next.
    pub depth: i32,
    /// `pending`, `running` or `invalid`.
    pub status: RunStatus,
    /// Why.
    pub reason: Option<&'a str>,
    /// What started it.
    pub event: &'a Event,
    /// What it does.
    pub plan: Option<&'a Plan>,
    /// SHA-256 of the plan's JSON.
    pub plan_digest: Option<&'a [u8]>,
    /// The pipeline file.
    pub source_text: Option<&'a str>,
    /// What is wrong with it.
    pub diagnostics: &'a [Diagnostic],
    /// The runs it may not overlap with.
    pub concurrency_group: Option<&'a str>,
    /// The run that it repeats.
    pub rerun_of: Option<RunId>,
    /// The delivery it came by.
    pub delivery: Option<DeliveryId>,
    /// Who caused it.
    pub actor: &'a str,
}

const COLUMNS: &str =
    "id, repository_id, number, pipeline, path, depth, status, reason, event, sha, reference, title, actor, plan,
    plan_digest, concurrency_group, rerun_of, trusted, cancel_requested, created_at, started_at, finished_at";

impl Db {
    /// A run as it is now.
    pub async fn run(&self, id: RunId) -> Result<RunRow, Error> {
        let row: Option<Json<RunRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {COLUMNS} from runs where id = $1) q"
        )))
        .bind(id.0)
        .fetch_optional(&self.pool)
        .await?;
        row.map(unwrap).ok_or(Error::NotFound("run"))
    }

    /// The pipeline file that a run was compiled from.
    pub async fn source_text(&self, id: RunId) -> Result<Option<String>, Error> {
        let text: Option<Option<String>> = sqlx::query_scalar("select source_text from runs where id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        text.ok_or(Error::NotFound("run"))
    }

    /// Runs that time or other runs may move on: those with a stage that waits for its environment, its gate or its
    /// concurrency group, with a call that waits for its group, and those that wait for their own.
    pub async fn runs_that_wait(&self, limit: i64) -> Result<Vec<RunId>, Error> {
        let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
            "select r.id from runs r where r.finished_at is null and (r.status = 'pending' or exists (
                select from stages s where s.run_id = r.id
                and (s.environment is not null or s.concurrency_group is not null)
                and s.status in ('blocked', 'gated'))
                or exists (select from call_groups c where c.run_id = r.id and not c.at_work))
             order by r.id limit $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(RunId).collect())
    }
}

impl Tx {
    /// Locks a run: until the end of the transaction nobody else changes anything of it.
    pub async fn lock_run(&mut self, id: RunId) -> Result<RunRow, Error> {
        let row: Option<Json<RunRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {COLUMNS} from runs where id = $1 for no key update) q"
        )))
        .bind(id.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(unwrap).ok_or(Error::NotFound("run"))
    }

    /// A run that this transaction only reads (a run that ended and whose facts are needed).
    pub async fn read_run(&mut self, id: RunId) -> Result<RunRow, Error> {
        let row: Option<Json<RunRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {COLUMNS} from runs where id = $1) q"
        )))
        .bind(id.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(unwrap).ok_or(Error::NotFound("run"))
    }

    /// Locks a run unless somebody else has it, which means that it is being looked at anyway.
    pub async fn try_lock_run(&mut self, id: RunId) -> Result<Option<RunRow>, Error> {
        let row: Option<Json<RunRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {COLUMNS} from runs where id = $1 for no key update skip locked) q"
        )))
        .bind(id.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(unwrap))
    }

    /// Takes the next number of a repository's runs.
    pub async fn next_run_number(&mut self, repository: RepositoryId) -> Result<i64, Error> {
        let number: Option<i64> = sqlx::query_scalar(
            "update repositories set next_run_number = next_run_number + 1 where id = $1
             returning next_run_number - 1",
        )
        .bind(repository.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        number.ok_or(Error::NotFound("repository"))
    }

    /// Adds a run. None: its delivery made one of this file before.
    pub async fn insert_run(&mut self, new: &InsertRun<'_>) -> Result<Option<RunId>, Error> {
        let InsertRun { id, number, .. } = *new;
        let named = new.plan.and_then(|plan| plan.title.as_deref());
        let title =
            named.unwrap_or(&new.event.git.message).lines().next().unwrap_or_default().replace('\0', "");
        let payload = new.event.payload.as_ref().map(serde_json::to_string).transpose()?;
        let inserted = sqlx::query(
            "insert into runs (id, repository_id, number, pipeline, status, reason, event, event_kind, sha, reference,
                title, actor, plan, plan_digest, source_text, diagnostics, concurrency_group, rerun_of, delivery_id,
                trusted, path, depth, payload, started_at, finished_at)
             values ($1, $2, $3, case when exists (select from runs o where o.repository_id = $2 and o.sha = $9
                        and o.pipeline = $4 and o.path <> $21) then $4 || ' (' || $21 || ')' else $4 end,
                $5, $6, $7, $8, $9, $10, $11, $12, $13::text::json, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                $23::text::json, case when $5 = 'running' then now() end, case when $5 = 'invalid' then now() end)",
        )
        .bind(id.0)
        .bind(new.repository.0)
        .bind(number)
        .bind(new.pipeline)
        .bind(new.status.as_str())
        .bind(new.reason)
        .bind(Json(new.event.without_payload()))
        .bind(new.event.kind.as_str())
        .bind(&new.event.git.sha)
        .bind(&new.event.git.reference)
        .bind(title)
        .bind(new.actor)
        .bind(new.plan.map(serde_json::to_string).transpose()?)
        .bind(new.plan_digest)
        .bind(new.source_text)
        .bind(Json(new.diagnostics))
        .bind(new.concurrency_group)
        .bind(new.rerun_of.map(|id| id.0))
        .bind(new.delivery.map(|id| id.0))
        .bind(new.event.trusted)
        .bind(new.path)
        .bind(new.depth)
        .bind(payload)
        .execute(&mut *self.inner)
        .await;
        match inserted {
            Ok(_) => Ok(Some(id)),
            Err(error) if is_duplicate(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The run that a delivery made of a file, for a kind of event, if it did.
    pub async fn run_of_delivery(
        &mut self,
        delivery: DeliveryId,
        path: &str,
        kind: EventKind,
    ) -> Result<Option<RunId>, Error> {
        let id: Option<uuid::Uuid> = sqlx::query_scalar(
            "select id from runs where delivery_id = $1 and path = $2 and event_kind = $3 and rerun_of is null",
        )
        .bind(delivery.0)
        .bind(path)
        .bind(kind.as_str())
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(id.map(RunId))
    }

    /// Whether a pipeline of this name has a run at a commit.
    pub async fn has_run_at(
        &mut self,
        repository: RepositoryId,
        pipeline: &str,
        sha: &str,
    ) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(
            "select exists (select from runs where repository_id = $1 and pipeline = $2 and sha = $3)",
        )
        .bind(repository.0)
        .bind(pipeline)
        .bind(sha)
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// What is wrong with the pipeline file of a run.
    pub async fn diagnostics(&mut self, id: RunId) -> Result<Vec<Diagnostic>, Error> {
        let found: Option<Json<Vec<Diagnostic>>> =
            sqlx::query_scalar("select diagnostics from runs where id = $1")
                .bind(id.0)
                .fetch_optional(&mut *self.inner)
                .await?;
        Ok(found.map(unwrap).unwrap_or_default())
    }

    /// All that the forge said about the event of a run.
    pub async fn payload(&mut self, id: RunId) -> Result<Option<Value>, Error> {
        let text: Option<Option<String>> = sqlx::query_scalar("select payload::text from runs where id = $1")
            .bind(id.0)
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(text.flatten().map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Moves a run on. One row, or the caller's view was old: [`Error::Refused`].
    pub async fn move_run(
        &mut self,
        id: RunId,
        from: RunStatus,
        to: RunStatus,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let done = sqlx::query(
            "update runs set status = $3, reason = $4,
                started_at = case when $3 = 'running' then coalesce(started_at, now()) else started_at end,
                finished_at = case when $5 then now() end
             where id = $1 and status = $2",
        )
        .bind(id.0)
        .bind(from.as_str())
        .bind(to.as_str())
        .bind(reason)
        .bind(to.is_final())
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(Error::Refused(format!("the run is no longer {from}: something was faster, look at it again")))
    }

    /// Says why a run is where it is, without moving it.
    pub async fn set_run_reason(&mut self, id: RunId, reason: Option<&str>) -> Result<(), Error> {
        sqlx::query("update runs set reason = $2 where id = $1")
            .bind(id.0)
            .bind(reason)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Notes who asked a run to stop (none: nobody any more, for a rerun in place).
    pub async fn set_cancel_requested(&mut self, id: RunId, by: Option<&str>) -> Result<(), Error> {
        sqlx::query("update runs set cancel_requested = $2 where id = $1")
            .bind(id.0)
            .bind(by)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Whether the forge of a repository is told of results.
    pub async fn is_told(&mut self, repository: RepositoryId) -> Result<bool, Error> {
        let forge: Option<String> = sqlx::query_scalar("select forge from repositories where id = $1")
            .bind(repository.0)
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(forge.as_deref() == Some("github"))
    }

    /// Serialises decisions about a concurrency group until the end of the transaction.
    pub async fn lock_group(&mut self, repository: RepositoryId, group: &str) -> Result<(), Error> {
        sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 7))")
            .bind(format!("{repository} {group}"))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The runs of a concurrency group that have not ended, oldest first, with their states.
    pub async fn open_runs_of_group(
        &mut self,
        repository: RepositoryId,
        group: &str,
    ) -> Result<Vec<(RunId, i64, RunStatus)>, Error> {
        let rows: Vec<(uuid::Uuid, i64, String)> = sqlx::query_as(
            "select id, number, status from runs
             where repository_id = $1 and concurrency_group = $2 and finished_at is null order by number",
        )
        .bind(repository.0)
        .bind(group)
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter()
            .map(|(id, number, status)| {
                let status = status.parse().map_err(|error| Error::Internal(anyhow::Error::new(error)))?;
                Ok((RunId(id), number, status))
            })
            .collect()
    }
}
