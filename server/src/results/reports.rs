//! Reports: read as they come, judged when their attempt ends well.

use bytes::Bytes;
use tidegate_pipelines::plan::{ReportKind, StagePlan};
use tidegate_protocol::ids::{AttemptId, RunnerId};

use super::held;
use crate::{
    app::App,
    error::Error,
    reports::{self, Note},
    store::Tx,
};

/// Reports of an attempt.
const MOST: i64 = 500;
/// A path, in characters.
const PATH: usize = 1000;

/// Reads and stores a report of the attempt.
pub async fn put_report(
    app: &App,
    runner: RunnerId,
    attempt: AttemptId,
    epoch: i64,
    kind: ReportKind,
    path: &str,
    body: Bytes,
) -> Result<(), Error> {
    if path.is_empty() || path.chars().count() > PATH || path.chars().any(char::is_control) {
        return Err(Error::Invalid(format!("a report's path has 1 to {PATH} printable characters")));
    }
    let mut tx = app.db.begin().await?;
    held(app, &mut tx, runner, attempt, epoch, "reports").await?;
    tx.commit().await?;
    let read = move || match kind {
        ReportKind::Annotations => reports::read_annotations(&body),
        _ => reports::parse(kind, &body).map(|summary| (summary, Vec::new())),
    };
    let (summary, notes) = tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| Error::internal("a report's reader did not end well"))?
        .map_err(Error::Invalid)?;
    let mut tx = app.db.begin().await?;
    held(app, &mut tx, runner, attempt, epoch, "reports").await?;
    if !tx.put_report(attempt, kind, path, &summary, MOST).await? {
        return Err(Error::Invalid(format!("an attempt has at most {MOST} reports")));
    }
    if kind == ReportKind::Annotations {
        tx.put_notes(attempt, &notes).await?;
    }
    tx.commit().await
}

/// What the steps of an attempt wrote for the run's page, Markdown.
pub async fn notes(app: &App, attempt: AttemptId) -> Result<Vec<Note>, Error> {
    app.db.notes(attempt).await
}

/// Judges the reports of an attempt by its plan's thresholds; some: what fails it, in one sentence.
pub async fn judge(tx: &mut Tx, attempt: AttemptId, plan: &StagePlan) -> Result<Option<String>, Error> {
    if plan.reports.is_empty() {
        return Ok(None);
    }
    Ok(reports::judge(&plan.reports, &tx.reports(attempt).await?))
}
