//! What the runner does itself: compose on a real engine, HTTP checks against a real server, builds and pushes that go
//! wrong; each through a whole agent.

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tidegate_protocol::{
    ids::{AttemptId, DeploymentId},
    messages::{DeploymentFacts, Finish, Lease, Outcome, Secret},
};
use tidegate_runner::sandbox::docker::Docker;

use crate::support::{
    IMAGE,
    agent::{Agent, lease, stage_of},
    fake::Fake,
    git::git,
    place::remove_from_docker,
    server::Model,
    until,
};

/// An agent on Docker, a repository that it checks out, and a compose project that is taken down in the end.
struct Runner {
    model: Arc<Model>,
    agent: Option<Agent>,
    origin: tempfile::TempDir,
    project: String,
    _data: tempfile::TempDir,
}

impl Runner {
    async fn start() -> Self {
        let (model, data, origin) =
            (Model::start().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let engine = Arc::new(Docker::connect(None).await.unwrap());
        let agent = Some(Agent::start(&model, engine, data.path()));
        let project = format!("tidegatetest{}", uuid::Uuid::new_v4().simple());
        let runner = Self { model, agent, origin, project, _data: data };
        runner.git(&["init", "-q", "--initial-branch=main"]);
        runner
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(self.origin.path(), arguments)
    }

    /// A lease of this verb at a commit with these files.
    fn lease(&self, files: &[(&str, &str)], kind: &str, verb: Value) -> Lease {
        for (path, text) in files {
            std::fs::write(self.origin.path().join(path), text).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "change"]);
        let mut lease = lease(stage_of(kind, verb));
        lease.stage.checkout = true;
        lease.source.clone_url = format!("file://{}", self.origin.path().display());
        lease.source.sha = self.git(&["rev-parse", "HEAD"]);
        lease
    }

    /// A deployment of a compose file with this one service.
    fn deployment(&self, service: &str, wait_seconds: u64) -> Lease {
        let compose = format!("version: '2.4'\nservices:\n  web:\n    {}\n", service.replace('\n', "\n    "));
        let driver = json!({ "driver": "compose", "file": "compose.yml", "project": self.project, "wait_seconds": wait_seconds });
        let verb = json!({ "environment": "staging", "image": IMAGE, "driver": driver });
        let mut lease = self.lease(&[("compose.yml", &compose)], "deploy", verb);
        lease.deployment = Some(DeploymentFacts {
            id: DeploymentId::new(),
            previous_image: Some("registry/app@sha256:11".to_owned()),
            rollback: false,
        });
        lease
    }

    async fn finish(&self, lease: Lease) -> (Finish, AttemptId) {
        let attempt = self.model.queue(lease);
        (self.model.finished(attempt).await, attempt)
    }

    fn log(&self, attempt: AttemptId) -> String {
        self.model.attempt(attempt).unwrap().text(1)
    }

    /// What the project's container says of itself.
    fn docker(&self, arguments: &[&str]) -> String {
        let output = Command::new("docker").args(arguments).output().unwrap();
        let (out, errors) = (output.stdout, output.stderr);
        format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&errors)).trim().to_owned()
    }

    fn container(&self) -> String {
        let filter = format!("label=com.docker.compose.project={}", self.project);
        self.docker(&["ps", "-aq", "--filter", &filter])
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        drop(self.agent.take());
        remove_from_docker(&format!("com.docker.compose.project={}", self.project));
        remove_from_docker(&format!("tidegate.runner={}", self.model.runner));
    }
}

const SERVES: &str = "image: ${TIDEGATE_IMAGE}
command: [\"/bin/sh\", \"-c\", \"echo $TIDEGATE_ENVIRONMENT $TIDEGATE_PREVIOUS_IMAGE $TIDEGATE_ROLLBACK; sleep 300\"]
stop_grace_period: 0s";

#[tokio::test]
async fn a_deployment_is_up_and_runs_what_was_asked_for() {
    let runner = Runner::start().await;
    let (finish, attempt) = runner.finish(runner.deployment(SERVES, 60)).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}\n{}", finish.reason, runner.log(attempt));
    assert_eq!(finish.outputs["image"], IMAGE);
    let container = runner.container();
    assert_eq!(
        runner.docker(&["inspect", "--format", "{{.State.Status}} {{.Config.Image}}", &container]),
        format!("running {IMAGE}")
    );
    assert_eq!(runner.docker(&["logs", &container]), "staging registry/app@sha256:11 false");
    assert!(runner.log(attempt).contains(&format!("{} runs {IMAGE}", runner.project)));
    // Again, with a change: the container is replaced, the project stays one.
    let changed = SERVES.replace("echo", "echo again");
    let (finish, _) = runner.finish(runner.deployment(&changed, 60)).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}", finish.reason);
    assert_ne!(runner.container(), container);
    assert_eq!(runner.container().lines().count(), 1);
}

