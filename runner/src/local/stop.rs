//! What stops the stages of a local run, and why: the end of the whole run, or the failure of another of a matrix.

use std::{
    collections::{BTreeMap, BTreeSet},
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

    /// The places of the run's matrices, and who goes on in spite of a failure is told to stop. `wanted` are the stages in
    /// question (none: all): a call has ended with those of them that are its own.
    pub(super) fn places<'p>(
        &self,
        plan: &'p Plan,
        wanted: Option<&BTreeSet<StageKey>>,
        ended: &BTreeMap<StageKey, LocalStage>,
    ) -> Places<'p> {
        let is_wanted = |stage: &&StagePlan| wanted.is_none_or(|wanted| wanted.contains(&stage.key));
        let standing = |stage: &StagePlan| match ended.get(&stage.key) {
            Some(ended) => standing(ended, self.has(&stage.key)),
            None if self.has(&stage.key) => Standing::AtWork,
            None => Standing::Waiting,
        };
        let stages = plan.stages.iter().filter(is_wanted);
        let places = Places::of(stages.map(|stage| (stage, standing(stage))), &plan.calls);
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
        assert_eq!(started.places(&plan, None, &ended).full(one), None);
        started.start(&one.key);
        assert!(started.places(&plan, None, &ended).full(two).is_some());
        let mut end = |stage: &StagePlan, status| {
            let key = stage.key.clone();
            let stage = LocalStage { key: key.clone(), status, reason: None, outputs: BTreeMap::new() };
            ended.insert(key, stage);
            ended.clone()
        };
        assert_eq!(started.places(&plan, None, &end(one, StageStatus::Succeeded)).full(two), None);

        started.start(&two.key);
        let stop = started.start(&three.key);
        assert!(stop.reason().is_none());
        started.places(&plan, None, &end(two, StageStatus::Failed));
        assert!(stop.cancel.is_cancelled() && stop.reason().unwrap().contains("`test (2)`"));
    }

    #[test]
    fn a_call_has_ended_with_its_stages_that_are_asked_for() {
        let inside = |call: &str, name: &str| {
            let mut stage = stage(&format!("{call} / {name}"));
            stage["call"] = call.into();
            stage.as_object_mut().unwrap().remove("strategy");
            stage
        };
        let call = |key: &str| {
            json!({ "key": key, "title": key, "name": "go",
                "strategy": { "fail_fast": true, "max_parallel": 1, "index": 0, "total": 2 } })
        };
        let plan: Plan = serde_json::from_value(json!({
            "version": 1, "name": "p", "source": { "path": "p.yml", "sha256": "" },
            "calls": [call("go (a)"), call("go (b)")],
            "stages": [inside("go (a)", "first"), inside("go (a)", "last"), inside("go (b)", "first")],
        }))
        .unwrap();
        let [first, _, other] = plan.stages.as_slice() else { panic!() };
        let mut started = Started::new(&CancellationToken::new());
        started.start(&first.key);
        let (key, status) = (first.key.clone(), StageStatus::Succeeded);
        let end = LocalStage { key: key.clone(), status, reason: None, outputs: BTreeMap::new() };
        let ended = BTreeMap::from([(key, end)]);
        assert!(started.places(&plan, None, &ended).full(other).is_some());
        let wanted = BTreeSet::from([first.key.clone(), other.key.clone()]);
        assert_eq!(started.places(&plan, Some(&wanted), &ended).full(other), None);
    }
}
