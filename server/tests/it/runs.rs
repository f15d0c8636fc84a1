//! Runs: made once, stopped in any state, run again in whole or in part, one at a time where that is asked for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::PgPool;
use tidegate_protocol::{
    ids::{DeliveryId, RunId, RunnerId},
    messages::{Outcome, Renew},
};
use tidegate_server::{
    actor::Role,
    error::Error,
    leases,
    runs::{self, Created, NewRun, Scope},
    store::views::Repository,
};

use crate::{
    deployed::TEXT,
    leased::{LABEL, claim, end_of, expire, finish, finished, lease, new_run, push, reason, start, status},
    support::{MIGRATOR, World, pushed},
};

fn new(repository: &Repository, text: &str, delivery: Option<DeliveryId>) -> NewRun {
    let mut event = pushed(repository);
    event["git"]["message"] = "a change\n\nfor good".into();
    NewRun { delivery, ..new_run(repository, ".tidegate/pipeline.yml", text, event) }
}

async fn delivery(world: &World, repository: &Repository) -> DeliveryId {
    let delivery = DeliveryId::new();
    world
        .sql(&format!(
            "insert into deliveries (id, repository_id, delivery_key, content_key, event, body)
             values ('{delivery}', '{}', 'one', '\\x01', 'push', '')",
            repository.id
        ))
        .await;
    delivery
}

