//! Commit statuses, by a token.

use futures_util::future::join_all;
use sqlx::PgPool;
use tidegate_protocol::{ids::RunId, status::RunStatus};
use tidegate_server::forge::messages::{Message, SkippedMessage};

use super::{Scene, all, mistake, run};
use crate::{github_model::Fault, support::MIGRATOR};

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
