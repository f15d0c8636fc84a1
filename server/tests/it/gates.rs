//! Gates: who counts, how often, for what, and that what was approved is what a runner gets.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use sqlx::PgPool;
use tidegate_protocol::{ids::RunId, messages::Outcome, status::GateStatus};
use tidegate_server::{
    actor::{Actor, Role},
    environments::{self, Rules},
    error::Error,
    gates::{self, Verdict},
    runs::{self, Scope},
    tasks::sweep,
};

use crate::{
    deployed::{Site, TEXT},
    leased::{LABEL, claim, push, reason, status},
    support::{MIGRATOR, World},
};

fn asks_for(approvals: i32) -> Rules {
    Rules { required_approvals: approvals, ..Rules::default() }
}

async fn site(pool: PgPool, approvals: i32) -> Site {
    Site::new(World::new(pool).await, asks_for(approvals)).await
}

async fn approve(site: &Site, actor: &Actor) -> Result<GateStatus, Error> {
    gates::decide(&site.world.app, site.gate().await, Verdict::Approve, "", actor).await
}

fn forbidden(result: Result<GateStatus, Error>, why: &str) {
    assert!(matches!(&result, Err(Error::Forbidden(sentence)) if sentence.contains(why)), "{result:?}");
}

/// The stage got nowhere: nothing was handed out and nothing was deployed.
async fn nothing_is_deployed(site: &Site) {
    assert!(claim(&site.world, site.runner, &[LABEL]).await.is_none());
    assert_eq!(site.history().await, Vec::<String>::new());
}