/// Takes the next stage, which must be this one, and ends it.
async fn carry_out(world: &World, runner: RunnerId, run: RunId, stage: &str, outcome: Outcome) {
    let lease = lease(world, runner).await;
    assert_eq!((lease.run, lease.stage.key.0.as_str()), (run, stage));
    finish(world, runner, &lease, finished(outcome)).await.unwrap();
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>, why: &str) {
    assert!(matches!(&result, Err(Error::Refused(sentence)) if sentence.contains(why)), "{result:?}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_delivery_that_comes_a_hundred_times_makes_one_run(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let delivery = delivery(&world, &repository).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (app, new) = (world.app.clone(), new(&repository, TEXT, Some(delivery)));
        tasks.spawn(async move { runs::create(&app, new).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    let made: Vec<RunId> = answers
        .iter()
        .filter_map(|one| if let Created::Run(run) = one { Some(*run) } else { None })
        .collect();
    assert_eq!(made.len(), 1);
    assert!(answers.iter().all(|one| *one == Created::Run(made[0]) || *one == Created::Existing(made[0])));
    assert_eq!(world.value::<i64>("select count(*) from runs").await, 1);
    assert_eq!(world.value::<i64>("select count(*) from stages").await, 3);
    assert_eq!(world.value::<i64>("select count(*) from events where kind = 'run.created'").await, 1);
    assert_eq!(world.value::<i64>("select next_run_number from repositories").await, 2, "no number is lost");
    assert_eq!(world.value::<String>("select title from runs").await, "a change");
    // A rerun has the same delivery behind it, and is another run.
    let again = runs::rerun(&world.app, made[0], Scope::All, &world.admin).await.unwrap();
    assert_ne!(again, made[0]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_file_with_mistakes_makes_a_run_that_shows_them_all(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let text = "on: push\nstages:\n  one: {image: debian, rum: x}\n  two: {needs: [nine], image: debian, run: y}\n  three: {image: debian, run: z, timeout: soon}\n";
    let Created::Run(run) = runs::create(&world.app, new(&repository, text, None)).await.unwrap() else {
        panic!("no run");
    };
    let (status, why) = end_of(&world, run).await;
    assert_eq!(status, "invalid");
    assert!(why.as_deref().unwrap().contains("mistakes in .tidegate/pipeline.yml"), "{why:?}");
    let diagnostics: String = world.value("select diagnostics::text from runs").await;
    let diagnostics: Value = serde_json::from_str(&diagnostics).unwrap();
    assert!(diagnostics.as_array().unwrap().len() >= 3, "{diagnostics}");
    assert_eq!(world.value::<i64>("select count(*) from stages").await, 0);
    assert!(world.value::<bool>("select finished_at is not null from runs").await);
    runs::cancel(&world.app, run, &world.admin).await.unwrap();
    assert_eq!(end_of(&world, run).await.0, "invalid");
    refused(runs::rerun(&world.app, run, Scope::Failed, &world.admin).await, "the run is invalid");
    let other = runs::create(&world.app, new(&repository, &TEXT.replace("push", "tag"), None)).await.unwrap();
    assert!(matches!(&other, Created::NotTriggered(why) if !why.is_empty()), "{other:?}");
}

const GROUP: &str = "
on: push
concurrency: {group: main}
stages:
  one: {image: debian, run: one}
  two: {needs: [one], image: debian, run: two}
";

#[sqlx::test(migrator = "MIGRATOR")]
async fn runs_of_a_group_go_one_after_the_other(pool: PgPool) {
    let world = World::new(pool).await;
    let (repository, other) = (world.repository().await, world.repository().await);
    let runner = world.runner().await;
    let mut queue = Vec::new();
    // Names that differ only in case are one group.
    for group in ["main", "Main", "MAIN"] {
        let pipeline = GROUP.replace("group: main", &format!("group: {group}"));
        queue.push(push(&world, &repository, &pipeline).await);
    }
    let elsewhere = push(&world, &other, GROUP).await;
    let waits = |number: i64| {
        ("pending".to_owned(), Some(format!("waits for run {number} of its concurrency group")))
    };
    assert_eq!(end_of(&world, queue[1]).await, waits(1));
    assert_eq!(end_of(&world, queue[2]).await, waits(1));
    carry_out(&world, runner, queue[0], "one", Outcome::Failed).await;
    assert_eq!(end_of(&world, queue[0]).await.0, "failed");
    carry_out(&world, runner, elsewhere, "one", Outcome::Failed).await;
    world.sweep().await;
    assert_eq!(end_of(&world, queue[1]).await.0, "running");
    assert_eq!(end_of(&world, queue[2]).await, waits(2));
    // Taking the first up again would make two of them.
    let again = runs::rerun(&world.app, queue[0], Scope::Failed, &world.admin).await;
    refused(again, "run 2 of its concurrency group is open");
    for stage in ["one", "two"] {
        carry_out(&world, runner, queue[1], stage, Outcome::Succeeded).await;
    }
    // One that waits is stopped at once, and the next does not wait for it.
    let last = push(&world, &repository, GROUP).await;
    world.sweep().await;
    assert_eq!(end_of(&world, last).await, waits(3));
    runs::cancel(&world.app, queue[2], &world.admin).await.unwrap();
    assert_eq!(end_of(&world, queue[2]).await.0, "cancelled");
    assert!(claim(&world, runner, &[LABEL]).await.is_none());
    world.sweep().await;
    assert_eq!(end_of(&world, last).await.0, "running");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_newer_run_stops_the_older_ones_and_waits_for_their_end(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    let text = GROUP.replace("{group: main}", "{group: main, cancel_superseded: true}");
    let first = push(&world, &repository, &text).await;
    let lease = lease(&world, runner).await;
    let second = push(&world, &repository, &text).await;
    assert_eq!(end_of(&world, second).await.0, "pending");
    assert_eq!(status(&world, first, "two").await, "cancelled");
    assert!(status(&world, first, "one").await == "running");
    let third = push(&world, &repository, &text).await;
    let end = ("cancelled".to_owned(), Some("cancelled by run 3, which is newer".to_owned()));
    assert_eq!(end_of(&world, second).await, end, "it had not begun");
    let renewed = leases::renew(&world.app, runner, lease.attempt, lease.epoch, &Renew { backlog_bytes: 0 })
        .await
        .unwrap();
    assert!(renewed.cancel);
    finish(&world, runner, &lease, finished(Outcome::Cancelled)).await.unwrap();
    let end = ("cancelled".to_owned(), Some("cancelled by run 2, which is newer".to_owned()));
    assert_eq!(end_of(&world, first).await, end);
    world.sweep().await;
    carry_out(&world, runner, third, "one", Outcome::Succeeded).await;
    carry_out(&world, runner, third, "two", Outcome::Succeeded).await;
    assert_eq!(end_of(&world, third).await.0, "succeeded");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_server_that_died_before_it_stopped_the_older_run_does_so_later(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    let text = GROUP.replace("{group: main}", "{group: main, cancel_superseded: true}");
    let first = push(&world, &repository, &text).await;
    let lease = lease(&world, runner).await;
    let delivery = delivery(&world, &repository).await;
    let new = new(&repository, &text, Some(delivery));
    let Created::Run(second) = runs::create(&world.app, new.clone()).await.unwrap() else { panic!("no run") };
    // As it was between the two.
    world.sql(&format!("update runs set cancel_requested = null where id = '{first}'")).await;
    world.sql("update stages set cancel_requested = false").await;
    assert_eq!(runs::create(&world.app, new).await.unwrap(), Created::Existing(second));
    let renew = Renew { backlog_bytes: 0 };
    let renewed = leases::renew(&world.app, runner, lease.attempt, lease.epoch, &renew).await.unwrap();
    assert!(renewed.cancel);
    assert_eq!(end_of(&world, second).await.0, "pending");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_run_is_stopped_in_whatever_state_its_stages_are(pool: PgPool) {
    let mut world = World::new(pool).await;
    world.app.started = Instant::now() - Duration::from_secs(60);
    let repository = world.repository().await;
    let runner = world.runner().await;
    world
        .sql(&format!(
            "insert into environments (id, repository_id, name, required_approvals) values (gen_random_uuid(), '{}', 'production', 1)",
            repository.id
        ))
        .await;
    let text = "
on: push
stages:
  done: {image: debian, run: x}
  works: {image: debian, run: x, retry: 3}
  lost: {image: debian, run: x, retry: 3}
  late: {image: debian, run: x}
  queued: {image: debian, run: x}
  blocked: {needs: [late], image: debian, run: x}
  always: {needs: [late], if: always(), image: debian, run: x}
  gated:
    deploy: {environment: production, image: r/api, compose: {file: c.yml, project: api}}
";
    let run = push(&world, &repository, text).await;
    carry_out(&world, runner, run, "done", Outcome::Succeeded).await;
    let (works, lost, late) =
        (lease(&world, runner).await, lease(&world, runner).await, lease(&world, runner).await);
    let viewer = world.user("vera", Role::Viewer).await;
    assert!(matches!(runs::cancel(&world.app, run, &viewer).await, Err(Error::Forbidden(_))));
    for _ in 0..2 {
        runs::cancel(&world.app, run, &world.admin).await.unwrap();
    }
    assert_eq!(world.value::<i64>("select count(*) from events where kind = 'run.cancelling'").await, 1);
    for stage in ["queued", "blocked", "always", "gated"] {
        assert_eq!(status(&world, run, stage).await, "cancelled", "{stage}");
        assert_eq!(reason(&world, run, stage).await.unwrap(), "cancelled by anna");
    }
    assert_eq!(world.value::<String>("select status from gates").await, "voided");
    for lease in [&works, &lost, &late] {
        assert_eq!(status(&world, run, &lease.stage.key.0).await, "running");
        let renew = Renew { backlog_bytes: 0 };
        let renewed = leases::renew(&world.app, runner, lease.attempt, lease.epoch, &renew).await.unwrap();
        assert!(renewed.cancel);
    }
    assert_eq!(end_of(&world, run).await.0, "running");
    finish(&world, runner, &works, finished(Outcome::Infrastructure)).await.unwrap();
    assert_eq!(status(&world, run, "works").await, "failed", "it is not tried again");
    // It was done before it heard.
    finish(&world, runner, &late, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(status(&world, run, "late").await, "succeeded");
    expire(&world, lost.attempt, Duration::from_secs(60)).await;
    world.sweep().await;
    assert_eq!(status(&world, run, "lost").await, "cancelled");
    let end = ("cancelled".to_owned(), Some("cancelled by anna".to_owned()));
    assert_eq!(end_of(&world, run).await, end);
    runs::cancel(&world.app, run, &world.admin).await.unwrap();
    assert_eq!(end_of(&world, run).await, end, "what ended stays as it is");

    // Taken up again it runs, although it was stopped once.
    runs::rerun(&world.app, run, Scope::Failed, &world.admin).await.unwrap();
    carry_out(&world, runner, run, "works", Outcome::Succeeded).await;
    assert_eq!(status(&world, run, "gated").await, "gated");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn only_what_failed_and_what_depends_on_it_runs_again(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    let text = "
on: push
stages:
  good: {image: debian, run: x}
  bad: {image: debian, run: x, retry: {max: 2, when: [failure]}}
  after-good: {needs: [good], image: debian, run: x}
  after-bad: {needs: [bad, good], image: debian, run: x}
  clean-up: {needs: [bad], if: always(), image: debian, run: x}
  never: {image: debian, run: x, if: git.branch == 'other'}
";
    let run = push(&world, &repository, text).await;
    let mut order = Vec::new();
    while let Some(lease) = claim(&world, runner, &[LABEL]).await {
        let key = lease.stage.key.0.clone();
        let outcome = if key == "bad" { Outcome::Failed } else { Outcome::Succeeded };
        finish(&world, runner, &lease, finished(outcome)).await.unwrap();
        order.push(format!("{key} {}", lease.number));
    }
    order.sort();
    assert_eq!(order, ["after-good 1", "bad 1", "bad 2", "clean-up 1", "good 1"]);
    let end = ("failed".to_owned(), Some("`bad` failed".to_owned()));
    assert_eq!(end_of(&world, run).await, end);

    let viewer = world.user("vera", Role::Viewer).await;
    let answer = runs::rerun(&world.app, run, Scope::Failed, &viewer).await;
    assert!(matches!(answer, Err(Error::Forbidden(_))), "{answer:?}");
    assert_eq!(runs::rerun(&world.app, run, Scope::Failed, &world.admin).await.unwrap(), run);
    refused(runs::rerun(&world.app, run, Scope::Failed, &world.admin).await, "the run is running");
    // It has all its tries again; numbers go on.
    let mut order = Vec::new();
    while let Some(lease) = claim(&world, runner, &[LABEL]).await {
        let key = lease.stage.key.0.clone();
        let outcome = if lease.number == 3 { Outcome::Failed } else { Outcome::Succeeded };
        finish(&world, runner, &lease, finished(outcome)).await.unwrap();
        order.push(format!("{key} {}", lease.number));
    }
    assert_eq!(order[..2], ["bad 3", "bad 4"]);
    order[2..].sort();
    assert_eq!(order[2..], ["after-bad 1", "clean-up 2"]);
    assert_eq!(end_of(&world, run).await, ("succeeded".to_owned(), None));
    assert_eq!(status(&world, run, "never").await, "skipped");
    refused(runs::rerun(&world.app, run, Scope::Failed, &world.admin).await, "the run is succeeded");

    let whole = runs::rerun(&world.app, run, Scope::All, &world.admin).await.unwrap();
    let of: String = world.value(&format!("select rerun_of::text from runs where id = '{whole}'")).await;
    assert_eq!(of, run.to_string());
    assert_eq!(world.value::<i64>(&format!("select number from runs where id = '{whole}'")).await, 2);
    let actor: String = world.value(&format!("select actor from runs where id = '{whole}'")).await;
    assert_eq!(actor, "anna");
    assert_eq!(status(&world, whole, "good").await, "queued");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_forks_run_never_deploys(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    world
        .sql(&format!(
            "insert into environments (id, repository_id, name) values (gen_random_uuid(), '{}', 'production')",
            repository.id
        ))
        .await;
    let run = start(&world, &repository, TEXT, false).await;
    carry_out(&world, runner, run, "pack", Outcome::Succeeded).await;
    assert!(claim(&world, runner, &[LABEL]).await.is_none());
    for stage in ["deploy", "check"] {
        assert_eq!(status(&world, run, stage).await, "skipped");
        assert!(reason(&world, run, stage).await.unwrap().contains("fork"));
    }
    assert_eq!(end_of(&world, run).await.0, "succeeded");
    assert_eq!(world.value::<i64>("select count(*) from deployments").await, 0);
}

const SHARED: &str = "
on: push
stages:
  pack: {image: debian, run: pack}
  ship: {needs: [pack], image: debian, run: ship}
";

/// A run whose stage `ship` is in the group `production`, with this taking of places.
async fn shared(world: &World, repository: &Repository, group: &str, cancel_superseded: bool) -> RunId {
    let run = push(world, repository, SHARED).await;
    let group = json!({ "group": group, "cancel_superseded": cancel_superseded });
    let change = format!(
        "update stages set plan = jsonb_set(plan::jsonb, '{{concurrency}}', '{group}')::json where key = 'ship' and run_id = '{run}'"
    );
    world.sql(&change).await;
    run
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn stages_of_a_group_go_one_after_the_other_across_runs(pool: PgPool) {
    let world = World::new(pool).await;
    let (repository, other) = (world.repository().await, world.repository().await);
    let runner = world.runner().await;
    let mut queue = Vec::new();
    for (repository, group) in [
        (&repository, "production"),
        (&repository, "Production"),
        (&repository, "PRODUCTION"),
        (&other, "production"),
    ] {
        queue.push(shared(&world, repository, group, false).await);
    }
    for run in &queue {
        carry_out(&world, runner, *run, "pack", Outcome::Succeeded).await;
    }
    let first = lease(&world, runner).await;
    assert_eq!((first.run, first.stage.key.0.as_str()), (queue[0], "ship"));
    let elsewhere = lease(&world, runner).await;
    assert_eq!(elsewhere.run, queue[3], "another repository's group is another group");
    assert!(claim(&world, runner, &[LABEL]).await.is_none());
    for run in [queue[1], queue[2]] {
        assert_eq!(status(&world, run, "ship").await, "blocked");
        let why = reason(&world, run, "ship").await.unwrap();
        assert_eq!(why, "waits for `ship` of run 1, which goes first in the concurrency group production");
    }
    world.sweep().await;
    assert!(claim(&world, runner, &[LABEL]).await.is_none());
    // One that waits is stopped, and is in nobody's way.
    runs::cancel(&world.app, queue[1], &world.admin).await.unwrap();
    finish(&world, runner, &first, finished(Outcome::Failed)).await.unwrap();
    world.sweep().await;
    carry_out(&world, runner, queue[2], "ship", Outcome::Succeeded).await;
    // Taken up again it joins at the end.
    runs::rerun(&world.app, queue[0], Scope::Failed, &world.admin).await.unwrap();
    carry_out(&world, runner, queue[0], "ship", Outcome::Succeeded).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_newer_stage_of_a_group_takes_the_place_of_the_older(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    let mut queue = Vec::new();
    for _ in 0..3 {
        queue.push(shared(&world, &repository, "production", true).await);
    }
    for run in &queue {
        carry_out(&world, runner, *run, "pack", Outcome::Succeeded).await;
    }
    let first = lease(&world, runner).await;
    assert_eq!(first.run, queue[0]);
    world.sweep().await;
    let renew = Renew { backlog_bytes: 0 };
    assert!(leases::renew(&world.app, runner, first.attempt, first.epoch, &renew).await.unwrap().cancel);
    assert_eq!(status(&world, queue[1], "ship").await, "cancelled");
    let why = "`ship` of run 3, which is newer, takes its place";
    assert_eq!(reason(&world, queue[1], "ship").await.as_deref(), Some(why));
    assert_eq!(status(&world, queue[2], "ship").await, "blocked");
    finish(&world, runner, &first, finished(Outcome::Cancelled)).await.unwrap();
    assert_eq!(reason(&world, queue[0], "ship").await.as_deref(), Some(why));
    world.sweep().await;
    carry_out(&world, runner, queue[2], "ship", Outcome::Succeeded).await;
}
