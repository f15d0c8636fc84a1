//! Artifacts: files that a stage keeps as a result.

use bytes::Bytes;
use futures_util::Stream;
use tidegate_pipelines::plan::StageKey;
use tidegate_protocol::{
    ids::{ArtifactId, AttemptId, RunnerId},
    messages::{ListedArtifact, Stored},
};

use super::{BlobReader, blobs, held};
use crate::{app::App, error::Error, store::BlobRef};

/// A name, in characters.
const NAME: usize = 200;

/// Stores an artifact of the attempt's stage.
///
/// The fence is asked before the body is read, so that nobody fills the disk for nothing, and again by the
/// transaction that gives it its name.
pub async fn put_artifact<S, E>(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    name: &str,
    body: S,
) -> Result<Stored, Error>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: std::fmt::Display + Send,
{
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        return Err(Error::Invalid(format!("an artifact's name has 1 to {NAME} printable characters")));
    }
    let mut tx = app.db.begin().await?;
    held(app, &mut tx, runner, attempt, epoch, "artifacts").await?;
    tx.commit().await?;

    let received = blobs::receive(app, body).await?;
    let stored = Stored { sha256: hex::encode(received.sha256), size: received.size };
    let blob = BlobRef {
        name: name.to_owned(),
        sha256: received.sha256.to_vec(),
        size: i64::try_from(received.size).unwrap_or(i64::MAX),
    };
    received.store(app).await?;

    let mut tx = app.db.begin().await?;
    let held = held(app, &mut tx, runner, attempt, epoch, "artifacts").await?;
    let plan = tx.stage(held.stage).await?.plan;
    let rule = plan.artifacts.iter().find(|rule| rule.name == name);
    let days = rule.and_then(|rule| rule.retention_days).unwrap_or(app.config.artifact_retention_days);
    tx.put_artifact(&held, &blob, i32::try_from(days).unwrap_or(i32::MAX).min(100 * 366)).await?;
    tx.commit().await?;
    Ok(stored)
}

/// Removes an artifact that the attempt's own stage kept; nothing when there is none.
pub async fn delete_artifact(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    name: &str,
) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let held = held(app, &mut tx, runner, attempt, epoch, "artifacts").await?;
    tx.delete_artifact(held.stage, name).await?;
    tx.commit().await
}

/// The artifacts that the attempt's stage may fetch: those of the stages that its plan has above it.
pub async fn list_artifacts(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
) -> Result<Vec<ListedArtifact>, Error> {
    let mut tx = app.db.begin().await?;
    let held = held(app, &mut tx, runner, attempt, epoch, "artifacts").await?;
    let plan = tx.stage(held.stage).await?.plan;
    let all = tx.artifacts_of(held.run).await?;
    tx.commit().await?;
    let listed = all.into_iter().map(|(stage, name, size)| ListedArtifact {
        stage: StageKey(stage),
        name,
        size: u64::try_from(size).unwrap_or_default(),
    });
    Ok(listed.filter(|artifact| plan.upstream.contains(&artifact.stage)).collect())
}

/// Opens an artifact of an earlier stage of the same run: one that the stage's plan has above it.
pub async fn open_artifact_for_attempt(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    stage: &StageKey,
    name: &str,
) -> Result<BlobReader, Error> {
    let mut tx = app.db.begin().await?;
    let held = held(app, &mut tx, runner, attempt, epoch, "artifacts").await?;
    let plan = tx.stage(held.stage).await?.plan;
    if !plan.upstream.contains(stage) {
        return Err(Error::Invalid(format!(
            "`{stage}` does not come before `{}`, so it cannot fetch its artifacts",
            held.stage_key
        )));
    }
    let blob = tx.artifact_of(held.run, stage, name).await?;
    tx.commit().await?;
    blobs::open(app, blob.ok_or(Error::NotFound("artifact"))?)
}

/// Opens an artifact for a person.
pub async fn open_artifact(app: &App, artifact: ArtifactId) -> Result<BlobReader, Error> {
    blobs::open(app, app.db.artifact(artifact).await?)
}