#[tokio::test]
async fn a_deployment_that_does_not_come_up_says_why() {
    let runner = Runner::start().await;
    let health = |test: &str, more: &str| {
        format!(
            "image: ${{TIDEGATE_IMAGE}}\ncommand: [\"/bin/sh\", \"-c\", \"echo last words; sleep 300\"]\nstop_grace_period: 0s\nhealthcheck:\n  test: [\"CMD\", \"{test}\"]\n  interval: 1s\n  {more}"
        )
    };
    let cases = [
        (
            "image: ${TIDEGATE_IMAGE}\ncommand: [\"/bin/sh\", \"-c\", \"echo last words; exit 3\"]"
                .to_owned(),
            "web_1 ended with exit code 3",
            true,
        ),
        (health("false", "retries: 1"), "web_1 is unhealthy", true),
        (health("false", "retries: 100"), "was not up within 3 s", true),
        (
            "image: tidegate-test/debian:1\ncommand: [\"sleep\", \"300\"]\nstop_grace_period: 0s".to_owned(),
            "use `image: ${TIDEGATE_IMAGE}` in compose.yml",
            false,
        ),
        ("nonsense: true".to_owned(), "compose could not bring up", false),
    ];
    for (service, reason, shows_log) in cases {
        let (finish, attempt) = runner.finish(runner.deployment(&service, 3)).await;
        assert_eq!(finish.outcome, Outcome::Failed, "{reason}");
        let said = finish.reason.unwrap();
        let log = runner.log(attempt);
        assert!(said.contains(reason) && !said.contains('\n'), "{said}\n{log}");
        assert_eq!(log.contains("last words"), shows_log, "{log}");
    }
}

#[tokio::test]
async fn a_deployment_outside_the_workspace_is_refused() {
    let runner = Runner::start().await;
    let mut lease = runner.deployment(SERVES, 5);
    let mut plan = serde_json::to_value(&lease.stage).unwrap();
    plan["verb"]["driver"]["file"] = "../../../compose.yml".into();
    lease.stage = serde_json::from_value(plan).unwrap();
    let (finish, _) = runner.finish(lease).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    assert!(finish.reason.unwrap().contains("is not below the workspace"));
    assert_eq!(runner.container(), "");
}

#[tokio::test]
async fn a_cancelled_deployment_says_that_it_may_be_half_done() {
    let runner = Runner::start().await;
    let waits =
        format!("{SERVES}\nhealthcheck:\n  test: [\"CMD\", \"false\"]\n  interval: 1s\n  retries: 1000");
    let mut lease = runner.deployment(&waits, 300);
    lease.expires_in_ms = 3_000;
    let attempt = runner.model.queue(lease);
    until("its container is there", || !runner.container().is_empty()).await;
    runner.model.cancel(attempt);
    let finish = runner.model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Cancelled);
    assert!(finish.reason.unwrap().contains("may be half done"));
}

#[tokio::test]
async fn commands_of_a_deployment_know_what_to_deploy() {
    let runner = Runner::start().await;
    let script = "cat word; echo $TIDEGATE_IMAGE $TIDEGATE_PREVIOUS_IMAGE $TIDEGATE_ENVIRONMENT $TIDEGATE_ROLLBACK; ls /var/run/docker.sock";
    let driver = json!({ "driver": "command", "image": IMAGE, "steps": [{ "name": "roll out", "run": { "script": script, "shell": ["/bin/sh"] } }] });
    let verb = json!({ "environment": "production", "image": "registry/app@sha256:22", "driver": driver });
    let mut lease = runner.lease(&[("word", "checked out\n")], "deploy", verb);
    lease.deployment =
        Some(DeploymentFacts { id: DeploymentId::new(), previous_image: None, rollback: true });
    let (finish, attempt) = runner.finish(lease).await;
    assert_eq!((&finish.outcome, finish.exit_code), (&Outcome::Failed, Some(1)), "{finish:?}");
    let log = runner.log(attempt);
    assert!(log.starts_with("checked out\nregistry/app@sha256:22 production true\n"), "{log}");
}

