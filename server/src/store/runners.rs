//! Runners: what they say of themselves, and which queued stages none of them can take.
//!
//! A runner is online while it called within the last minute: claims and renewals both count.

use serde::Deserialize;
use sqlx::types::Json;
use tidegate_pipelines::plan::StageKey;
use tidegate_protocol::{
    ids::{RunId, RunnerId, StageId},
    messages::Claim,
    status::StageStatus,
};

use super::{Db, Tx, unwrap};
use crate::error::Error;

/// A queued stage and who could take it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Waiting {
    /// Why it waits, as shown.
    pub reason: Option<String>,
    /// Labels that a runner must carry.
    pub labels: Vec<String>,
    /// Those of them that no runner online carries.
    pub missing: Vec<String>,
    /// The name of the only runner that may take it.
    pub pinned: Option<String>,
    /// A runner that could take it is online.
    pub served: bool,
    /// One that could is disabled.
    pub disabled: bool,
}

/// A queued stage.
#[derive(Debug, Clone, Deserialize)]
pub struct WaitingStage {
    /// The stage.
    pub stage: StageId,
    /// Its run.
    pub run: RunId,
    /// Its key in the plan.
    pub key: StageKey,
    /// Who could take it.
    #[serde(flatten)]
    pub waiting: Waiting,
}

impl Db {
    /// A runner's name.
    pub async fn runner_name(&self, runner: RunnerId) -> Result<String, Error> {
        let name: Option<String> = sqlx::query_scalar("select name from runners where id = $1")
            .bind(runner.0)
            .fetch_optional(&self.pool)
            .await?;
        name.ok_or(Error::NotFound("runner"))
    }

    /// Queued stages that no runner online could take, and those that were said to be such.
    pub async fn waiting_stages(&self) -> Result<Vec<WaitingStage>, Error> {
        let rows: Vec<Json<WaitingStage>> = sqlx::query_scalar(
            "with n as (select id, name, labels, disabled,
                    not disabled and coalesce(last_seen_at > now() - interval '1 minute', false) as online
                from runners)
             select to_json(q) from (
                select s.id as stage, s.run_id as run, s.key, s.reason, s.labels,
                    array(select l from unnest(s.labels) l
                          where not exists (select from n where n.online and l = any(n.labels))) as missing,
                    (select n.name from n where n.id = s.pinned_runner) as pinned,
                    exists (select from n where n.online and s.labels <@ n.labels
                            and (s.pinned_runner is null or s.pinned_runner = n.id)) as served,
                    exists (select from n where n.disabled and s.labels <@ n.labels
                            and (s.pinned_runner is null or s.pinned_runner = n.id)) as disabled
                from stages s where s.status = 'queued' order by s.queued_at) q
             where not q.served or q.reason like 'no runner %' or q.reason like 'runner %'",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}

impl Tx {
    /// A runner called: what it says of itself.
    pub async fn runner_called(&mut self, runner: RunnerId, claim: &Claim) -> Result<(), Error> {
        sqlx::query(
            "update runners set labels = $2, version = $3, free_slots = $4, last_seen_at = now() where id = $1",
        )
        .bind(runner.0)
        .bind(&claim.labels)
        .bind(&claim.version)
        .bind(i32::try_from(claim.free_slots).unwrap_or(i32::MAX))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// A runner is at work: it was seen now, to ten seconds.
    pub async fn runner_seen(&mut self, runner: RunnerId) -> Result<(), Error> {
        sqlx::query(
            "update runners set last_seen_at = now()
             where id = $1 and coalesce(last_seen_at < now() - interval '10 seconds', true)",
        )
        .bind(runner.0)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Runners that went offline have no free slots. Answers their names.
    pub async fn forget_free_slots(&mut self) -> Result<Vec<String>, Error> {
        Ok(sqlx::query_scalar(
            "update runners set free_slots = 0
             where free_slots > 0 and coalesce(last_seen_at <= now() - interval '1 minute', true) returning name",
        )
        .fetch_all(&mut *self.inner)
        .await?)
    }

    /// Says why a queued stage waits. The run is locked. False: it is no longer queued, or that is said already.
    pub async fn explain_queued(&mut self, stage: StageId, reason: &str) -> Result<bool, Error> {
        let done = sqlx::query(
            "update stages set reason = $3 where id = $1 and status = $2 and reason is distinct from $3",
        )
        .bind(stage.0)
        .bind(StageStatus::Queued.as_str())
        .bind(reason)
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
