//! Deployments: what an environment runs, the way back, one at a time, and what nobody knows the end of.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tidegate_pipelines::plan::Verb;
use tidegate_protocol::{
    ids::{RunId, StageId},
    messages::{Lease, Outcome},
};
use tidegate_server::{
    actor::Role,
    deploy,
    environments::{self, Rules},
    error::Error,
    runs::{self, Scope},
    tasks::sweep,
};

use crate::{
    deployed::{Site, TEXT},
    leased::{LABEL, claim, expire, finish, finished, push, reason, status},
    support::{MIGRATOR, World},
};

const ONE: &str = "r/api@sha256:1";
const TWO: &str = "r/api@sha256:2";

async fn site(pool: PgPool) -> Site {
    let mut world = World::new(pool).await;
    world.app.started = Instant::now() - Duration::from_secs(60);
    Site::new(world, Rules::default()).await
}

fn image(lease: &Lease) -> String {
    match &lease.stage.verb {
        Verb::Deploy(deploy) => deploy.image.0.clone(),
        other => panic!("no deployment: {other:?}"),
    }
}

/// Lets a lease run out and the sweep see it.
async fn lose(site: &Site, lease: &Lease) {
    expire(&site.world, lease.attempt, Duration::from_secs(60)).await;
    site.world.sweep().await;
}

