//! GitHub Actions workflows: `.github/workflows/*.yml`, as they are.
//!
//! ```text
//! yaml::Node -> schema (shapes, expressions) -> check (ids, graph, matrices) -> start (triggers) -> lower -> plan
//! ```
//!
//! The tree itself is the model: once the schema has nothing to say about it, [`tree`]'s views read it where it is
//! needed. What can be told without a run (matrices, labels, names) is evaluated here; the rest goes into the plan
//! as templates, see [`crate::plan::Expressions::Lenient`].

mod calls;
mod check;
mod contexts;
mod cron;
mod filter;
mod inputs;
mod local;
mod lower;
mod names;
mod permissions;
mod schema;
mod seam;
mod start;
mod tree;

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

pub use contexts::{Decision, RunFacts, called_secrets, contexts, decide, group_of_call, name_run};
pub(crate) use inputs::converted as converted_input;
pub use schema::keys;

use crate::{
    Compilation, Compiled, Diagnostic, Setting, SourceFile, Triggers, codes,
    diagnostic::Problems,
    event::Event,
    plan::{PLAN_VERSION, Plan, PlanSource, StagePlan},
    refusal::Refusal,
    yaml::{self, Dialect, Node},
};

/// Reads and checks a file. There is a tree whenever it can be read, with mistakes or without.
fn read(problems: &mut Problems<'_>, dialect: &Dialect) -> Option<Node> {
    let root = yaml::parse(problems, dialect)?;
    schema::validate(&root, problems);
    check::check(&root, problems);
    Some(root)
}

/// All that is wrong with a file, whatever the event.
pub(crate) fn check(file: &SourceFile<'_>) -> Vec<Diagnostic> {
    let mut problems = Problems::new(file);
    read(&mut problems, &Dialect::ACTIONS);
    problems.finish()
}

/// The same, with all that it calls, and with what GitHub accepts and is not carried out here.
pub(crate) fn check_in(file: &SourceFile<'_>, setting: Setting<'_>) -> Vec<Diagnostic> {
    let mut problems = Problems::new(file);
    if let Some(loaded) = load(&mut problems, file.path, setting, &Limits::default()) {
        lower::check(&loaded.root, &loaded.called, setting, &mut problems);
    }
    problems.finish()
}

/// A file without mistakes, and all that it calls.
struct Loaded {
    root: Node,
    called: BTreeMap<String, calls::Called>,
}

/// Reads and checks a file and what it calls; none where there is a mistake.
fn load(problems: &mut Problems<'_>, path: &str, setting: Setting<'_>, limits: &Limits) -> Option<Loaded> {
    let dialect = Dialect { max_bytes: limits.max_bytes, max_depth: limits.max_depth, ..Dialect::ACTIONS };
    let root = read(problems, &dialect)?;
    if problems.has_errors() {
        return None;
    }
    let policy = match limits.read_only_token {
        true => permissions::Policy::LimitedRead,
        false => permissions::Policy::Write,
    };
    let called = calls::load(path, &root, setting, policy, problems);
    local::check(&root, setting, problems);
    (!problems.has_errors()).then_some(Loaded { root, called })
}

/// What a file is checked against beside the language itself; the defaults are those of [`check_in`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest file, in bytes.
    pub max_bytes: usize,
    /// The deepest nesting.
    pub max_depth: usize,
    /// A repository gives workflows that ask for nothing only the reading of contents and packages.
    pub read_only_token: bool,
}

impl Default for Limits {
    fn default() -> Self {
        let Dialect { max_bytes, max_depth, .. } = Dialect::ACTIONS;
        Self { max_bytes, max_depth, read_only_token: false }
    }
}

/// All that GitHub finds wrong with a workflow file and what it calls, within limits.
pub fn check_within(file: &SourceFile<'_>, setting: Setting<'_>, limits: &Limits) -> Vec<Diagnostic> {
    let mut problems = Problems::new(file);
    load(&mut problems, file.path, setting, limits);
    problems.finish()
}

