//! Stages that come to a run while it goes on: in the place of one that stood for them, or beside the others.
//!
//! Keys stay unique and stages bounded, whoever brings them ([`Roll`]). What comes after a stage that is replaced comes
//! after all that take its place, so the graph stays acyclic.

use std::collections::BTreeSet;

use super::{ArtifactFetch, Need, Plan, StageKey, StagePlan};

/// The most stages of a pipeline, and of a run with all that came to it.
pub const MOST_STAGES: usize = 1000;

impl StagePlan {
    /// Whether it stands for stages that are known only once its needs have ended: [`crate::made`] makes them, and
    /// no runner ever has it.
    pub fn is_open(&self) -> bool {
        self.expand.is_some() || self.dynamic.is_some()
    }

    /// Whether the kind of machine of it, or of what it stands for, is still to be told.
    pub(crate) fn asks_for_machines(&self) -> bool {
        self.expand.as_ref().is_some_and(|open| {
            let inside = open.called.iter().flat_map(|called| &called.stages);
            open.runs_on.is_some() || inside.into_iter().any(Self::asks_for_machines)
        })
    }

    /// Whether a stage of another matrix goes with this one: their values are the same wherever both have one.
    pub(crate) fn goes_with(&self, other: &StagePlan) -> bool {
        other.matrix.iter().all(|(name, value)| self.matrix.get(name).is_none_or(|mine| mine == value))
    }
}

/// The keys of a run's stages, while some are made.
#[derive(Debug, Clone)]
pub struct Roll(BTreeSet<StageKey>);

impl Roll {
    /// Those that there are.
    pub fn of<'a>(stages: impl IntoIterator<Item = &'a StagePlan>) -> Self {
        Self(stages.into_iter().map(|stage| stage.key.clone()).collect())
    }

    /// Enters stages, in the place of another where there is one; else why they cannot be, in one sentence, and
    /// nothing has changed.
    pub fn enter(&mut self, instead: Option<&StageKey>, stages: &[StagePlan]) -> Result<(), String> {
        let others = self.0.len() - usize::from(instead.is_some_and(|key| self.0.contains(key)));
        if others + stages.len() > MOST_STAGES {
            let count = stages.len();
            return Err(format!("with {count} more stages the run would have more than {MOST_STAGES}"));
        }
        let mut fresh = BTreeSet::new();
        for stage in stages {
            let taken = self.0.contains(&stage.key) && Some(&stage.key) != instead;
            if taken || !fresh.insert(stage.key.clone()) {
                return Err(format!("the run would have the stage `{}` twice", stage.key));
            }
        }
        if let Some(key) = instead {
            self.0.remove(key);
        }
        self.0.append(&mut fresh);
        Ok(())
    }
}

