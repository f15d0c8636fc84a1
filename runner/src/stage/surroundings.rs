//! What surrounds the steps of a stage that fills in its templates itself: the contexts `github`, `runner`, `job` and
//! `secrets`, and the variables `GITHUB_…` and `RUNNER_…` that say the same to programs. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tidegate_protocol::messages::Lease;

use super::{
    context::RunnerFacts,
    paths::{LENT_TOOLS, SHARED},
    ports,
};
use crate::sandbox::WORKSPACE;

/// Properties of `github` that programs read as `GITHUB_…`.
const VARIABLES: [&str; 31] = [
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "actor",
    "actor_id",
    "api_url",
    "base_ref",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "server_url",
    "sha",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
];

/// The contexts that do not change with the steps.
pub(super) fn contexts(lease: &Lease, runner: &RunnerFacts) -> BTreeMap<String, Value> {
    let mut contexts = lease.contexts.clone();
    let mut secrets: Map<String, Value> =
        lease.secrets.iter().map(|secret| (secret.name.clone(), secret.value.clone().into())).collect();
    let given = contexts.get("github").and_then(|github| github.get("token")).and_then(Value::as_str);
    let token = given
        .map(str::to_owned)
        .or_else(|| Some(secrets.get("GITHUB_TOKEN")?.as_str()?.to_owned()))
        .unwrap_or_default();
    if !token.is_empty() {
        secrets.insert("GITHUB_TOKEN".to_owned(), token.clone().into());
    }
    contexts.insert("github".to_owned(), github(lease, contexts.get("github"), token));
    let debug = is_debug(&secrets, contexts.get("vars"));
    contexts.insert("secrets".to_owned(), secrets.into());
    contexts.insert("runner".to_owned(), self::runner(runner, debug));
    // Before their templates are filled in nobody knows the ports, and nobody asks for them.
    let mapped = ports::mapped(&lease.stage.services).unwrap_or_default();
    let services =
        lease.stage.services.iter().map(|service| {
            (service.name.clone(), json!({ "ports": ports::context(&service.name, &mapped) }))
        });
    let services: Map<String, Value> = services.collect();
    contexts.insert("job".to_owned(), json!({ "status": "success", "container": {}, "services": services }));
    contexts.insert("steps".to_owned(), json!({}));
    for (name, value) in
        [("matrix", json!(lease.stage.matrix)), ("strategy", strategy(lease)), ("inputs", json!({}))]
    {
        contexts.entry(name.to_owned()).or_insert(value);
    }
    contexts
}

fn strategy(lease: &Lease) -> Value {
    lease.stage.strategy.as_ref().map_or(json!({}), |strategy| {
        json!({
            "fail-fast": strategy.fail_fast,
            "job-index": strategy.index,
            "job-total": strategy.total,
            "max-parallel": strategy.max_parallel.unwrap_or(strategy.total),
        })
    })
}

fn is_debug(secrets: &Map<String, Value>, vars: Option<&Value>) -> bool {
    let name = "ACTIONS_STEP_DEBUG";
    let value = secrets.get(name).or_else(|| vars?.get(name));
    value.and_then(Value::as_str).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The server's `github`, and what it leaves out as far as the lease says it.
fn github(lease: &Lease, given: Option<&Value>, token: String) -> Value {
    let mut github = given.and_then(Value::as_object).cloned().unwrap_or_default();
    let source = &lease.source;
    let (kind, name) = match source.reference.strip_prefix("refs/") {
        Some(rest) if rest.starts_with("heads/") => ("branch", rest.trim_start_matches("heads/")),
        Some(rest) if rest.starts_with("tags/") => ("tag", rest.trim_start_matches("tags/")),
        Some(rest) => ("branch", rest.trim_start_matches("pull/")),
        None => ("branch", source.reference.as_str()),
    };
    let owner = source.repository.split('/').next().unwrap_or_default();
    for (key, value) in [
        ("actor", json!("")),
        ("base_ref", json!("")),
        ("event", json!({})),
        ("event_name", json!(lease.env.get("TIDEGATE_EVENT").cloned().unwrap_or_default())),
        ("head_ref", json!("")),
        ("job", json!(lease.stage.name)),
        ("ref", json!(source.reference)),
        ("ref_name", json!(name)),
        ("ref_protected", json!(false)),
        ("ref_type", json!(kind)),
        ("repository", json!(source.repository)),
        ("repository_owner", json!(owner)),
        ("retention_days", json!("90")),
        ("run_attempt", json!(lease.number.to_string())),
        ("run_id", json!(lease.run.to_string())),
        ("run_number", json!(lease.run_number.to_string())),
        ("sha", json!(source.sha)),
        ("workflow", json!(lease.env.get("TIDEGATE_PIPELINE").cloned().unwrap_or_default())),
    ] {
        github.entry(key).or_insert(value);
    }
    let actor = github.get("actor").cloned().unwrap_or_default();
    github.entry("triggering_actor").or_insert(actor);
    // Only this machine knows these.
    github.insert("token".to_owned(), token.into());
    github.insert("workspace".to_owned(), WORKSPACE.into());
    github.insert("event_path".to_owned(), format!("{SHARED}/event.json").into());
    github.into()
}

fn runner(facts: &RunnerFacts, debug: bool) -> Value {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "X64",
        "aarch64" => "ARM64",
        "x86" => "X86",
        other => other,
    };
    let tools = if facts.actions.tools.is_some() { LENT_TOOLS.to_owned() } else { format!("{SHARED}/tools") };
    let mut runner = json!({
        "name": facts.name,
        "os": "Linux",
        "arch": arch,
        "environment": "self-hosted",
        "temp": format!("{SHARED}/temp"),
        "tool_cache": tools,
        "workspace": WORKSPACE,
    });
    if debug {
        runner["debug"] = "1".into();
    }
    runner
}

/// The variables that every step has.
pub(super) fn variables(contexts: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("CI".to_owned(), "true".to_owned()),
        ("GITHUB_ACTIONS".to_owned(), "true".to_owned()),
        ("GITHUB_WORKSPACE".to_owned(), WORKSPACE.to_owned()),
    ]);
    let read = |context: &str, key: &str| match contexts.get(context)?.get(key)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
        _ => None,
    };
    for key in VARIABLES {
        if let Some(value) = read("github", key) {
            variables.insert(format!("GITHUB_{}", key.to_uppercase()), value);
        }
    }
    for key in ["arch", "debug", "environment", "name", "os", "temp", "tool_cache"] {
        if let Some(value) = read("runner", key) {
            variables.insert(format!("RUNNER_{}", key.to_uppercase()), value);
        }
    }
    variables
}