async fn is(site: &Site, run: RunId, wanted: &str) {
    assert_eq!(
        status(&site.world, run, "deploy").await,
        wanted,
        "{:?}",
        reason(&site.world, run, "deploy").await
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn of_a_thousand_approvals_at_once_two_count(pool: PgPool) {
    let site = Arc::new(site(pool, 2).await);
    let run = site.packed("r/api@sha256:1").await;
    let gate = site.gate().await;
    site.world
        .sql(
            "insert into users (id, username, display_name, role)
             select gen_random_uuid(), 'rm-' || n, 'rm', 'release_manager' from generate_series(1, 500) n",
        )
        .await;
    let users = site.world.app.db.users().await.unwrap();
    let people = users.iter().filter(|user| user.username.starts_with("rm-")).map(|user| Actor {
        user: user.id,
        username: user.username.clone(),
        ..site.world.admin.clone()
    });
    // Everybody presses the button twice.
    let presses: Vec<Actor> = people.flat_map(|person| [person.clone(), person]).collect();
    assert_eq!(presses.len(), 1000);
    let answers: Vec<Result<GateStatus, Error>> = stream::iter(presses)
        .map(|person| {
            let site = site.clone();
            async move { gates::decide(&site.world.app, gate, Verdict::Approve, "", &person).await }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let counted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(counted, 2);
    for answer in answers.into_iter().filter_map(Result::err) {
        let sentence = answer.to_string();
        assert!(
            sentence == "the gate is no longer open: it is approved"
                || sentence.contains("has decided already"),
            "{answer:?}"
        );
    }
    let world = &site.world;
    assert_eq!(world.value::<i64>("select count(distinct user_id) from decisions").await, 2);
    let queued = "select count(*) from events where kind = 'stage.queued' and stage = 'deploy'";
    assert_eq!(world.value::<i64>(queued).await, 1);
    assert_eq!(world.value::<i64>("select count(*) from audit where action = 'gate.approved'").await, 2);
    site.carry_out(run, "deploy", Outcome::Succeeded).await;
    assert_eq!(world.value::<i64>("select count(*) from deployments").await, 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn one_no_is_final(pool: PgPool) {
    let site = site(pool, 2).await;
    let run = site.packed("r/api@sha256:1").await;
    assert_eq!(site.end_of(run).await, ("waiting".to_owned(), "waits at the gate of `deploy`".to_owned()));
    let (rita, max) =
        (site.world.user("rita", Role::ReleaseManager).await, site.world.user("max", Role::Admin).await);
    let gate = site.gate().await;
    assert_eq!(approve(&site, &rita).await.unwrap(), GateStatus::Open);
    forbidden(approve(&site, &rita).await, "has decided already");
    let no = gates::decide(&site.world.app, gate, Verdict::Reject, " not on a Friday ", &max).await;
    assert_eq!(no.unwrap(), GateStatus::Rejected);
    is(&site, run, "failed").await;
    assert_eq!(reason(&site.world, run, "deploy").await.unwrap(), "rejected by max: not on a Friday");
    assert_eq!(status(&site.world, run, "check").await, "skipped");
    assert_eq!(site.end_of(run).await.0, "failed");
    let late = gates::decide(&site.world.app, gate, Verdict::Approve, "", &site.world.admin).await;
    assert!(
        matches!(&late, Err(Error::Refused(sentence)) if sentence.contains("it is rejected")),
        "{late:?}"
    );
    nothing_is_deployed(&site).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_yes_a_no_and_a_stop_at_once_have_one_outcome(pool: PgPool) {
    let site = site(pool, 1).await;
    let app = &site.world.app;
    let rita = site.world.user("rita", Role::ReleaseManager).await;
    for turn in 0..12 {
        let run = site.packed("r/api@sha256:1").await;
        let gate = site.gate().await;
        let stop = async {
            if turn % 2 == 0 {
                runs::cancel(app, run, &rita).await.unwrap();
            }
        };
        let (yes, no, (), swept) = tokio::join!(
            gates::decide(app, gate, Verdict::Approve, "", &site.world.admin),
            gates::decide(app, gate, Verdict::Reject, "", &rita),
            stop,
            sweep::once(app),
        );
        swept.unwrap();
        assert!(yes.is_ok() as u8 + no.is_ok() as u8 <= 1, "{yes:?} {no:?}");
        let stage = status(&site.world, run, "deploy").await;
        let gate: String = site.world.value(&format!("select status from gates where id = '{gate}'")).await;
        let wanted = match (gate.as_str(), turn % 2) {
            ("approved", 0) => "cancelled",
            ("approved", _) => "queued",
            ("rejected", _) => "failed",
            ("voided", 0) => "cancelled",
            other => panic!("{other:?}"),
        };
        assert_eq!(stage, wanted, "{gate}");
        // Out of the way of the next one.
        runs::cancel(app, run, &rita).await.unwrap();
        nothing_is_deployed(&site).await;
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_gate_that_nobody_decides_at_expires(pool: PgPool) {
    let site = site(pool, 1).await;
    let run = site.packed("r/api@sha256:1").await;
    site.world.sweep().await;
    is(&site, run, "gated").await;
    site.world.sql("update gates set expires_at = now() - interval '1 second'").await;
    let late = approve(&site, &site.world.admin).await;
    assert!(matches!(&late, Err(Error::Refused(sentence)) if sentence.contains("overdue")), "{late:?}");
    site.world.sweep().await;
    is(&site, run, "failed").await;
    assert!(reason(&site.world, run, "deploy").await.unwrap().contains("nobody decided in time"));
    assert_eq!(site.world.value::<String>("select status from gates").await, "expired");
    nothing_is_deployed(&site).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_timer_holds_by_itself(pool: PgPool) {
    timer(pool, 0, "waits for its timer").await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_timer_holds_what_was_approved(pool: PgPool) {
    timer(pool, 1, "approved; waits for its timer").await;
}

async fn timer(pool: PgPool, approvals: i32, waits: &str) {
    let site = Site::new(World::new(pool).await, Rules { wait_seconds: 3600, ..asks_for(approvals) }).await;
    let run = site.packed("r/api@sha256:1").await;
    assert_eq!(site.end_of(run).await.0, "waiting");
    if approvals > 0 {
        approve(&site, &site.world.admin).await.unwrap();
    }
    assert_eq!(reason(&site.world, run, "deploy").await.unwrap(), waits);
    site.world.sweep().await;
    is(&site, run, "gated").await;
    nothing_is_deployed(&site).await;
    site.world.sql("update gates set ready_at = now()").await;
    site.world.sweep().await;
    site.carry_out(run, "deploy", Outcome::Succeeded).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn nobody_lets_their_own_change_through_however_it_came_to_run_again(pool: PgPool) {
    let site = site(pool, 1).await;
    let world = &site.world;
    // `dora` is who pushes; names are the forge's, whose case differs.
    let dora = world.user("dora", Role::ReleaseManager).await;
    let (rita, max) =
        (world.user("rita", Role::ReleaseManager).await, world.user("max", Role::ReleaseManager).await);
    let first = site.packed("r/api@sha256:1").await;
    world.sql("update runs set actor = 'Dora'").await;
    forbidden(approve(&site, &dora).await, "caused this run");
    let developer = world.user("dev", Role::Developer).await;
    forbidden(approve(&site, &developer).await, "you need the role release manager");
    runs::cancel(&world.app, first, &rita).await.unwrap();

    // All again by another person: both caused it.
    let second = runs::rerun(&world.app, first, Scope::All, &rita).await.unwrap();
    site.pack(second, "r/api@sha256:1").await;
    forbidden(approve(&site, &dora).await, "caused this run");
    forbidden(approve(&site, &rita).await, "caused this run");
    let gate = site.gate().await;
    gates::decide(&world.app, gate, Verdict::Reject, "", &max).await.unwrap();

    // In place, by a third.
    assert_eq!(runs::rerun(&world.app, second, Scope::Failed, &max).await.unwrap(), second);
    is(&site, second, "gated").await;
    assert_ne!(site.gate().await, gate);
    for person in [&dora, &rita, &max] {
        forbidden(approve(&site, person).await, "caused this run");
    }
    nothing_is_deployed(&site).await;
    approve(&site, &world.admin).await.unwrap();
    site.carry_out(second, "deploy", Outcome::Succeeded).await;
}

/// What happens between the approval and the moment when a runner asks, and what the runner must not get.
async fn voided(site: &Site, change: &str) {
    let run = site.packed("r/api@sha256:1").await;
    approve(site, &site.world.admin).await.unwrap();
    is(site, run, "queued").await;
    let gate: String = site.world.value("select id::text from gates where status = 'approved'").await;
    site.world.sql(change).await;
    nothing_is_deployed(site).await;
    assert_eq!(
        site.world.value::<String>(&format!("select status from gates where id = '{gate}'")).await,
        "voided",
        "{change}"
    );
    is(site, run, "gated").await;
    assert_ne!(site.gate().await.to_string(), gate, "people are asked again");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_approver_who_was_demoted_does_not_count(pool: PgPool) {
    let site = site(pool, 1).await;
    voided(&site, "update users set role = 'viewer' where username = 'anna'").await;
    let rita = site.world.user("rita", Role::ReleaseManager).await;
    forbidden(approve(&site, &site.world.admin).await, "you need the role");
    approve(&site, &rita).await.unwrap();
    let lease = crate::leased::lease(&site.world, site.runner).await;
    assert_eq!(lease.stage.key.0, "deploy");
    assert_eq!(site.history().await, ["r/api@sha256:1 deploying"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_approver_who_was_shut_out_does_not_count(pool: PgPool) {
    voided(&site(pool, 1).await, "update users set disabled = true where username = 'anna'").await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_approval_is_for_one_commit(pool: PgPool) {
    voided(&site(pool, 1).await, "update runs set sha = repeat('b', 40)").await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_approval_is_for_one_plan(pool: PgPool) {
    voided(&site(pool, 1).await, r"update runs set plan_digest = '\x02'").await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_approval_is_for_one_image(pool: PgPool) {
    let other = r#"update stages set outputs = '{"image": "r/api@sha256:2"}' where key = 'pack'"#;
    voided(&site(pool, 1).await, other).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_approval_is_by_the_rules_of_the_day(pool: PgPool) {
    voided(&site(pool, 1).await, "update environments set required_approvals = 2").await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_approval_is_by_those_who_are_named_on_the_day(pool: PgPool) {
    voided(&site(pool, 1).await, "update environments set approvers = '{rita}'").await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_own_approval_ends_with_the_rule_that_allowed_it(pool: PgPool) {
    let site = site(pool, 1).await;
    site.rules(Rules { allow_self_approval: true, ..asks_for(1) }).await;
    let run = push(&site.world, &site.repository, TEXT).await;
    site.world.sql("update runs set actor = 'anna'").await;
    site.pack(run, "r/api@sha256:1").await;
    approve(&site, &site.world.admin).await.unwrap();
    site.rules(asks_for(1)).await;
    nothing_is_deployed(&site).await;
    is(&site, run, "gated").await;
    forbidden(approve(&site, &site.world.admin).await, "caused this run");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_rule_that_comes_while_a_stage_is_queued_holds_for_it(pool: PgPool) {
    let site = site(pool, 0).await;
    let run = site.packed("r/api@sha256:1").await;
    is(&site, run, "queued").await;
    site.rules(asks_for(1)).await;
    nothing_is_deployed(&site).await;
    is(&site, run, "gated").await;
    approve(&site, &site.world.admin).await.unwrap();
    site.carry_out(run, "deploy", Outcome::Succeeded).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_freeze_holds_and_an_approval_outlives_it(pool: PgPool) {
    let site = site(pool, 1).await;
    let world = &site.world;
    let run = site.packed("r/api@sha256:1").await;
    approve(&site, &world.admin).await.unwrap();
    environments::freeze(&world.app, site.environment, "stocktaking", &world.admin).await.unwrap();
    nothing_is_deployed(&site).await;
    is(&site, run, "gated").await;
    let why = reason(world, run, "deploy").await.unwrap();
    assert_eq!(why, "approved; the environment is frozen: stocktaking");
    let events: i64 = world.value("select count(*) from events").await;
    world.sweep().await;
    assert_eq!(world.value::<i64>("select count(*) from events").await, events, "said once");
    environments::unfreeze(&world.app, site.environment, &world.admin).await.unwrap();
    world.sweep().await;
    site.carry_out(run, "deploy", Outcome::Succeeded).await;
    assert_eq!(world.value::<i64>("select count(*) from gates").await, 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn only_some_branches_may_deploy(pool: PgPool) {
    let site = site(pool, 0).await;
    site.rules(Rules { branches: vec!["release/**".to_owned()], ..Rules::default() }).await;
    let early = site.packed("r/api@sha256:1").await;
    is(&site, early, "failed").await;
    let why = "`production` takes deployments only from release/**, and this is main";
    assert_eq!(reason(&site.world, early, "deploy").await.unwrap(), why);
    // The rule comes when the stage waits for a runner already.
    site.rules(Rules::default()).await;
    let late = site.packed("r/api@sha256:1").await;
    is(&site, late, "queued").await;
    site.rules(Rules { branches: vec!["release/**".to_owned()], ..Rules::default() }).await;
    nothing_is_deployed(&site).await;
    is(&site, late, "failed").await;
    assert_eq!(reason(&site.world, late, "deploy").await.unwrap(), why);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_environment_that_is_gone_gets_nothing(pool: PgPool) {
    let site = site(pool, 1).await;
    let world = &site.world;
    let run = site.packed("r/api@sha256:1").await;
    let refused = environments::delete(&world.app, site.environment, &world.admin).await;
    assert!(matches!(&refused, Err(Error::Refused(why)) if why.contains("1 gates")), "{refused:?}");
    approve(&site, &world.admin).await.unwrap();
    environments::delete(&world.app, site.environment, &world.admin).await.unwrap();
    nothing_is_deployed(&site).await;
    is(&site, run, "failed").await;
    assert_eq!(reason(world, run, "deploy").await.unwrap(), "the environment `production` is gone");
    assert_eq!(site.end_of(run).await.0, "failed");
    // The next run is told what to do.
    let next = site.packed("r/api@sha256:2").await;
    assert!(reason(world, next, "deploy").await.unwrap().contains("add it with `tidegate env set"));
}

const SHIP: &str = "
on: push
stages:
  pack: {image: debian, run: pack}
  ship: {needs: [pack], image: debian, run: ./deploy}
";

/// A run whose stage `ship` runs commands in an environment, and whose turn it is.
async fn shipping(site: &Site) -> RunId {
    let run = push(&site.world, &site.repository, SHIP).await;
    let change = "update stages set plan = jsonb_set(plan::jsonb, '{environment}', '\"production\"')::json where key = 'ship'";
    site.world.sql(change).await;
    site.carry_out(run, "pack", Outcome::Succeeded).await;
    run
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn commands_that_deploy_keep_to_the_rules_of_their_environment(pool: PgPool) {
    let site = site(pool, 1).await;
    site.world.sql("update repositories set forge = 'github'").await;
    let run = shipping(&site).await;
    assert_eq!(status(&site.world, run, "ship").await, "gated");
    let image: String = site.world.value("select image from gates").await;
    assert_eq!(image, format!("commit {}", "a".repeat(40)));
    approve(&site, &site.world.admin.clone()).await.unwrap();
    environments::freeze(&site.world.app, site.environment, "stocktaking", &site.world.admin).await.unwrap();
    nothing_is_deployed(&site).await;
    assert!(reason(&site.world, run, "ship").await.unwrap().contains("frozen: stocktaking"));
    environments::unfreeze(&site.world.app, site.environment, &site.world.admin).await.unwrap();
    sweep::once(&site.world.app).await.unwrap();
    let lease = site.take(run, "ship").await;
    assert_eq!(lease.env["TIDEGATE_ENVIRONMENT"], "production");
    site.end(&lease, Outcome::Succeeded).await;
    assert_eq!(site.end_of(run).await.0, "succeeded");
    assert_eq!(site.history().await, Vec::<String>::new(), "nobody knows what was deployed");
    let told: Vec<String> = site
        .world
        .value("select array_agg(payload->>'status' order by id) from outbox where kind = 'deployment'")
        .await;
    assert_eq!(told, ["deploying", "succeeded"]);

    let rules = Rules { branches: vec!["release/*".to_owned()], ..Rules::default() };
    site.rules(rules).await;
    let run = shipping(&site).await;
    assert_eq!(status(&site.world, run, "ship").await, "failed");
    assert!(reason(&site.world, run, "ship").await.unwrap().contains("only from release/*"));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_approval_is_for_the_stage_as_it_was(pool: PgPool) {
    let site = site(pool, 1).await;
    let run = shipping(&site).await;
    approve(&site, &site.world.admin.clone()).await.unwrap();
    // Whoever could write there changes what the stage does, and nothing else.
    let change =
        "update stages set plan = replace(plan::text, './deploy', './destroy')::json where key = 'ship'";
    site.world.sql(change).await;
    nothing_is_deployed(&site).await;
    let why: String = site.world.value("select reason from gates where status = 'voided'").await;
    assert!(why.contains("other commands"), "{why}");
    assert_eq!(status(&site.world, run, "ship").await, "gated");
}
