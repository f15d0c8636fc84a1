//! kill -9 of each part in mid-run. Afterwards the run goes on, or ends with a true reason; nothing is stuck, no
//! deployment happens twice, and no log line that was accepted is lost.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};
use tidegate_e2e::{
    api::{Api, stage},
    cluster::Cluster,
    engine::Engine,
    stack::{Setup, Stack},
};

const LIMIT: Duration = Duration::from_secs(120);

/// Counts to forty in eight seconds, then a second stage follows.
const COUNTING: &str = r#"
name: counting
on: {push: {}}
defaults: {image: "tidegate-test/busybox:1"}
stages:
  count: {run: "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; sleep 0.2; done"}
  after: {needs: [count], run: "echo after"}
"#;

/// Waits until the counting step printed something, and gives its attempt.
async fn counting_attempt(api: &Api, run: &str) -> String {
    api.until(LIMIT, "the first line", async |api| {
        let run = api.get(&format!("/runs/{run}")).await?;
        let attempt = stage(&run, "count")?["attempts"][0].clone();
        let printed = attempt["steps"].as_array().into_iter().flatten();
        let printed =
            printed.filter(|step| step["index"] != 0).any(|step| step["log_bytes"].as_u64() > Some(0));
        Ok(printed.then(|| attempt["id"].as_str().map(str::to_owned)).flatten())
    })
    .await
    .unwrap()
}

/// The counting step's whole log of an attempt.
async fn counted(api: &Api, run: &Value, number: usize) -> String {
    let attempt = &stage(run, "count").unwrap()["attempts"][number];
    let step = attempt["steps"].as_array().unwrap().iter().find(|step| step["index"] != 0).unwrap();
    let log = api.log(attempt["id"].as_str().unwrap(), step["index"].as_u64().unwrap()).await.unwrap();
    String::from_utf8(log).unwrap()
}

fn forty_lines() -> String {
    (1..=40).map(|n| format!("line {n}\n")).collect()
}

