//! Everything about leases at once: runners that work, fail, vanish and come back, people who cancel, the sweep.
//! However it interleaves, every run ends, nothing is executed twice at a time, and nobody runs into anybody's locks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tidegate_protocol::{
    ids::RunnerId,
    messages::{Lease, Outcome, Renew},
    status::StepStatus,
};
use tidegate_server::{error::Error, leases, runs, tasks::sweep};

use crate::{
    leased::{LABEL, append, claim, expire, finish, finished, push, step},
    support::{MIGRATOR, World},
};

const TEXT: &str = "
on: push
stages:
  lint: {image: debian, run: lint, retry: 2}
  test: {image: debian, run: test, matrix: {n: [1, 2, 3]}}
  pack: {needs: [lint, test], image: debian, run: pack, continue_on_error: true}
  told: {needs: [lint], image: debian, run: told, matrix: \"${{ fromJSON(stages.lint.outputs.told) }}\", max_parallel: 1}
  grow: {needs: [lint], image: debian, run: grow, emits: more.yml}
  last: {needs: [pack, told], image: debian, run: last, if: always()}
";

const MORE: &str = "stages: {a: {image: debian, run: a}, b: {needs: [a], image: debian, run: b}}";

/// The fence may refuse; nothing else may go wrong, a deadlock least of all.
fn fenced_at_most(result: Result<(), Error>) {
    match result {
        Ok(()) | Err(Error::Fenced(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
}

async fn execute(world: &World, runner: RunnerId, lease: &Lease, choice: u64) {
    let app = &world.app;
    let (attempt, epoch) = (lease.attempt, lease.epoch);
    let renew = Renew { backlog_bytes: choice };
    let running = step(0, StepStatus::Running);
    fenced_at_most(leases::report_step(app, runner, attempt, epoch, &running).await);
    let (one, two, three) = tokio::join!(
        append(world, runner, lease, 0, 0, b"one\n"),
        leases::renew(app, runner, attempt, epoch, &renew),
        append(world, runner, lease, 0, 0, b"one\ntwo\n"),
    );
    fenced_at_most(one.map(drop));
    fenced_at_most(two.map(drop));
    fenced_at_most(three.map(drop));
    let outcome = match choice % 8 {
        0 => Outcome::Failed,
        1 => Outcome::Infrastructure,
        2 => {
            // Gone, and then back too late, or just in time.
            expire(world, attempt, Duration::from_secs(60)).await;
            tokio::task::yield_now().await;
            Outcome::Succeeded
        }
        _ => Outcome::Succeeded,
    };
    let mut end = finished(outcome);
    end.outputs.insert("told".to_owned(), "[1, 2]".to_owned());
    end.emitted = lease.stage.emits.as_ref().map(|_| MORE.to_owned());
    let (end, again, log) = tokio::join!(
        finish(world, runner, lease, end.clone()),
        finish(world, runner, lease, end),
        append(world, runner, lease, 0, 8, b"three\n"),
    );
    fenced_at_most(end);
    fenced_at_most(again);
    fenced_at_most(log.map(drop));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn every_run_ends_and_nothing_is_done_twice(pool: PgPool) {
    let mut world = World::with(pool, |config| config.lease = Duration::from_secs(1)).await;
    world.app.started = Instant::now() - Duration::from_secs(60);
    let world = Arc::new(world);
    let mut open = Vec::new();
    for _ in 0..3 {
        let repository = world.repository().await;
        for _ in 0..4 {
            open.push(push(&world, &repository, TEXT).await);
        }
    }
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..5_u64 {
        let (world, runner) = (world.clone(), world.runner().await);
        tasks.spawn(async move {
            let mut choice = seed;
            loop {
                choice =
                    choice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                match claim(&world, runner, &[LABEL]).await {
                    Some(lease) => execute(&world, runner, &lease, choice >> 33).await,
                    None if world
                        .value::<i64>("select count(*) from runs where finished_at is null")
                        .await
                        == 0 =>
                    {
                        return;
                    }
                    None => {
                        sweep::once(&world.app).await.unwrap();
                    }
                }
            }
        });
    }
    let (cancelled, person) = (open[5], world.clone());
    tasks.spawn(async move { runs::cancel(&person.app, cancelled, &person.admin).await.unwrap() });
    tokio::time::timeout(Duration::from_secs(120), tasks.join_all()).await.expect("not every run ended");

    for (what, query) in [
        ("attempts at work", "select count(*) from attempts where status = 'running'"),
        (
            "stages that have not ended",
            "select count(*) from stages where status in ('blocked', 'gated', 'queued', 'running')",
        ),
        (
            "stages whose epochs are not their attempts",
            "select count(*) from stages s where (s.epoch, s.attempts) is distinct from
             (select (count(*), count(*)::integer) from attempts a where a.stage_id = s.id)",
        ),
        (
            "attempts that began before the one before had ended",
            "select count(*) from attempts a join attempts b on b.stage_id = a.stage_id and b.number = a.number + 1
             where b.started_at < a.finished_at",
        ),
        (
            "stages that succeeded without one attempt that did",
            "select count(*) from stages s where s.status = 'succeeded' and 1 <>
             (select count(*) from attempts a where a.stage_id = s.id and a.status = 'succeeded')",
        ),
        (
            "logs that are not what was sent",
            "select count(*) from steps where (log_bytes, log_lines) not in ((0, 0), (4, 1), (8, 2), (14, 3))",
        ),
        (
            "stages that stand for others in a run where those could be told",
            "select count(*) from stages s join stages l on l.run_id = s.run_id and l.key = 'lint'
             where s.key = 'told' and l.status = 'succeeded' and s.status <> 'cancelled'",
        ),
        (
            "stages that were added by one that did not succeed, or not all, or twice",
            "select count(*) from stages g where g.key = 'grow' and (select count(*) from stages a
                 where a.run_id = g.run_id and a.plan->>'emitted_by' = 'grow') <>
             case when g.status = 'succeeded' then 2 else 0 end",
        ),
        ("steps left open", "select count(*) from steps where status in ('pending', 'running')"),
    ] {
        assert_eq!(world.value::<i64>(query).await, 0, "{what}");
    }
    for made in ["told (value=2)", "grow / b"] {
        let query = format!("select count(*) from stages where key = '{made}' and status = 'succeeded'");
        assert!(world.value::<i64>(&query).await > 0, "{made}");
    }
}
