//! What the jobs of one file know of each other, and how calls join files.
//!
//! A scope is a file as it was called: the plan's own (None), or a call's key. In it a job goes by its own name, and
//! all the stages of its matrix are one; so is a call, with all the stages inside it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{RunFacts, github};
use crate::{
    StageFacts,
    actions::inputs,
    event::Event,
    expand,
    expressions::Ended,
    plan::{Call, Plan, StageKey, StagePlan, path_of},
};

/// What scopes are worked out from.
pub(super) struct Scopes<'a> {
    pub plan: &'a Plan,
    pub event: &'a Event,
    pub run: &'a RunFacts<'a>,
    pub ended: &'a BTreeMap<StageKey, StageFacts>,
}

/// How a job or call has ended, from all its stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    Skipped,
    Cancelled,
    Failure,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Failure => "failure",
        }
    }
}

/// How all that comes before has ended.
#[derive(Debug, Default)]
pub(super) struct Before {
    failed: Vec<String>,
    cancelled: Vec<String>,
    skipped: Vec<String>,
}

impl Before {
    pub(super) fn ended(&self, run_cancelled: bool) -> Ended {
        let clean = self.failed.is_empty() && self.cancelled.is_empty() && self.skipped.is_empty();
        Ended {
            success: clean && !run_cancelled,
            failure: !self.failed.is_empty() && !run_cancelled,
            cancelled: run_cancelled,
        }
    }

    /// Why what comes after does not run, in one sentence.
    pub(super) fn why(&self, run_cancelled: bool) -> String {
        let list = |names: &[String]| crate::nearest::listed(names.iter().map(String::as_str));
        if run_cancelled {
            "the run was cancelled".to_owned()
        } else if !self.failed.is_empty() {
            format!("{} failed", list(&self.failed))
        } else if !self.cancelled.is_empty() {
            format!("{} was cancelled", list(&self.cancelled))
        } else {
            format!("{} was skipped", list(&self.skipped))
        }
    }
}

