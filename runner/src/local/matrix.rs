//! Stages of one matrix in a local run: so many at once, and the failure of one stops the others. A server does the same.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use tidegate_pipelines::plan::StagePlan;
use tidegate_protocol::status::StageStatus;
use tokio_util::sync::CancellationToken;

/// The matrices of a run, by the name that their stages share.
pub(super) struct Matrices {
    run: CancellationToken,
    known: BTreeMap<String, Matrix>,
}

struct Matrix {
    stop: Stop,
    at_work: u32,
}

/// What stops a stage, and why, where it is not the end of the whole run.
#[derive(Clone)]
pub(super) struct Stop {
    pub(super) cancel: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Stop {
    fn new(run: &CancellationToken) -> Self {
        Self { cancel: run.child_token(), reason: Arc::default() }
    }

    /// Why the stage is to stop, if another of its matrix is the cause.
    pub(super) fn reason(&self) -> Option<String> {
        self.reason.get().cloned()
    }
}

impl Matrices {
    pub(super) fn new(run: &CancellationToken) -> Self {
        Self { run: run.clone(), known: BTreeMap::new() }
    }

    /// What stops this stage.
    pub(super) fn of(&mut self, stage: &StagePlan) -> Stop {
        match &stage.strategy {
            None => Stop::new(&self.run),
            Some(_) => self.matrix(stage).stop.clone(),
        }
    }

    fn matrix(&mut self, stage: &StagePlan) -> &mut Matrix {
        let run = &self.run;
        let new = || Matrix { stop: Stop::new(run), at_work: 0 };
        self.known.entry(stage.name.clone()).or_insert_with(new)
    }

    /// Takes a place for a stage; no: all are taken, and it has to wait until one is left.
    pub(super) fn enter(&mut self, stage: &StagePlan) -> bool {
        let Some(strategy) = &stage.strategy else { return true };
        let matrix = self.matrix(stage);
        if strategy.max_parallel.is_some_and(|most| matrix.at_work >= most.max(1)) {
            return false;
        }
        matrix.at_work += 1;
        true
    }

    /// A stage that had a place has ended.
    pub(super) fn leave(&mut self, stage: &StagePlan, status: StageStatus) {
        let Some(strategy) = &stage.strategy else { return };
        let matrix = self.matrix(stage);
        matrix.at_work = matrix.at_work.saturating_sub(1);
        if strategy.fail_fast && status == StageStatus::Failed {
            let reason = format!("`{}` of its matrix failed, which stops the others", stage.key);
            // The first failure is the reason.
            let _ = matrix.stop.reason.set(reason);
            matrix.stop.cancel.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stage(key: &str) -> StagePlan {
        serde_json::from_value(json!({
            "key": key, "name": "test", "timeout_seconds": 60, "checkout": false,
            "strategy": { "fail_fast": true, "max_parallel": 1, "index": 0, "total": 2 },
            "verb": { "kind": "run", "image": "debian:12", "steps": [] },
        }))
        .unwrap()
    }

    #[test]
    fn places_are_left_and_the_first_failure_stops_the_others() {
        let mut matrices = Matrices::new(&CancellationToken::new());
        let (one, two) = (stage("test (1)"), stage("test (2)"));
        assert!(matrices.enter(&one) && !matrices.enter(&two));
        matrices.leave(&one, StageStatus::Succeeded);
        assert!(matrices.enter(&two));
        let stop = matrices.of(&one);
        assert!(stop.reason().is_none() && !stop.cancel.is_cancelled());
        matrices.leave(&two, StageStatus::Failed);
        assert!(stop.cancel.is_cancelled() && stop.reason().unwrap().contains("`test (2)`"));
    }
}
