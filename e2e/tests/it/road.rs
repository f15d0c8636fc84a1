//! The main road: push, build, push by digest, staging, gate, production, and back again when the smoke test says so.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};
use tidegate_e2e::{api::stage, process::free_port, registry::Registry, stack::Stack};

const LIMIT: Duration = Duration::from_secs(180);

/// The pipeline of the road test. `{registry}`, `{staging}` and `{production}` are filled in.
const PIPELINE: &str = r#"
name: road
on: {push: {branches: [main]}}
defaults: {image: "tidegate-test/busybox:1", timeout: 5m}
stages:
  lint: {run: "grep -q answer www/index.html"}
  test:
    run:
      - name: unit tests
        run: |
          mkdir -p reports
          echo '<testsuite name="s" tests="2" failures="0"><testcase classname="c" name="one" time="0.1"/><testcase classname="c" name="two" time="0.1"/></testsuite>' > reports/junit.xml
          echo "commit $TIDEGATE_SHA"
    reports: [{junit: "reports/*.xml", fail_on: {failed_tests: true}}]
    artifacts: [{name: reports, paths: ["reports/**"]}]
  build: {needs: [lint, test], build: {context: ., dockerfile: Dockerfile}}
  push: {needs: [build], push: {repository: "{registry}/road/web", tags: ["${{ git.sha }}", latest]}}
  deploy-staging:
    needs: [push]
    deploy: {environment: staging, compose: {file: deploy/staging.yml, project: "{project}-staging", wait: 60s}}
  smoke-staging:
    needs: [deploy-staging]
    smoke: {environment: staging, checks: [{url: "${{ environment.url }}/", status: 200, body_contains: answer, deadline: 20s}]}
  deploy-production:
    needs: [smoke-staging]
    deploy: {environment: production, compose: {file: deploy/production.yml, project: "{project}-production", wait: 60s}}
  smoke-production:
    needs: [deploy-production]
    smoke: {environment: production, checks: [{url: "${{ environment.url }}/", status: 200, body_contains: "answer 1", deadline: 5s, interval: 500ms}]}
"#;

const COMPOSE: &str = r#"
version: "3.8"
services:
  web:
    image: ${TIDEGATE_IMAGE}
    ports: ["127.0.0.1:{port}:80"]
"#;