impl<'a> Scopes<'a> {
    /// The calls down to this scope, the outermost first.
    pub(super) fn path(&self, scope: Option<&str>) -> Vec<&'a Call> {
        path_of(&self.plan.calls, scope)
    }

    /// What everything in a scope reads alike: `github`, `vars` and `inputs`.
    pub(super) fn of(&self, scope: Option<&str>) -> BTreeMap<String, Value> {
        let variables: Map<String, Value> =
            self.run.variables.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let own: Map<String, Value> = self.plan.inputs.clone().into_iter().collect();
        let mut contexts = BTreeMap::from([
            ("github".to_owned(), github::context(self.plan, self.event, self.run)),
            ("vars".to_owned(), variables.into()),
            ("inputs".to_owned(), own.into()),
        ]);
        for call in self.path(scope) {
            let inputs = self.inputs(call, &contexts);
            contexts.insert("inputs".to_owned(), inputs);
        }
        contexts
    }

    /// The inputs of a call, read in the calling scope.
    fn inputs(&self, call: &Call, outer: &BTreeMap<String, Value>) -> Value {
        let open =
            call.inputs.values().any(|input| input.value.as_str().is_some_and(|text| text.contains("${{")));
        let mut given = outer.clone();
        if open {
            self.tell_call(&mut given, call);
        }
        let mut values = Map::new();
        // Defaults read what was given, so they come last.
        let (own, defaults): (Vec<_>, Vec<_>) = call.inputs.iter().partition(|(_, input)| !input.by_default);
        for (name, input) in own.into_iter().chain(defaults) {
            let told = match &input.value {
                Value::String(text) if text.contains("${{") && input.by_default => {
                    let mut inner = outer.clone();
                    inner.insert("inputs".to_owned(), values.clone().into());
                    expand::value(text, &inner).ok()
                }
                Value::String(text) if text.contains("${{") => expand::value(text, &given).ok(),
                known => Some(known.clone()),
            };
            let value = told.and_then(|value| inputs::converted(input.kind, &value).ok());
            values.insert(name.clone(), value.unwrap_or_default());
        }
        values.into()
    }

    /// Puts what only the call itself reads among what its file reads: `needs`, `matrix` and `strategy`.
    pub(super) fn tell_call(&self, contexts: &mut BTreeMap<String, Value>, call: &Call) {
        contexts.insert("needs".to_owned(), self.needs_of_call(call));
        expand::tell_matrix(contexts, &call.matrix, call.strategy.as_ref());
    }

    /// The name by which a scope knows a stage, if it is in it or in a call of it.
    fn name_in(&self, scope: Option<&str>, stage: &'a StagePlan) -> Option<&'a str> {
        if stage.call.as_deref() == scope {
            return Some(stage.own_name());
        }
        let path = self.path(stage.call.as_deref());
        path.into_iter().find(|call| call.parent.as_deref() == scope).map(Call::own_name)
    }

    fn stages(&self, scope: Option<&str>, name: &str) -> Vec<&'a StagePlan> {
        let same =
            |stage: &&StagePlan| self.name_in(scope, stage).is_some_and(|own| own.eq_ignore_ascii_case(name));
        self.plan.stages.iter().filter(same).collect()
    }

    fn outcome(&self, scope: Option<&str>, name: &str) -> Option<Outcome> {
        let mut worst = None;
        let mut ran = false;
        for stage in self.stages(scope, name) {
            let outcome = match self.ended.get(&stage.key)?.status.as_str() {
                "succeeded" | "warned" => Outcome::Success,
                "skipped" => Outcome::Skipped,
                "cancelled" => Outcome::Cancelled,
                _ => Outcome::Failure,
            };
            ran |= outcome != Outcome::Skipped;
            let rank = |outcome: Outcome| match outcome {
                Outcome::Skipped => 0,
                Outcome::Success => 1,
                Outcome::Cancelled => 2,
                Outcome::Failure => 3,
            };
            if worst.is_none_or(|so_far| rank(outcome) > rank(so_far)) {
                worst = Some(outcome);
            }
        }
        if ran { worst } else { worst.map(|_| Outcome::Skipped) }
    }

    /// `result` and `outputs` of a job or call.
    fn told(&self, scope: Option<&str>, name: &str) -> Value {
        let result = self.outcome(scope, name).map(Outcome::word);
        let mut outputs = Map::new();
        let own: Vec<&StagePlan> =
            self.stages(scope, name).into_iter().filter(|stage| stage.call.as_deref() == scope).collect();
        for stage in &own {
            // Of several stages of a matrix the last that has something to say counts.
            for (key, value) in self.ended.get(&stage.key).map(|facts| &facts.outputs).into_iter().flatten() {
                if !value.is_empty() || !outputs.contains_key(key) {
                    outputs.insert(key.clone(), value.as_str().into());
                }
            }
        }
        for call in self
            .plan
            .calls
            .iter()
            .filter(|call| call.parent.as_deref() == scope && call.own_name().eq_ignore_ascii_case(name))
        {
            for (key, value) in self.outputs(call) {
                if value.as_str().is_some_and(|text| !text.is_empty()) || !outputs.contains_key(&key) {
                    outputs.insert(key, value);
                }
            }
        }
        json!({ "result": result, "outputs": outputs })
    }

    /// What a call hands on: read in the called file, from `jobs`.
    fn outputs(&self, call: &Call) -> Map<String, Value> {
        if call.outputs.is_empty() {
            return Map::new();
        }
        let scope = Some(call.key.as_str());
        let names: BTreeSet<&str> =
            self.plan.stages.iter().filter_map(|stage| self.name_in(scope, stage)).collect();
        let jobs: Map<String, Value> =
            names.into_iter().map(|name| (name.to_owned(), self.told(scope, name))).collect();
        let mut contexts = self.of(scope);
        contexts.insert("jobs".to_owned(), jobs.into());
        let told = |template: &str| expand::text(template, &contexts).unwrap_or_default();
        call.outputs.iter().map(|(name, template)| (name.clone(), told(&template.0).into())).collect()
    }

    /// `needs` of a stage: what it names itself, in its own file.
    pub(super) fn needs(&self, stage: &StagePlan) -> Value {
        let scope = stage.call.as_deref();
        let needed = stage.needs.iter().filter_map(|need| self.plan.stage(&need.stage));
        let names: BTreeSet<&str> = needed.filter_map(|need| self.name_in(scope, need)).collect();
        names.into_iter().map(|name| (name.to_owned(), self.told(scope, name))).collect::<Map<_, _>>().into()
    }

    /// `needs` of a call, in the calling file.
    pub(super) fn needs_of_call(&self, call: &Call) -> Value {
        let scope = call.parent.as_deref();
        call.needs.iter().map(|name| (name.clone(), self.told(scope, name))).collect::<Map<_, _>>().into()
    }

    /// How all jobs before a stage have ended, in its own file.
    pub(super) fn before_stage(&self, stage: &StagePlan) -> Before {
        self.before(stage.call.as_deref(), &stage.upstream, None)
    }

    /// How all jobs before a call have ended, in the calling file.
    pub(super) fn before_call(&self, call: &Call) -> Before {
        let inside = self
            .plan
            .stages
            .iter()
            .find(|stage| self.path(stage.call.as_deref()).iter().any(|outer| outer.key == call.key));
        let upstream = inside.map_or(&[][..], |stage| &stage.upstream);
        self.before(call.parent.as_deref(), upstream, Some(call.own_name()))
    }

    fn before(&self, scope: Option<&str>, upstream: &[StageKey], but: Option<&str>) -> Before {
        let stages = upstream.iter().filter_map(|key| self.plan.stage(key));
        let names: BTreeSet<&str> =
            stages.filter_map(|stage| self.name_in(scope, stage)).filter(|name| Some(*name) != but).collect();
        let mut before = Before::default();
        for name in names {
            match self.outcome(scope, name) {
                Some(Outcome::Success) => {}
                Some(Outcome::Failure) => before.failed.push(name.to_owned()),
                Some(Outcome::Cancelled) => before.cancelled.push(name.to_owned()),
                Some(Outcome::Skipped) | None => before.skipped.push(name.to_owned()),
            }
        }
        before
    }
}
