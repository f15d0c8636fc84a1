//! Gates and the decisions at them. The run of a gate is locked by whoever writes here.

use jiff::Timestamp;
use serde::Deserialize;
use sqlx::types::Json;
use tidegate_protocol::{
    ids::{EnvironmentId, GateId, RunId, StageId, UserId},
    status::GateStatus,
};

use super::{Db, Tx, bytes_as_hex, unwrap};
use crate::error::Error;

/// Names of who started a run, the run that it repeats, and so on, or ran one of them again.
macro_rules! caused_by {
    ($run:literal) => {
        concat!(
            "with recursive chain as (select id, actor, rerun_of from runs where id = ",
            $run,
            " union select r.id, r.actor, r.rerun_of from runs r join chain c on r.id = c.rerun_of)
             select actor from chain
             union select e.detail->>'by' from events e join chain c on c.id = e.run_id
                 where e.kind = 'run.rerun' and e.detail->>'by' is not null"
        )
    };
}
pub(in crate::store) use caused_by;

/// A gate.
#[derive(Debug, Clone, Deserialize)]
pub struct GateRow {
    /// Its id.
    pub id: GateId,
    /// Its run.
    pub run_id: RunId,
    /// The stage that waits.
    pub stage_id: StageId,
    /// What would be deployed to.
    pub environment_id: EnvironmentId,
    /// Where it is.
    pub status: GateStatus,
    /// Why.
    pub reason: Option<String>,
    /// The commit that an approval is for.
    pub sha: String,
    /// The plan that an approval is for.
    #[serde(deserialize_with = "bytes_as_hex::deserialize")]
    pub plan_digest: Vec<u8>,
    /// The stage's own plan that an approval is for; none: a server of the version before opened it.
    #[serde(deserialize_with = "bytes_as_hex::option::deserialize")]
    pub stage_digest: Option<Vec<u8>>,
    /// The image that an approval is for.
    pub image: String,
    /// How many people must approve.
    pub required_approvals: i32,
    /// How many did.
    pub approvals: i64,
    /// Its wait timer ended.
    pub ready: bool,
    /// Nobody decided in time.
    pub overdue: bool,
    /// When its stage was queued by it.
    pub consumed_at: Option<Timestamp>,
}

/// A decision as it was made.
#[derive(Debug, Clone, Deserialize)]
pub struct DecisionRow {
    /// Who.
    pub user_id: UserId,
    /// Who.
    pub username: String,
    /// `approve` or `reject`.
    pub verdict: String,
    /// The person's role now.
    pub role_now: String,
    /// Whether the person may log in now.
    pub disabled_now: bool,
}

/// A gate to open.
#[derive(Debug)]
pub struct NewGate<'a> {
    /// Its run.
    pub run: RunId,
    /// The stage that waits.
    pub stage: StageId,
    /// What would be deployed to.
    pub environment: EnvironmentId,
    /// The commit that an approval is for.
    pub sha: &'a str,
    /// The plan that an approval is for.
    pub plan_digest: &'a [u8],
    /// The stage's own plan that an approval is for.
    pub stage_digest: &'a [u8],
    /// The image that an approval is for.
    pub image: &'a str,
}

const SELECT: &str =
    "select to_json(q) from (select g.id, g.run_id, g.stage_id, g.environment_id, g.status, g.reason,
    g.sha, g.plan_digest, g.stage_digest, g.image, g.required_approvals, g.consumed_at, g.ready_at <= now() as ready,
    g.expires_at <= now() as overdue,
    (select count(*) from decisions d where d.gate_id = g.id and d.verdict = 'approve') as approvals
    from gates g";

