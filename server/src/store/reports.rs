//! Reports: what was read from them.

use serde::Deserialize;
use sqlx::types::Json;
use tidegate_pipelines::plan::ReportKind;
use tidegate_protocol::ids::{AttemptId, RunId};

use super::{Db, Tx, unwrap};
use crate::{
    error::Error,
    reports::{Judged, Note, Remark, Summary},
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
        summary: &Summary,
        most: i64,
    ) -> Result<bool, Error> {
        let done = sqlx::query(
            "insert into reports (attempt_id, kind, path, summary)
             select $1, $2 #>> '{}', $3, $4 where (select count(*) from reports where attempt_id = $1) < $5
             on conflict (attempt_id, kind, path) do update set summary = excluded.summary",
        )
        .bind(attempt.0)
        .bind(Json(kind))
        .bind(path)
        .bind(Json(summary))
        .bind(most)
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The reports of an attempt.
    pub async fn reports(&mut self, attempt: AttemptId) -> Result<Vec<Judged>, Error> {
        #[derive(Deserialize)]
        struct Row {
            kind: ReportKind,
            path: String,
            summary: Summary,
        }
        let rows: Vec<Json<Row>> = sqlx::query_scalar(
            "select to_json(q) from (select kind, path, summary from reports where attempt_id = $1 order by kind, path) q",
        )
        .bind(attempt.0)
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows
            .into_iter()
            .map(unwrap)
            .map(|Row { kind, path, summary }| Judged { kind, path, summary })
            .collect())
    }
}
