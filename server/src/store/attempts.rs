//! Attempts: a runner's try at a stage, its lease, and the fence around what the runner writes.
//!
//! A runner's write counts while its attempt is running, is this runner's and carries this epoch. The attempt's
//! row is locked `for share` by such a write, and for change by whatever ends the attempt, so of a write and an
//! end that meet, one waits for the other and then sees what it did: nothing is written to an attempt that ended.
//! That needs no lock on the run; renewals, steps and logs are frequent and never take it.
//!
//! A lease that ran out is still good until somebody calls the attempt lost. After the server or the database was
//! away, runners may thus go on.

use std::time::Duration;

use serde::Deserialize;
use sqlx::types::Json;
use tidegate_pipelines::plan::StageKey;
use tidegate_protocol::{
    ids::{AttemptId, RepositoryId, RunId, RunnerId, StageId},
    messages::Finish,
    status::AttemptStatus,
};
use uuid::Uuid;

use super::{Db, Tx, unwrap};
use crate::error::Error;

/// An attempt that a runner holds, as the fence let it through.
#[derive(Debug, Clone, Deserialize)]
pub struct Held {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its stage.
    pub stage: StageId,
    /// Its run.
    pub run: RunId,
    /// The run's repository.
    pub repository: RepositoryId,
    /// The stage's key in the plan.
    pub stage_key: StageKey,
    /// Which try at the stage it is, from 1.
    pub number: i32,
    /// Whether the runner is to stop it.
    pub cancel: bool,
}

/// A new attempt.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    /// Its id.
    pub id: AttemptId,
    /// Which try at the stage it is, from 1.
    pub number: i32,
    /// Its fence.
    pub epoch: i64,
}

/// What is known of an attempt that reports its end.
#[derive(Debug, Deserialize)]
pub struct Ending {
    /// Its run, to be locked before anything else is.
    pub run: RunId,
    /// Its stage.
    pub stage: StageId,
    /// Whose it is.
    pub runner: RunnerId,
    /// Its fence.
    pub epoch: i64,
    /// The end that was reported before.
    pub finish: Option<Finish>,
}

/// How an attempt ends.
#[derive(Debug)]
pub struct Closing<'a> {
    /// Where it goes.
    pub status: AttemptStatus,
    /// Why, in one sentence.
    pub reason: Option<&'a str>,
    /// Exit code of the step that failed.
    pub exit_code: Option<i32>,
    /// As reported by the runner.
    pub finish: Option<&'a Finish>,
}

/// A stage that a runner could take.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The stage.
    pub stage: StageId,
    /// Its run.
    pub run: RunId,
}

/// Where a stage's source comes from, the login still sealed.
#[derive(Debug, Clone)]
pub struct CloneSource {
    /// `owner/name`.
    pub full_name: String,
    /// Clone URL.
    pub clone_url: String,
    /// `user:token`, sealed.
    pub token_sealed: Option<Vec<u8>>,
}

/// A rollback goes on although its run was told to stop: what it undoes has happened.
const CANCEL: &str = "(s.cancel_requested or (r.cancel_requested is not null and s.rollback_of is null))";

/// What a runner (`$1`) with labels (`$2`) may take, but for those it is not to be offered again (`$3`).
const MAY_TAKE: &str = "s.status = 'queued' and s.not_before <= now() and s.labels <@ $2
    and (s.pinned_runner is null or s.pinned_runner = $1) and s.id <> all($3)
    and exists (select from runners n where n.id = $1 and not n.disabled)";

impl Db {
    /// Attempts whose lease ended longer ago than `margin`, the oldest first. The database's own start counts too:
    /// while it was away nobody could renew, so nothing is called lost until it has been up for `lease` and margin.
    pub async fn expired_attempts(
        &self,
        lease: Duration,
        margin: Duration,
    ) -> Result<Vec<(AttemptId, RunId)>, Error> {
        let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "select id, run_id from attempts
             where status = 'running' and lease_expires_at + make_interval(secs => $1) < now()
               and pg_postmaster_start_time() + make_interval(secs => $2) < now()
             order by lease_expires_at limit 100",
        )
        .bind(margin.as_secs_f64())
        .bind((lease + margin).as_secs_f64())
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(attempt, run)| (AttemptId(attempt), RunId(run))).collect())
    }
}

