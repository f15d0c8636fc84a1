//! Leases: who gets a stage, with what, and whose writes count.

use std::collections::BTreeSet;

use sqlx::PgPool;
use tidegate_protocol::{
    ids::{AttemptId, RepositoryId, RunnerId},
    messages::{Outcome, Renew},
    status::StepStatus,
};
use tidegate_server::{
    error::Error,
    leases,
    repositories::{self, RepositoryChange},
    runs, secrets,
};
use tokio_util::sync::CancellationToken;

use crate::{
    leased::{
        LABEL, append, asking, claim, everything, finish, finished, lease, push, reason, start, status, step,
    },
    support::{MIGRATOR, World},
};

const ONE: &str = "on: push\nstages:\n  hello: {image: debian, run: echo hello}\n";
const TWO: &str = "
on: push
stages:
  first: {image: debian, run: [{id: it, run: echo}]}
  second: {needs: [first], image: debian, env: {GREETING: \"${{ stages.first.outputs.greeting }}\"}, run: echo}
";

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_stage_is_leased_twice(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let text =
        "on: push\nstages:\n  each: {image: debian, matrix: {n: [1, 2, 3, 4, 5, 6, 7, 8]}, run: echo}\n";
    for _ in 0..4 {
        push(&world, &repository, text).await;
    }
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (app, runner) = (world.app.clone(), world.runner().await);
        claims.spawn(async move {
            let mut leased = Vec::new();
            while let Some(lease) =
                leases::claim(&app, runner, &asking(&[LABEL], 0), &CancellationToken::new()).await.unwrap()
            {
                assert_eq!((lease.epoch, lease.number), (1, 1));
                leased.push(lease.stage_id);
            }
            leased
        });
    }
    let leased: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = leased.iter().collect();
    assert_eq!((leased.len(), distinct.len()), (32, 32));
    assert_eq!(world.value::<i64>("select count(*) from attempts where status = 'running'").await, 32);
    assert_eq!(world.value::<i64>("select count(*) from stages where status = 'running'").await, 32);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_lease_holds_what_the_stage_needs(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let run = push(&world, &repository, ONE).await;
    let runner = world.runner().await;
    let lease = lease(&world, runner).await;
    assert_eq!((lease.run, lease.run_number, lease.epoch, lease.number), (run, 1, 1, 1));
    assert_eq!(lease.expires_in_ms, 30_000);
    assert_eq!(lease.source.repository, repository.full_name);
    assert_eq!(lease.source.clone_url, repository.clone_url);
    assert_eq!(
        (lease.source.sha.as_str(), lease.source.reference.as_str()),
        ("a".repeat(40).as_str(), "refs/heads/main")
    );
    assert!(lease.trusted && lease.secrets.is_empty() && lease.deployment.is_none());
    let number = lease.run_number.to_string();
    let url = format!("http://localhost:8080/runs/{run}");
    for (name, value) in [
        ("CI", "true"),
        ("TIDEGATE", "true"),
        ("TIDEGATE_RUN_ID", &run.to_string()),
        ("TIDEGATE_RUN_NUMBER", &number),
        ("TIDEGATE_RUN_URL", &url),
        ("TIDEGATE_REPOSITORY", &repository.full_name),
        ("TIDEGATE_SHA", &"a".repeat(40)),
        ("TIDEGATE_REF", "refs/heads/main"),
        ("TIDEGATE_BRANCH", "main"),
        ("TIDEGATE_EVENT", "push"),
        ("TIDEGATE_ACTOR", "dora"),
        ("TIDEGATE_STAGE", "hello"),
        ("TIDEGATE_ATTEMPT", "1"),
    ] {
        assert_eq!(lease.env.get(name).map(String::as_str), Some(value), "{name}");
    }
    let documented = include_str!("../../../docs/language/verbs.md");
    for name in lease.env.keys() {
        assert!(documented.contains(&format!("`{name}`")), "{name} is not in docs/language/verbs.md");
    }
    assert!(!lease.env.contains_key("TIDEGATE_TAG") && !lease.env.contains_key("TIDEGATE_ENVIRONMENT"));
    assert_eq!(status(&world, run, "hello").await, "running");
    let said: String = world.value("select message from events where kind = 'stage.running'").await;
    assert!(said.contains("attempt 1") && said.contains("runner-"), "{said}");
    assert!(claim(&world, runner, &[LABEL]).await.is_none(), "there was one stage");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn only_a_runner_that_fits_gets_a_stage(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let run =
        push(&world, &repository, "on: push\nstages:\n  x: {runs_on: [docker, gpu], image: a, run: b}\n")
            .await;
    let (plain, fitting) = (world.runner().await, world.runner().await);
    assert!(claim(&world, plain, &[LABEL]).await.is_none(), "it has no gpu");
    world.sql(&format!("update stages set pinned_runner = '{plain}'")).await;
    assert!(claim(&world, fitting, &[LABEL, "gpu"]).await.is_none(), "the stage is pinned to another");
    world
        .sql(&format!(
            "update stages set pinned_runner = '{fitting}', not_before = now() + interval '1 hour'"
        ))
        .await;
    assert!(claim(&world, fitting, &[LABEL, "gpu"]).await.is_none(), "it is not time yet");
    world.sql("update stages set not_before = now(); update runners set disabled = true").await;
    assert!(claim(&world, fitting, &[LABEL, "gpu"]).await.is_none(), "the runner is disabled");
    world.sql("update runners set disabled = false").await;
    assert_eq!(claim(&world, fitting, &["gpu", "x", LABEL]).await.unwrap().run, run);
    let runners = world.app.db.runners().await.unwrap();
    let seen = runners.iter().find(|one| one.id == fitting).unwrap();
    assert_eq!(seen.labels, ["docker", "gpu", "x"]);
    assert_eq!((seen.version.as_str(), seen.free_slots, seen.running, seen.online), ("0.1.0", 2, 1, true));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_claim_waits_for_a_stage_and_no_longer_than_the_server_lives(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let (app, runner) = (world.app.clone(), world.runner().await);
    let waiting = tokio::spawn(async move {
        leases::claim(&app, runner, &asking(&[LABEL], 30_000), &CancellationToken::new()).await.unwrap()
    });
    let run = push(&world, &repository, ONE).await;
    assert_eq!(waiting.await.unwrap().unwrap().run, run);

    let stop = CancellationToken::new();
    let (app, token) = (world.app.clone(), stop.clone());
    let waiting =
        tokio::spawn(
            async move { leases::claim(&app, runner, &asking(&[LABEL], u64::MAX / 2), &token).await },
        );
    stop.cancel();
    assert!(waiting.await.unwrap().unwrap().is_none());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_run_goes_from_stage_to_stage(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let run = push(&world, &repository, TWO).await;
    let runner = world.runner().await;
    let first = lease(&world, runner).await;
    assert!(claim(&world, runner, &[LABEL]).await.is_none(), "the second needs the first");
    let mut end = finished(Outcome::Succeeded);
    end.outputs.insert("greeting".to_owned(), "a\0b".to_owned());
    finish(&world, runner, &first, end).await.unwrap();
    let second = lease(&world, runner).await;
    assert_eq!(second.stage.key.0, "second");
    assert_eq!(second.stage.env["GREETING"].as_str(), "a\u{fffd}b", "what Postgres cannot keep is made fit");
    finish(&world, runner, &second, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(
        world.value::<String>(&format!("select status from runs where id = '{run}'")).await,
        "succeeded"
    );
}

/// Every call of a runner that writes, tried with these.
async fn refused_everywhere(world: &World, runner: RunnerId, attempt: AttemptId, epoch: i64) -> Vec<String> {
    let app = &world.app;
    let frame = zstd::bulk::compress(b"late\n", 1).unwrap().into();
    let results = [
        leases::renew(app, runner, attempt, epoch, &Renew { backlog_bytes: 7 }).await.map(drop),
        leases::report_step(app, runner, attempt, epoch, &step(0, StepStatus::Failed)).await,
        leases::append_log(app, runner, attempt, epoch, 0, 0, frame).await.map(drop),
        leases::finish(app, runner, attempt, epoch, finished(Outcome::Failed)).await,
    ];
    results
        .into_iter()
        .map(|result| match result {
            Err(Error::Fenced(reason)) => reason,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn writes_of_others_change_nothing_and_are_kept_as_evidence(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    push(&world, &repository, ONE).await;
    let (runner, other) = (world.runner().await, world.runner().await);
    let lease = lease(&world, runner).await;
    let before = everything(&world).await;

    let reasons = refused_everywhere(&world, other, lease.attempt, lease.epoch).await;
    assert!(reasons.iter().all(|reason| reason.contains("another runner")), "{reasons:?}");
    for epoch in [lease.epoch - 1, lease.epoch + 1, i64::MIN] {
        let reasons = refused_everywhere(&world, runner, lease.attempt, epoch).await;
        assert!(reasons.iter().all(|reason| reason.contains("epoch is 1")), "{reasons:?}");
    }
    refused_everywhere(&world, runner, AttemptId::new(), 1).await;
    assert_eq!(everything(&world).await, before);

    assert_eq!(world.value::<i64>("select count(*) from refused_writes").await, 20);
    let calls: String = world
        .value(&format!(
            "select string_agg(call, ' ' order by id) from refused_writes where runner_id = '{other}'"
        ))
        .await;
    assert_eq!(calls, "renew steps log finish");
    assert_eq!(world.app.metrics.fenced.get(), 20);
    finish(&world, runner, &lease, finished(Outcome::Succeeded)).await.unwrap();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_same_end_again_is_the_same_and_another_is_refused(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let run = push(&world, &repository, ONE).await;
    let (runner, other) = (world.runner().await, world.runner().await);
    let lease = lease(&world, runner).await;
    leases::report_step(&world.app, runner, lease.attempt, lease.epoch, &step(0, StepStatus::Running))
        .await
        .unwrap();
    leases::report_step(&world.app, runner, lease.attempt, lease.epoch, &step(1, StepStatus::Pending))
        .await
        .unwrap();
    let mut failed = finished(Outcome::Failed);
    failed.reason = Some("step 0 failed".to_owned());
    failed.exit_code = Some(3);
    finish(&world, runner, &lease, failed.clone()).await.unwrap();
    let before = everything(&world).await;

    let (one, two) = tokio::join!(
        finish(&world, runner, &lease, failed.clone()),
        finish(&world, runner, &lease, failed.clone())
    );
    one.and(two).unwrap();
    for (runner, end) in [(runner, finished(Outcome::Succeeded)), (other, failed)] {
        assert!(matches!(finish(&world, runner, &lease, end).await, Err(Error::Fenced(_))));
    }
    assert_eq!(everything(&world).await, before);
    assert_eq!(status(&world, run, "hello").await, "failed");
    let steps: String = world.value("select string_agg(status, ' ' order by index) from steps").await;
    assert_eq!(steps, "cancelled skipped");
    let end: String = world.value("select concat_ws('|', status, reason, exit_code) from attempts").await;
    assert_eq!(end, "failed|step 0 failed|3");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_renewal_goes_on_with_the_lease_and_says_when_to_stop(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let run = push(&world, &repository, ONE).await;
    let runner = world.runner().await;
    let lease = lease(&world, runner).await;
    world.sql("update attempts set lease_expires_at = now() - interval '1 minute'").await;
    world.sql("update runners set last_seen_at = now() - interval '1 hour'").await;
    let renew = Renew { backlog_bytes: 77 };
    let renewed = leases::renew(&world.app, runner, lease.attempt, lease.epoch, &renew).await.unwrap();
    assert_eq!((renewed.expires_in_ms, renewed.cancel), (30_000, false));
    let row: String = world
        .value("select concat_ws(' ', backlog_bytes, lease_expires_at > now() + interval '20 seconds') from attempts")
        .await;
    assert_eq!(row, "77 t");
    assert!(world.app.db.runners().await.unwrap()[0].online, "who renews is online");
    assert!(!append(&world, runner, &lease, 0, 0, b"a").await.unwrap().cancel);

    runs::cancel(&world.app, run, &world.admin).await.unwrap();
    let renewed = leases::renew(&world.app, runner, lease.attempt, lease.epoch, &renew).await.unwrap();
    assert!(renewed.cancel);
    assert!(append(&world, runner, &lease, 0, 1, b"b").await.unwrap().cancel);
    finish(&world, runner, &lease, finished(Outcome::Cancelled)).await.unwrap();
    assert_eq!(status(&world, run, "hello").await, "cancelled");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn steps_only_go_forward(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    push(&world, &repository, ONE).await;
    let runner = world.runner().await;
    let lease = lease(&world, runner).await;
    let report = async |report| {
        leases::report_step(&world.app, runner, lease.attempt, lease.epoch, &report).await.unwrap();
        world.value::<String>("select concat_ws('|', name, status, exit_code, duration_ms) from steps").await
    };
    // Its log came first.
    append(&world, runner, &lease, 0, 0, b"early").await.unwrap();
    assert_eq!(report(step(0, StepStatus::Running)).await, "step 0|running");
    let mut renamed = step(0, StepStatus::Pending);
    renamed.name = "another".to_owned();
    assert_eq!(report(renamed).await, "step 0|running");
    let mut ended = step(0, StepStatus::Failed);
    (ended.exit_code, ended.duration_ms) = (Some(2), Some(1500));
    assert_eq!(report(ended).await, "step 0|failed|2|1500");
    // A runner that was started anew tells everything again.
    assert_eq!(report(step(0, StepStatus::Pending)).await, "step 0|failed|2|1500");
    assert_eq!(report(step(0, StepStatus::Succeeded)).await, "step 0|failed|2|1500");
    let events: String =
        world.value("select string_agg(kind, ' ' order by seq) from events where kind like 'step.%'").await;
    assert_eq!(events, "step.running step.failed");
    let far = step(u32::MAX, StepStatus::Running);
    let far = leases::report_step(&world.app, runner, lease.attempt, lease.epoch, &far).await;
    assert!(matches!(far, Err(Error::Invalid(_))));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_template_without_a_value_fails_its_stage_and_holds_up_no_other(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    let broken = push(&world, &repository, TWO).await;
    let first = lease(&world, runner).await;
    finish(&world, runner, &first, finished(Outcome::Succeeded)).await.unwrap();
    let fine = push(&world, &repository, ONE).await;
    assert_eq!(lease(&world, runner).await.run, fine);
    assert_eq!(status(&world, broken, "second").await, "failed");
    let said = reason(&world, broken, "second").await.unwrap();
    assert!(said.contains("stages.first.outputs.greeting"), "{said}");
    assert_eq!(
        world.value::<String>(&format!("select status from runs where id = '{broken}'")).await,
        "failed"
    );
}

async fn put_secret(world: &World, repository: RepositoryId, name: &str, value: &str) {
    secrets::put(&world.app, repository, None, name, value.to_owned().into(), &world.admin).await.unwrap();
}

const WITH_SECRETS: &str = "
on: push
stages:
  publish: {image: node, secrets: [NPM_TOKEN, {name: DB_URL, env: DATABASE_URL}], run: npm publish}
";

#[sqlx::test(migrator = "MIGRATOR")]
async fn secrets_reach_trusted_runs_only(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    put_secret(&world, repository.id, "NPM_TOKEN", "npm-value").await;
    put_secret(&world, repository.id, "DB_URL", "db-value").await;
    let runner = world.runner().await;
    push(&world, &repository, WITH_SECRETS).await;
    let trusted = lease(&world, runner).await;
    let given: Vec<_> = trusted
        .secrets
        .iter()
        .map(|secret| (secret.name.as_str(), secret.env.as_deref(), secret.value.as_str()))
        .collect();
    assert_eq!(
        given,
        [("NPM_TOKEN", Some("NPM_TOKEN"), "npm-value"), ("DB_URL", Some("DATABASE_URL"), "db-value")]
    );

    let fork = start(&world, &repository, WITH_SECRETS, false).await;
    // As if the plan were of a compiler that leaves them in.
    let plan = "update stages f set plan = t.plan from stages t";
    world.sql(&format!("{plan} where f.run_id = '{fork}' and t.run_id = '{}'", trusted.run)).await;
    let forks = lease(&world, runner).await;
    assert_eq!(forks.run, fork);
    assert_eq!(forks.stage.secrets.len(), 2);
    assert!(forks.secrets.is_empty() && !forks.trusted);
    let kept: i64 =
        world.value("select count(*) from events where detail::text || message like '%-value%'").await;
    assert_eq!(kept, 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_missing_secret_fails_the_stage_with_a_sentence(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    put_secret(&world, repository.id, "NPM_TOKEN", "npm-value").await;
    let runner = world.runner().await;
    let run = push(&world, &repository, WITH_SECRETS).await;
    assert!(claim(&world, runner, &[LABEL]).await.is_none());
    assert_eq!(status(&world, run, "publish").await, "failed");
    let said = reason(&world, run, "publish").await.unwrap();
    assert!(said.contains("DB_URL") && !said.contains("NPM_TOKEN"), "{said}");
    let attempt: String = world.value("select concat_ws('|', number, status, reason) from attempts").await;
    assert_eq!(attempt, format!("1|failed|{said}"));
}

const PUSH: &str = "
on: push
stages:
  build: {build: .}
  push: {needs: [build], push: {repository: registry.example.org/api, tags: [one], credentials: REGISTRY}}
";

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_push_is_given_its_login_and_a_forks_push_is_not(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    put_secret(&world, repository.id, "REGISTRY", "ci:pass:word").await;
    let runner = world.runner().await;
    let built = async || {
        let build = lease(&world, runner).await;
        let mut end = finished(Outcome::Succeeded);
        end.outputs.insert("image_id".to_owned(), format!("sha256:{}", "b".repeat(64)));
        finish(&world, runner, &build, end).await.unwrap();
    };
    push(&world, &repository, PUSH).await;
    built().await;
    assert!(
        claim(&world, world.runner().await, &[LABEL]).await.is_none(),
        "the image is on the other runner"
    );
    let trusted = lease(&world, runner).await;
    let login = trusted.registry_login.unwrap();
    assert_eq!((login.username.as_str(), login.password.as_str()), ("ci", "pass:word"));
    assert!(trusted.secrets.is_empty(), "the login is not for steps");

    // The compiler skips the push of a fork; the lease does not rely on it.
    let fork = push(&world, &repository, PUSH).await;
    built().await;
    world.sql(&format!("update runs set trusted = false where id = '{fork}'")).await;
    assert!(claim(&world, runner, &[LABEL]).await.is_none());
    let said = reason(&world, fork, "push").await.unwrap();
    assert!(said.contains("`REGISTRY`") && said.contains("fork"), "{said}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_clone_has_its_login(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let change =
        RepositoryChange { clone_token: Some("bot:to:ken".to_owned().into()), ..RepositoryChange::default() };
    repositories::update(&world.app, repository.id, change, &world.admin).await.unwrap();
    push(&world, &repository, ONE).await;
    let lease = lease(&world, world.runner().await).await;
    assert_eq!(lease.source.login, Some(("bot".to_owned(), "to:ken".to_owned())));
    assert!(!format!("{:?}", lease.env).contains("to:ken"));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_stage_that_cannot_be_read_holds_up_no_other(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let broken = push(&world, &repository, ONE).await;
    world.sql("update stages set plan = '{}'").await;
    let fine = push(&world, &repository, ONE).await;
    let runner = world.runner().await;
    assert_eq!(lease(&world, runner).await.run, fine);
    assert_eq!(status(&world, broken, "hello").await, "queued");
    assert!(claim(&world, runner, &[LABEL]).await.is_none());
}