#[tokio::test]
async fn a_push_reaches_production_and_a_bad_one_is_rolled_back() {
    let registry = Registry::start().await.unwrap();
    let stack = Stack::start().await.unwrap();
    let (staging, production) = (free_port().unwrap(), free_port().unwrap());
    let project = stack.project("road").await.unwrap();
    let name = format!("e2e-road-{production}");
    let _down = ComposeDown(vec![format!("{name}-staging"), format!("{name}-production")]);
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    project.environment(&stack.admin, "staging", json!({"url": url(staging)})).await.unwrap();
    project
        .environment(&stack.admin, "production", json!({"url": url(production), "required_approvals": 1}))
        .await
        .unwrap();
    let developer = stack.person("dev", "developer").await.unwrap();
    let manager = stack.person("mia", "release_manager").await.unwrap();

    let pipeline = PIPELINE.replace("{registry}", &registry.host).replace("{project}", &name);
    let staging_file = COMPOSE.replace("{port}", &staging.to_string());
    let production_file = COMPOSE.replace("{port}", &production.to_string());
    let files = |page: &'static str| {
        [
            (
                "Dockerfile",
                "FROM tidegate-test/busybox:1\nCOPY www /www\nCMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]\n",
            ),
            ("www/index.html", page),
        ]
    };
    let compose =
        [("deploy/staging.yml", staging_file.as_str()), ("deploy/production.yml", production_file.as_str())];

    // The first push stops at production's gate.
    let more: Vec<_> = files("the answer 1\n").into_iter().chain(compose).collect();
    let first = project.run(&stack.admin, &pipeline, &more).await.unwrap();
    let run = stack.admin.run_until(&first, &["waiting", "failed"], LIMIT).await.unwrap();
    assert_eq!(stage(&run, "deploy-production").unwrap()["status"], "gated", "{}", stack.logs());
    assert_eq!(stage(&run, "test").unwrap()["reports"][0]["summary"]["total"], 2);
    let image = stage(&run, "push").unwrap()["outputs"]["image"].as_str().unwrap().to_owned();
    assert!(image.starts_with(&format!("{}/road/web@sha256:", registry.host)), "{image}");
    assert!(registry.tags("road/web").await.unwrap().contains(&"latest".to_owned()));
    assert!(reqwest::get(url(production)).await.is_err(), "nothing is in production before the approval");

    // Whoever pushed may not approve, and neither may a developer; a release manager may.
    let gate = run["gates"][0]["id"].as_str().unwrap().to_owned();
    let approve = json!({"verdict": "approve", "comment": "go"});
    let refused = developer.post(&format!("/gates/{gate}/decision"), approve.clone()).await.unwrap_err();
    assert!(format!("{refused:#}").contains("403"), "{refused:#}");
    manager.post(&format!("/gates/{gate}/decision"), approve.clone()).await.unwrap();
    let run = stack.admin.run_until(&first, &["succeeded", "failed"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "succeeded", "{}", tidegate_e2e::api::describe(&run));
    assert!(reqwest::get(url(production)).await.unwrap().text().await.unwrap().contains("answer 1"));
    assert_eq!(current_image(&stack, "production").await, image);

    // The second push passes staging's check and fails production's.
    let second = project.run(&stack.admin, &pipeline, &files("the answer 2\n")).await.unwrap();
    let run = stack.admin.run_until(&second, &["waiting", "failed"], LIMIT).await.unwrap();
    let gate = run["gates"][0].clone();
    assert_eq!(gate["status"], "open", "{}", tidegate_e2e::api::describe(&run));
    assert_eq!(gate["changes"]["current_image"], image.as_str());
    manager.post(&format!("/gates/{}/decision", gate["id"].as_str().unwrap()), approve).await.unwrap();
    let run = stack.admin.run_until(&second, &["failed", "succeeded"], LIMIT).await.unwrap();
    assert_eq!(run["status"], "failed");
    assert_eq!(stage(&run, "smoke-production").unwrap()["status"], "failed");
    let rollback = run["stages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| !one["rollback_of"].is_null() && one["verb"] == "deploy")
        .unwrap();
    assert_eq!(rollback["status"], "succeeded", "{}", tidegate_e2e::api::describe(&run));
    assert!(reqwest::get(url(production)).await.unwrap().text().await.unwrap().contains("answer 1"));
    assert_eq!(current_image(&stack, "production").await, image);
    assert_eq!(running_image(&format!("{name}-production")), image);
    let history = deployments(&stack, "production").await;
    let statuses: Vec<_> = history.iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["succeeded", "rolled_back", "succeeded"], "newest first");
    assert_eq!(history[1]["previous_image"], image.as_str());
}

/// What the server says an environment runs.
async fn current_image(stack: &Stack, environment: &str) -> String {
    let all = stack.admin.get("/environments").await.unwrap();
    let one = all["environments"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == environment)
        .unwrap()
        .clone();
    one["current"]["image"].as_str().unwrap().to_owned()
}

async fn deployments(stack: &Stack, environment: &str) -> Vec<Value> {
    let all = stack.admin.get("/environments").await.unwrap();
    let one = all["environments"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == environment)
        .unwrap()
        .clone();
    let id = one["id"].as_str().unwrap();
    let history = stack.admin.get(&format!("/environments/{id}/deployments")).await.unwrap();
    history["deployments"].as_array().unwrap().clone()
}

/// What the engine says a compose project runs: the reference that its container was made from.
fn running_image(project: &str) -> String {
    let docker = |arguments: &[&str]| {
        let output = Command::new("docker").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let container = docker(&["ps", "-q", "--filter", &format!("label=com.docker.compose.project={project}")]);
    docker(&["inspect", "--format", "{{.Config.Image}}", &container])
}

/// Removes the containers of the compose projects that the test's deployments started.
struct ComposeDown(Vec<String>);

impl Drop for ComposeDown {
    fn drop(&mut self) {
        for project in &self.0 {
            let filter = format!("label=com.docker.compose.project={project}");
            for (list, remove) in [(["ps", "-aq"], ["rm", "-f"]), (["network", "ls"], ["network", "rm"])] {
                let mut command = Command::new("docker");
                command.args(list).args(["--filter", &filter]);
                if list[0] == "network" {
                    command.arg("-q");
                }
                let Ok(output) = command.output() else { continue };
                for id in String::from_utf8_lossy(&output.stdout).split_whitespace() {
                    let _ = Command::new("docker").args(remove).arg(id).output();
                }
            }
        }
    }
}