impl Tx {
    /// The oldest stage that a runner could take, whoever is at work on its run.
    pub async fn claimable(
        &mut self,
        runner: RunnerId,
        labels: &[String],
        except: &[StageId],
    ) -> Result<Option<Candidate>, Error> {
        let row: Option<(Uuid, Uuid)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select s.id, s.run_id from stages s where {MAY_TAKE} order by s.queued_at, s.position, s.id limit 1"
        )))
        .bind(runner.0)
        .bind(labels)
        .bind(except.iter().map(|id| id.0).collect::<Vec<_>>())
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(|(stage, run)| Candidate { stage: StageId(stage), run: RunId(run) }))
    }

    /// The oldest stage that a runner could take, of runs that nobody is at work on. Locks its run.
    pub async fn take_claimable(
        &mut self,
        runner: RunnerId,
        labels: &[String],
        except: &[StageId],
    ) -> Result<Option<Candidate>, Error> {
        let row: Option<(Uuid, Uuid)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select s.id, s.run_id from stages s join runs r on r.id = s.run_id where {MAY_TAKE}
             order by s.queued_at, s.position, s.id limit 1 for no key update of r skip locked"
        )))
        .bind(runner.0)
        .bind(labels)
        .bind(except.iter().map(|id| id.0).collect::<Vec<_>>())
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(|(stage, run)| Candidate { stage: StageId(stage), run: RunId(run) }))
    }

    /// Whether the stage can still be taken, now that its run is locked.
    pub async fn still_claimable(
        &mut self,
        stage: StageId,
        runner: RunnerId,
        labels: &[String],
    ) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select exists (select from stages s where s.id = $4 and {MAY_TAKE})"
        )))
        .bind(runner.0)
        .bind(labels)
        .bind(Vec::<Uuid>::new())
        .bind(stage.0)
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// Begins an attempt: the stage's next epoch and the next number. The lease runs by the database's clock.
    pub async fn begin_attempt(
        &mut self,
        stage: StageId,
        run: RunId,
        runner: RunnerId,
        lease: Duration,
    ) -> Result<Begun, Error> {
        let id = AttemptId::new();
        let (number, epoch): (i32, i64) = sqlx::query_as(
            "with stage as (update stages set epoch = epoch + 1, attempts = attempts + 1 where id = $2
                            returning epoch, attempts)
             insert into attempts (id, stage_id, run_id, runner_id, number, epoch, started_at, lease_expires_at)
             select $1, $2, $3, $4, stage.attempts, stage.epoch, clock_timestamp(),
                    clock_timestamp() + make_interval(secs => $5)
             from stage returning number, epoch",
        )
        .bind(id.0)
        .bind(stage.0)
        .bind(run.0)
        .bind(runner.0)
        .bind(lease.as_secs_f64())
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(Begun { id, number, epoch })
    }

    /// Lets a runner's write through, or refuses it. The attempt cannot end before this transaction does.
    ///
    /// A refusal undoes the transaction and leaves a row in `refused_writes`. That is done on the transaction's own
    /// connection, so that refusals cannot use up the pool.
    pub async fn fenced(
        &mut self,
        runner: RunnerId,
        attempt: AttemptId,
        epoch: i64,
        call: &str,
    ) -> Result<Held, Error> {
        let held: Option<Json<Held>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (
                select a.id as attempt, a.stage_id as stage, a.run_id as run, r.repository_id as repository,
                       s.key as stage_key, a.number, {CANCEL} as cancel
                from attempts a join stages s on s.id = a.stage_id join runs r on r.id = a.run_id
                where a.id = $1 and a.runner_id = $2 and a.epoch = $3 and a.status = 'running' for share of a) q"
        )))
        .bind(attempt.0)
        .bind(runner.0)
        .bind(epoch)
        .fetch_optional(&mut *self.inner)
        .await?;
        match held {
            Some(held) => Ok(unwrap(held)),
            None => Err(self.refuse(runner, attempt, epoch, call).await?),
        }
    }

    /// Goes on with a lease; answers whether the runner is to stop.
    pub async fn renew_lease(
        &mut self,
        runner: RunnerId,
        attempt: AttemptId,
        epoch: i64,
        lease: Duration,
        backlog_bytes: i64,
    ) -> Result<bool, Error> {
        let cancel: Option<bool> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "update attempts a
             set lease_expires_at = clock_timestamp() + make_interval(secs => $4), backlog_bytes = $5
             from stages s, runs r
             where a.id = $1 and a.runner_id = $2 and a.epoch = $3 and a.status = 'running'
               and s.id = a.stage_id and r.id = a.run_id
             returning {CANCEL}"
        )))
        .bind(attempt.0)
        .bind(runner.0)
        .bind(epoch)
        .bind(lease.as_secs_f64())
        .bind(backlog_bytes)
        .fetch_optional(&mut *self.inner)
        .await?;
        match cancel {
            Some(cancel) => Ok(cancel),
            None => Err(self.refuse(runner, attempt, epoch, "renew").await?),
        }
    }

    /// An attempt that reports its end. Reads only.
    pub async fn ending(&mut self, attempt: AttemptId) -> Result<Option<Ending>, Error> {
        let row: Option<Json<Ending>> = sqlx::query_scalar(
            "select json_build_object('run', run_id, 'stage', stage_id, 'runner', runner_id, 'epoch', epoch, 'finish', finish)
             from attempts where id = $1",
        )
        .bind(attempt.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(unwrap))
    }

    /// Ends a running attempt and whatever of its steps had not ended. The run is locked.
    pub async fn close_attempt(&mut self, attempt: AttemptId, closing: &Closing<'_>) -> Result<(), Error> {
        let done = sqlx::query(
            "update attempts set status = $2, reason = $3, exit_code = $4, finish = $5, finished_at = now(),
                backlog_bytes = 0
             where id = $1 and status = 'running'",
        )
        .bind(attempt.0)
        .bind(closing.status.as_str())
        .bind(closing.reason)
        .bind(closing.exit_code)
        .bind(closing.finish.map(Json))
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 0 {
            return Err(Error::Refused("the attempt has ended already".to_owned()));
        }
        self.close_steps(attempt).await
    }

    /// Calls an attempt lost, unless it was renewed or ended since it was looked at. The run is locked. Answers its
    /// stage and number.
    pub async fn lose_attempt(
        &mut self,
        attempt: AttemptId,
        margin: Duration,
        reason: &str,
    ) -> Result<Option<(StageId, i32)>, Error> {
        let row: Option<(Uuid, i32)> = sqlx::query_as(
            "update attempts set status = 'lost', reason = $3, finished_at = now()
             where id = $1 and status = 'running'
               and lease_expires_at + make_interval(secs => $2) < clock_timestamp()
             returning stage_id, number",
        )
        .bind(attempt.0)
        .bind(margin.as_secs_f64())
        .bind(reason)
        .fetch_optional(&mut *self.inner)
        .await?;
        if row.is_some() {
            self.close_steps(attempt).await?;
        }
        Ok(row.map(|(stage, number)| (StageId(stage), number)))
    }

    /// Where the run's source is.
    pub async fn clone_source(&mut self, repository: RepositoryId) -> Result<CloneSource, Error> {
        let row: Option<(String, String, Option<Vec<u8>>)> =
            sqlx::query_as("select full_name, clone_url, clone_token_sealed from repositories where id = $1")
                .bind(repository.0)
                .fetch_optional(&mut *self.inner)
                .await?;
        let (full_name, clone_url, token_sealed) = row.ok_or(Error::NotFound("repository"))?;
        Ok(CloneSource { full_name, clone_url, token_sealed })
    }

    /// Undoes this transaction, keeps the evidence of a refused write, and says why it was refused.
    async fn refuse(
        &mut self,
        runner: RunnerId,
        attempt: AttemptId,
        epoch: i64,
        call: &str,
    ) -> Result<Error, Error> {
        let known: Option<(Uuid, i64, String, i32, String)> = sqlx::query_as(
            "select a.runner_id, a.epoch, a.status, a.number, s.key from attempts a
             join stages s on s.id = a.stage_id where a.id = $1",
        )
        .bind(attempt.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        let reason = match known {
            None => "there is no such attempt any more".to_owned(),
            Some((owner, ..)) if owner != runner.0 => "the attempt is another runner's".to_owned(),
            Some((_, current, ..)) if current != epoch => {
                format!("the attempt's epoch is {current}, and the call carries {epoch}")
            }
            Some((_, _, status, number, stage)) if status == "lost" => {
                format!("attempt {number} of stage `{stage}` was given up as lost, because its lease ended")
            }
            Some((_, _, status, number, stage)) => {
                format!("attempt {number} of stage `{stage}` has ended: {status}")
            }
        };
        // From here to `begin` the connection is outside of any transaction, and the row is stored at once.
        sqlx::raw_sql("rollback").execute(&mut *self.inner).await?;
        sqlx::query(
            "insert into refused_writes (runner_id, attempt_id, epoch, call, reason) values ($1, $2, $3, $4, $5)",
        )
        .bind(runner.0)
        .bind(attempt.0)
        .bind(epoch)
        .bind(call)
        .bind(&reason)
        .execute(&mut *self.inner)
        .await?;
        sqlx::raw_sql("begin").execute(&mut *self.inner).await?;
        Ok(Error::Fenced(reason))
    }
}
