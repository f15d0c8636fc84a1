//! Reports: what was read from them.

use sqlx::types::Json;
use tidegate_pipelines::plan::{ReportKind, StageKey};
use tidegate_protocol::ids::{AttemptId, RunId};

use super::{Db, RunRow, Tx, unwrap};
use crate::{
    error::Error,
    reports::{Judged, Note, Remark, Summary, known_findings},
};

impl Db {
    /// What the steps of an attempt wrote for the run's page.
    pub async fn notes(&self, attempt: AttemptId) -> Result<Vec<Note>, Error> {
        let rows: Vec<(i32, String)> =
            sqlx::query_as("select step, text from step_notes where attempt_id = $1 order by step")
                .bind(attempt.0)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|(step, text)| Note { step: step.unsigned_abs(), text }).collect())
    }
}

impl Tx {
    /// Stores what steps wrote for the run's page, in place of what the attempt's steps wrote before.
    pub async fn put_notes(&mut self, attempt: AttemptId, notes: &[Note]) -> Result<(), Error> {
        sqlx::query("delete from step_notes where attempt_id = $1")
            .bind(attempt.0)
            .execute(&mut *self.inner)
            .await?;
        for note in notes {
            sqlx::query(
                "insert into step_notes (attempt_id, step, text) values ($1, $2, $3)
                 on conflict (attempt_id, step) do update set text = step_notes.text || excluded.text",
            )
            .bind(attempt.0)
            .bind(i32::try_from(note.step).unwrap_or(i32::MAX))
            .bind(&note.text)
            .execute(&mut *self.inner)
            .await?;
        }
        Ok(())
    }

    /// What the last attempts of a run's stages said of places in files, by stage.
    pub async fn remarks_of_run(&mut self, run: RunId, most: usize) -> Result<Vec<Remark>, Error> {
        let rows: Vec<Json<Summary>> = sqlx::query_scalar(
            "select o.summary from stages s join lateral (
                 select a.id from attempts a where a.stage_id = s.id order by a.number desc limit 1) a on true
             join reports o on o.attempt_id = a.id and o.kind = 'annotations'
             where s.run_id = $1 order by s.position, s.id limit 100",
        )
        .bind(run.0)
        .fetch_all(&mut *self.inner)
        .await?;
        let items = rows.into_iter().map(unwrap).flat_map(|summary| match summary {
            Summary::Annotations { items, .. } => items,
            _ => Vec::new(),
        });
        Ok(items.take(most).collect())
    }

    /// Stores what a report says; the same path again replaces it. False: the attempt has as many as it may.
    pub async fn put_report(
        &mut self,
        attempt: AttemptId,
        kind: ReportKind,
        path: &str,
        (summary, findings): (&Summary, Option<&[u8]>),
        most: i64,
    ) -> Result<bool, Error> {
        let done = sqlx::query(
            "insert into reports (attempt_id, kind, path, summary, findings)
             select $1, $2 #>> '{}', $3, $4, $6 where (select count(*) from reports where attempt_id = $1) < $5
             on conflict (attempt_id, kind, path)
             do update set summary = excluded.summary, findings = excluded.findings",
        )
        .bind(attempt.0)
        .bind(Json(kind))
        .bind(path)
        .bind(Json(summary))
        .bind(most)
        .bind(findings)
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The reports of an attempt, with their findings where those are wanted.
    pub async fn reports(&mut self, attempt: AttemptId, findings: bool) -> Result<Vec<Judged>, Error> {
        type Row = (Json<ReportKind>, String, Json<Summary>, Option<Vec<u8>>);
        let rows: Vec<Row> = sqlx::query_as(
            "select to_jsonb(kind), path, summary, case when $2 then findings end from reports
             where attempt_id = $1 order by kind, path",
        )
        .bind(attempt.0)
        .bind(findings)
        .fetch_all(&mut *self.inner)
        .await?;
        let judged = rows.into_iter().map(|(Json(kind), path, Json(summary), findings)| Judged {
            kind,
            path,
            summary,
            findings: findings.map(|bytes| known_findings(&bytes)).unwrap_or_default(),
        });
        Ok(judged.collect())
    }

    /// The last attempt of a stage that handed in findings on a branch before this run, by a run of the same pipeline
    /// that is trusted: the number of its run, and itself.
    pub async fn last_findings(
        &mut self,
        run: &RunRow,
        stage: &StageKey,
        branch: &str,
    ) -> Result<Option<(i64, AttemptId)>, Error> {
        let found: Option<(i64, uuid::Uuid)> = sqlx::query_as(
            "select r.number, a.id from runs r
             join stages s on s.run_id = r.id and s.key = $4
             join attempts a on a.stage_id = s.id
             where r.repository_id = $1 and r.path = $2 and r.reference = $3 and r.trusted and r.id < $5
               and exists (select from reports o where o.attempt_id = a.id and o.findings is not null)
             order by r.id desc, a.number desc limit 1",
        )
        .bind(run.repository_id.0)
        .bind(&run.path)
        .bind(format!("refs/heads/{branch}"))
        .bind(&stage.0)
        .bind(run.id.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(found.map(|(number, attempt)| (number, AttemptId(attempt))))
    }
}
