//! Gates as pages show them, with the facts that say who may decide.

use serde::Deserialize;
use sqlx::types::Json;
use tidegate_protocol::{
    ids::{GateId, RepositoryId, RunId},
    status::GateStatus,
};

use crate::{
    actor::Role,
    error::Error,
    store::{Db, gates::caused_by, unwrap, views::Gate},
};

/// Which gates.
#[derive(Debug, Clone, Copy)]
pub enum GateFilter {
    /// In this state; none: all.
    Status(Option<GateStatus>),
    /// Of this run.
    Run(RunId),
    /// This one.
    One(GateId),
}

/// A gate, still without what depends on who looks, and what that depends on.
#[derive(Debug, Clone, Deserialize)]
pub struct GateFacts {
    /// The gate; `may_approve` and `approvers` say nothing yet, and `changes` knows no commits.
    pub gate: Gate,
    /// Its repository.
    pub repository_id: RepositoryId,
    /// Nobody decided in time, and it was not closed yet.
    pub overdue: bool,
    /// The role that deciders need.
    pub approver_role: Role,
    /// Only these, when there are any.
    pub approvers: Vec<String>,
    /// Whether who caused the run may decide.
    pub allow_self_approval: bool,
    /// Who started the run or ran it again.
    pub caused_by: Vec<String>,
}

impl Db {
    /// Gates, oldest first; the newest two hundred.
    pub async fn gate_facts(&self, filter: GateFilter) -> Result<Vec<GateFacts>, Error> {
        let (status, run, gate) = match filter {
            GateFilter::Status(status) => (status.map(GateStatus::as_str), None, None),
            GateFilter::Run(run) => (None, Some(run.0), None),
            GateFilter::One(gate) => (None, None, Some(gate.0)),
        };
        // What the environment runs is its newest deployment that succeeded, for a closed gate: that before it.
        let rows: Vec<Json<GateFacts>> = sqlx::query_scalar(concat!(
            "select to_json(q) from (select
                 json_build_object(
                     'id', g.id, 'run_id', g.run_id, 'run_number', r.number, 'repository', p.full_name,
                     'stage_id', g.stage_id, 'stage', s.key,
                     'environment', json_build_object('id', e.id, 'name', e.name, 'url', e.url),
                     'status', g.status, 'reason', g.reason, 'sha', g.sha, 'image', g.image,
                     'required_approvals', g.required_approvals,
                     'decisions', (select coalesce(json_agg(t order by t.at, t.username), '[]') from (
                         select username, role, verdict, comment, at from decisions where gate_id = g.id) t),
                     'created_at', g.created_at, 'ready_at', g.ready_at, 'expires_at', g.expires_at,
                     'may_approve', json_build_object('allowed', false), 'approvers', '[]'::json,
                     'changes', json_build_object(
                         'current_image', c.image, 'current_sha', c.sha,
                         'current_deployed_at', coalesce(c.finished_at, c.created_at),
                         'new_image', g.image, 'new_sha', g.sha)) as gate,
                 r.repository_id, g.status = 'open' and g.expires_at <= now() as overdue,
                 e.approver_role, e.approvers, e.allow_self_approval,
                 array(",
            caused_by!("g.run_id"),
            ") as caused_by
             from gates g join runs r on r.id = g.run_id join repositories p on p.id = r.repository_id
                 join stages s on s.id = g.stage_id join environments e on e.id = g.environment_id
                 left join lateral (select d.image, d.sha, d.created_at, d.finished_at from deployments d
                     where d.environment_id = e.id and d.status = 'succeeded'
                       and d.created_at < coalesce(g.closed_at, 'infinity')
                     order by d.created_at desc, d.id desc limit 1) c on true
             where g.id in (select x.id from gates x
                 where ($1::text is null or x.status = $1) and ($2::uuid is null or x.run_id = $2)
                   and ($3::uuid is null or x.id = $3)
                 order by x.created_at desc, x.id desc limit 200)
             order by g.created_at, g.id) q"
        ))
        .bind(status)
        .bind(run)
        .bind(gate)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}
