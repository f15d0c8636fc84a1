//! What the expressions of a workflow read, and whether its stages run: for server and local runs alike.
//!
//! All of it is worked out from the plan, the event, the run's own facts and the stages that have ended. Jobs know each
//! other only in their own file: a stage of a called workflow reads that workflow's inputs and needs, and what
//! the call as a whole hands on is read in the calling file ([`scope`]).

mod github;
mod scope;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    ResolveError, StageFacts,
    event::Event,
    expand::{tell_matrix, text},
    expressions::Lenient,
    lenient,
    plan::{Call, Plan, StageKey, StagePlan},
};
use scope::Scopes;

/// Facts of a run that the plan does not have.
#[derive(Debug, Clone, Copy)]
pub struct RunFacts<'a> {
    /// The run's id.
    pub id: &'a str,
    /// Its number among the runs of its workflow.
    pub number: u64,
    /// Which try at it this is, from 1.
    pub attempt: u32,
    /// Where people find the server, for example `https://github.com`.
    pub server_url: &'a str,
    /// Where its programs' interface is.
    pub api_url: &'a str,
    /// The same for GraphQL.
    pub graphql_url: &'a str,
    /// The workspace's path inside sandboxes.
    pub workspace: &'a str,
    /// `vars`.
    pub variables: &'a BTreeMap<String, String>,
    /// Somebody asked for the run to stop.
    pub cancelled: bool,
}

/// Whether a stage runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It runs.
    Run,
    /// It does not, and this sentence says why.
    Skip(String),
}

/// The contexts of a stage before its first step: `github`, `needs`, `strategy`, `matrix`, `inputs` and `vars`.
/// `ended` has the stages that have ended. An input that cannot be evaluated is null.
pub fn contexts(
    plan: &Plan,
    stage: &StagePlan,
    event: &Event,
    run: &RunFacts<'_>,
    ended: &BTreeMap<StageKey, StageFacts>,
) -> BTreeMap<String, Value> {
    let scopes = Scopes { plan, event, run, ended };
    let mut contexts = scopes.of(stage.call.as_deref());
    contexts.insert("needs".to_owned(), scopes.needs(stage));
    tell_matrix(&mut contexts, &stage.matrix, stage.strategy.as_ref());
    if let Some(Value::Object(github)) = contexts.get_mut("github") {
        github.insert("job".to_owned(), stage.own_name().into());
    }
    contexts
}

/// Whether a stage whose needs have ended runs: the conditions of the calls that it is part of, from the outermost on,
/// and then its own.
pub fn decide(
    plan: &Plan,
    stage: &StagePlan,
    event: &Event,
    run: &RunFacts<'_>,
    ended: &BTreeMap<StageKey, StageFacts>,
) -> Result<Decision, ResolveError> {
    if let Some(reason) = &stage.skip_reason {
        return Ok(Decision::Skip(reason.clone()));
    }
    let scopes = Scopes { plan, event, run, ended };
    for call in scopes.path(stage.call.as_deref()) {
        let mut contexts = scopes.of(call.parent.as_deref());
        contexts.insert("needs".to_owned(), scopes.needs_of_call(call));
        let before = scopes.before_call(call);
        if let Some(why) = refuses(call.condition.as_deref(), &contexts, before, run)? {
            return Ok(Decision::Skip(format!("the call `{}` was skipped: {why}", call.key)));
        }
    }
    let contexts = contexts(plan, stage, event, run, ended);
    let before = scopes.before_stage(stage);
    Ok(match refuses(stage.condition.as_deref(), &contexts, before, run)? {
        Some(why) => Decision::Skip(why),
        None => Decision::Run,
    })
}

/// The name of the concurrency group of a call whose needs have ended; nothing where it has none.
pub fn group_of_call(
    plan: &Plan,
    call: &Call,
    event: &Event,
    run: &RunFacts<'_>,
    ended: &BTreeMap<StageKey, StageFacts>,
) -> Result<String, ResolveError> {
    let scopes = Scopes { plan, event, run, ended };
    let mut contexts = scopes.of(call.parent.as_deref());
    scopes.tell_call(&mut contexts, call);
    call.concurrency.as_ref().map_or(Ok(String::new()), |concurrency| text(&concurrency.group, &contexts))
}