/// Puts the stages that were made of one into its place, and wherever it was named. Of its artifacts another stage has
/// those that go with it.
pub fn replace_stage(plan: &mut Plan, key: &StageKey, stages: Vec<StagePlan>) {
    let keys: Vec<StageKey> = stages.iter().map(|stage| stage.key.clone()).collect();
    for other in &mut plan.stages {
        if other.upstream.contains(key) {
            let spread = |up: StageKey| if up == *key { keys.clone() } else { vec![up] };
            other.upstream = std::mem::take(&mut other.upstream).into_iter().flat_map(spread).collect();
        }
        if other.needs.iter().any(|need| need.stage == *key) {
            let spread = |need: Need| match need.stage == *key {
                true => {
                    keys.iter().map(|stage| Need { stage: stage.clone(), accepts: need.accepts }).collect()
                }
                false => vec![need],
            };
            other.needs = std::mem::take(&mut other.needs).into_iter().flat_map(spread).collect();
        }
        if other.fetch.iter().any(|fetch| fetch.stage == *key) {
            let fetched = std::mem::take(&mut other.fetch);
            let spread = |fetch: ArtifactFetch| match fetch.stage == *key {
                true => stages
                    .iter()
                    .filter(|made| other.goes_with(made))
                    .map(|made| ArtifactFetch { stage: made.key.clone(), name: fetch.name.clone() })
                    .collect(),
                false => vec![fetch],
            };
            other.fetch = fetched.into_iter().flat_map(spread).collect();
        }
    }
    plan.note_calls(&stages);
    if let Some(at) = plan.stages.iter().position(|stage| stage.key == *key) {
        plan.stages.splice(at..=at, stages);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn stage(parts: Value) -> StagePlan {
        let mut stage = json!({
            "name": "a", "timeout_seconds": 60, "checkout": false,
            "verb": { "kind": "run", "image": "debian:12", "steps": [] },
        });
        for (name, value) in parts.as_object().unwrap() {
            stage[name] = value.clone();
        }
        serde_json::from_value(stage).unwrap()
    }

    fn plan(stages: Vec<StagePlan>) -> Plan {
        let source = json!({ "path": "p.yml", "sha256": "" });
        let plan = json!({ "version": 1, "name": "p", "source": source, "stages": stages });
        serde_json::from_value(plan).unwrap()
    }

    #[test]
    fn whatever_named_a_stage_names_those_in_its_place() {
        let after = stage(json!({
            "key": "after", "upstream": ["first", "t"], "needs": [{ "stage": "t", "accepts": "finished" }],
            "matrix": { "n": 2 },
            "fetch": [{ "stage": "first", "name": "x" }, { "stage": "t", "name": "out" }],
        }));
        let all = stage(json!({ "key": "all", "fetch": [{ "stage": "t", "name": "out" }] }));
        let mut plan = plan(vec![stage(json!({ "key": "first" })), stage(json!({ "key": "t" })), after, all]);
        let made = |n: u32| stage(json!({ "key": format!("t ({n})"), "matrix": { "n": n, "os": "x" } }));
        replace_stage(&mut plan, &StageKey("t".to_owned()), vec![made(1), made(2)]);
        let keys: Vec<&str> = plan.stages.iter().map(|stage| stage.key.0.as_str()).collect();
        assert_eq!(keys, ["first", "t (1)", "t (2)", "after", "all"]);
        let after = &plan.stages[3];
        let upstream: Vec<&str> = after.upstream.iter().map(|key| key.0.as_str()).collect();
        assert_eq!(upstream, ["first", "t (1)", "t (2)"]);
        let needs: Vec<_> = after.needs.iter().map(|need| (need.stage.0.as_str(), need.accepts)).collect();
        let finished = crate::plan::NeedState::Finished;
        assert_eq!(needs, [("t (1)", finished), ("t (2)", finished)]);
        let fetched = |stage: &StagePlan| {
            stage.fetch.iter().map(|fetch| format!("{}.{}", fetch.stage, fetch.name)).collect::<Vec<_>>()
        };
        assert_eq!(
            fetched(after),
            ["first.x", "t (2).out"],
            "of a matrix with the same values only what goes with it"
        );
        assert_eq!(fetched(&plan.stages[4]), ["t (1).out", "t (2).out"]);
    }

    #[test]
    fn stages_are_bounded_and_each_is_there_once() {
        let named = |key: String| stage(json!({ "key": key }));
        let many = |from: usize, count: usize| -> Vec<StagePlan> {
            (from..from + count).map(|n| named(format!("s{n}"))).collect()
        };
        let mut roll = Roll::of(&many(0, MOST_STAGES - 1));
        let first = StageKey("s0".to_owned());
        assert!(roll.enter(None, &many(2000, 2)).unwrap_err().contains("more than 1000"));
        roll.enter(Some(&first), &many(2000, 2)).unwrap();
        assert!(roll.enter(None, &many(3000, 1)).is_err(), "it is full");
        let mut roll = Roll::of(&many(0, 2));
        assert!(roll.enter(Some(&first), &many(1, 1)).unwrap_err().contains("`s1` twice"));
        let twice = [named("x".to_owned()), named("x".to_owned())];
        assert!(roll.enter(Some(&first), &twice).is_err());
        roll.enter(Some(&first), &many(0, 1)).unwrap();
        assert!(roll.enter(None, &many(0, 1)).is_err(), "it took the place of one of its own key");
    }
}
