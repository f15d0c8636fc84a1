//! Reports: read as they come, judged when their attempt ends well.

use bytes::Bytes;
use tidegate_pipelines::plan::{ReportKind, StagePlan};
use tidegate_protocol::ids::{AttemptId, RunnerId};

use super::held;
use crate::{
    app::App,
    error::Error,
    reports::{self, Against, Note},
    store::{RunRow, Tx},
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
        ReportKind::Annotations => {
            reports::read_annotations(&body).map(|(summary, notes)| (summary, notes, None))
        }
        ReportKind::Sarif => reports::read_sarif(&body)
            .map(|(summary, findings)| (summary, Vec::new(), Some(reports::keep_findings(&findings)))),
        _ => reports::parse(kind, &body).map(|summary| (summary, Vec::new(), None)),
    };
    let (summary, notes, findings) = tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| Error::internal("a report's reader did not end well"))?
        .map_err(Error::Invalid)?;
    let mut tx = app.db.begin().await?;
    held(app, &mut tx, runner, attempt, epoch, "reports").await?;
    if !tx.put_report(attempt, kind, path, (&summary, findings.as_deref()), MOST).await? {
        return Err(Error::Invalid(format!(
            "an attempt has at most {MOST} reports; let the patterns under `reports` fit fewer files"
        )));
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

/// Judges the reports of an attempt of this run's stage by its plan's thresholds; some: what fails it, in one sentence.
pub async fn judge(
    tx: &mut Tx,
    run: &RunRow,
    attempt: AttemptId,
    plan: &StagePlan,
) -> Result<Option<String>, Error> {
    if plan.reports.is_empty() {
        return Ok(None);
    }
    let compares = plan.reports.iter().any(|rule| rule.fail_on.new_findings.is_some());
    let mine = tx.reports(attempt, compares).await?;
    let mut against = Against::default();
    if compares {
        // What a pull request is to be merged into, else what everything is merged into in the end.
        let base = run.event.pull_request.as_ref().map(|request| request.base_branch.clone());
        against.branch = base.unwrap_or_else(|| run.event.default_branch.clone());
        if let Some((number, before)) = tx.last_findings(run, &plan.key, &against.branch).await? {
            against.run = Some(number);
            against.reports = tx.reports(before, true).await?;
        }
    }
    Ok(reports::judge(&plan.reports, &mine, &against))
}
