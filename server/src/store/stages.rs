//! Stages: rows and transitions. The run is locked by whoever calls anything that writes.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use tidegate_pipelines::plan::{StageKey, StagePlan};
use tidegate_protocol::{
    ids::{DeploymentId, RunId, RunnerId, StageId},
    status::StageStatus,
};

use super::{Db, Tx, unwrap};
use crate::error::Error;

/// A stage.
#[derive(Debug, Clone, Deserialize)]
pub struct StageRow {
    /// Its id.
    pub id: StageId,
    /// Its run.
    pub run_id: RunId,
    /// Its key in the plan.
    pub key: StageKey,
    /// Order on the page.
    pub position: i32,
    /// What it does, templates as written (those of a rollback are literal).
    pub plan: StagePlan,
    /// Its verb.
    pub verb: String,
    /// Where it is.
    pub status: StageStatus,
    /// Why it is there.
    pub reason: Option<String>,
    /// The fence; grows with each lease.
    pub epoch: i64,
    /// Attempts so far.
    pub attempts: i32,
    /// Those of them before the stage was last started over.
    pub attempts_before: i32,
    /// Labels that a runner must carry.
    pub labels: Vec<String>,
    /// The only runner that may lease it.
    pub pinned_runner: Option<RunnerId>,
    /// The environment, once known.
    pub environment: Option<String>,
    /// Its concurrency group, once its turn has come.
    pub concurrency_group: Option<String>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// The deployment that it undoes.
    pub rollback_of: Option<DeploymentId>,
    /// Its runner is to stop it.
    pub cancel_requested: bool,
    /// No attempt before this time.
    pub not_before: Timestamp,
    /// When it became ready for a runner.
    pub queued_at: Option<Timestamp>,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl StageRow {
    /// SHA-256 of its plan's JSON: what an approval is for.
    pub fn digest(&self) -> Vec<u8> {
        // What was read from JSON can be written as JSON.
        let json = serde_json::to_vec(&self.plan).unwrap_or_default();
        Sha256::digest(json).to_vec()
    }
}

const COLUMNS: &str =
    "id, run_id, key, position, plan, verb, status, reason, epoch, attempts, attempts_before, labels, pinned_runner,
    environment, concurrency_group, outputs, rollback_of, cancel_requested, not_before, queued_at, started_at, finished_at";

impl Db {
    /// The run of a stage.
    pub async fn run_of_stage(&self, id: StageId) -> Result<RunId, Error> {
        let run: Option<uuid::Uuid> = sqlx::query_scalar("select run_id from stages where id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        run.map(RunId).ok_or(Error::NotFound("stage"))
    }
}

impl Tx {
    /// The stages of a run, in order.
    pub async fn stages(&mut self, run: RunId) -> Result<Vec<StageRow>, Error> {
        let rows: Vec<Json<StageRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {COLUMNS} from stages where run_id = $1 order by position, id) q"
        )))
        .bind(run.0)
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// A stage.
    pub async fn stage(&mut self, id: StageId) -> Result<StageRow, Error> {
        let row: Option<Json<StageRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {COLUMNS} from stages where id = $1) q"
        )))
        .bind(id.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(unwrap).ok_or(Error::NotFound("stage"))
    }

    /// Adds a stage to a run that undoes a deployment, blocked.
    pub async fn insert_rollback(
        &mut self,
        run: RunId,
        position: i32,
        plan: &StagePlan,
        rollback_of: DeploymentId,
    ) -> Result<StageId, Error> {
        let id = StageId::new();
        sqlx::query(
            "insert into stages (id, run_id, key, position, plan, verb, labels, rollback_of)
             values ($1, $2, $3, $4, $5::text::json, $6, $7, $8)",
        )
        .bind(id.0)
        .bind(run.0)
        .bind(&plan.key.0)
        .bind(position)
        .bind(serde_json::to_string(plan)?)
        .bind(plan.verb.name())
        .bind(&plan.runner_labels)
        .bind(rollback_of.0)
        .execute(&mut *self.inner)
        .await?;
        Ok(id)
    }

    /// Adds stages to a run, blocked, from a position on in their order. By one statement: a matrix makes many.
    pub async fn insert_stages(&mut self, run: RunId, first: i32, plans: &[StagePlan]) -> Result<(), Error> {
        let ids: Vec<uuid::Uuid> = plans.iter().map(|_| StageId::new().0).collect();
        let keys: Vec<&str> = plans.iter().map(|plan| plan.key.0.as_str()).collect();
        let positions: Vec<i32> = (first..).take(plans.len()).collect();
        let verbs: Vec<&str> = plans.iter().map(|plan| plan.verb.name()).collect();
        let texts = plans.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let labels = plans
            .iter()
            .map(|plan| serde_json::to_string(&plan.runner_labels))
            .collect::<Result<Vec<_>, _>>()?;
        sqlx::query(
            "insert into stages (id, run_id, key, position, plan, verb, labels)
             select n.id, $1, n.key, n.position, n.plan::json, n.verb,
                 array(select jsonb_array_elements_text(n.labels::jsonb))
             from unnest($2::uuid[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::text[])
                 as n (id, key, position, plan, verb, labels)",
        )
        .bind(run.0)
        .bind(ids)
        .bind(keys)
        .bind(positions)
        .bind(texts)
        .bind(verbs)
        .bind(labels)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Takes a stage away that stood for others and that no runner ever had.
    pub async fn remove_stage(&mut self, id: StageId) -> Result<(), Error> {
        let done = sqlx::query("delete from stages where id = $1 and status = 'blocked' and attempts = 0")
            .bind(id.0)
            .execute(&mut *self.inner)
            .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(Error::Refused("the stage is no longer blocked".to_owned()))
    }

    /// What a stage does, with what comes before it as that is now.
    pub async fn set_stage_plan(&mut self, id: StageId, plan: &StagePlan) -> Result<(), Error> {
        sqlx::query("update stages set plan = $2::text::json where id = $1")
            .bind(id.0)
            .bind(serde_json::to_string(plan)?)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Moves the stages after a place on, so that so many have room from it on.
    pub async fn make_room(&mut self, run: RunId, position: i32, count: usize) -> Result<(), Error> {
        let by = i32::try_from(count.saturating_sub(1)).unwrap_or(i32::MAX);
        if by == 0 {
            return Ok(());
        }
        sqlx::query("update stages set position = position + $3 where run_id = $1 and position > $2")
            .bind(run.0)
            .bind(position)
            .bind(by)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Moves a stage on. One row, or the caller's view was old: [`Error::Refused`].
    pub async fn move_stage(
        &mut self,
        id: StageId,
        from: StageStatus,
        to: StageStatus,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let done = sqlx::query(
            "update stages set status = $3, reason = $4,
                queued_at = case when $3 = 'queued' then now() else queued_at end,
                attempts_before = case when $3 = 'blocked' then attempts else attempts_before end,
                concurrency_group = case when $3 = 'blocked' then null else concurrency_group end,
                group_since = case when $3 = 'blocked' then null else group_since end,
                started_at = case when $3 = 'running' then coalesce(started_at, now())
                                  when $3 = 'blocked' then null else started_at end,
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
        Err(Error::Refused(format!(
            "the stage is no longer {from}: something was faster, look at the run again"
        )))
    }

    /// Says why a stage is where it is, without moving it.
    pub async fn set_stage_reason(&mut self, id: StageId, reason: Option<&str>) -> Result<(), Error> {
        sqlx::query("update stages set reason = $2 where id = $1")
            .bind(id.0)
            .bind(reason)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// What a stage may be leased with: the only runner it may go to, and not before so long from now.
    pub async fn set_stage_dispatch(
        &mut self,
        id: StageId,
        pinned: Option<RunnerId>,
        wait: Duration,
    ) -> Result<(), Error> {
        sqlx::query(
            "update stages set pinned_runner = $2, not_before = now() + make_interval(secs => $3) where id = $1",
        )
        .bind(id.0)
        .bind(pinned.map(|id| id.0))
        .bind(wait.as_secs_f64())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// The environment that a stage is about, now that its template could be read.
    pub async fn set_stage_environment(&mut self, id: StageId, environment: &str) -> Result<(), Error> {
        sqlx::query("update stages set environment = $2 where id = $1")
            .bind(id.0)
            .bind(environment)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// A stage's outputs.
    pub async fn set_stage_outputs(
        &mut self,
        id: StageId,
        outputs: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        sqlx::query("update stages set outputs = $2 where id = $1")
            .bind(id.0)
            .bind(Json(outputs))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Asks the runner of a stage to stop it, or takes that back.
    pub async fn set_stage_cancel(&mut self, id: StageId, cancel: bool) -> Result<(), Error> {
        sqlx::query("update stages set cancel_requested = $2 where id = $1")
            .bind(id.0)
            .bind(cancel)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The runner of each stage's last attempt, by key.
    pub async fn last_runners(&mut self, run: RunId) -> Result<BTreeMap<StageKey, RunnerId>, Error> {
        let rows: Vec<(String, uuid::Uuid)> = sqlx::query_as(
            "select distinct on (s.key) s.key, a.runner_id from stages s join attempts a on a.stage_id = s.id
             where s.run_id = $1 order by s.key, a.number desc",
        )
        .bind(run.0)
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(|(key, runner)| (StageKey(key), RunnerId(runner))).collect())
    }
}
