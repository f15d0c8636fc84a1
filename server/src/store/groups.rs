//! Concurrency groups of stages and of calls. A stage is in its group by columns of its own, a call by a row; both
//! together are the view `group_members`.
//!
//! Whoever decides about a group holds its lock ([`Tx::lock_group`]), so that no two come first.

use serde::Deserialize;
use sqlx::types::Json;
use tidegate_pipelines::plan::{Concurrency, StageKey};
use tidegate_protocol::ids::{RepositoryId, RunId, StageId};

use super::{Db, Tx, unwrap};
use crate::error::Error;

/// A stage or a call in the queue of a concurrency group.
#[derive(Debug, Clone, Deserialize)]
pub struct GroupMember {
    /// Its run.
    pub run_id: RunId,
    /// Its run's number.
    pub run_number: i64,
    /// The stage, if it is one.
    pub stage: Option<StageId>,
    /// The call's key, if it is one.
    pub call: Option<String>,
    /// The key of either.
    pub key: StageKey,
    /// The stage is queued or with a runner; a stage of the call was.
    pub at_work: bool,
}

/// A stage or a call that a newer one of its concurrency group takes the place of.
#[derive(Debug, Clone, Deserialize)]
pub struct Superseded {
    /// Its run.
    pub run: RunId,
    /// The stage, if it is one.
    pub stage: Option<StageId>,
    /// The call's key, if it is one.
    pub call: Option<String>,
    /// The newer one's key.
    pub by: StageKey,
    /// The newer one's run's number.
    pub by_run: i64,
    /// Only while it waits: once it is at work it is left alone.
    pub waiting_only: bool,
}

/// A call in its concurrency group.
#[derive(Debug, Clone, Deserialize)]
pub struct CallGroup {
    /// The call's key.
    pub call: String,
    /// The group.
    pub concurrency_group: String,
    /// A stage of it was queued.
    pub at_work: bool,
}

impl Db {
    /// What a newer one of its concurrency group takes the place of, and was not told yet: each older one, or those that
    /// wait for another of the group.
    pub async fn superseded(&self, limit: i64) -> Result<Vec<Superseded>, Error> {
        let rows: Vec<Json<Superseded>> = sqlx::query_scalar(
            "select to_json(q) from (select distinct on (o.tie) o.run_id as run, o.stage, o.call, n.key as by,
                 n.run_number as by_run, not n.cancel_superseded as waiting_only
             from group_members n join group_members o on o.concurrency_group = n.concurrency_group
                 and o.repository_id = n.repository_id and (o.since, o.tie) < (n.since, n.tie) and not o.stopping
             where n.cancel_superseded
                 or (n.replace_waiting and not o.at_work and exists (select from group_members f
                     where f.repository_id = o.repository_id and f.concurrency_group = o.concurrency_group
                       and (f.since, f.tie) < (o.since, o.tie)))
             order by o.tie, waiting_only, n.since desc limit $1) q",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}

impl Tx {
    /// A stage joins the queue of its concurrency group, at its end. By the clock, not the transaction's time.
    pub async fn enter_group(&mut self, id: StageId, group: &str) -> Result<(), Error> {
        sqlx::query(
            "update stages set concurrency_group = $2, group_since = clock_timestamp() where id = $1",
        )
        .bind(id.0)
        .bind(group)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// A call joins the queue of its concurrency group, at its end. Nothing where it is in it already.
    pub async fn enter_call_group(
        &mut self,
        run: RunId,
        call: &str,
        group: &str,
        concurrency: &Concurrency,
    ) -> Result<(), Error> {
        sqlx::query(
            "insert into call_groups (run_id, call, concurrency_group, cancel_superseded, replace_waiting)
             values ($1, $2, $3, $4, $5) on conflict (run_id, call) do nothing",
        )
        .bind(run.0)
        .bind(call)
        .bind(group)
        .bind(concurrency.cancel_superseded)
        .bind(concurrency.replace_waiting)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// A call is at work: its turn in its group came, and one of its stages is queued.
    pub async fn begin_call(&mut self, run: RunId, call: &str) -> Result<(), Error> {
        sqlx::query("update call_groups set at_work = true where run_id = $1 and call = $2")
            .bind(run.0)
            .bind(call)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The stages of a call were asked to stop.
    pub async fn stop_call(&mut self, run: RunId, call: &str) -> Result<(), Error> {
        sqlx::query("update call_groups set stopping = true where run_id = $1 and call = $2")
            .bind(run.0)
            .bind(call)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// A call leaves its group.
    pub async fn leave_call_group(&mut self, run: RunId, call: &str) -> Result<(), Error> {
        sqlx::query("delete from call_groups where run_id = $1 and call = $2")
            .bind(run.0)
            .bind(call)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The calls of a run that are in groups.
    pub async fn call_groups(&mut self, run: RunId) -> Result<Vec<CallGroup>, Error> {
        let rows: Vec<Json<CallGroup>> =
            sqlx::query_scalar("select to_json(c) from call_groups c where run_id = $1 order by call")
                .bind(run.0)
                .fetch_all(&mut *self.inner)
                .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// What is in a concurrency group and has not ended, in the order in which it joined.
    pub async fn group_queue(
        &mut self,
        repository: RepositoryId,
        group: &str,
    ) -> Result<Vec<GroupMember>, Error> {
        let rows: Vec<Json<GroupMember>> = sqlx::query_scalar(
            "select to_json(q) from (select run_id, run_number, stage, call, key, at_work from group_members
             where repository_id = $1 and concurrency_group = $2 order by since, tie) q",
        )
        .bind(repository.0)
        .bind(group)
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}
