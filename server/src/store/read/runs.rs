//! Runs as pages show them, and their history.

use sqlx::types::Json;
use tidegate_protocol::ids::RunId;

use crate::{
    error::Error,
    store::{
        Db,
        environments::deployment,
        unwrap,
        views::{RunDetail, RunEvent, RunFilter, RunSummary},
    },
};

/// A run in a list; `r` is the run, `p` its repository.
macro_rules! summary {
    () => {
        "r.id, r.number, r.repository_id, p.full_name as repository, r.pipeline, r.path, r.status, r.reason, r.event_kind,
         r.sha, r.reference, r.title, r.actor, r.created_at, r.started_at, r.finished_at,
         (select coalesce(json_object_agg(c.status, c.n), '{}')
          from (select status, count(*) as n from stages where run_id = r.id group by status) c) as stage_counts"
    };
}

/// The stages of run `r` with all that belongs to them.
macro_rules! stages {
    () => {
        "(select coalesce(json_agg(t order by t.position, t.key), '[]') from (
            select s.id, s.key, s.plan->>'name' as name, s.plan->>'title' as title, s.verb, s.status, s.reason,
                coalesce(s.plan->'needs', '[]') as needs, s.position, s.environment, s.outputs, s.rollback_of,
                s.queued_at, s.started_at, s.finished_at,
                (select coalesce(json_agg(u order by u.number), '[]') from (
                    select a.id, a.number, a.status, a.reason, a.exit_code,
                        json_build_object('id', n.id, 'name', n.name) as runner, a.started_at, a.finished_at,
                        (select coalesce(json_agg(v order by v.index), '[]') from (
                            select w.index, w.name, w.status, w.exit_code, w.duration_ms, w.started_at,
                                w.log_bytes, w.log_lines
                            from steps w where w.attempt_id = a.id) v) as steps
                    from attempts a join runners n on n.id = a.runner_id where a.stage_id = s.id) u) as attempts,
                (select coalesce(json_agg(u order by u.kind, u.path), '[]') from (
                    select o.kind, o.path, o.summary from reports o where o.attempt_id =
                        (select a.id from attempts a where a.stage_id = s.id order by a.number desc limit 1)) u) as reports
            from stages s where s.run_id = r.id) t)"
    };
}

impl Db {
    /// Runs, newest first.
    pub async fn run_summaries(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, Error> {
        // Ids grow with time.
        let rows: Vec<Json<RunSummary>> = sqlx::query_scalar(concat!(
            "select to_json(q) from (select ",
            summary!(),
            " from runs r join repositories p on p.id = r.repository_id
             where ($1::uuid is null or r.repository_id = $1) and ($2::text is null or r.status = $2)
               and ($3::uuid is null or r.id < $3) and ($5::text is null or r.path = $5) order by r.id desc limit $4) q"
        ))
        .bind(filter.repository.map(|id| id.0))
        .bind(filter.status.map(|status| status.as_str()))
        .bind(filter.before.map(|id| id.0))
        .bind(filter.limit)
        .bind(&filter.path)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// A run's page, still without its gates.
    pub async fn run_detail(&self, run: RunId) -> Result<RunDetail, Error> {
        let row: Option<Json<RunDetail>> = sqlx::query_scalar(concat!(
            "select to_json(q) from (select ",
            summary!(),
            ", r.diagnostics, r.path as source_path, r.source_text,
             r.rerun_of, r.trusted, r.cancel_requested, ",
            stages!(),
            " as stages, '[]'::json as gates,
             (select coalesce(json_agg(t order by t.position, t.name), '[]') from (
                 select f.id, s.key as stage, f.name, f.size, encode(f.sha256, 'hex') as sha256, f.created_at,
                     f.expires_at, s.position
                 from artifacts f join stages s on s.id = f.stage_id where f.run_id = r.id) t) as artifacts,
             (select coalesce(json_agg(t order by t.created_at, t.id), '[]') from (",
            deployment!("where d.run_id = $1"),
            ") t) as deployments
             from runs r join repositories p on p.id = r.repository_id where r.id = $1) q"
        ))
        .bind(run.0)
        .fetch_optional(&self.pool)
        .await?;
        row.map(unwrap).ok_or(Error::NotFound("run"))
    }

    /// The history of a run (none: of all) after this number, oldest first.
    ///
    /// Within a run nothing is missed, because its writers take turns. Between runs a number may become visible
    /// after a greater one; who follows all runs reads a run anew when it hears of it, and needs no more.
    pub async fn run_events(
        &self,
        run: Option<RunId>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<RunEvent>, Error> {
        let rows: Vec<Json<RunEvent>> =
            match run {
                Some(run) => sqlx::query_scalar(
                    "select to_json(e) from events e where run_id = $1 and seq > $2 order by seq limit $3",
                )
                .bind(run.0)
                .bind(after)
                .bind(limit)
                .fetch_all(&self.pool)
                .await?,
                None => {
                    sqlx::query_scalar("select to_json(e) from events e where seq > $1 order by seq limit $2")
                        .bind(after)
                        .bind(limit)
                        .fetch_all(&self.pool)
                        .await?
                }
            };
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// The newest number in the history; 0: there is none yet.
    pub async fn last_event(&self) -> Result<i64, Error> {
        Ok(sqlx::query_scalar("select coalesce(max(seq), 0) from events").fetch_one(&self.pool).await?)
    }
}
