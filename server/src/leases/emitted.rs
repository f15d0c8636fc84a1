//! Stages that a stage adds to its run: the file that it wrote, which its runner reports with the attempt's end.
//!
//! The file is compiled twice. First before the transaction, because other files that it names may have to be fetched;
//! what came of that is kept. Then under the run's lock, against the stages that the run has by then, and nothing is
//! fetched any more. All of it is added in the transaction that ends the attempt, or nothing is and the stage fails.
//! A stage adds stages once: when it is run again in place, those that it has added stay as they are.

use std::sync::Arc;

use tidegate_pipelines::{
    Emission, Setting, compile_emitted,
    plan::{ReportKind, Roll, StageKey, StagePlan},
};
use tidegate_protocol::{
    ids::{AttemptId, RunnerId},
    messages::{Finish, Outcome},
};

use crate::{
    app::App,
    error::Error,
    git::OtherFiles,
    reports, repositories, runs, schedule,
    store::{RunRow, StageRow, Tx},
};

/// A file that a stage wrote.
pub(super) struct Reading {
    text: String,
    files: Arc<OtherFiles>,
}

/// Stages to add.
pub(super) struct Added {
    /// The run's stages before.
    rows: Vec<StageRow>,
    stages: Vec<StagePlan>,
}

impl Reading {
    /// Reads the file of an attempt that has succeeded, if it wrote one. Outside any transaction.
    pub(super) async fn ahead(
        app: &App,
        runner: RunnerId,
        attempt: AttemptId,
        epoch: i64,
        finish: &Finish,
    ) -> Result<Option<Self>, Error> {
        let text = finish.emitted.clone().filter(|_| finish.outcome == Outcome::Succeeded);
        let Some(text) = text else { return Ok(None) };
        let mut tx = app.db.begin().await?;
        let known = tx.ending(attempt).await?;
        // What will be refused, or was reported before, is not looked at.
        let known = known.filter(|one| one.runner == runner && one.epoch == epoch && one.finish.is_none());
        let Some(known) = known else { return Ok(None) };
        let run = tx.read_run(known.run).await?;
        let rows = tx.stages(run.id).await?;
        tx.commit().await?;
        let Some(stage) = rows.iter().find(|row| row.id == known.stage) else { return Ok(None) };
        let repository = repositories::get(app, run.repository_id).await?;
        let files = Arc::new(runs::other_files(app, &repository, &run.event));
        let reading = Self { text, files };
        reading.compiled(&run, &rows, &stage.key).await?;
        Ok(Some(reading))
    }

    /// What comes of the file now that the run is locked: stages, or why the stage fails. What is wrong with it is kept
    /// with the attempt.
    pub(super) async fn taken(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        stage: &StageRow,
        attempt: AttemptId,
    ) -> Result<Result<Added, String>, Error> {
        let rows = tx.stages(run.id).await?;
        let added_before = rows.iter().any(|row| row.plan.emitted_by.as_ref() == Some(&stage.key));
        let Some(emits) = stage.plan.emits.as_ref().filter(|_| !added_before) else {
            return Ok(Ok(Added { rows, stages: Vec::new() }));
        };
        let emission = self.compiled(run, &rows, &stage.key).await?;
        if !emission.diagnostics.is_empty() {
            let summary = reports::of_diagnostics(&emission.diagnostics);
            tx.put_report(attempt, ReportKind::Annotations, &emits.file, (&summary, None), i64::MAX).await?;
        }
        let Some(stages) = emission.stages else {
            let reason = runs::mistakes(&emits.file, &emission.diagnostics);
            return Ok(Err(format!("the stages that it adds cannot be used: {reason}")));
        };
        let mut roll = Roll::of(rows.iter().map(|row| &row.plan));
        Ok(match roll.enter(None, &stages) {
            Ok(()) => Ok(Added { rows, stages }),
            Err(reason) => Err(format!("the stages in {} cannot be added: {reason}", emits.file)),
        })
    }

    async fn compiled(&self, run: &RunRow, rows: &[StageRow], by: &StageKey) -> Result<Emission, Error> {
        let plan = schedule::plan_of(run)?.grown(rows.iter().map(|row| row.plan.clone()).collect());
        let (text, files, event, by) = (self.text.clone(), self.files.clone(), run.event.clone(), by.clone());
        let work = move || {
            let setting = Setting { files: &*files, ..Setting::default() };
            compile_emitted(&text, &by, &plan, &event, setting)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Error::internal("compiling the stages that a stage adds did not end well"))
    }
}

impl Added {
    /// Adds them, blocked, before the end of their stage is decided upon.
    pub(super) async fn store(self, tx: &mut Tx, run: &RunRow, by: &StageRow) -> Result<(), Error> {
        if self.stages.is_empty() {
            return Ok(());
        }
        schedule::add_stages(tx, run, &self.rows, by, &self.stages).await
    }
}
