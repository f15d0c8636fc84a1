//! What GitHub hears of runs and deployments, from the outbox to its API.

use std::collections::BTreeMap;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;
use tidegate_pipelines::{Diagnostic, Severity, Span};
use tidegate_protocol::{
    ids::{DeploymentId, RepositoryId, RunId},
    status::{DeploymentStatus, RunStatus},
};
use tidegate_server::{
    app::App,
    config::{GithubAuth, GithubConfig},
    forge::messages::{DeploymentMessage, Message, RunMessage, SkippedMessage},
    reports::Remark,
    store::Db,
    tasks::outbox,
};

use crate::{
    github_model::{APP, Callers, Fault, INSTALLATION, Model},
    support::{MIGRATOR, World},
};

const TOKEN: &str = "ghp_right";

/// A server that is connected to a model of GitHub, and a repository there.
struct Scene {
    world: World,
    model: Model,
    repository: RepositoryId,
}

impl Scene {
    async fn token(pool: PgPool) -> Self {
        Self::new(pool, Model::start(Callers::Token(TOKEN)).await, GithubAuth::Token(TOKEN.into())).await
    }

    async fn app(pool: PgPool) -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der>::as_der(&key).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let model = Model::start(Callers::App(key.public_key().as_ref().to_vec())).await;
        Self::new(pool, model, GithubAuth::App { id: APP, private_key_pem: pem.into() }).await
    }

    async fn new(pool: PgPool, model: Model, auth: GithubAuth) -> Self {
        let api_url = model.api_url.clone();
        let world = World::with(pool, |config| {
            config.github = Some(GithubConfig { api_url, auth, webhook_secret: None });
        })
        .await;
        let repository = world.repository().await.id;
        world.sql("update repositories set forge = 'github'").await;
        Self { world, model, repository }
    }

    async fn enqueue(&self, key: &str, message: &Message) {
        let payload = serde_json::to_value(message).unwrap();
        let mut tx = self.world.app.db.begin().await.unwrap();
        tx.enqueue(self.repository, message.kind(), key, payload).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Tries one message; whether there was one.
    async fn once(&self) -> bool {
        outbox::once(&self.world.app).await.unwrap()
    }

    /// Tries until there is nothing more to do now.
    async fn drain(&self) {
        while self.once().await {}
    }

    /// Lets every wait end.
    async fn skip_waits(&self) {
        self.world.sql("update outbox set not_before = now()").await;
    }

    /// States of all messages in the order they were written.
    async fn states(&self) -> Vec<String> {
        sqlx::query_scalar("select state from outbox order by id").fetch_all(&self.world.pool).await.unwrap()
    }

    async fn last_error(&self) -> String {
        self.world.value("select coalesce(last_error, '') from outbox order by id desc limit 1").await
    }

    /// The last message's wait in seconds, about.
    async fn wait(&self) -> f64 {
        self.world
            .value(
                "select extract(epoch from not_before - now())::float8 from outbox order by id desc limit 1",
            )
            .await
    }
}

fn run(id: RunId, status: RunStatus) -> RunMessage {
    RunMessage {
        run: id,
        number: 12,
        pipeline: "delivery".to_owned(),
        sha: "a1".repeat(20),
        status,
        reason: None,
        diagnostics: Vec::new(),
        remarks: Vec::new(),
    }
}

fn deployment(id: DeploymentId, status: DeploymentStatus) -> DeploymentMessage {
    DeploymentMessage {
        deployment: id,
        run: RunId::new(),
        number: 12,
        environment: "production".to_owned(),
        environment_url: Some("https://app.example.org".to_owned()),
        sha: "a1".repeat(20),
        reference: "refs/heads/main".to_owned(),
        image: format!("registry.example/app@sha256:{}", "0".repeat(64)),
        status,
        reason: None,
    }
}

fn mistake(line: usize) -> Diagnostic {
    Diagnostic {
        code: "unknown-key".to_owned(),
        severity: Severity::Error,
        message: format!("unknown key `k{line}`"),
        file: ".tidegate/pipeline.yml".to_owned(),
        span: Span { line, column: 3, end_line: line, end_column: 6, ..Span::default() },
        help: Some("did you mean `image`?".to_owned()),
        related: Vec::new(),
    }
}

