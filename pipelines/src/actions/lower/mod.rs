//! From a checked workflow and an event to the plan.
//!
//! A job becomes a stage that leaves open what depends on its matrix ([`crate::plan::Expand`]), and is expanded at
//! once when all of that can be told without a run. A job that calls a workflow becomes a [`Call`] and the stages of
//! that workflow, whose keys begin with the call's. An untrusted event (a fork) changes the plan here, in one place:
//! no stage gets a secret, and stages with an environment are skipped with a reason.

mod call_inputs;
mod container;
mod job;
mod options;
mod scope;
mod secrets;
mod steps;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    Setting,
    actions::{calls::Called, seam},
    codes::{self, Code},
    diagnostic::{Place, Problems},
    event::Event,
    plan::{Call, MAX_PLAN, StagePlan, Template, too_heavy},
    yaml::{Entry, Node},
};
pub(super) use job::concurrency;
use scope::Scope;

/// The most stages of a workflow with all that it calls.
const MAX_STAGES: usize = crate::plan::MOST_STAGES;
/// The most steps of all its stages together, so that a large matrix of long jobs does not grow without bounds.
const MAX_STEPS: usize = 50_000;
/// The most pairs of a stage and one that comes before it.
const MAX_EDGES: usize = 100_000;

/// What is lowered, for one event.
pub(super) struct Lowering<'l> {
    pub event: &'l Event,
    pub setting: Setting<'l>,
    stages: usize,
    steps: usize,
    edges: usize,
    /// Bytes of all stages.
    weight: usize,
    calls: Vec<Call>,
}

/// Stages and calls.
pub(super) struct Lowered {
    pub stages: Vec<StagePlan>,
    pub calls: Vec<Call>,
}

/// Lowers a workflow. `contexts` are those that are known before anything runs.
pub(super) fn workflow(
    root: &Node,
    called: &BTreeMap<String, Called>,
    event: &Event,
    setting: Setting<'_>,
    contexts: BTreeMap<String, Value>,
    problems: &mut Problems<'_>,
) -> Lowered {
    let mut lowering =
        Lowering { event, setting, stages: 0, steps: 0, edges: 0, weight: 0, calls: Vec::new() };
    let scope = Scope::root(root, called, contexts);
    let stages = lowering.scope(&scope, problems);
    Lowered { stages, calls: lowering.calls }
}

impl Lowering<'_> {
    /// What there is too much of, in one sentence.
    fn too_much(&self) -> Option<String> {
        let of = |what: String| Some(format!("the workflow, with all that it calls, has {what}"));
        if self.stages > MAX_STAGES {
            of(format!("more than {MAX_STAGES} jobs"))
        } else if self.steps > MAX_STEPS {
            of(format!("more than {MAX_STEPS} steps in its jobs"))
        } else if self.edges > MAX_EDGES {
            of(format!("more than {MAX_EDGES} needs between its jobs"))
        } else if self.weight > MAX_PLAN {
            of(too_heavy())
        } else {
            None
        }
    }
}

/// Where problems go while a file is lowered.
pub(super) struct Sink<'s, 'a> {
    pub problems: &'s mut Problems<'a>,
    pub contexts: &'s BTreeMap<String, Value>,
    pub inputs_are_late: bool,
}

impl Sink<'_, '_> {
    fn report(&mut self, code: Code, place: Place, message: impl Into<String>) {
        self.problems.report(code, place, message);
    }

    fn unsupported(&mut self, node: &Node, what: &str) {
        let message = format!("{what}: Tidegate cannot carry this out");
        self.problems.report(codes::UNSUPPORTED, node.place, message);
    }
}

/// A mapping of variables as templates. Where an expression stands for the mapping, or for part of it, it must be one
/// that can be evaluated now.
fn variables(node: Option<&Node>, sink: &mut Sink<'_, '_>) -> BTreeMap<String, Template> {
    let mut all = BTreeMap::new();
    let Some(node) = node else { return all };
    if node.scalar().is_some() {
        insert(node, &mut all, sink);
    }
    for Entry { key, value } in node.entries() {
        if seam::whole(&key.value).is_some_and(seam::is_insert) {
            insert(value, &mut all, sink);
        } else if seam::holds_expression(&key.value) {
            sink.unsupported(value, "an expression that tells the name of a variable");
        } else if let Some(text) = value.text() {
            all.insert(key.value.clone(), Template(text));
        }
    }
    all
}

fn insert(node: &Node, all: &mut BTreeMap<String, Template>, sink: &mut Sink<'_, '_>) {
    let Some(text) = node.text().filter(|text| !text.is_empty()) else { return };
    let known =
        |name: &String| sink.contexts.contains_key(name) && !(sink.inputs_are_late && name == "inputs");
    if !seam::reads(&text, false).contexts.iter().all(known) {
        return sink.unsupported(node, "variables that an expression tells while the workflow runs");
    }
    match crate::expand::value(&text, sink.contexts) {
        Ok(Value::Object(map)) => {
            for (key, value) in map {
                all.insert(key, Template(crate::expand::text_of(&value)));
            }
        }
        Ok(Value::Null) => {}
        Ok(_) => sink.report(codes::UNEXPECTED_VALUE, node.place, "this is to be a mapping, and it is not"),
        Err(error) => sink.report(codes::BAD_EXPRESSION, node.place, error.to_string()),
    }
}

/// An `if` as one expression: without the braces around the whole of it, and as the `format(…)` that it stands for where
/// there is text beside them.
fn condition(node: Option<&Node>) -> Option<String> {
    let text = node.and_then(Node::text)?;
    let bare = seam::whole(&text).map_or_else(|| seam::as_format(&text), str::to_owned);
    (!bare.trim().is_empty()).then_some(bare)
}
