//! The history of a run, and the hint that it grew.

use serde_json::Value;
use tidegate_pipelines::plan::StageKey;
use tidegate_protocol::ids::RunId;

use super::Tx;
use crate::{error::Error, hub::Hint};

impl Tx {
    /// Adds to a run's history. The run is locked, so that its events are numbered in the order they happened.
    pub async fn event(
        &mut self,
        run: RunId,
        stage: Option<&StageKey>,
        kind: &str,
        message: &str,
        detail: Value,
    ) -> Result<(), Error> {
        sqlx::query("insert into events (run_id, stage, kind, message, detail) values ($1, $2, $3, $4, $5)")
            .bind(run.0)
            .bind(stage.map(|key| key.0.as_str()))
            .bind(kind)
            .bind(message)
            .bind(detail)
            .execute(&mut *self.inner)
            .await?;
        self.notify(Hint::Run(run)).await
    }
}
