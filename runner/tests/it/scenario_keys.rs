//! Every key of both languages that changes what is executed stands in a scenario of `e2e/scenarios`, or in a list here
//! that says why not.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::scenarios::scenario::{self, Scenario};

/// Keys of the native language without a scenario, and why.
const NATIVE_ELSEWHERE: &[(&str, &str)] = &[
    ("compose", "needs a registry and an application: e2e/tests/it/road.rs"),
    ("credentials", "needs a registry: e2e/tests/it/road.rs, runner/tests/it/verbs.rs"),
    ("description", "people read it"),
    ("from", "needs a registry: runner/tests/it/verbs.rs"),
    ("host", "needs another machine: runner/tests/it/verbs.rs"),
    ("project", "e2e/tests/it/road.rs"),
    ("repository", "needs a registry: e2e/tests/it/road.rs"),
    ("tags", "needs a registry: e2e/tests/it/road.rs"),
];

/// Keys of workflows without a scenario, and why.
const WORKFLOWS_ELSEWHERE: &[(&str, &str)] = &[
    ("description", "people read it"),
    ("image_version", "GitHub's own images; nothing makes one here"),
    ("names", "of `image_version`"),
    ("versions", "of `image_version`"),
    ("snapshot", REFUSED),
    ("image-name", REFUSED),
    ("version", REFUSED),
    ("volumes", REFUSED),
    ("cancel-timeout-minutes", WITHOUT_EFFECT),
    ("deployment", WITHOUT_EFFECT),
    ("queue", WITHOUT_EFFECT),
    ("credentials", "needs a registry: runner/tests/it/images.rs"),
    ("username", "of `credentials`"),
    ("password", "of `credentials`"),
];
const REFUSED: &str = "it is a mistake of the file: docs/compatibility.md";
const WITHOUT_EFFECT: &str = "read and checked, without effect: docs/compatibility.md";

/// What `permissions` may name; of them only identity tokens change what is executed.
const SCOPES: &[&str] = &[
    "actions",
    "artifact-metadata",
    "attestations",
    "checks",
    "code-quality",
    "contents",
    "copilot-requests",
    "deployments",
    "discussions",
    "drives",
    "issues",
    "models",
    "packages",
    "pages",
    "pull-requests",
    "repository-projects",
    "security-events",
    "statuses",
    "vulnerability-alerts",
];

/// Events that the server makes of their webhooks in the same way as `issue_comment`: server/src/forge/events.
const EVENTS_ELSEWHERE: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "issues",
    "label",
    "milestone",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "public",
    "pull_request_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "registry_package",
    "status",
    "watch",
];

/// Keys of actions' own files that change what is executed.
const ACTION_KEYS: &[&str] = &[
    "args",
    "default",
    "entrypoint",
    "image",
    "main",
    "post",
    "post-if",
    "pre",
    "required",
    "using",
    "value",
];

#[test]
fn every_key_that_changes_what_is_executed_has_a_scenario() {
    let scenarios = scenario::all().unwrap();
    let text = |folder: &str| {
        let mine = scenarios.iter().filter(|scenario| scenario.name.starts_with(folder));
        mine.flat_map(Scenario::yaml).collect::<Vec<_>>().join("\n")
    };
    let (native, workflows) = (text("native/"), text("workflows/"));
    let mut keys = BTreeSet::new();
    properties(&tidegate_pipelines::json_schema(), &mut keys);
    assert!(keys.contains("needs") && keys.contains("fail_on"), "the schema has other keys: {keys:?}");
    for key in keys {
        let elsewhere = NATIVE_ELSEWHERE.iter().find(|(name, _)| *name == key);
        match (names(&native, &key), elsewhere) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(_)) => panic!("`{key}` has a scenario now: take it off the list of those without"),
            (false, None) => panic!("no scenario in e2e/scenarios/native has the key `{key}`"),
        }
    }
    let elsewhere: Vec<&str> = WORKFLOWS_ELSEWHERE
        .iter()
        .map(|(key, _)| *key)
        .chain(SCOPES.iter().copied())
        .chain(EVENTS_ELSEWHERE.iter().copied())
        .collect();
    let keys = tidegate_pipelines::actions::keys();
    for key in &elsewhere {
        assert!(keys.contains(key), "workflows have no key `{key}`");
    }
    for key in keys.into_iter().filter(|key| !elsewhere.contains(key)).chain(ACTION_KEYS.iter().copied()) {
        assert!(names(&workflows, key), "no scenario in e2e/scenarios/workflows has the key `{key}`");
    }
}

/// The keys that a JSON Schema knows, at whatever depth.
fn properties(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(own)) = map.get("properties") {
                keys.extend(own.keys().cloned());
            }
            map.values().for_each(|inner| properties(inner, keys));
        }
        Value::Array(items) => items.iter().for_each(|inner| properties(inner, keys)),
        _ => {}
    }
}

/// Whether YAML has this key.
fn names(yaml: &str, key: &str) -> bool {
    yaml.match_indices(key).any(|(at, _)| {
        let before = yaml[..at].chars().next_back();
        let apart = before.is_none_or(|char| char.is_whitespace() || "{,[\"'".contains(char));
        apart && yaml[at + key.len()..].trim_start_matches('"').starts_with(':')
    })
}
