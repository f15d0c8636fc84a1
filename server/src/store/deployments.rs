//! Deployments, and the environments that they change as far as scheduling needs them. The run is locked by
//! whoever writes; an environment is locked after it ([`Tx::lock_environment`]) by whoever begins a deployment.

use serde::Deserialize;
use sqlx::types::Json;
use tidegate_protocol::{
    ids::{AttemptId, DeploymentId, EnvironmentId, RepositoryId, RunId, StageId},
    status::DeploymentStatus,
};

use super::{Tx, is_duplicate, unwrap};
use crate::error::Error;

/// A deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct DeploymentRow {
    /// Its id.
    pub id: DeploymentId,
    /// What it changes.
    pub environment_id: EnvironmentId,
    /// Its run.
    pub run_id: RunId,
    /// Its stage.
    pub stage_id: StageId,
    /// What is deployed.
    pub image: String,
    /// What it replaced.
    pub previous_image: Option<String>,
    /// The deployment that it replaced.
    pub previous_id: Option<DeploymentId>,
    /// The deployment that it undoes.
    pub rollback_of: Option<DeploymentId>,
    /// Where it is.
    pub status: DeploymentStatus,
    /// Why.
    pub reason: Option<String>,
    /// Who caused it.
    pub actor: String,
    /// The commit.
    pub sha: String,
}

/// An environment as scheduling sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct EnvironmentRow {
    /// Its id.
    pub id: EnvironmentId,
    /// Its repository.
    pub repository_id: RepositoryId,
    /// Its name.
    pub name: String,
    /// Where it can be reached.
    pub url: Option<String>,
    /// How many people must approve.
    pub required_approvals: i32,
    /// The role they need.
    pub approver_role: String,
    /// Only these, when there are any.
    pub approvers: Vec<String>,
    /// Whether who caused a run may approve it.
    pub allow_self_approval: bool,
    /// Seconds between a gate's opening and the deployment, at least.
    pub wait_seconds: i32,
    /// Globs of the branches and tags that may deploy.
    pub branches: Vec<String>,
    /// Nothing is deployed, and why.
    pub frozen_reason: Option<String>,
    /// The number of the run that deployed what it runs; none when that was put back by a rollback.
    pub current_run: Option<i64>,
    /// Whose turn it is there.
    pub occupants: Vec<Occupant>,
}

/// A stage that an environment belongs to for now.
#[derive(Debug, Clone, Deserialize)]
pub struct Occupant {
    /// The stage.
    pub stage: StageId,
    /// Its run's number.
    pub run_number: i64,
    /// What it is about.
    pub state: Occupation,
}

/// What the occupant of an environment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occupation {
    /// Its deployment is under way or being verified.
    Working,
    /// Its deployment lost its runner, and nobody has said how it ended.
    Unknown,
    /// It is about to put something back.
    PuttingBack,
}

/// A deployment to begin.
#[derive(Debug)]
pub struct NewDeployment<'a> {
    /// What it changes; locked.
    pub environment: EnvironmentId,
    /// Its run.
    pub run: RunId,
    /// Its stage.
    pub stage: StageId,
    /// Its attempt.
    pub attempt: AttemptId,
    /// What is deployed.
    pub image: &'a str,
    /// The deployment that it undoes.
    pub rollback_of: Option<DeploymentId>,
    /// Who caused it.
    pub actor: &'a str,
    /// The commit.
    pub sha: &'a str,
}

const DEPLOYMENT: &str =
    "d.id, d.environment_id, d.run_id, d.stage_id, d.image, d.previous_image, d.previous_id,
    d.rollback_of, d.status, d.reason, d.actor, d.sha";

const ENVIRONMENT: &str =
    "e.id, e.repository_id, e.name, e.url, e.required_approvals, e.approver_role, e.approvers,
    e.allow_self_approval, e.wait_seconds, e.branches, e.frozen_reason,
    (select case when d.rollback_of is null then r.number end from deployments d join runs r on r.id = d.run_id
     where d.environment_id = e.id and d.status = 'succeeded' order by d.created_at desc, d.id desc limit 1)
     as current_run,
    coalesce((select json_agg(o) from (
        select d.stage_id as stage, r.number as run_number,
            case d.status when 'unknown' then 'unknown' else 'working' end as state
        from deployments d join runs r on r.id = d.run_id
        where d.environment_id = e.id and d.status in ('deploying', 'verifying', 'unknown')
        union
        select s.id, r.number, 'putting_back' from stages s join runs r on r.id = s.run_id
        where r.repository_id = e.repository_id and r.finished_at is null and s.rollback_of is not null
          and s.verb = 'deploy' and s.environment = e.name and s.status in ('blocked', 'gated', 'queued', 'running')
    ) o), '[]') as occupants";

