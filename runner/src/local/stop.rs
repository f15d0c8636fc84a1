//! What stops the stages of a local run, and why: the end of the whole run, or the failure of another of a matrix.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use tidegate_pipelines::{
    Places, Standing,
    plan::{Plan, StageKey, StagePlan},
};
use tidegate_protocol::status::StageStatus;
use tokio_util::sync::CancellationToken;

use super::LocalStage;

/// What stops a stage, and why, where it is not the end of the whole run.
#[derive(Clone)]
pub(super) struct Stop {
    pub(super) cancel: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Stop {
    /// Why the stage is to stop, if another of a matrix is the cause.
    pub(super) fn reason(&self) -> Option<String> {
        self.reason.get().cloned()
    }

    fn stop(&self, reason: String) {
        // The first failure is the reason.
        let _ = self.reason.set(reason);
        self.cancel.cancel();
    }
}

/// The stages that have started, with what stops them.
pub(super) struct Started {
    run: CancellationToken,
    stops: BTreeMap<StageKey, Stop>,
}

impl Started {
    pub(super) fn new(run: &CancellationToken) -> Self {
        Self { run: run.clone(), stops: BTreeMap::new() }
    }

    pub(super) fn has(&self, stage: &StageKey) -> bool {
        self.stops.contains_key(stage)
    }

    /// A stage starts.
    pub(super) fn start(&mut self, stage: &StageKey) -> Stop {
        let new = || Stop { cancel: self.run.child_token(), reason: Arc::default() };
        self.stops.entry(stage.clone()).or_insert_with(new).clone()
    }

    /// The places of the run's matrices, and who goes on in spite of a failure is told to stop.
    pub(super) fn places<'p>(&self, plan: &'p Plan, ended: &BTreeMap<StageKey, LocalStage>) -> Places<'p> {
        let standing = |stage: &StagePlan| match ended.get(&stage.key) {
            Some(ended) => standing(ended, self.has(&stage.key)),
            None if self.has(&stage.key) => Standing::AtWork,
            None => Standing::Waiting,
        };
        let places = Places::of(plan.stages.iter().map(|stage| (stage, standing(stage))), &plan.calls);
        for stage in plan.stages.iter().filter(|stage| !ended.contains_key(&stage.key)) {
            if let Some(stop) = self.stops.get(&stage.key)
                && let Some(reason) = places.failed_fast(stage)
            {
                stop.stop(reason);
            }
        }
        places
    }
}

fn standing(ended: &LocalStage, has_begun: bool) -> Standing {
    match ended.status {
        StageStatus::Failed => Standing::Failed,
        _ if has_begun => Standing::Ended,
        _ => Standing::Passed,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stage(key: &str) -> serde_json::Value {
        json!({
            "key": key, "name": "test", "timeout_seconds": 60, "checkout": false,
            "strategy": { "fail_fast": true, "max_parallel": 1, "index": 0, "total": 2 },
            "verb": { "kind": "run", "image": "debian:12", "steps": [] },
        })
    }

    #[test]
    fn places_are_left_and_the_first_failure_stops_the_others() {
        let plan: Plan = serde_json::from_value(json!({
            "version": 1, "name": "p", "source": { "path": "p.yml", "sha256": "" },
            "stages": [stage("test (1)"), stage("test (2)"), stage("test (3)")],
        }))
        .unwrap();
        let [one, two, three] = plan.stages.as_slice() else { panic!() };
        let mut started = Started::new(&CancellationToken::new());
        let mut ended = BTreeMap::new();
        assert_eq!(started.places(&plan, &ended).full(one), None);
        started.start(&one.key);
        assert!(started.places(&plan, &ended).full(two).is_some());
        let mut end = |stage: &StagePlan, status| {
            let key = stage.key.clone();
            let stage = LocalStage { key: key.clone(), status, reason: None, outputs: BTreeMap::new() };
            ended.insert(key, stage);
            ended.clone()
        };
        assert_eq!(started.places(&plan, &end(one, StageStatus::Succeeded)).full(two), None);

        started.start(&two.key);
        let stop = started.start(&three.key);
        assert!(stop.reason().is_none());
        started.places(&plan, &end(two, StageStatus::Failed));
        assert!(stop.cancel.is_cancelled() && stop.reason().unwrap().contains("`test (2)`"));
    }
}
