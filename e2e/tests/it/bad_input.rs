//! Bad input through the whole system: each fails its stage, or its run, with the reason in one sentence.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_e2e::{
    api::stage,
    process::free_port,
    repo::{deliver, deliver_as},
    stack::{Project, Stack},
};

const LIMIT: Duration = Duration::from_secs(120);

/// Runs a pipeline of one stage (and what it needs) to its failure, and gives that stage's reason.
async fn reason(
    stack: &Stack,
    project: &Project,
    pipeline: &str,
    key: &str,
    files: &[(&str, &str)],
) -> String {
    let id = project.run(&stack.admin, pipeline, files).await.unwrap();
    let run = stack.admin.run_until(&id, &["failed", "succeeded", "invalid"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "failed", "{}", tidegate_e2e::api::describe(&run));
    let stage = stage(&run, key).unwrap();
    assert_eq!(stage["status"], "failed");
    let reason = stage["reason"].as_str().unwrap_or_default().to_owned();
    assert!(!reason.is_empty() && !reason.contains('\n'), "one sentence: {reason:?}");
    reason
}

#[tokio::test]
async fn what_cannot_work_fails_its_stage_with_the_reason() {
    let stack = Stack::start().await.unwrap();
    let project = stack.project("bad").await.unwrap();

    let text = reason(
        &stack,
        &project,
        "name: a\non: {push: {}}\nstages: {test: {image: \"127.0.0.1:1/no/such:1\", run: \"true\"}}\n",
        "test",
        &[],
    )
    .await;
    assert!(text.contains("127.0.0.1:1/no/such:1"), "{text}");

    let build = "name: b\non: {push: {}}\nstages: {build: {build: {context: ., dockerfile: Dockerfile}}}\n";
    let text = reason(
        &stack,
        &project,
        build,
        "build",
        &[("Dockerfile", "FROM tidegate-test/busybox:1\nRUN echo hello && exit 7\n")],
    )
    .await;
    assert!(text.contains('7') && text.contains("exit 7"), "names the instruction and the code: {text}");

    let refused = free_port().unwrap();
    let push = format!(
        "name: c\non: {{push: {{}}}}\nstages:\n  build: {{build: {{context: ., dockerfile: Dockerfile}}}}\n  push: {{needs: [build], push: {{repository: \"127.0.0.1:{refused}/x/y\", tags: [one]}}}}\n"
    );
    let text = reason(
        &stack,
        &project,
        &push,
        "push",
        &[("Dockerfile", "FROM tidegate-test/busybox:1\nRUN true\n")],
    )
    .await;
    assert!(text.contains(&format!("127.0.0.1:{refused}")), "{text}");

    let text = reason(
        &stack,
        &project,
        "name: e\non: {push: {}}\nstages: {test: {image: \"tidegate-test/busybox:1\", run: \"echo out; exit 3\"}}\n",
        "test",
        &[],
    )
    .await;
    assert!(text.contains('3'), "{text}");
}

#[tokio::test]
async fn a_health_check_that_never_turns_good_fails_the_smoke_stage() {
    let stack = Stack::start().await.unwrap();
    let project = stack.project("sick").await.unwrap();
    let port = free_port().unwrap();
    project
        .environment(&stack.admin, "dev", json!({"url": format!("http://127.0.0.1:{port}")}))
        .await
        .unwrap();
    let pipeline = r#"
name: sick
on: {push: {}}
stages:
  deploy:
    deploy: {environment: dev, image: "example/none@sha256:0000000000000000000000000000000000000000000000000000000000000000", command: {image: "tidegate-test/busybox:1", run: "echo deploying $TIDEGATE_IMAGE"}}
  smoke:
    needs: [deploy]
    smoke: {environment: dev, checks: [{name: health, url: "${{ environment.url }}/health", status: 200, deadline: 2s, interval: 200ms}]}
"#;
    let text = reason(&stack, &project, pipeline, "smoke", &[]).await;
    assert!(text.contains("health"), "{text}");
    let environments = stack.admin.get("/environments").await.unwrap();
    assert!(environments["environments"][0]["current"].is_null(), "a failed first deployment is not current");
}

#[tokio::test]
async fn three_mistakes_are_three_diagnostics_on_the_runs_page() {
    let stack = Stack::start().await.unwrap();
    let project = stack.project("wrong").await.unwrap();
    let pipeline = "name: x\non: {push: {}}\nstages:\n  test:\n    imagee: a:1\n    image: a:1\n    run: \"true\"\n    needs: [buidl]\n  build:\n    image: a:1\n    run: \"true\"\n    timeout: soon\n";
    let id = project.run(&stack.admin, pipeline, &[]).await.unwrap();
    let run = stack.admin.run_until(&id, &["invalid", "failed", "succeeded"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "invalid");
    let errors: Vec<_> =
        run["diagnostics"].as_array().unwrap().iter().filter(|one| one["severity"] == "error").collect();
    assert_eq!(errors.len(), 3, "{errors:#?}");
    assert!(errors.iter().all(|one| one["span"]["line"].as_u64().unwrap() > 3));
    assert!(run["stages"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn webhooks_are_verified_capped_and_counted_once() {
    let stack = Stack::start().await.unwrap();
    let project = stack.project("hooks").await.unwrap();
    let pipeline =
        "name: h\non: {push: {}}\nstages: {test: {image: \"tidegate-test/busybox:1\", run: \"true\"}}\n";
    let push = project.repo.push(&[(".tidegate/pipeline.yml", pipeline)], "one").unwrap();
    let body = project.repo.webhook(&push);

    assert_eq!(deliver(&project.webhook_url, "not the secret", "push", &body).await.unwrap(), 401);
    let unsigned = reqwest::Client::new().post(&project.webhook_url).json(&body).send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    let large = reqwest::Client::new().post(&project.webhook_url).body(vec![b'x'; 30 << 20]).send().await;
    // The server may close the connection while the rest is still being sent.
    assert!(large.map_or(true, |answer| answer.status() == 413));
    assert!(stack.admin.runs().await.unwrap().is_empty());

    let deliveries = (0..100)
        .map(|_| deliver_as(&project.webhook_url, &project.webhook_secret, "push", &body, "the-same"));
    for status in futures_util::future::join_all(deliveries).await {
        assert!(status.unwrap().is_success());
    }
    // Replayed under another id, the content is still the same.
    assert!(
        deliver(&project.webhook_url, &project.webhook_secret, "push", &body).await.unwrap().is_success()
    );
    let id = stack.admin.run_of(&push.after).await.unwrap();
    stack.admin.run_until(&id, &["succeeded"], LIMIT).await.unwrap();
    let runs: Vec<Value> = stack.admin.runs().await.unwrap();
    assert_eq!(runs.len(), 1);
}
