//! What the forge is told of runs and deployments: rows of the outbox, written in the transaction that moved them.

use tidegate_pipelines::{Diagnostic, event::EventKind, plan::Verb};
use tidegate_protocol::{
    ids::{DeploymentId, RepositoryId},
    status::{DeploymentStatus, RunStatus},
};

use crate::{
    error::Error,
    forge::messages::{DeploymentMessage, Message, RunMessage, SkippedMessage},
    store::{DeploymentRow, Moment, RunRow, StageRow, Tx},
};

/// What steps said that the forge is told of.
const REMARKS: usize = 200;

/// A run moved.
pub(crate) async fn run(
    tx: &mut Tx,
    run: &RunRow,
    status: RunStatus,
    reason: Option<&str>,
    diagnostics: &[Diagnostic],
) -> Result<(), Error> {
    if !tx.is_told(run.repository_id).await? {
        return Ok(());
    }
    // The forge counts annotations from the first on: what was told before comes before what is new.
    let (diagnostics, remarks) = match status.is_final() && diagnostics.is_empty() {
        true => (tx.diagnostics(run.id).await?, tx.remarks_of_run(run.id, REMARKS).await?),
        false => (diagnostics.to_vec(), Vec::new()),
    };
    let message = Message::Run(RunMessage {
        run: run.id,
        number: run.number,
        pipeline: run.pipeline.clone(),
        sha: run.sha.clone(),
        status,
        reason: reason.map(str::to_owned),
        diagnostics,
        remarks,
    });
    // A run may be in the same state more than once; the time-ordered id tells the times apart.
    let key = format!("run:{}:{status}:{}", run.id, uuid::Uuid::now_v7());
    enqueue(tx, run.repository_id, &key, &message).await
}

/// Runs that may follow one another, each starting the next. The database keeps it too.
pub(crate) const DEEPEST: i32 = 5;

/// A run was made, began or ended: the repository's other pipelines may be waiting for that. Through the inbox, so that
/// it is not lost.
pub(crate) async fn pipelines(tx: &mut Tx, run: &RunRow, moment: Moment) -> Result<(), Error> {
    if run.event.kind == EventKind::Rollback {
        return Ok(());
    }
    match moment {
        Moment::Completed if run.depth >= DEEPEST => {
            let message = format!(
                "it starts no other pipeline: {DEEPEST} that started one another lie before it already"
            );
            tx.event(run.id, None, "run.deep", &message, serde_json::json!({})).await
        }
        _ if run.depth >= DEEPEST => Ok(()),
        Moment::Completed => tx.insert_end(run.repository_id, run.id).await,
        _ => tx.insert_beginning(run.repository_id, run.id, moment).await,
    }
}

/// Commands that deploy to an environment by themselves began or ended. The forge is told of them as of a deployment;
/// here they are stages and no more, because nobody knows what they deployed.
pub(crate) async fn commands(
    tx: &mut Tx,
    run: &RunRow,
    stage: &StageRow,
    status: DeploymentStatus,
    reason: Option<&str>,
) -> Result<(), Error> {
    let Some(name) = &stage.environment else { return Ok(()) };
    if stage.plan.environment.is_none() || !matches!(stage.plan.verb, Verb::Run(_)) {
        return Ok(());
    }
    let environments = tx.environments_of(run.repository_id).await?;
    let url = environments.into_iter().find(|one| one.name == *name).and_then(|one| one.url);
    let message = Message::Deployment(DeploymentMessage {
        deployment: DeploymentId(stage.id.0),
        run: run.id,
        number: run.number,
        environment: name.clone(),
        environment_url: url,
        sha: run.sha.clone(),
        reference: run.reference.clone(),
        image: String::new(),
        status,
        reason: reason.map(str::to_owned),
    });
    let key = format!("commands:{}:{status}:{}", stage.id, uuid::Uuid::now_v7());
    enqueue(tx, run.repository_id, &key, &message).await
}

/// A pipeline was not started for a commit, on purpose.
pub(crate) async fn skipped(
    tx: &mut Tx,
    repository: RepositoryId,
    skipped: SkippedMessage,
) -> Result<(), Error> {
    let key = format!("skipped:{}", skipped.id);
    enqueue(tx, repository, &key, &Message::Skipped(skipped)).await
}

/// A deployment began or moved.
pub(crate) async fn deployment(tx: &mut Tx, run: &RunRow, deployment: &DeploymentRow) -> Result<(), Error> {
    if deployment.status == DeploymentStatus::RolledBack {
        // The forge heard that it failed, and hears of the deployment that put the old one back.
        return Ok(());
    }
    let environment = tx.environment_row(deployment.environment_id).await?;
    let message = Message::Deployment(DeploymentMessage {
        deployment: deployment.id,
        run: run.id,
        number: run.number,
        environment: environment.name,
        environment_url: environment.url,
        sha: deployment.sha.clone(),
        reference: run.reference.clone(),
        image: deployment.image.clone(),
        status: deployment.status,
        reason: deployment.reason.clone(),
    });
    let key = format!("deployment:{}:{}", deployment.id, deployment.status);
    enqueue(tx, run.repository_id, &key, &message).await
}

async fn enqueue(tx: &mut Tx, repository: RepositoryId, key: &str, message: &Message) -> Result<(), Error> {
    if tx.is_told(repository).await? {
        tx.enqueue(repository, message.kind(), key, serde_json::to_value(message)?).await?;
    }
    Ok(())
}