/// Why a condition does not hold.
fn refuses(
    condition: Option<&str>,
    contexts: &BTreeMap<String, Value>,
    before: scope::Before,
    run: &RunFacts<'_>,
) -> Result<Option<String>, ResolveError> {
    let no_files = |_: &[String]| Err("there are no files before a stage runs".to_owned());
    let ended = before.ended(run.cancelled);
    let succeeded = ended.success;
    let rules = Lenient::new(contexts, ended, &no_files);
    if lenient::holds_with(condition.unwrap_or_default(), &rules)? {
        return Ok(None);
    }
    let asks = condition.is_some_and(|text| lenient::reads(text, true).is_ok_and(|reads| reads.status));
    Ok(Some(match condition {
        _ if !asks && !succeeded => before.why(run.cancelled),
        Some(condition) => format!("its condition `{}` does not hold", condition.trim()),
        None => "its condition does not hold".to_owned(),
    }))
}

/// The secrets of a stage by the names that its expressions use. In a called workflow those are what the calls say;
/// `secrets` are those of the server that [`StagePlan::secrets`] names.
pub fn called_secrets(
    plan: &Plan,
    stage: &StagePlan,
    event: &Event,
    run: &RunFacts<'_>,
    ended: &BTreeMap<StageKey, StageFacts>,
    secrets: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ResolveError> {
    let scopes = Scopes { plan, event, run, ended };
    let mut known = secrets.clone();
    for call in scopes.path(stage.call.as_deref()) {
        let Some(given) = &call.secrets else { continue };
        let mut contexts = scopes.of(call.parent.as_deref());
        scopes.tell_call(&mut contexts, call);
        let outer: Map<String, Value> = known.into_iter().map(|(name, value)| (name, value.into())).collect();
        contexts.insert("secrets".to_owned(), outer.into());
        known = BTreeMap::new();
        for (name, template) in given {
            let value = text(&template.0, &contexts)?;
            if !value.is_empty() {
                known.insert(name.clone(), value);
            }
        }
    }
    Ok(known)
}

/// What stands for facts of the run where a plan is made before there is one.
pub(super) const MARKS: [(&str, &str); 3] = [
    ("run_id", "${{ github.run_id }}"),
    ("run_number", "${{ github.run_number }}"),
    ("run_attempt", "${{ github.run_attempt }}"),
];

/// Writes the run's own facts where the compiler could not know them: in the run's title and its concurrency group,
/// and in the titles of stages and calls. Whoever creates a run calls it once.
pub fn name_run(plan: &mut Plan, run: &RunFacts<'_>) {
    let values = [run.id.to_owned(), run.number.to_string(), run.attempt.to_string()];
    let write = |text: &mut String| {
        if text.contains("${{") {
            for ((_, mark), value) in MARKS.iter().zip(&values) {
                *text = text.replace(mark, value);
            }
        }
    };
    plan.title.iter_mut().for_each(write);
    plan.concurrency.iter_mut().for_each(|concurrency| write(&mut concurrency.group));
    plan.calls.iter_mut().for_each(|call| write(&mut call.title));
    plan.stages.iter_mut().for_each(|stage| name_stage(stage, &write));
}

/// A stage's titles, with those of all that it stands for.
fn name_stage(stage: &mut StagePlan, write: &impl Fn(&mut String)) {
    stage.title.iter_mut().for_each(write);
    if let Some(called) = stage.expand.as_mut().and_then(|open| open.called.as_mut()) {
        called.calls.iter_mut().for_each(|call| write(&mut call.title));
        called.stages.iter_mut().for_each(|stage| name_stage(stage, write));
    }
}

/// What is known when a file is compiled. Facts of the run are marks that [`name_run`] replaces.
pub(super) fn early(
    plan: &Plan,
    event: &Event,
    variables: &BTreeMap<String, String>,
) -> BTreeMap<String, Value> {
    let run = RunFacts {
        id: "",
        number: 0,
        attempt: 0,
        server_url: "",
        api_url: "",
        graphql_url: "",
        workspace: "",
        variables,
        cancelled: false,
    };
    let ended = BTreeMap::new();
    let scopes = Scopes { plan, event, run: &run, ended: &ended };
    let mut contexts = scopes.of(None);
    if let Some(Value::Object(github)) = contexts.get_mut("github") {
        for (name, mark) in MARKS {
            github.insert(name.to_owned(), mark.into());
        }
    }
    contexts
}