async fn stage(site: &Site, run: RunId, key: &str) -> StageId {
    let query = format!("select id from stages where run_id = '{run}' and key = '{key}'");
    StageId(site.world.value(&query).await)
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>, why: &str) {
    assert!(matches!(&result, Err(Error::Refused(sentence)) if sentence.contains(why)), "{result:?}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_was_deployed_and_checked_is_what_runs(pool: PgPool) {
    let site = site(pool).await;
    let run = site.packed(ONE).await;
    let lease = site.take(run, "deploy").await;
    let facts = lease.deployment.clone().unwrap();
    assert_eq!((facts.previous_image, facts.rollback, image(&lease).as_str()), (None, false, ONE));
    assert_eq!(site.history().await, [format!("{ONE} deploying")]);
    site.end(&lease, Outcome::Succeeded).await;
    assert_eq!(site.history().await, [format!("{ONE} verifying")]);
    assert_eq!(site.current().await, None, "not before its check");
    site.carry_out(run, "check", Outcome::Succeeded).await;
    assert_eq!(site.history().await, [format!("{ONE} succeeded")]);
    assert_eq!(site.current().await.as_deref(), Some(ONE));
    assert_eq!(site.end_of(run).await, ("succeeded".to_owned(), String::new()));
    let next = site.packed(TWO).await;
    let facts = site.take(next, "deploy").await.deployment.unwrap();
    assert_eq!(facts.previous_image.as_deref(), Some(ONE));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_failed_check_puts_back_what_ran_before(pool: PgPool) {
    let site = site(pool).await;
    // Text that looks like a template, and was never one.
    let odd = "r/api@sha256:1${{ git.sha }}";
    site.deploy(odd).await;
    site.world.sql("update runs set sha = repeat('b', 40), event = jsonb_set(event, '{git,sha}', to_jsonb(repeat('b', 40))), reference = 'refs/heads/older'").await;
    let run = site.packed(TWO).await;
    site.carry_out(run, "deploy", Outcome::Succeeded).await;
    site.carry_out(run, "check", Outcome::Failed).await;
    assert_eq!(site.history().await, [format!("{odd} succeeded"), format!("{TWO} failed")]);
    assert_eq!(site.end_of(run).await.0, "running");

    let back = site.take(run, "rollback: deploy").await;
    assert_eq!(image(&back), odd, "read once, not twice");
    let facts = back.deployment.clone().unwrap();
    assert!(facts.rollback);
    // By the commit that it was made from.
    assert_eq!(
        (back.source.sha.as_str(), back.source.reference.as_str()),
        ("b".repeat(40).as_str(), "refs/heads/older")
    );
    site.end(&back, Outcome::Succeeded).await;
    let check = site.take(run, "rollback: check").await;
    let url = serde_json::to_value(&check.stage.verb).unwrap();
    assert!(url.to_string().contains(&format!("http://api/{odd}")), "{url}");
    assert_eq!(check.source.sha, "b".repeat(40));
    site.end(&check, Outcome::Succeeded).await;
    assert_eq!(
        site.history().await,
        [format!("{odd} succeeded"), format!("{TWO} rolled_back"), format!("{odd} succeeded")]
    );
    assert_eq!(site.current().await.as_deref(), Some(odd));
    let end = ("failed".to_owned(), "`check` failed; what ran before was put back".to_owned());
    assert_eq!(site.end_of(run).await, end);
    let why: String =
        site.world.value(&format!("select reason from deployments where image = '{TWO}'")).await;
    assert_eq!(why, "it failed, and what ran before was put back");

    // Again, by the same run: the way back has another name, and ends at the same place.
    assert_eq!(runs::rerun(&site.world.app, run, Scope::Failed, &site.world.admin).await.unwrap(), run);
    site.carry_out(run, "deploy", Outcome::Failed).await;
    let back = site.take(run, "rollback: deploy 2").await;
    assert_eq!((image(&back).as_str(), back.source.sha), (odd, "b".repeat(40)));
    assert_eq!(back.source.reference, "refs/heads/older");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_first_deployment_has_nothing_to_go_back_to(pool: PgPool) {
    let site = site(pool).await;
    let run = site.packed(ONE).await;
    site.carry_out(run, "deploy", Outcome::Failed).await;
    assert_eq!(site.history().await, [format!("{ONE} failed")]);
    assert!(claim(&site.world, site.runner, &[LABEL]).await.is_none());
    assert_eq!(site.end_of(run).await, ("failed".to_owned(), "`deploy` failed".to_owned()));
    assert_eq!(status(&site.world, run, "check").await, "skipped");
    assert_eq!(site.current().await, None);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_way_back_that_fails_is_not_gone_back_on(pool: PgPool) {
    let site = site(pool).await;
    site.deploy(ONE).await;
    let run = site.packed(TWO).await;
    site.carry_out(run, "deploy", Outcome::Failed).await;
    site.carry_out(run, "rollback: deploy", Outcome::Failed).await;
    assert!(claim(&site.world, site.runner, &[LABEL]).await.is_none());
    assert_eq!(
        site.history().await,
        [format!("{ONE} succeeded"), format!("{TWO} failed"), format!("{ONE} failed")]
    );
    let (status, why) = site.end_of(run).await;
    assert_eq!((status.as_str(), why.as_str()), ("failed", "`deploy`, `rollback: deploy` failed"));

    // What is run again and goes well is no longer held against it.
    runs::rerun(&site.world.app, run, Scope::Failed, &site.world.admin).await.unwrap();
    site.carry_out(run, "deploy", Outcome::Succeeded).await;
    site.carry_out(run, "check", Outcome::Succeeded).await;
    assert_eq!(site.end_of(run).await, ("succeeded".to_owned(), String::new()));
    assert_eq!(site.current().await.as_deref(), Some(TWO));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_was_allowed_to_fail_was_not_deployed(pool: PgPool) {
    let site = site(pool).await;
    site.deploy(ONE).await;
    let text = TEXT.replace("  deploy:\n", "  deploy:\n    continue_on_error: true\n");
    assert_ne!(text, TEXT);
    let run = push(&site.world, &site.repository, &text).await;
    site.pack(run, TWO).await;
    site.carry_out(run, "deploy", Outcome::Failed).await;
    assert_eq!(site.history().await, [format!("{ONE} succeeded"), format!("{TWO} failed")]);
    assert_eq!(site.current().await.as_deref(), Some(ONE));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn two_runs_do_not_meet_in_one_environment(pool: PgPool) {
    let site = site(pool).await;
    // Both wait for a runner before either begins.
    let [first, second] = site.all_packed([ONE, TWO]).await[..] else { panic!("two runs") };
    let lease = site.take(first, "deploy").await;
    assert!(claim(&site.world, site.runner, &[LABEL]).await.is_none());
    assert_eq!(status(&site.world, second, "deploy").await, "gated");
    assert_eq!(reason(&site.world, second, "deploy").await.unwrap(), "run 1 is at work there");
    site.end(&lease, Outcome::Succeeded).await;
    site.world.sweep().await;
    site.carry_out(first, "check", Outcome::Succeeded).await;
    assert!(claim(&site.world, site.runner, &[LABEL]).await.is_none(), "nobody looked again yet");
    site.world.sweep().await;
    let facts = site.take(second, "deploy").await.deployment.unwrap();
    assert_eq!(facts.previous_image.as_deref(), Some(ONE));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_way_back_goes_before_what_was_ready_earlier(pool: PgPool) {
    let site = site(pool).await;
    site.deploy("r/api@sha256:0").await;
    let [first, second] = site.all_packed([ONE, TWO]).await[..] else { panic!("two runs") };
    // The second waits for a runner all the time that the first is at work.
    site.carry_out(first, "deploy", Outcome::Failed).await;
    assert_eq!(status(&site.world, second, "deploy").await, "queued");
    let back = site.take(first, "rollback: deploy").await;
    assert_eq!(status(&site.world, second, "deploy").await, "gated");
    site.end(&back, Outcome::Succeeded).await;
    site.carry_out(first, "rollback: check", Outcome::Succeeded).await;
    site.world.sweep().await;
    site.carry_out(second, "deploy", Outcome::Succeeded).await;
    site.carry_out(second, "check", Outcome::Succeeded).await;
    assert_eq!(site.current().await.as_deref(), Some(TWO), "the newer one stays");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_run_that_is_stopped_in_mid_deployment_still_goes_back(pool: PgPool) {
    let site = site(pool).await;
    site.deploy(ONE).await;
    let run = site.packed(TWO).await;
    let lease = site.take(run, "deploy").await;
    runs::cancel(&site.world.app, run, &site.world.admin).await.unwrap();
    site.end(&lease, Outcome::Cancelled).await;
    assert_eq!(site.end_of(run).await.0, "running");
    let back = site.take(run, "rollback: deploy").await;
    assert_eq!(image(&back), ONE);
    site.end(&back, Outcome::Succeeded).await;
    site.carry_out(run, "rollback: check", Outcome::Succeeded).await;
    assert_eq!(site.end_of(run).await, ("cancelled".to_owned(), "cancelled by anna".to_owned()));
    assert_eq!(site.current().await.as_deref(), Some(ONE));
}

/// A deployment over `ONE` whose runner is gone.
async fn unknown(site: &Site) -> RunId {
    site.deploy(ONE).await;
    let run = site.packed(TWO).await;
    let lease = site.take(run, "deploy").await;
    lose(site, &lease).await;
    assert_eq!(site.history().await, [format!("{ONE} succeeded"), format!("{TWO} unknown")]);
    assert_eq!(status(&site.world, run, "deploy").await, "unknown");
    assert_eq!(status(&site.world, run, "check").await, "skipped");
    assert_eq!(site.end_of(run).await.0, "failed");
    let late = finish(&site.world, site.runner, &lease, finished(Outcome::Succeeded)).await;
    assert!(matches!(late, Err(Error::Fenced(_))), "{late:?}");
    refused(
        runs::rerun(&site.world.app, run, Scope::Failed, &site.world.admin).await,
        "say first how the deployment",
    );
    run
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_lost_deployment_that_a_person_calls_good_is_checked(pool: PgPool) {
    let site = site(pool).await;
    let run = unknown(&site).await;
    let id = stage(&site, run, "deploy").await;
    let developer = site.world.user("dev", Role::Developer).await;
    let answer = runs::settle_unknown(&site.world.app, id, true, &developer).await;
    assert!(matches!(answer, Err(Error::Forbidden(_))), "{answer:?}");
    runs::settle_unknown(&site.world.app, id, true, &site.world.admin).await.unwrap();
    refused(runs::settle_unknown(&site.world.app, id, true, &site.world.admin).await, "is succeeded");
    assert_eq!(site.end_of(run).await.0, "running");
    assert_eq!(site.history().await, [format!("{ONE} succeeded"), format!("{TWO} verifying")]);
    site.carry_out(run, "check", Outcome::Succeeded).await;
    assert_eq!(site.current().await.as_deref(), Some(TWO));
    assert_eq!(site.end_of(run).await.0, "succeeded");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_lost_deployment_that_a_person_calls_bad_goes_back(pool: PgPool) {
    let site = site(pool).await;
    let run = unknown(&site).await;
    let id = stage(&site, run, "deploy").await;
    runs::settle_unknown(&site.world.app, id, false, &site.world.admin).await.unwrap();
    site.carry_out(run, "rollback: deploy", Outcome::Succeeded).await;
    site.carry_out(run, "rollback: check", Outcome::Succeeded).await;
    assert_eq!(
        site.history().await,
        [format!("{ONE} succeeded"), format!("{TWO} rolled_back"), format!("{ONE} succeeded")]
    );
    assert_eq!(site.end_of(run).await.0, "failed");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn nothing_is_deployed_over_what_nobody_knows_the_end_of(pool: PgPool) {
    let site = site(pool).await;
    let run = unknown(&site).await;
    let next = site.packed("r/api@sha256:3").await;
    assert!(claim(&site.world, site.runner, &[LABEL]).await.is_none());
    let why = reason(&site.world, next, "deploy").await.unwrap();
    assert!(why.contains("the deployment of run 2") && why.contains("say first how it ended"), "{why}");
    let gone = environments::delete(&site.world.app, site.environment, &site.world.admin).await;
    refused(gone, "its end is unknown");
    let id = stage(&site, run, "deploy").await;
    runs::settle_unknown(&site.world.app, id, true, &site.world.admin).await.unwrap();
    site.carry_out(run, "check", Outcome::Succeeded).await;
    site.world.sweep().await;
    let facts = site.take(next, "deploy").await.deployment.unwrap();
    assert_eq!(facts.previous_image.as_deref(), Some(TWO));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_deployment_that_is_settled_while_its_run_goes_on_is_checked(pool: PgPool) {
    let site = site(pool).await;
    let text = format!("{TEXT}  other: {{image: debian, run: other}}\n");
    let run = push(&site.world, &site.repository, &text).await;
    site.pack(run, ONE).await;
    let other = site.take(run, "other").await;
    let lease = site.take(run, "deploy").await;
    lose(&site, &lease).await;
    assert_eq!(site.end_of(run).await.0, "running");
    let id = stage(&site, run, "deploy").await;
    runs::settle_unknown(&site.world.app, id, true, &site.world.admin).await.unwrap();
    assert_eq!(site.history().await, [format!("{ONE} verifying")]);
    site.carry_out(run, "check", Outcome::Succeeded).await;
    site.end(&other, Outcome::Succeeded).await;
    assert_eq!(site.end_of(run).await.0, "succeeded");
    assert_eq!(site.current().await.as_deref(), Some(ONE));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_person_goes_back_by_a_run_of_its_own(pool: PgPool) {
    let site = site(pool).await;
    let app = &site.world.app;
    let rita = site.world.user("rita", Role::ReleaseManager).await;
    site.deploy(ONE).await;
    site.world.sql("update runs set sha = repeat('b', 40), event = jsonb_set(event, '{git,sha}', to_jsonb(repeat('b', 40)))").await;
    let (one, second) = (site.deployment(ONE).await, site.deploy(TWO).await);

    let developer = site.world.user("dev", Role::Developer).await;
    let answer = deploy::rollback(app, site.environment, one, &developer).await;
    assert!(matches!(answer, Err(Error::Forbidden(_))), "{answer:?}");
    let two = site.deployment(TWO).await;
    refused(deploy::rollback(app, site.environment, two, &rita).await, "runs already");
    let made =
        environments::upsert(app, site.repository.id, "staging", Rules::default(), &rita).await.unwrap();
    let answer = deploy::rollback(app, made.id, one, &rita).await;
    assert!(matches!(answer, Err(Error::NotFound(_))), "{answer:?}");

    // It needs no approval, and a freeze does not hold it.
    site.rules(Rules { required_approvals: 2, ..Rules::default() }).await;
    environments::freeze(app, site.environment, "a storm", &rita).await.unwrap();
    let run = deploy::rollback(app, site.environment, one, &rita).await.unwrap();
    assert_ne!(run, second);
    let lease = site.take(run, "deploy").await;
    assert_eq!((image(&lease).as_str(), lease.source.sha.as_str()), (ONE, "b".repeat(40).as_str()));
    site.end(&lease, Outcome::Succeeded).await;
    site.carry_out(run, "check", Outcome::Succeeded).await;
    assert_eq!(site.current().await.as_deref(), Some(ONE));
    assert_eq!(site.end_of(run).await.0, "succeeded");
    let actor: String = site.world.value(&format!("select actor from runs where id = '{run}'")).await;
    assert_eq!(actor, "rita");
    refused(runs::rerun(app, run, Scope::All, &rita).await, "a rollback is not run again");

    // One that fails is left as it is, and one that failed cannot be gone back to.
    let run = deploy::rollback(app, site.environment, two, &rita).await.unwrap();
    site.carry_out(run, "deploy", Outcome::Failed).await;
    assert!(claim(&site.world, site.runner, &[LABEL]).await.is_none());
    assert_eq!(site.end_of(run).await, ("failed".to_owned(), "`deploy` failed".to_owned()));
    let failed = site.deployment(TWO).await;
    refused(deploy::rollback(app, site.environment, failed, &rita).await, "this deployment is failed");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn going_back_to_what_was_put_back_takes_the_commit_that_made_it(pool: PgPool) {
    let site = site(pool).await;
    site.deploy(ONE).await;
    site.world.sql("update runs set sha = repeat('b', 40), event = jsonb_set(event, '{git,sha}', to_jsonb(repeat('b', 40)))").await;
    // The second run fails and puts the first one's back; the third goes well.
    let run = site.packed(TWO).await;
    site.carry_out(run, "deploy", Outcome::Failed).await;
    site.carry_out(run, "rollback: deploy", Outcome::Succeeded).await;
    site.carry_out(run, "rollback: check", Outcome::Succeeded).await;
    let put_back = site.deployment(ONE).await;
    site.deploy("r/api@sha256:3").await;
    let run = deploy::rollback(&site.world.app, site.environment, put_back, &site.world.admin).await.unwrap();
    let lease = site.take(run, "rollback: deploy").await;
    assert_eq!((image(&lease).as_str(), lease.source.sha), (ONE, "b".repeat(40)));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn one_deployment_at_a_time_whoever_hurries(pool: PgPool) {
    let site = Arc::new(site(pool).await);
    site.all_packed(["r/0", "r/1", "r/2", "r/3", "r/4", "r/5"]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..4_usize {
        let (site, runner) = (site.clone(), site.world.runner().await);
        tasks.spawn(async move {
            let mut turn = worker;
            loop {
                turn += 1;
                let busy =
                    "select count(*) from deployments where status in ('deploying', 'verifying', 'unknown')";
                assert!(site.world.value::<i64>(busy).await <= 1);
                match claim(&site.world, runner, &[LABEL]).await {
                    Some(lease) => {
                        tokio::task::yield_now().await;
                        let outcome = if turn % 3 == 0 { Outcome::Failed } else { Outcome::Succeeded };
                        finish(&site.world, runner, &lease, finished(outcome)).await.unwrap();
                    }
                    None => {
                        let left = "select count(*) from runs where finished_at is null";
                        if site.world.value::<i64>(left).await == 0 {
                            return;
                        }
                        sweep::once(&site.world.app).await.unwrap();
                    }
                }
            }
        });
    }
    tokio::time::timeout(Duration::from_secs(120), tasks.join_all()).await.expect("not every run ended");
    // Each began after the one before it had ended, and knows what it replaced.
    let overlaps = "select count(*) from deployments a join deployments b on b.created_at > a.created_at
        where a.status <> 'rolled_back' and b.created_at < a.finished_at";
    assert_eq!(site.world.value::<i64>(overlaps).await, 0);
    let forgot = "select count(*) from deployments d where d.previous_id is distinct from (
        select p.id from deployments p where p.status = 'succeeded' and p.created_at < d.created_at
        order by p.created_at desc limit 1)";
    assert_eq!(site.world.value::<i64>(forgot).await, 0);
    // What failed and had something before it went back once.
    let left = "select count(*) from deployments d where d.status in ('failed', 'rolled_back') and d.rollback_of is null
        and d.previous_id is not null and 1 <> (select count(*) from stages s where s.rollback_of = d.id and s.verb = 'deploy')";
    assert_eq!(site.world.value::<i64>(left).await, 0);
}