#[tokio::test]
async fn the_server_is_killed_in_mid_run() {
    let mut stack = Stack::start().await.unwrap();
    let project = stack.project("server-killed").await.unwrap();
    let id = project.run(&stack.admin, COUNTING, &[]).await.unwrap();
    counting_attempt(&stack.admin, &id).await;
    stack.kill_server().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stack.start_server().await.unwrap();
    let run = stack.admin.run_until(&id, &["succeeded", "failed"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "succeeded", "{}\n{}", tidegate_e2e::api::describe(&run), stack.logs());
    assert_eq!(
        stage(&run, "count").unwrap()["attempts"].as_array().unwrap().len(),
        1,
        "the same attempt went on"
    );
    assert_eq!(counted(&stack.admin, &run, 0).await, forty_lines());
}

#[tokio::test]
async fn the_runner_is_killed_in_mid_step_and_comes_back() {
    let mut stack = Stack::start().await.unwrap();
    let project = stack.project("runner-killed").await.unwrap();
    let id = project.run(&stack.admin, COUNTING, &[]).await.unwrap();
    counting_attempt(&stack.admin, &id).await;
    stack.kill_runner(0).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stack.start_runner(0).unwrap();
    let run = stack.admin.run_until(&id, &["succeeded", "failed"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "succeeded", "{}\n{}", tidegate_e2e::api::describe(&run), stack.logs());
    assert_eq!(stage(&run, "count").unwrap()["attempts"].as_array().unwrap().len(), 1, "it re-attached");
    assert_eq!(counted(&stack.admin, &run, 0).await, forty_lines());
}

#[tokio::test]
async fn the_runner_is_killed_for_good_and_another_takes_over() {
    let mut stack = Stack::start().await.unwrap();
    let project = stack.project("runner-lost").await.unwrap();
    let id = project.run(&stack.admin, COUNTING, &[]).await.unwrap();
    let attempt = counting_attempt(&stack.admin, &id).await;
    let before = stack.admin.log(&attempt, 1).await.unwrap();
    stack.kill_runner(0).unwrap();
    stack.add_runner().await.unwrap();
    let run = stack.admin.run_until(&id, &["succeeded", "failed"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "succeeded", "{}\n{}", tidegate_e2e::api::describe(&run), stack.logs());
    let attempts = stage(&run, "count").unwrap()["attempts"].as_array().unwrap().clone();
    assert_eq!(attempts.len(), 2, "{attempts:#?}");
    assert_eq!(attempts[0]["status"], "lost");
    assert!(!attempts[0]["reason"].as_str().unwrap().is_empty());
    assert_eq!(counted(&stack.admin, &run, 1).await, forty_lines());
    let after = stack.admin.log(&attempt, 1).await.unwrap();
    assert!(after.starts_with(&before), "what was accepted of the lost attempt is still there");
}

#[tokio::test]
async fn postgres_is_killed_in_mid_run() {
    let mut cluster = Cluster::start().unwrap();
    let stack = Stack::start_on(&cluster.url(), None).await.unwrap();
    let project = stack.project("postgres-killed").await.unwrap();
    let id = project.run(&stack.admin, COUNTING, &[]).await.unwrap();
    let attempt = counting_attempt(&stack.admin, &id).await;
    let before = stack.admin.log(&attempt, 1).await.unwrap();
    cluster.kill().unwrap();
    let down = reqwest::get(format!("{}/ready", stack.url())).await.unwrap();
    assert_eq!(down.status(), 503);
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.resume().unwrap();
    let run = stack.admin.run_until(&id, &["succeeded", "failed"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "succeeded", "{}\n{}", tidegate_e2e::api::describe(&run), stack.logs());
    // Where the database was away for longer than the lease, the runner has stopped by itself and a second attempt
    // made good for it; what was accepted of the first is still there.
    let attempts = stage(&run, "count").unwrap()["attempts"].as_array().unwrap().len();
    assert_eq!(counted(&stack.admin, &run, attempts - 1).await, forty_lines());
    assert!(stack.admin.log(&attempt, 1).await.unwrap().starts_with(&before));
}

#[tokio::test]
async fn the_engine_is_stopped_in_mid_run() {
    let mut engine = Engine::start().unwrap();
    let setup = Setup { docker_host: Some(engine.host()), ..Setup::default() };
    let stack = Stack::start_with(setup).await.unwrap();
    let project = stack.project("engine-stopped").await.unwrap();
    let id = project.run(&stack.admin, COUNTING, &[]).await.unwrap();
    let attempt = counting_attempt(&stack.admin, &id).await;
    let before = stack.admin.log(&attempt, 1).await.unwrap();
    engine.stop().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    engine.resume().unwrap();
    let run = stack.admin.run_until(&id, &["succeeded", "failed"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "succeeded", "{}\n{}", tidegate_e2e::api::describe(&run), stack.logs());
    let attempts = stage(&run, "count").unwrap()["attempts"].as_array().unwrap().clone();
    assert_eq!(
        attempts.len(),
        2,
        "the engine stopped the container, so there is a second attempt: {attempts:#?}"
    );
    assert!(!attempts[0]["reason"].as_str().unwrap().is_empty());
    assert_eq!(counted(&stack.admin, &run, 1).await, forty_lines());
    assert!(stack.admin.log(&attempt, 1).await.unwrap().starts_with(&before));
}

/// A deployment that leaves one mark on the host each time it begins.
fn marking() -> &'static str {
    r#"
name: marking
on: {push: {}}
stages:
  deploy:
    deploy: {environment: dev, image: "example/none@sha256:0000000000000000000000000000000000000000000000000000000000000000", command: {image: "tidegate-test/busybox:1", run: "echo begun; sleep 8; echo done"}}
"#
}

#[tokio::test]
async fn a_deployment_whose_runner_is_lost_is_unknown_until_a_person_decides() {
    let mut stack = Stack::start().await.unwrap();
    let project = stack.project("deploy-lost").await.unwrap();
    project.environment(&stack.admin, "dev", json!({})).await.unwrap();
    let id = project.run(&stack.admin, marking(), &[]).await.unwrap();
    stack
        .admin
        .until(LIMIT, "the deployment's first line", async |api| {
            let run = api.get(&format!("/runs/{id}")).await?;
            let steps = stage(&run, "deploy")?["attempts"][0]["steps"].clone();
            let printed = steps.as_array().into_iter().flatten().filter(|step| step["index"] != 0);
            Ok(printed.filter(|step| step["log_bytes"].as_u64() > Some(0)).count().checked_sub(1))
        })
        .await
        .unwrap();
    stack.kill_runner(0).unwrap();
    stack.add_runner().await.unwrap();
    let run = stack.admin.run_until(&id, &["failed", "succeeded"], LIMIT).await.unwrap();
    let deploy = stage(&run, "deploy").unwrap();
    assert_eq!(deploy["status"], "unknown", "{}", tidegate_e2e::api::describe(&run));
    assert_eq!(deploy["attempts"].as_array().unwrap().len(), 1, "a deployment is carried out at most once");
    let settle = format!("/stages/{}/settle", deploy["id"].as_str().unwrap());
    stack.admin.post(&settle, json!({"succeeded": true})).await.unwrap();
    let run = stack.admin.run_until(&id, &["succeeded"], LIMIT).await.unwrap();
    assert_eq!(stage(&run, "deploy").unwrap()["status"], "succeeded");
}

#[tokio::test]
async fn a_runner_cannot_speak_for_anothers_attempt() {
    let mut stack = Stack::start().await.unwrap();
    let project = stack.project("impostor").await.unwrap();
    let id = project.run(&stack.admin, COUNTING, &[]).await.unwrap();
    let attempt = counting_attempt(&stack.admin, &id).await;
    let second = stack.add_runner().await.unwrap();
    let key_file = stack.runner_folder(second).join("runner.key");
    let key = stack
        .admin
        .until(LIMIT, "the second runner's key", async |_| Ok(std::fs::read_to_string(&key_file).ok()))
        .await
        .unwrap();
    let key: Value = serde_json::from_str(&key).unwrap_or_else(|_| json!({"key": key.trim()}));
    let answer = reqwest::Client::new()
        .post(format!("{}/runner/v1/attempts/{attempt}/finish", stack.url()))
        .bearer_auth(key["key"].as_str().unwrap())
        .header("tidegate-epoch", "1")
        .json(&json!({"outcome": "succeeded", "reason": null, "exit_code": null, "outputs": {}}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 409);
    let run = stack.admin.run_until(&id, &["succeeded", "failed"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "succeeded");
    assert_eq!(counted(&stack.admin, &run, 0).await, forty_lines());
}

#[tokio::test]
async fn a_cancelled_run_leaves_nothing_behind() {
    let stack = Stack::start().await.unwrap();
    let project = stack.project("cancelled").await.unwrap();
    let id = project.run(&stack.admin, COUNTING, &[]).await.unwrap();
    let attempt = counting_attempt(&stack.admin, &id).await;
    stack.admin.post(&format!("/runs/{id}/cancel"), json!({})).await.unwrap();
    let run = stack.admin.run_until(&id, &["cancelled", "failed", "succeeded"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "cancelled", "{}", tidegate_e2e::api::describe(&run));
    stack
        .admin
        .until(LIMIT, "no container of the attempt", async |_| {
            let filter = format!("label=tidegate.attempt={attempt}");
            let output = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output()?;
            Ok(output.stdout.is_empty().then_some(()))
        })
        .await
        .unwrap();
}
