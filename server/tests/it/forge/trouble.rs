//! Failures, limits, tokens that are worth nothing any more: what is outlived, and what is given up with its reason.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use sqlx::PgPool;
use tidegate_protocol::{ids::RunId, status::RunStatus};
use tidegate_server::{app::App, forge::messages::Message, store::Db, tasks::outbox};

use super::{Scene, run};
use crate::{
    github_model::{Fault, INSTALLATION},
    support::MIGRATOR,
};

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

/// Each sender holds its own message and then all of the owner's: none may wait for another that waits for it.
#[sqlx::test(migrator = "MIGRATOR")]
async fn senders_that_are_limited_together_do_not_block_each_other(pool: PgPool) {
    const SENDERS: usize = 6;
    let scene = Scene::token(pool).await;
    for number in 0..SENDERS {
        let mut message = run(RunId::new(), RunStatus::Failed);
        message.pipeline = format!("pipeline-{number}");
        scene.enqueue(&number.to_string(), &Message::Run(message)).await;
    }
    for _ in 0..8 {
        for _ in 0..SENDERS {
            scene.model.fail(Fault::Limited(60));
        }
        join_all((0..SENDERS).map(|_| scene.once())).await;
        scene.skip_waits().await;
    }
    assert_eq!(scene.states().await, ["waiting"; SENDERS]);
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
