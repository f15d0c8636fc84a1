//! The examples under `pipelines/examples`, each on a server, a runner, real containers and stand-ins on this machine
//! for what is elsewhere. Their READMEs say what stands in for what.

mod blue_green;
mod ecs_services;
mod gitops;
mod node_service;
mod release;
mod visitor;

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_e2e::{
    api::{Api, describe, stage},
    stack::{Project, Stack},
};

/// How long a run of an example may take.
const LIMIT: Duration = Duration::from_secs(180);
/// How a run may end.
const ENDS: [&str; 4] = ["succeeded", "failed", "cancelled", "invalid"];

/// Sets a secret of a repository.
async fn secret(stack: &Stack, project: &Project, name: &str, value: &str) {
    let path = format!("/repositories/{}/secrets/{name}", project.id);
    stack.admin.put(&path, json!({ "value": value })).await.unwrap();
}

/// Sets a variable of a repository.
async fn variable(stack: &Stack, project: &Project, name: &str, value: &str) {
    let path = format!("/repositories/{}/variables/{name}", project.id);
    stack.admin.put(&path, json!({ "value": value })).await.unwrap();
}

/// Pushes files and waits for the end of the run.
async fn run_of_push(stack: &Stack, project: &Project, files: &[(&str, &str)]) -> Value {
    let push = project.push(files).await.unwrap();
    let id = stack.admin.run_of(&push.after).await.unwrap();
    stack.admin.run_until(&id, &ENDS, LIMIT).await.unwrap()
}

/// The statuses of a run's stages, by their keys.
fn statuses(run: &Value) -> Vec<(&str, &str)> {
    let stages = run["stages"].as_array().unwrap();
    stages.iter().map(|one| (one["key"].as_str().unwrap(), one["status"].as_str().unwrap())).collect()
}

/// All that a stage's last attempt printed.
async fn printed(api: &Api, run: &Value, key: &str) -> String {
    let attempt = stage(run, key).unwrap()["attempts"].as_array().unwrap().last().unwrap();
    let mut text = String::new();
    for step in attempt["steps"].as_array().unwrap() {
        let log = api.log(attempt["id"].as_str().unwrap(), step["index"].as_u64().unwrap()).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&log));
    }
    text
}

/// A run with all that its stages printed, for the message of a failure.
async fn told(api: &Api, run: &Value) -> String {
    let mut text = describe(run);
    for one in run["stages"].as_array().unwrap() {
        let key = one["key"].as_str().unwrap();
        if one["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty()) {
            text.push_str(&format!("--- {key}\n{}\n", printed(api, run, key).await));
        }
    }
    text
}