fn all<'a>(values: impl IntoIterator<Item = &'a Value>, field: &str) -> Vec<Value> {
    values.into_iter().map(|value| value[field].clone()).collect()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_run_is_shown_on_its_commit(pool: PgPool) {
    let scene = Scene::token(pool).await;
    let id = RunId::new();
    for status in [RunStatus::Running, RunStatus::Waiting, RunStatus::Succeeded] {
        scene.enqueue(&format!("run:{id}:{status}:1"), &Message::Run(run(id, status))).await;
        scene.drain().await;
    }
    assert_eq!(scene.states().await, ["sent", "sent", "sent"]);
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(all(&known.statuses, "state"), ["pending", "pending", "success"]);
    let first = &known.statuses[0];
    assert_eq!(first["context"], "tidegate/delivery");
    assert_eq!(first["sha"], "a1".repeat(20));
    assert_eq!(first["target_url"], format!("http://localhost:8080/runs/{id}"));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_older_status_never_overtakes_a_newer_one(pool: PgPool) {
    let scene = Scene::token(pool).await;
    let (first, second) = (RunId::new(), RunId::new());
    let mut elsewhere = run(RunId::new(), RunStatus::Failed);
    elsewhere.pipeline = "other".to_owned();
    scene.enqueue("1", &Message::Run(run(first, RunStatus::Failed))).await;
    scene.enqueue("2", &Message::Run(run(second, RunStatus::Succeeded))).await;
    scene.enqueue("3", &Message::Run(elsewhere)).await;
    scene.model.fail(Fault::Broken);
    // The first fails and waits; of its subject nothing else goes before it, of another's everything does.
    scene.drain().await;
    assert_eq!(scene.states().await, ["waiting", "waiting", "sent"]);
    scene.skip_waits().await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent", "sent", "sent"]);
    let known = scene.model.known();
    assert_eq!(all(&known.statuses, "context"), ["tidegate/other", "tidegate/delivery", "tidegate/delivery"]);
    assert_eq!(all(&known.statuses, "state"), ["failure", "failure", "success"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_pipeline_that_was_left_out_is_a_success_with_its_reason(pool: PgPool) {
    let skipped = |id: &str| {
        Message::Skipped(SkippedMessage {
            id: id.to_owned(),
            pipeline: "docs".to_owned(),
            sha: "a1".repeat(20),
            reason: "none of the 3 changed paths matches on.push.paths".to_owned(),
        })
    };
    let scene = Scene::token(pool).await;
    scene.enqueue("1", &skipped("one")).await;
    scene.drain().await;
    scene.model.assert_clean();
    let known = scene.model.known();
    let status = &known.statuses[0];
    assert_eq!(
        (status["state"].as_str(), status["context"].as_str()),
        (Some("success"), Some("tidegate/docs"))
    );
    assert_eq!(status["description"], "skipped: none of the 3 changed paths matches on.push.paths");
    assert_eq!(status["target_url"], "http://localhost:8080/runs?repository=acme%2Fapi-0");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_check_of_a_pipeline_that_was_left_out_is_made_once(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let skipped = Message::Skipped(SkippedMessage {
        id: "one".to_owned(),
        pipeline: "docs".to_owned(),
        sha: "a1".repeat(20),
        reason: "the commit's message says [skip ci]".to_owned(),
    });
    scene.enqueue("1", &skipped).await;
    // It went through, and the answer was lost.
    // The installation and its token come first.
    for fault in [Fault::Fine, Fault::Fine, Fault::DroppedAfter] {
        scene.model.fail(fault);
    }
    scene.drain().await;
    scene.skip_waits().await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent"]);
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(all(known.checks.values(), "conclusion"), ["success"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_steps_said_is_put_beside_the_lines(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let id = RunId::new();
    let remark = |file: Option<&str>, line: u32| Remark {
        level: "error".to_owned(),
        message: format!("at {line}"),
        title: None,
        file: file.map(str::to_owned),
        line: Some(line),
        end_line: None,
        column: Some(2),
        end_column: None,
        step: 1,
    };
    let mut running = run(id, RunStatus::Running);
    running.diagnostics = vec![mistake(1)];
    scene.enqueue("1", &Message::Run(running.clone())).await;
    scene.drain().await;
    let mut ended = RunMessage { status: RunStatus::Failed, ..running };
    ended.remarks = (1..=60).map(|line| remark(Some("./src/a.rs"), line)).collect();
    ended.remarks.extend([remark(None, 70), remark(Some("/etc/passwd"), 71), remark(Some("../x"), 72)]);
    scene.enqueue("2", &Message::Run(ended)).await;
    scene.drain().await;
    scene.model.assert_clean();
    let known = scene.model.known();
    let check = known.checks.values().next().unwrap();
    let lines = all(check["output"]["annotations"].as_array().unwrap(), "start_line");
    assert_eq!(lines.len(), 61, "the mistake, and all that name a file of the repository");
    assert_eq!((lines[1].clone(), lines[60].clone()), (json!(1), json!(60)));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_a_later_message_says_better_is_left_out(pool: PgPool) {
    let scene = Scene::token(pool).await;
    let id = RunId::new();
    for (key, status) in [("1", RunStatus::Running), ("2", RunStatus::Waiting), ("3", RunStatus::Failed)] {
        scene.enqueue(key, &Message::Run(run(id, status))).await;
    }
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent", "sent", "sent"]);
    assert_eq!(all(&scene.model.known().statuses, "state"), ["failure"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_same_message_is_sent_once(pool: PgPool) {
    let scene = Scene::token(pool).await;
    let message = Message::Run(run(RunId::new(), RunStatus::Failed));
    for _ in 0..3 {
        scene.enqueue("run:1:failed:1", &message).await;
    }
    let drains = (0..4).map(|_| scene.drain());
    join_all(drains).await;
    scene.enqueue("run:1:failed:1", &message).await;
    scene.drain().await;
    assert_eq!(scene.model.known().statuses.len(), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn failures_that_pass_are_outlived(pool: PgPool) {
    let scene = Scene::token(pool).await;
    scene.enqueue("1", &Message::Run(run(RunId::new(), RunStatus::Failed))).await;
    let faults = [
        (Fault::Broken, "(500)"),
        (Fault::Dropped, "connection closed"),
        (Fault::Unauthorized, "still valid"),
        (Fault::DroppedAfter, "connection closed"),
    ];
    for (fault, expected) in faults {
        scene.model.fail(fault);
        scene.drain().await;
        assert_eq!(scene.states().await, ["waiting"]);
        assert!(scene.wait().await > 0.0);
        let error = scene.last_error().await;
        assert!(error.contains(expected), "{expected} in {error}");
        scene.skip_waits().await;
    }
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent"]);
    scene.model.assert_clean();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_limit_holds_up_everything_of_the_owner(pool: PgPool) {
    let scene = Scene::token(pool).await;
    scene.enqueue("1", &Message::Run(run(RunId::new(), RunStatus::Failed))).await;
    let mut other = run(RunId::new(), RunStatus::Failed);
    other.pipeline = "other".to_owned();
    scene.enqueue("2", &Message::Run(other)).await;
    scene.model.fail(Fault::Limited(600));
    scene.drain().await;
    assert_eq!(scene.states().await, ["waiting", "waiting"]);
    assert_eq!(scene.model.known().calls.len(), 1, "the second was not tried");
    assert!((500.0..=600.0).contains(&scene.wait().await), "{}", scene.wait().await);
    scene.skip_waits().await;
    scene.model.fail(Fault::Exhausted(1200));
    scene.drain().await;
    assert_eq!(scene.model.known().calls.len(), 2);
    assert!((1100.0..=1201.0).contains(&scene.wait().await), "{}", scene.wait().await);
    scene.skip_waits().await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent", "sent"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_cannot_be_mended_is_given_up_with_its_reason(pool: PgPool) {
    let scene = Scene::token(pool).await;
    for (key, fault, expected) in
        [("1", Fault::Unprocessable, "sha: invalid"), ("2", Fault::Forbidden, "lacks a permission")]
    {
        scene.enqueue(key, &Message::Run(run(RunId::new(), RunStatus::Failed))).await;
        scene.model.fail(fault);
        scene.drain().await;
        let error = scene.last_error().await;
        assert!(error.contains(expected), "{expected} in {error}");
    }
    // What comes after is not held up.
    scene.enqueue("3", &Message::Run(run(RunId::new(), RunStatus::Succeeded))).await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["dead", "dead", "sent"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn tries_have_an_end(pool: PgPool) {
    let scene = Scene::token(pool).await;
    scene.enqueue("1", &Message::Run(run(RunId::new(), RunStatus::Failed))).await;
    scene.world.sql("update outbox set attempts = 38").await;
    for expected in ["waiting", "dead"] {
        scene.model.fail(Fault::Broken);
        scene.drain().await;
        assert_eq!(scene.states().await, [expected]);
        scene.skip_waits().await;
    }
    let error = scene.last_error().await;
    assert!(error.starts_with("given up after 40 tries: "), "{error}");
    scene.drain().await;
    assert_eq!(scene.model.known().calls.len(), 2, "a dead message is left alone");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn with_nobody_to_tell_a_message_is_given_up(pool: PgPool) {
    let scene = Scene::token(pool.clone()).await;
    scene.world.sql("update repositories set forge = 'git'").await;
    scene.enqueue("1", &Message::Run(run(RunId::new(), RunStatus::Failed))).await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["dead"]);
    assert!(scene.last_error().await.contains("is not at GitHub"));
    assert!(scene.model.known().calls.is_empty());

    scene.world.sql("update repositories set forge = 'github'").await;
    let mut config = scene.world.app.config.as_ref().clone();
    config.github = None;
    let blind = App::new(Db::from_pool(pool), config, scene.world.app.keys.clone());
    scene.enqueue("2", &Message::Run(run(RunId::new(), RunStatus::Failed))).await;
    while outbox::once(&blind).await.unwrap() {}
    assert_eq!(scene.states().await, ["dead", "dead"]);
    assert!(scene.last_error().await.contains("neither a token for GitHub nor an App"));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn texts_are_cut_to_what_github_keeps(pool: PgPool) {
    let scene = Scene::token(pool).await;
    let mut message = run(RunId::new(), RunStatus::Failed);
    message.reason = Some("é".repeat(500));
    scene.enqueue("1", &Message::Run(message)).await;
    let mut invalid = run(RunId::new(), RunStatus::Invalid);
    invalid.diagnostics = vec![mistake(4), mistake(7), mistake(9)];
    scene.enqueue("2", &Message::Run(invalid)).await;
    scene.drain().await;
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(known.statuses[0]["description"], format!("{}…", "é".repeat(139)));
    assert_eq!(
        known.statuses[1]["description"],
        "3 mistakes in .tidegate/pipeline.yml: line 4: unknown key `k4`"
    );
    assert_eq!(known.statuses[1]["state"], "error");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_deployment_is_made_before_its_statuses(pool: PgPool) {
    let scene = Scene::token(pool).await;
    let id = DeploymentId::new();
    for status in [
        DeploymentStatus::Deploying,
        DeploymentStatus::Verifying,
        DeploymentStatus::Failed,
        DeploymentStatus::RolledBack,
    ] {
        scene
            .enqueue(&format!("deployment:{id}:{status}"), &Message::Deployment(deployment(id, status)))
            .await;
        scene.drain().await;
    }
    scene.model.assert_clean();
    let known = scene.model.known();
    let made: Vec<_> = known.deployments.keys().copied().map(Value::from).collect();
    assert_eq!(made.len(), 1);
    assert_eq!(known.deployments.values().next().unwrap()["environment"], "production");
    assert_eq!(all(&known.deployment_statuses, "deployment"), vec![made[0].clone(); 4]);
    assert_eq!(
        all(&known.deployment_statuses, "state"),
        ["in_progress", "in_progress", "failure", "inactive"]
    );
    assert_eq!(known.deployment_statuses[0]["environment_url"], "https://app.example.org/");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_deployment_whose_answer_was_lost_is_found_again(pool: PgPool) {
    let scene = Scene::token(pool).await;
    let mut message = deployment(DeploymentId::new(), DeploymentStatus::Succeeded);
    message.environment_url = Some("not an url".to_owned());
    scene.model.fail(Fault::DroppedAfter);
    scene.enqueue("1", &Message::Deployment(message)).await;
    scene.drain().await;
    assert_eq!(scene.model.known().deployments.len(), 1);
    scene.skip_waits().await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent"]);
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(known.deployments.len(), 1, "it was not made twice");
    assert_eq!(all(&known.deployment_statuses, "state"), ["success"]);
    assert_eq!(known.deployment_statuses[0]["environment_url"], Value::Null);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_app_makes_one_check_run_of_a_run(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let id = RunId::new();
    for (key, status) in [("1", RunStatus::Running), ("2", RunStatus::Waiting), ("3", RunStatus::Warned)] {
        scene.enqueue(key, &Message::Run(run(id, status))).await;
        scene.drain().await;
    }
    scene.model.assert_clean();
    {
        let known = scene.model.known();
        assert!(known.statuses.is_empty(), "the check run stands for the status");
        assert_eq!(known.checks.len(), 1);
        let check = known.checks.values().next().unwrap();
        assert_eq!((&check["status"], &check["conclusion"]), (&json!("completed"), &json!("neutral")));
        assert_eq!(check["external_id"], id.to_string());
        assert_eq!(known.tokens.len(), 1, "one token served all of it");
    }
    // Its failed stages are run again: a check run that ended is not opened, so there is another.
    for (key, status) in [("4", RunStatus::Running), ("5", RunStatus::Succeeded)] {
        scene.enqueue(key, &Message::Run(run(id, status))).await;
        scene.drain().await;
    }
    scene.model.assert_clean();
    assert_eq!(all(scene.model.known().checks.values(), "conclusion"), ["neutral", "success"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn annotations_beyond_fifty_come_in_later_requests(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let mut message = run(RunId::new(), RunStatus::Invalid);
    message.diagnostics = (1..=120).map(mistake).collect();
    scene.enqueue("1", &Message::Run(message)).await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent"]);
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(known.calls.len(), 3);
    let check = known.checks.values().next().unwrap();
    assert_eq!(check["conclusion"], "failure");
    let lines = all(check["output"]["annotations"].as_array().unwrap(), "start_line");
    assert_eq!(lines, (1..=120).map(Value::from).collect::<Vec<_>>());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn annotations_that_arrived_are_not_repeated(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let mut message = run(RunId::new(), RunStatus::Invalid);
    message.diagnostics = (1..=120).map(mistake).collect();
    scene.enqueue("1", &Message::Run(message)).await;
    // The answer to the making is lost, then that to the next fifty.
    let tries = [vec![Fault::DroppedAfter], vec![Fault::Fine, Fault::Fine, Fault::DroppedAfter], Vec::new()];
    for faults in tries {
        assert_eq!(scene.states().await, ["waiting"]);
        scene.model.known().faults.extend(faults);
        scene.drain().await;
        scene.skip_waits().await;
    }
    assert_eq!(scene.states().await, ["sent"]);
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(known.checks.len(), 1);
    let check = known.checks.values().next().unwrap();
    assert_eq!(check["output"]["annotations"].as_array().unwrap().len(), 120);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_expired_or_revoked_token_is_replaced(pool: PgPool) {
    let scene = Scene::app(pool).await;
    scene.model.known().token_life = 1;
    let id = RunId::new();
    scene.enqueue("1", &Message::Run(run(id, RunStatus::Running))).await;
    scene.drain().await;
    // Shorter than the margin: each call asks for a new one.
    scene.enqueue("2", &Message::Run(run(id, RunStatus::Waiting))).await;
    scene.drain().await;
    assert_eq!(scene.model.known().tokens.len(), 2);

    scene.model.known().token_life = 3600;
    scene.enqueue("3", &Message::Run(run(id, RunStatus::Running))).await;
    scene.drain().await;
    scene.model.known().tokens.clear(); // revoked there, still believed here
    scene.enqueue("4", &Message::Run(run(id, RunStatus::Succeeded))).await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent", "sent", "sent", "sent"]);
    assert_eq!(scene.model.known().tokens.len(), 1);
    scene.model.assert_clean();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_sender_that_comes_back_late_changes_nothing(pool: PgPool) {
    let scene = Scene::token(pool).await;
    scene.enqueue("1", &Message::Run(run(RunId::new(), RunStatus::Failed))).await;
    let db = &scene.world.app.db;
    let mut tx = db.begin().await.unwrap();
    let held = tx.take_outgoing(std::time::Duration::from_secs(300)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert!(!scene.once().await, "nobody else gets it while it is held");
    scene.skip_waits().await;
    let mut tx = db.begin().await.unwrap();
    let again = tx.take_outgoing(std::time::Duration::from_secs(300)).await.unwrap().unwrap();
    assert_eq!((held.attempts, again.attempts), (1, 2));
    tx.dead_outgoing(&held, "late").await.unwrap();
    tx.retry_outgoing(&held, std::time::Duration::ZERO, "late").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(scene.states().await, ["waiting"]);
    assert!(scene.wait().await > 200.0, "the second holds it still");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_app_that_is_taken_off_and_put_on_again_goes_on(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let id = RunId::new();
    scene.enqueue("1", &Message::Run(run(id, RunStatus::Running))).await;
    scene.drain().await;
    {
        let mut known = scene.model.known();
        known.installation = Some(INSTALLATION + 1);
        known.tokens.clear();
    }
    scene.enqueue("2", &Message::Run(run(id, RunStatus::Failed))).await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent", "waiting"], "the installation that is known is gone");
    scene.skip_waits().await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent", "sent"], "and the new one was found");

    scene.model.known().installation = None;
    scene.model.known().tokens.clear();
    scene.enqueue("3", &Message::Run(run(RunId::new(), RunStatus::Failed))).await;
    for _ in 0..2 {
        scene.drain().await;
        scene.skip_waits().await;
    }
    assert_eq!(scene.states().await, ["sent", "sent", "dead"]);
    let error = scene.last_error().await;
    assert!(error.contains("installation") && error.contains("has no access"), "{error}");
    scene.model.assert_clean();
}

/// Whatever fails, and however many senders there are: each commit's mark only ever moves forward, and ends on
/// the last that was said of it.
#[sqlx::test(migrator = "MIGRATOR")]
async fn in_any_weather_the_last_word_is_the_newest(pool: PgPool) {
    for seed in [3_u64, 11, 29] {
        sqlx::query("truncate outbox, repositories cascade").execute(&pool).await.unwrap();
        sqlx::query("delete from users").execute(&pool).await.unwrap();
        weather(pool.clone(), seed).await;
    }
}

async fn weather(pool: PgPool, seed: u64) {
    let scene = Scene::token(pool).await;
    // xorshift: the same weather for the same seed.
    let mut state = seed;
    let mut chance = |of: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % of
    };
    let mut last = BTreeMap::new();
    let runs: Vec<RunId> = (0..4).map(|_| RunId::new()).collect();
    for number in 0..40_u64 {
        let subject = chance(2);
        let mut message = run(runs[usize::try_from(subject * 2 + chance(2)).unwrap()], RunStatus::Running);
        if chance(3) == 0 {
            message.status = RunStatus::Failed;
        }
        message.pipeline = format!("pipeline-{subject}");
        message.reason = Some(number.to_string());
        last.insert(format!("tidegate/{}", message.pipeline), number);
        scene.enqueue(&number.to_string(), &Message::Run(message)).await;
        if chance(3) == 0 {
            for _ in 0..chance(3) {
                scene.model.fail(match chance(5) {
                    0 => Fault::Broken,
                    1 => Fault::Limited(chance(100)),
                    2 => Fault::Dropped,
                    3 => Fault::DroppedAfter,
                    _ => Fault::Unauthorized,
                });
            }
            join_all((0..3).map(|_| scene.drain())).await;
            scene.skip_waits().await;
        }
    }
    while scene.states().await.iter().any(|state| state == "waiting") {
        join_all((0..3).map(|_| scene.drain())).await;
        scene.skip_waits().await;
    }
    assert!(scene.states().await.iter().all(|state| state == "sent"), "seed {seed}");
    scene.model.assert_clean();
    let mut heard: BTreeMap<String, u64> = BTreeMap::new();
    for status in &scene.model.known().statuses {
        let context = status["context"].as_str().unwrap().to_owned();
        let number: u64 = status["description"].as_str().unwrap().parse().unwrap();
        let before = heard.insert(context, number);
        assert!(before <= Some(number), "seed {seed}: {before:?} and then {number}");
    }
    assert_eq!(heard, last, "seed {seed}");
}
