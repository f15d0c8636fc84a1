//! Environments: places that things are deployed to, and their rules.

use serde::{Deserialize, Serialize};
use tidegate_protocol::ids::{EnvironmentId, RepositoryId};
use url::Url;
use utoipa::ToSchema;

use crate::{
    actor::{Actor, Role},
    app::App,
    bootstrap::check_username,
    error::Error,
    hub::Hint,
    store::views::{Deployment, Environment},
};

/// Longer waits and lives are mistakes.
const YEAR: i32 = 366 * 24 * 3600;
/// Deployments that a history shows.
const HISTORY: i64 = 200;

/// The rules of an environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Where it can be reached.
    pub url: Option<String>,
    /// How many people must approve.
    pub required_approvals: i32,
    /// The role they need: `developer`, `release_manager` or `admin`.
    pub approver_role: String,
    /// Only these, when there are any.
    pub approvers: Vec<String>,
    /// Whether who caused a run may approve it.
    pub allow_self_approval: bool,
    /// Globs of the branches and tags that may deploy; empty: all.
    pub branches: Vec<String>,
    /// Seconds between the gate's opening and the deployment, at least.
    pub wait_seconds: i32,
    /// Seconds until an undecided gate expires.
    pub gate_expires_seconds: i32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            url: None,
            required_approvals: 0,
            approver_role: "release_manager".to_owned(),
            approvers: Vec::new(),
            allow_self_approval: false,
            branches: Vec::new(),
            wait_seconds: 0,
            gate_expires_seconds: 30 * 24 * 3600,
        }
    }
}

/// Makes an environment, or sets its rules. Gates that are open keep the number of approvals that they asked for.
pub async fn upsert(
    app: &App,
    repository: RepositoryId,
    name: &str,
    rules: Rules,
    actor: &Actor,
) -> Result<Environment, Error> {
    check_name(name)?;
    check(&rules)?;
    let mut tx = app.db.begin().await?;
    let owner = tx.lock_repository(repository).await?;
    let id = tx.upsert_environment(repository, name, &rules).await?;
    let subject = format!("{} {name}", owner.full_name);
    tx.audit(&actor.username, "environment.rules", &subject, serde_json::to_value(&rules)?).await?;
    tx.commit().await?;
    app.db.environment(id).await
}

/// Deletes an environment with its history.
pub async fn delete(app: &App, id: EnvironmentId, actor: &Actor) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let label = tx.delete_environment(id).await?;
    tx.audit(&actor.username, "environment.delete", &label.subject, serde_json::json!({})).await?;
    tx.commit().await
}

/// Holds all deployments to it.
pub async fn freeze(app: &App, id: EnvironmentId, reason: &str, actor: &Actor) -> Result<(), Error> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 500 {
        return Err(Error::Invalid("a freeze has a reason of 1 to 500 characters".to_owned()));
    }
    let mut tx = app.db.begin().await?;
    let label = tx.freeze_environment(id, Some(reason)).await?;
    let detail = serde_json::json!({ "reason": reason });
    tx.audit(&actor.username, "environment.freeze", &label.subject, detail).await?;
    tx.commit().await
}

/// Lets them go on.
pub async fn unfreeze(app: &App, id: EnvironmentId, actor: &Actor) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let label = tx.freeze_environment(id, None).await?;
    tx.audit(&actor.username, "environment.unfreeze", &label.subject, serde_json::json!({})).await?;
    tx.notify(Hint::StageQueued).await?;
    tx.commit().await
}

/// All environments, with what they run.
pub async fn list(app: &App) -> Result<Vec<Environment>, Error> {
    app.db.environments().await
}

/// One environment.
pub async fn get(app: &App, id: EnvironmentId) -> Result<Environment, Error> {
    app.db.environment(id).await
}

/// The deployments of an environment, newest first; the newest two hundred.
pub async fn deployments(app: &App, id: EnvironmentId) -> Result<Vec<Deployment>, Error> {
    app.db.environment(id).await?;
    app.db.deployments_of(id, HISTORY).await
}

/// Refuses names that the database would refuse, with a sentence.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = name.bytes().next().is_some_and(fine);
    if first && name.len() <= 63 && name.bytes().all(|byte| fine(byte) || b"_-".contains(&byte)) {
        return Ok(());
    }
    Err(Error::Invalid(
        "an environment's name has 1 to 63 of a-z, 0-9, `_` and `-`, and begins with a letter or digit"
            .to_owned(),
    ))
}

fn check(rules: &Rules) -> Result<(), Error> {
    let refuse = |text: String| Err(Error::Invalid(text));
    if let Some(url) = &rules.url
        && !Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
    {
        return refuse(format!("`{url}` is no address of a page: it begins with https:// or http://"));
    }
    if !(0..=10).contains(&rules.required_approvals) {
        return refuse("an environment asks for 0 to 10 approvals".to_owned());
    }
    if rules.approver_role.parse::<Role>()? == Role::Viewer {
        return refuse("viewers approve nothing: use developer, release_manager or admin".to_owned());
    }
    for name in &rules.approvers {
        check_username(name)?;
    }
    let mut approvers = rules.approvers.clone();
    approvers.sort_unstable();
    approvers.dedup();
    if !approvers.is_empty() && (approvers.len() as i64) < i64::from(rules.required_approvals) {
        return refuse(format!(
            "{} approvals are asked for, and only {} people may give them",
            rules.required_approvals,
            approvers.len()
        ));
    }
    for pattern in &rules.branches {
        if let Err(reason) = tidegate_pipelines::check_pattern(pattern) {
            return refuse(format!("`{pattern}` is no pattern of branches: {reason}"));
        }
    }
    if !(0..=YEAR).contains(&rules.wait_seconds) || !(1..=YEAR).contains(&rules.gate_expires_seconds) {
        return refuse(
            "an environment waits for 0 seconds to a year, and its gates last 1 second to a year".to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_could_never_work_are_refused() {
        let fine =
            Rules { required_approvals: 2, branches: vec!["release/**".to_owned()], ..Rules::default() };
        assert!(check(&fine).is_ok());
        let bad = [
            Rules { url: Some("javascript:alert(1)".to_owned()), ..fine.clone() },
            Rules { required_approvals: 11, ..fine.clone() },
            Rules { approver_role: "viewer".to_owned(), ..fine.clone() },
            Rules { approver_role: "boss".to_owned(), ..fine.clone() },
            Rules { approvers: vec!["rita".to_owned(), "rita".to_owned()], ..fine.clone() },
            Rules { branches: vec!["a{b".to_owned()], ..fine.clone() },
            Rules { wait_seconds: -1, ..fine.clone() },
            Rules { gate_expires_seconds: 0, ..fine.clone() },
        ];
        for rules in bad {
            assert!(matches!(check(&rules), Err(Error::Invalid(_))), "{rules:?}");
        }
    }
}