/// Compiles a file for an event: parsing, checks, triggers, calls, matrices.
pub(crate) fn compile(file: &SourceFile<'_>, event: &Event, setting: Setting<'_>) -> Compilation {
    let mut problems = Problems::new(file);
    let root = read(&mut problems, &Dialect::ACTIONS);
    let result = match &root {
        Some(root) if !problems.has_errors() => result(file, event, root, setting, &mut problems),
        _ => None,
    };
    let result = result.filter(|_| !problems.has_errors());
    Compilation { result, diagnostics: problems.finish() }
}

fn result(
    file: &SourceFile<'_>,
    event: &Event,
    root: &Node,
    setting: Setting<'_>,
    problems: &mut Problems<'_>,
) -> Option<Compiled> {
    let on = root.get("on")?;
    let name = root.get("name").and_then(Node::filled).unwrap_or_else(|| file.path.to_owned());
    let started = start::starts(on, event).and_then(|event_name| {
        let inputs = inputs::manual(&start::declared(on, &event_name), event)?;
        Ok((event_name, inputs))
    });
    let (event_name, inputs) = match started {
        Ok(started) => started,
        Err(Refusal { reason, left_out }) => {
            return Some(Compiled::NotTriggered { pipeline: name, reason, left_out });
        }
    };
    let called = calls::load(file.path, root, setting, permissions::Policy::Write, problems);
    if problems.has_errors() {
        return None;
    }
    let mut plan = Plan {
        version: PLAN_VERSION,
        name,
        title: None,
        source: PlanSource {
            path: file.path.to_owned(),
            sha256: hex::encode(Sha256::digest(file.text.as_bytes())),
        },
        event_name: Some(event_name),
        concurrency: None,
        inputs,
        calls: Vec::new(),
        machines: BTreeMap::new(),
        stages: Vec::new(),
    };
    let known = contexts::early(&plan, event, setting.variables);
    plan.title =
        root.get("run-name").and_then(|node| told(node, &known, problems)).filter(|title| !title.is_empty());
    let mut sink = lower::Sink { problems, contexts: &known, later: &[] };
    plan.concurrency = root.get("concurrency").and_then(|node| lower::concurrency(node, &mut sink));
    if let Some(concurrency) = &mut plan.concurrency {
        concurrency.group = text_of_group(&concurrency.group, root, &known, problems)?;
    }
    let lowered = lower::workflow(root, &called, event, setting, known, problems);
    plan.stages = lowered.stages;
    plan.calls = lowered.calls;
    if plan.stages.iter().any(StagePlan::asks_for_machines) {
        plan.machines.clone_from(setting.machines);
    }
    Some(Compiled::Plan(plan))
}

fn told(node: &Node, known: &BTreeMap<String, Value>, problems: &mut Problems<'_>) -> Option<String> {
    match seam::text(&node.text()?, known) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(why) => {
            problems.report(codes::BAD_EXPRESSION, node.place, why);
            None
        }
    }
}

fn text_of_group(
    group: &str,
    root: &Node,
    known: &BTreeMap<String, Value>,
    problems: &mut Problems<'_>,
) -> Option<String> {
    match seam::text(group, known) {
        Ok(text) => Some(text),
        Err(why) => {
            let place = root.get("concurrency").map(|node| node.place).unwrap_or_default();
            problems.report(codes::BAD_EXPRESSION, place, why);
            None
        }
    }
}

/// What starts a file's workflow. A file with mistakes starts nothing by itself.
pub(crate) fn triggers(file: &SourceFile<'_>) -> Triggers {
    let mut problems = Problems::new(file);
    let root = read(&mut problems, &Dialect::ACTIONS);
    match root.as_ref().and_then(|root| root.get("on")) {
        Some(on) if !problems.has_errors() => start::triggers(on),
        _ => Triggers::default(),
    }
}
