//! What time does: leases that end, and stages that nobody can take.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tidegate_protocol::{
    ids::AttemptId,
    messages::{Outcome, Renew},
    status::StepStatus,
};
use tidegate_server::{
    environments,
    error::Error,
    leases,
    tasks::sweep::{self, MARGIN},
};

use crate::{
    leased::{LABEL, append, claim, everything, expire, finish, finished, lease, push, reason, status, step},
    support::{MIGRATOR, World},
};

const ONE: &str = "on: push\nstages:\n  hello: {image: debian, run: echo hello}\n";

/// A server with a short lease, that has been up for long.
async fn world(pool: PgPool) -> World {
    let mut world = World::with(pool, |config| config.lease = Duration::from_secs(1)).await;
    world.app.started = Instant::now() - Duration::from_secs(60);
    world
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_lost_attempt_is_followed_by_another_and_its_late_writes_are_refused(pool: PgPool) {
    let world = world(pool).await;
    let repository = world.repository().await;
    let run = push(&world, &repository, ONE).await;
    let (lost, next) = (world.runner().await, world.runner().await);
    let first = lease(&world, lost).await;
    leases::report_step(&world.app, lost, first.attempt, first.epoch, &step(0, StepStatus::Running))
        .await
        .unwrap();
    append(&world, lost, &first, 0, 0, b"so far\n").await.unwrap();

    expire(&world, first.attempt, MARGIN - Duration::from_secs(2)).await;
    world.sweep().await;
    assert_eq!(status(&world, run, "hello").await, "running", "a runner may be late by the margin");

    expire(&world, first.attempt, MARGIN + Duration::from_secs(1)).await;
    assert!(world.sweep().await);
    assert_eq!(status(&world, run, "hello").await, "queued");
    let row: String = world
        .value("select concat_ws('|', a.status, a.reason, t.status) from attempts a join steps t on t.attempt_id = a.id")
        .await;
    assert_eq!(row, "lost|its runner was lost: the lease ended without a word from it|cancelled");
    assert_eq!(world.app.metrics.lost.get(), 1);

    let second = lease(&world, next).await;
    assert_eq!((second.stage_id, second.epoch, second.number), (first.stage_id, 2, 2));
    let before = everything(&world).await;
    let renew = Renew { backlog_bytes: 0 };
    let late = [
        leases::renew(&world.app, lost, first.attempt, first.epoch, &renew).await.map(drop),
        append(&world, lost, &first, 0, 7, b"late").await.map(drop),
        leases::report_step(&world.app, lost, first.attempt, first.epoch, &step(1, StepStatus::Running))
            .await,
        finish(&world, lost, &first, finished(Outcome::Succeeded)).await,
        // Nor does a newer epoch help.
        leases::renew(&world.app, lost, first.attempt, second.epoch, &renew).await.map(drop),
        leases::renew(&world.app, lost, second.attempt, second.epoch, &renew).await.map(drop),
    ];
    for result in late {
        assert!(matches!(result, Err(Error::Fenced(_))), "{result:?}");
    }
    assert_eq!(everything(&world).await, before);
    assert_eq!(world.value::<i64>("select count(*) from refused_writes").await, 6);
    finish(&world, next, &second, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(status(&world, run, "hello").await, "succeeded");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn nothing_is_lost_right_after_a_restart(pool: PgPool) {
    let mut world = world(pool).await;
    let repository = world.repository().await;
    push(&world, &repository, ONE).await;
    let runner = world.runner().await;
    let lease = lease(&world, runner).await;
    expire(&world, lease.attempt, Duration::from_secs(3600)).await;
    let long_ago = world.app.started;
    world.app.started = Instant::now();
    world.sweep().await;
    // The runner reaches the server again, and goes on.
    leases::renew(&world.app, runner, lease.attempt, lease.epoch, &Renew { backlog_bytes: 0 }).await.unwrap();
    world.app.started = long_ago;
    world.sweep().await;
    finish(&world, runner, &lease, finished(Outcome::Succeeded)).await.unwrap();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn of_an_end_and_the_sweep_one_counts(pool: PgPool) {
    let world = world(pool).await;
    let repository = world.repository().await;
    let text = "on: push\nstages:\n  each: {image: debian, retry: 3, matrix: {n: [1, 2, 3, 4, 5, 6, 7, 8, 9]}, run: x}\n";
    push(&world, &repository, text).await;
    let runner = world.runner().await;
    let mut leases = Vec::new();
    while let Some(lease) = claim(&world, runner, &[LABEL]).await {
        expire(&world, lease.attempt, Duration::from_secs(60)).await;
        leases.push(lease);
    }
    assert_eq!(leases.len(), 9);
    let ends = async {
        let mut taken: Vec<AttemptId> = Vec::new();
        for lease in &leases {
            match finish(&world, runner, lease, finished(Outcome::Succeeded)).await {
                Ok(()) => taken.push(lease.attempt),
                Err(Error::Fenced(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        taken
    };
    let (taken, one, two) = tokio::join!(ends, sweep::once(&world.app), sweep::once(&world.app));
    one.and(two).unwrap();
    let succeeded: i64 = world.value("select count(*) from attempts where status = 'succeeded'").await;
    let lost: i64 = world.value("select count(*) from attempts where status = 'lost'").await;
    assert_eq!((succeeded, lost), (taken.len() as i64, 9 - taken.len() as i64));
    let stages: String = world
        .value("select concat_ws(' ', count(*) filter (where status = 'succeeded'), count(*) filter (where status = 'queued')) from stages")
        .await;
    assert_eq!(stages, format!("{succeeded} {lost}"));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_stage_that_nobody_can_take_says_why(pool: PgPool) {
    let world = world(pool).await;
    let repository = world.repository().await;
    let text = "on: push\nstages:\n  x: {runs_on: [docker, gpu], image: a, run: b}\n";
    let run = push(&world, &repository, text).await;
    let said = async || {
        while world.sweep().await {}
        reason(&world, run, "x").await.unwrap()
    };
    assert_eq!(said().await, "no runner with labels docker, gpu is online");
    let runner = world.runner().await;
    claim(&world, runner, &[LABEL]).await;
    assert_eq!(said().await, "no runner with label gpu is online");
    let waiting: i64 = world.value("select count(*) from events where kind = 'stage.waiting'").await;
    assert_eq!(waiting, 2, "said once each");

    // The only runner that fits is busy: then there is nothing to mend.
    world.sql(&format!("update runners set labels = '{{docker,gpu}}' where id = '{runner}'")).await;
    assert_eq!(said().await, "waits for a runner");
    world.sql("update runners set disabled = true").await;
    assert!(said().await.ends_with("one that is disabled could take it"));
    world
        .sql(&format!(
        "update runners set disabled = false, last_seen_at = now() - interval '5 minutes', name = 'builder';
         update stages set pinned_runner = '{runner}'"
    ))
        .await;
    assert_eq!(said().await, "runner `builder`, the only one that can take it, is not online");
    assert_eq!(
        world.value::<i32>("select free_slots from runners").await,
        0,
        "who is away has no free slots"
    );
    assert_eq!(claim(&world, runner, &[LABEL, "gpu"]).await.unwrap().run, run);
    assert_eq!(reason(&world, run, "x").await, None);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_lost_deployment_is_unknown_and_nobody_repeats_it(pool: PgPool) {
    let world = world(pool).await;
    let repository = world.repository().await;
    let rules = environments::Rules::default();
    environments::upsert(&world.app, repository.id, "staging", rules, &world.admin).await.unwrap();
    let image = format!("registry.example.org/api@sha256:{}", "c".repeat(64));
    let text = format!(
        "on: push\nstages:\n  ship: {{deploy: {{environment: staging, image: \"{image}\", command: {{image: debian, run: ./ship}}}}}}\n"
    );
    let run = push(&world, &repository, &text).await;
    let runner = world.runner().await;
    let lease = lease(&world, runner).await;
    let facts = lease.deployment.as_ref().unwrap();
    assert_eq!((facts.previous_image.as_deref(), facts.rollback), (None, false));
    assert_eq!(lease.env["TIDEGATE_ENVIRONMENT"], "staging");

    expire(&world, lease.attempt, MARGIN + Duration::from_secs(1)).await;
    while world.sweep().await {}
    assert_eq!(status(&world, run, "ship").await, "unknown");
    assert_eq!(world.value::<String>("select status from deployments").await, "unknown");
    assert!(claim(&world, world.runner().await, &[LABEL]).await.is_none());
    let late = finish(&world, runner, &lease, finished(Outcome::Succeeded)).await;
    assert!(matches!(late, Err(Error::Fenced(_))), "{late:?}");
    assert_eq!(status(&world, run, "ship").await, "unknown");
}