impl Tx {
    /// The environments of a repository.
    pub async fn environments_of(&mut self, repository: RepositoryId) -> Result<Vec<EnvironmentRow>, Error> {
        let rows: Vec<Json<EnvironmentRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {ENVIRONMENT} from environments e where e.repository_id = $1 order by e.name) q"
        )))
        .bind(repository.0)
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// An environment by id, as it is now.
    pub async fn environment_row(&mut self, id: EnvironmentId) -> Result<EnvironmentRow, Error> {
        let row: Option<Json<EnvironmentRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {ENVIRONMENT} from environments e where e.id = $1) q"
        )))
        .bind(id.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(unwrap).ok_or(Error::NotFound("environment"))
    }

    /// Locks an environment by name: nobody else begins a deployment to it, or changes its rules.
    pub async fn lock_environment(
        &mut self,
        repository: RepositoryId,
        name: &str,
    ) -> Result<Option<EnvironmentRow>, Error> {
        let id: Option<uuid::Uuid> = sqlx::query_scalar(
            "select id from environments where repository_id = $1 and name = $2 for no key update",
        )
        .bind(repository.0)
        .bind(name)
        .fetch_optional(&mut *self.inner)
        .await?;
        match id {
            Some(id) => Ok(Some(self.environment_row(EnvironmentId(id)).await?)),
            None => Ok(None),
        }
    }

    /// The deployments of a run, oldest first.
    pub async fn deployments_of_run(&mut self, run: RunId) -> Result<Vec<DeploymentRow>, Error> {
        let rows: Vec<Json<DeploymentRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {DEPLOYMENT} from deployments d where d.run_id = $1 order by d.id) q"
        )))
        .bind(run.0)
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// A deployment.
    pub async fn deployment(&mut self, id: DeploymentId) -> Result<DeploymentRow, Error> {
        let row: Option<Json<DeploymentRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {DEPLOYMENT} from deployments d where d.id = $1) q"
        )))
        .bind(id.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(unwrap).ok_or(Error::NotFound("deployment"))
    }

    /// What an environment runs: its newest deployment that succeeded.
    pub async fn current_deployment(
        &mut self,
        environment: EnvironmentId,
    ) -> Result<Option<DeploymentRow>, Error> {
        let row: Option<Json<DeploymentRow>> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_json(q) from (select {DEPLOYMENT} from deployments d where d.environment_id = $1
             and d.status = 'succeeded' order by d.created_at desc, d.id desc limit 1) q"
        )))
        .bind(environment.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(unwrap))
    }

    /// Records a deployment before it starts, with what it replaces. None: another is at work there. Its time is that
    /// of the clock, not of the transaction, which may have begun before the deployment that this one follows.
    pub async fn begin_deployment(
        &mut self,
        new: &NewDeployment<'_>,
    ) -> Result<Option<DeploymentRow>, Error> {
        let id = DeploymentId::new();
        let previous = self.current_deployment(new.environment).await?;
        let inserted = sqlx::query(
            "insert into deployments (id, environment_id, run_id, stage_id, attempt_id, image, previous_image,
                previous_id, rollback_of, actor, sha, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp())",
        )
        .bind(id.0)
        .bind(new.environment.0)
        .bind(new.run.0)
        .bind(new.stage.0)
        .bind(new.attempt.0)
        .bind(new.image)
        .bind(previous.as_ref().map(|one| one.image.as_str()))
        .bind(previous.as_ref().map(|one| one.id.0))
        .bind(new.rollback_of.map(|id| id.0))
        .bind(new.actor)
        .bind(new.sha)
        .execute(&mut *self.inner)
        .await;
        match inserted {
            Ok(_) => Ok(Some(self.deployment(id).await?)),
            Err(error) if is_duplicate(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that what a failed deployment replaced cannot be put back, and why.
    pub async fn forbid_rollback(&mut self, id: DeploymentId, reason: &str) -> Result<(), Error> {
        sqlx::query("update deployments set previous_id = null, reason = $2 where id = $1")
            .bind(id.0)
            .bind(reason)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Moves a deployment on. One row, or the caller's view was old: [`Error::Refused`].
    pub async fn move_deployment(
        &mut self,
        id: DeploymentId,
        from: DeploymentStatus,
        to: DeploymentStatus,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let ended = !matches!(to, DeploymentStatus::Deploying | DeploymentStatus::Verifying);
        let done = sqlx::query(
            "update deployments set status = $3, reason = $4, finished_at = case when $5 then now() end
             where id = $1 and status = $2",
        )
        .bind(id.0)
        .bind(from.as_str())
        .bind(to.as_str())
        .bind(reason)
        .bind(ended)
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "the deployment is no longer {from}: something was faster, look at it again"
        )))
    }
}
