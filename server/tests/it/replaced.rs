//! Concurrency groups of GitHub Actions workflows: one waits in a group, and a newer one takes its place, unless the
//! file asks for a queue.

use sqlx::PgPool;
use tidegate_protocol::{
    ids::{RunId, RunnerId},
    messages::{Lease, Outcome},
};

use crate::{
    leased::{end_of, finish, finished, lease, reason, status},
    support::{MIGRATOR, World},
    workflows::{push, world},
};

const RUNS: &str = "
on: push
concurrency: {group: main}
jobs:
  one: {runs-on: ubuntu-latest, steps: [{run: one}]}
";

const JOBS: &str = "
on: push
jobs:
  pack: {runs-on: ubuntu-latest, steps: [{run: pack}]}
  ship: {needs: pack, runs-on: ubuntu-latest, concurrency: production, steps: [{run: ship}]}
";

async fn three(world: &World, text: &str) -> [RunId; 3] {
    let repository = world.repository().await;
    [
        push(world, &repository, text).await,
        push(world, &repository, text).await,
        push(world, &repository, text).await,
    ]
}

async fn succeed(world: &World, runner: RunnerId, lease: &Lease) {
    finish(world, runner, lease, finished(Outcome::Succeeded)).await.unwrap();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_newer_run_takes_the_place_of_the_one_that_waits(pool: PgPool) {
    let world = world(pool).await;
    let runner = world.runner().await;
    let [first, second, third] = three(&world, RUNS).await;
    let end = ("cancelled".to_owned(), Some("cancelled by run 3, which is newer".to_owned()));
    assert_eq!(end_of(&world, second).await, end);
    assert_eq!(end_of(&world, third).await.0, "pending");
    // The one at work is left alone.
    let leased = lease(&world, runner).await;
    assert_eq!(leased.run, first);
    succeed(&world, runner, &leased).await;
    assert_eq!(end_of(&world, first).await.0, "succeeded");
    world.sweep().await;
    let leased = lease(&world, runner).await;
    assert_eq!(leased.run, third);
    succeed(&world, runner, &leased).await;
    assert_eq!(end_of(&world, third).await.0, "succeeded");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn in_a_queue_all_wait(pool: PgPool) {
    let world = world(pool).await;
    let [first, second, third] = three(&world, &RUNS.replace("main", "main, queue: max")).await;
    assert_eq!(end_of(&world, first).await.0, "running");
    for waits in [second, third] {
        assert_eq!(end_of(&world, waits).await.0, "pending");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_newer_job_takes_the_place_of_the_one_that_waits(pool: PgPool) {
    let world = world(pool).await;
    let runner = world.runner().await;
    let runs = three(&world, JOBS).await;
    for run in runs {
        let pack = lease(&world, runner).await;
        assert_eq!((pack.run, pack.stage.key.0.as_str()), (run, "pack"));
        succeed(&world, runner, &pack).await;
    }
    let [first, second, third] = runs;
    // The first is in no runner's hands yet, but its turn has come.
    world.sweep().await;
    assert_eq!(status(&world, first, "ship").await, "queued");
    assert_eq!(status(&world, second, "ship").await, "cancelled");
    let why = "`ship` of run 3, which is newer, takes its place";
    assert_eq!(reason(&world, second, "ship").await.as_deref(), Some(why));
    assert_eq!(status(&world, third, "ship").await, "blocked");
    for run in [first, third] {
        let ship = lease(&world, runner).await;
        assert_eq!((ship.run, ship.stage.key.0.as_str()), (run, "ship"));
        succeed(&world, runner, &ship).await;
        world.sweep().await;
        assert_eq!(end_of(&world, run).await.0, "succeeded");
    }
}
