//! Reports: what was read from them.

use serde::Deserialize;
use sqlx::types::Json;
use tidegate_pipelines::plan::ReportKind;
use tidegate_protocol::ids::AttemptId;

use super::{Tx, unwrap};
use crate::{
    error::Error,
    reports::{Judged, Summary},
};

impl Tx {
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
