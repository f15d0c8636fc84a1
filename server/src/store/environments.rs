//! Environments and the history of their deployments.

use sqlx::types::Json;
use tidegate_protocol::ids::{EnvironmentId, RepositoryId};
use uuid::Uuid;

use super::{
    Db, Tx, unwrap,
    views::{Deployment, Environment},
};
use crate::{environments::Rules, error::Error};

/// Deployments as pages show them; `d` is the deployment.
macro_rules! deployment {
    ($rest:literal) => {
        concat!(
            "select d.id, d.environment_id, e.name as environment, d.run_id, r.number as run_number, d.image,
                    d.previous_image, d.rollback_of, d.status, d.reason, d.actor, d.sha, r.title, d.created_at,
                    d.finished_at
             from deployments d join environments e on e.id = d.environment_id join runs r on r.id = d.run_id ",
            $rest
        )
    };
}
pub(in crate::store) use deployment;

/// Environments as pages show them. What an environment runs is its newest deployment that succeeded: a rollback
/// is a deployment of its own. At most one is under way; an index sees to it.
macro_rules! environment {
    ($rest:literal) => {
        concat!(
            "select to_json(q) from (select n.id, n.repository_id, p.full_name as repository, n.name, n.url,
                 n.required_approvals, n.approver_role, n.approvers, n.allow_self_approval, n.branches,
                 n.wait_seconds, n.gate_expires_seconds, n.frozen_reason,
                 (select to_json(c) from (",
            deployment!("where d.environment_id = n.id and d.status = 'succeeded' order by d.created_at desc, d.id desc limit 1"),
            ") c) as current,
                 (select to_json(c) from (",
            deployment!("where d.environment_id = n.id and d.status in ('deploying', 'verifying') limit 1"),
            ") c) as in_progress
             from environments n join repositories p on p.id = n.repository_id ",
            $rest,
            ") q"
        )
    };
}

/// Who an environment belongs to.
#[derive(Debug)]
pub struct EnvironmentLabel {
    /// `owner/name environment`, the subject of audit entries.
    pub subject: String,
    /// The environment's name.
    pub name: String,
}

impl Db {
    /// All environments, with what they run.
    pub async fn environments(&self) -> Result<Vec<Environment>, Error> {
        let rows: Vec<Json<Environment>> =
            sqlx::query_scalar(environment!("order by p.full_name, n.name")).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }

    /// One environment.
    pub async fn environment(&self, id: EnvironmentId) -> Result<Environment, Error> {
        let row: Option<Json<Environment>> =
            sqlx::query_scalar(environment!("where n.id = $1")).bind(id.0).fetch_optional(&self.pool).await?;
        row.map(unwrap).ok_or(Error::NotFound("environment"))
    }

    /// The newest deployments of an environment, newest first.
    pub async fn deployments_of(&self, id: EnvironmentId, limit: i64) -> Result<Vec<Deployment>, Error> {
        let rows: Vec<Json<Deployment>> = sqlx::query_scalar(concat!(
            "select to_json(q) from (",
            deployment!("where d.environment_id = $1 order by d.created_at desc, d.id desc limit $2"),
            ") q"
        ))
        .bind(id.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(unwrap).collect())
    }
}

impl Tx {
    /// Makes an environment, or sets the rules of the one with this name.
    pub async fn upsert_environment(
        &mut self,
        repository: RepositoryId,
        name: &str,
        rules: &Rules,
    ) -> Result<EnvironmentId, Error> {
        let id: Uuid = sqlx::query_scalar(
            "insert into environments (id, repository_id, name, url, required_approvals, approver_role, approvers,
                 allow_self_approval, branches, wait_seconds, gate_expires_seconds)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             on conflict (repository_id, name) do update set url = excluded.url,
                 required_approvals = excluded.required_approvals, approver_role = excluded.approver_role,
                 approvers = excluded.approvers, allow_self_approval = excluded.allow_self_approval,
                 branches = excluded.branches, wait_seconds = excluded.wait_seconds,
                 gate_expires_seconds = excluded.gate_expires_seconds
             returning id",
        )
        .bind(EnvironmentId::new().0)
        .bind(repository.0)
        .bind(name)
        .bind(&rules.url)
        .bind(rules.required_approvals)
        .bind(&rules.approver_role)
        .bind(&rules.approvers)
        .bind(rules.allow_self_approval)
        .bind(&rules.branches)
        .bind(rules.wait_seconds)
        .bind(rules.gate_expires_seconds)
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(EnvironmentId(id))
    }

    /// Sets or lifts an environment's freeze.
    pub async fn freeze_environment(
        &mut self,
        id: EnvironmentId,
        reason: Option<&str>,
    ) -> Result<EnvironmentLabel, Error> {
        let row: Option<(String, String)> = sqlx::query_as(
            "update environments n set frozen_reason = $2 from repositories p
             where n.id = $1 and p.id = n.repository_id returning p.full_name, n.name",
        )
        .bind(id.0)
        .bind(reason)
        .fetch_optional(&mut *self.inner)
        .await?;
        let (repository, name) = row.ok_or(Error::NotFound("environment"))?;
        Ok(EnvironmentLabel { subject: format!("{repository} {name}"), name })
    }

    /// Deletes an environment with its gates and deployments. Refused while something is under way or waits for
    /// a decision: the stages that do would never hear of it.
    pub async fn delete_environment(&mut self, id: EnvironmentId) -> Result<EnvironmentLabel, Error> {
        // `for update` keeps new gates and deployments out until the end.
        let row: Option<(String, String)> = sqlx::query_as(
            "select p.full_name, n.name from environments n join repositories p on p.id = n.repository_id
             where n.id = $1 for update of n",
        )
        .bind(id.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        let (repository, name) = row.ok_or(Error::NotFound("environment"))?;
        let (gates, deployments): (i64, i64) = sqlx::query_as(
            "select (select count(*) from gates where environment_id = $1
                         and (status = 'open' or (status = 'approved' and consumed_at is null))),
                    (select count(*) from deployments where environment_id = $1
                         and status in ('deploying', 'verifying', 'unknown'))",
        )
        .bind(id.0)
        .fetch_one(&mut *self.inner)
        .await?;
        if deployments > 0 {
            return Err(Error::Refused(format!(
                "a deployment to {name} is under way or its end is unknown; wait, or settle it first"
            )));
        }
        if gates > 0 {
            return Err(Error::Refused(format!("{gates} gates of {name} are open; decide them first")));
        }
        sqlx::query("delete from environments where id = $1").bind(id.0).execute(&mut *self.inner).await?;
        Ok(EnvironmentLabel { subject: format!("{repository} {name}"), name })
    }
}