#[tokio::test]
async fn a_dockerfile_that_fails_and_a_registry_that_is_away_fail_their_stages_in_one_sentence() {
    let runner = Runner::start().await;
    let files = [("Dockerfile", format!("FROM {IMAGE}\nRUN echo before && exit 7\n"))];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let verb = json!({ "context": ".", "dockerfile": "Dockerfile", "args": {}, "labels": {} });
    let (finish, attempt) = runner.finish(runner.lease(&files, "build", verb.clone())).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    let reason = finish.reason.unwrap();
    assert!(
        reason.contains("exit 7") && reason.ends_with("exit code 7") && !reason.contains('\n'),
        "{reason}"
    );
    assert!(runner.log(attempt).contains("before"));

    let good = format!("FROM {IMAGE}\nLABEL tidegate.test={}\n", runner.project);
    let (finish, _) = runner.finish(runner.lease(&[("Dockerfile", &good)], "build", verb)).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}", finish.reason);
    let image = finish.outputs["image_id"].clone();
    let verb = json!({ "image_id": image, "repository": "127.0.0.1:1/team/app", "tags": ["one"] });
    let (finish, _) = runner.finish(runner.lease(&[], "push", verb)).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    let reason = finish.reason.unwrap();
    assert!(reason.contains("127.0.0.1:1/team/app") && !reason.contains('\n'), "{reason}");
    runner.docker(&["rmi", "-f", &image]);
}

#[tokio::test]
async fn a_dockerfile_mounts_the_secrets_of_its_stage() {
    let runner = Runner::start().await;
    let dockerfile = format!(
        "FROM {IMAGE}\nRUN --mount=type=secret,id=TOKEN --mount=type=secret,id=DATABASE_URL : {}; cat /run/secrets/* | tee /dev/stderr | wc -c > /count\n",
        runner.project
    );
    let verb = json!({ "context": ".", "dockerfile": "Dockerfile" });
    let mut lease = runner.lease(&[("Dockerfile", &dockerfile)], "build", verb);
    let secret = |name: &str, env: &str, value: &str| Secret {
        name: name.to_owned(),
        env: Some(env.to_owned()),
        value: value.to_owned(),
    };
    lease.secrets = vec![
        secret("TOKEN", "TOKEN", "correct-horse"),
        secret("DATABASE", "DATABASE_URL", "battery-staple"),
        secret("OTHER", "OTHER", "never-mounted"),
    ];
    let (finish, attempt) = runner.finish(lease).await;
    let (log, image) = (runner.log(attempt), finish.outputs.get("image_id").cloned().unwrap_or_default());
    let count = runner.docker(&["run", "--rm", &image, "cat", "/count"]);
    let history = runner.docker(&["history", "--no-trunc", &image]);
    runner.docker(&["rmi", "-f", &image]);
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}\n{log}", finish.reason);
    assert_eq!(count, "27", "{log}");
    for word in ["correct-horse", "battery-staple", "never-mounted"] {
        assert!(!log.contains(word) && !history.contains(word), "{log}\n{history}");
    }
    assert!(log.contains("***"), "{log}");
}

/// A server that is unwell for its first answers.
async fn convalescent(unwell: usize) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let app = axum::Router::new().fallback(move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let status = if number < unwell { 503 } else { 200 };
            (axum::http::StatusCode::from_u16(status).unwrap(), "version 7")
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, asked)
}

fn check(url: &str, body: &str, deadline_ms: u64) -> Value {
    json!({ "name": "health", "url": url, "method": "GET", "status": [200], "body_contains": body,
            "headers": {}, "deadline_ms": deadline_ms, "interval_ms": 50 })
}

#[tokio::test]
async fn a_smoke_test_waits_for_health_then_runs_its_commands() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine, data.path());
    let (url, asked) = convalescent(5).await;
    let verb = |checks: Value| {
        let marker: PathBuf = data.path().join("commands-ran");
        json!({ "environment": "staging", "deploy": "deploy", "checks": checks,
                "commands": { "image": IMAGE, "steps": [
                    { "name": "look", "run": { "script": format!("echo ran; touch {}", marker.display()), "shell": ["/bin/sh"] } }] } })
    };
    let attempt = model.queue(lease(stage_of("smoke", verb(json!([check(&url, "version 7", 20_000)])))));
    let finish = model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}", finish.reason);
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    let known = model.attempt(attempt).unwrap();
    assert!(known.text(1).contains("answered 503 (wanted 200)"), "{}", known.text(1));
    assert_eq!(known.text(1).lines().count(), 2, "the same answer again is not said again");
    assert_eq!(known.text(2), "ran\n");
    std::fs::remove_file(data.path().join("commands-ran")).unwrap();
    // Never well: one sentence, no further check and no command.
    let checks = json!([check(&url, "version 8", 400), check(&url, "version 7", 400)]);
    let finish = model.finished(model.queue(lease(stage_of("smoke", verb(checks))))).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    let reason = finish.reason.unwrap();
    assert!(
        reason.contains("health: ") && reason.contains("without `version 8`") && !reason.contains('\n'),
        "{reason}"
    );
    assert!(!data.path().join("commands-ran").exists());
    agent.stop().await.unwrap();
}