impl Db {
    /// The run of a gate.
    pub async fn run_of_gate(&self, id: GateId) -> Result<RunId, Error> {
        let run: Option<uuid::Uuid> = sqlx::query_scalar("select run_id from gates where id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        run.map(RunId).ok_or(Error::NotFound("gate"))
    }
}

impl Tx {
    /// The newest gate of each stage of a run.
    pub async fn newest_gates(&mut self, run: RunId) -> Result<Vec<GateRow>, Error> {
        let rows: Vec<Json<GateRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "{SELECT} where g.run_id = $1 and not exists (select from gates n where n.stage_id = g.stage_id and n.id > g.id)) q"
        )))
        .bind(run.0)
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// A gate.
    pub async fn gate(&mut self, id: GateId) -> Result<GateRow, Error> {
        let row: Option<Json<GateRow>> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("{SELECT} where g.id = $1) q")))
                .bind(id.0)
                .fetch_optional(&mut *self.inner)
                .await?;
        row.map(unwrap).ok_or(Error::NotFound("gate"))
    }

    /// The gate that let a stage through, if one did and it was not taken back.
    pub async fn consumed_gate(&mut self, stage: StageId) -> Result<Option<GateRow>, Error> {
        let row: Option<Json<GateRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "{SELECT} where g.stage_id = $1 and g.status = 'approved' and g.consumed_at is not null) q"
        )))
        .bind(stage.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(unwrap))
    }

    /// Opens a gate with the rules that its environment has now.
    pub async fn open_gate(&mut self, new: &NewGate<'_>) -> Result<GateId, Error> {
        let id = GateId::new();
        sqlx::query(
            "insert into gates (id, run_id, stage_id, environment_id, sha, plan_digest, image, required_approvals,
                stage_digest, ready_at, expires_at)
             select $1, $2, $3, e.id, $5, $6, $7, e.required_approvals, $8, now() + make_interval(secs => e.wait_seconds),
                now() + make_interval(secs => e.gate_expires_seconds + e.wait_seconds)
             from environments e where e.id = $4",
        )
        .bind(id.0)
        .bind(new.run.0)
        .bind(new.stage.0)
        .bind(new.environment.0)
        .bind(new.sha)
        .bind(new.plan_digest)
        .bind(new.image)
        .bind(new.stage_digest)
        .execute(&mut *self.inner)
        .await?;
        Ok(id)
    }

    /// Moves a gate on. One row, or the caller's view was old: [`Error::Refused`].
    pub async fn move_gate(
        &mut self,
        id: GateId,
        from: GateStatus,
        to: GateStatus,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let done = sqlx::query(
            "update gates set status = $3, reason = $4, closed_at = now() where id = $1 and status = $2",
        )
        .bind(id.0)
        .bind(from.as_str())
        .bind(to.as_str())
        .bind(reason)
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(Error::Refused(format!("the gate is no longer {from}")))
    }

    /// Uses a gate up, or (when its stage was not leased after all) gives it back.
    pub async fn consume_gate(&mut self, id: GateId, consume: bool) -> Result<(), Error> {
        let done = sqlx::query(
            "update gates set consumed_at = case when $2 then now() end
             where id = $1 and status = 'approved' and (consumed_at is null) = $2",
        )
        .bind(id.0)
        .bind(consume)
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(Error::Refused("the gate was used".to_owned())) }
    }

    /// Ends the gates of a stage that ended or starts over.
    pub async fn void_gates(&mut self, stage: StageId, reason: &str) -> Result<(), Error> {
        sqlx::query(
            "update gates set status = 'voided', reason = $2, closed_at = now()
             where stage_id = $1 and status in ('open', 'approved')",
        )
        .bind(stage.0)
        .bind(reason)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Records a person's decision. False: the person has decided here before.
    pub async fn insert_decision(
        &mut self,
        gate: GateId,
        by: &crate::actor::Actor,
        verdict: &str,
        comment: &str,
    ) -> Result<bool, Error> {
        let done = sqlx::query(
            "insert into decisions (gate_id, user_id, username, role, verdict, comment, via)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
        )
        .bind(gate.0)
        .bind(by.user.0)
        .bind(&by.username)
        .bind(by.role.as_str())
        .bind(verdict)
        .bind(comment)
        .bind(by.via.as_str())
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The decisions at a gate, oldest first, with what their makers are now.
    pub async fn decisions(&mut self, gate: GateId) -> Result<Vec<DecisionRow>, Error> {
        let rows: Vec<Json<DecisionRow>> = sqlx::query_scalar(
            "select to_json(q) from (select d.user_id, d.username, d.verdict, u.role as role_now,
                u.disabled as disabled_now from decisions d join users u on u.id = d.user_id
             where d.gate_id = $1 order by d.at, d.user_id) q",
        )
        .bind(gate.0)
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// Everybody who started a run or ran it again, here or as the run that it repeats.
    pub async fn caused_by(&mut self, run: RunId) -> Result<Vec<String>, Error> {
        Ok(sqlx::query_scalar(caused_by!("$1")).bind(run.0).fetch_all(&mut *self.inner).await?)
    }

    /// A person's role and whether they are shut out, read inside the transaction that relies on it.
    pub async fn standing(&mut self, user: UserId) -> Result<Option<(String, bool)>, Error> {
        Ok(sqlx::query_as("select role, disabled from users where id = $1 for share")
            .bind(user.0)
            .fetch_optional(&mut *self.inner)
            .await?)
    }
}
