//! Stages of a local run that fill in their templates themselves: whether they run, what they read, their secrets.
//! A server tells the same by the same functions.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_pipelines::{
    ResolveError, StageFacts,
    actions::{self, Decision, RunFacts},
    plan::{Plan, StageKey, StagePlan},
};
use tidegate_protocol::{ids::RunId, messages::Secret, status::StageStatus};

use super::{LocalRun, Shared};
use crate::sandbox::WORKSPACE;

/// Stages that have ended, by key.
type Ended = BTreeMap<StageKey, StageFacts>;

/// What a stage is given.
pub(super) struct Given {
    /// What its expressions read.
    pub(super) contexts: BTreeMap<String, Value>,
    /// Its secrets, by the names that it reads them by.
    pub(super) secrets: Vec<Secret>,
}

/// What a stage is given whose needs have ended; else how it ends, and why.
pub(super) fn given(
    shared: &Shared,
    plan: &Plan,
    stage: &StagePlan,
    ended: &Ended,
) -> Result<Given, (StageStatus, String)> {
    let LocalRun { event, .. } = &shared.run;
    let id = shared.id.to_string();
    let facts = facts(&id, &shared.run.variables);
    let failed = |error: ResolveError| (StageStatus::Failed, error.to_string());
    if let Decision::Skip(reason) = actions::decide(plan, stage, event, &facts, ended).map_err(failed)? {
        return Err((StageStatus::Skipped, reason));
    }
    // Their names are the same in whatever case.
    let is_named = |name: &str| stage.secrets.iter().any(|secret| secret.name.eq_ignore_ascii_case(name));
    let asked = |name: &str| stage.all_secrets || is_named(name);
    let known = shared.run.secrets.iter().filter(|(name, _)| asked(name));
    let known = known.map(|(name, value)| (name.clone(), value.clone())).collect();
    let secrets =
        actions::called_secrets(plan, stage, event, &facts, ended, &known).map_err(failed)?.into_iter();
    Ok(Given {
        contexts: actions::contexts(plan, stage, event, &facts, ended),
        secrets: secrets.map(|(name, value)| Secret { name, env: None, value }).collect(),
    })
}

/// Writes the run's own facts into the titles of the plan.
pub(super) fn name_run(plan: &mut Plan, id: RunId) {
    actions::name_run(plan, &facts(&id.to_string(), &BTreeMap::new()));
}

/// A local run has no number, and nobody can ask it to stop but by ending it.
fn facts<'a>(id: &'a str, variables: &'a BTreeMap<String, String>) -> RunFacts<'a> {
    RunFacts {
        id,
        number: 0,
        attempt: 1,
        server_url: "https://github.com",
        api_url: "https://api.github.com",
        graphql_url: "https://api.github.com/graphql",
        workspace: WORKSPACE,
        variables,
        cancelled: false,
    }
}
