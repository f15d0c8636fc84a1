//! From a checked workflow and an event to the plan.
//!
//! A job becomes a stage that leaves open what depends on its matrix ([`crate::plan::Expand`]), and is expanded at
//! once when all of that can be told without a run. A job that calls a workflow becomes a [`Call`] and the stages of
//! that workflow, whose keys begin with the call's; one whose matrix is told only by other jobs is left open with the
//! stages of that workflow in it. An untrusted event (a fork) changes the plan here, in one place: no stage gets a
//! secret, and stages with an environment are skipped with a reason.
//!
//! A file is checked by the same code, without an event ([`check`]): what only an event tells stays open then.

mod call_inputs;
mod container;
mod crossing;
mod job;
mod options;
mod scope;
mod secrets;
mod steps;
mod variables;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    Setting,
    actions::{calls::Called, seam},
    codes::{self, Code},
    diagnostic::{Place, Problems},
    event::Event,
    plan::{Call, MAX_PLAN, StagePlan, too_heavy},
    yaml::Node,
};
pub(super) use job::concurrency;
use scope::Scope;

/// The most stages of a workflow with all that it calls.
const MAX_STAGES: usize = crate::plan::MOST_STAGES;
/// The most steps of all its stages together, so that a large matrix of long jobs does not grow without bounds.
const MAX_STEPS: usize = 50_000;
/// The most pairs of a stage and one that comes before it.
const MAX_EDGES: usize = 100_000;

/// What is lowered, for one event; none: it is only checked.
struct Lowering<'l> {
    event: Option<&'l Event>,
    setting: Setting<'l>,
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
    let mut lowering = Lowering::new(Some(event), setting);
    let stages = lowering.scope(&Scope::root(root, called, contexts, &[]), problems);
    Lowered { stages, calls: lowering.calls }
}

/// Reports what is not carried out here of a workflow and all that it calls, as far as that can be told without an event.
pub(super) fn check(
    root: &Node,
    called: &BTreeMap<String, Called>,
    setting: Setting<'_>,
    problems: &mut Problems<'_>,
) {
    let nothing = BTreeMap::new();
    let mut sink = Sink { problems, contexts: &nothing, later: &WITH_EVENT };
    if let Some(node) = root.get("concurrency") {
        concurrency(node, &mut sink);
    }
    let scope = Scope::root(root, called, BTreeMap::new(), &WITH_EVENT);
    Lowering::new(None, setting).scope(&scope, problems);
}

impl<'l> Lowering<'l> {
    fn new(event: Option<&'l Event>, setting: Setting<'l>) -> Self {
        Self { event, setting, stages: 0, steps: 0, edges: 0, weight: 0, calls: Vec::new() }
    }

    /// Whether stages may have secrets and identity tokens.
    fn is_trusted(&self) -> bool {
        self.event.is_none_or(|event| event.trusted)
    }

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

/// The contexts that are known as soon as there is an event.
const WITH_EVENT: [&str; 3] = ["github", "vars", "inputs"];

/// When an expression can be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Now,
    /// As soon as there is an event.
    WithEvent,
    InTheRun,
}

/// Where problems go while a file is lowered, and what is known by then.
pub(super) struct Sink<'s, 'a> {
    pub problems: &'s mut Problems<'a>,
    pub contexts: &'s BTreeMap<String, Value>,
    /// The contexts that an event will tell.
    pub later: &'s [&'static str],
}

impl Sink<'_, '_> {
    fn report(&mut self, code: Code, place: Place, message: impl Into<String>) {
        self.problems.report(code, place, message);
    }

    fn unsupported(&mut self, node: &Node, what: &str) {
        let message = format!("{what}: Tidegate cannot carry this out");
        self.problems.report(codes::UNSUPPORTED, node.place, message);
    }

    /// When this template can be told.
    fn when(&self, text: &str) -> When {
        let known = |context: &str| self.contexts.contains_key(context);
        if seam::reads_only(text, known) {
            When::Now
        } else if seam::reads_only(text, |context| known(context) || self.later.contains(&context)) {
            When::WithEvent
        } else {
            When::InTheRun
        }
    }
}

/// An `if` as one expression: without the braces around the whole of it, and as the `format(…)` that it stands for where
/// there is text beside them.
fn condition(node: Option<&Node>) -> Option<String> {
    let text = node.and_then(Node::text)?;
    let bare = seam::whole(&text).map_or_else(|| seam::as_format(&text), str::to_owned);
    (!bare.trim().is_empty()).then_some(bare)
}
