//! What pages read: lists and details of runs, their history, and gates as each person sees them.

use sqlx::PgPool;
use tidegate_protocol::{
    ids::RunId,
    messages::Outcome,
    status::{GateStatus, RunStatus, StepStatus},
};
use tidegate_server::{
    actor::Role,
    environments::{self, Rules},
    error::Error,
    gates, leases, runs,
    store::views::{Gate, RunFilter},
};

use crate::{
    leased::{finish, finished, lease, push, step},
    support::{MIGRATOR, World},
};

const TWO: &str = "
on: push
stages:
  first: {image: debian, run: echo}
  second: {needs: [first], image: debian, run: echo}
";

#[sqlx::test(migrator = "MIGRATOR")]
async fn runs_are_listed_newest_first_and_by_page(pool: PgPool) {
    let world = World::new(pool).await;
    let (api, other) = (world.repository().await, world.repository().await);
    let mut made = Vec::new();
    for repository in [&api, &other, &api, &api] {
        made.push(push(&world, repository, TWO).await);
    }
    let list = async |filter: RunFilter| -> Vec<RunId> {
        runs::list(&world.app, &filter).await.unwrap().into_iter().map(|run| run.id).collect()
    };
    let all = RunFilter { limit: 10, ..RunFilter::default() };
    assert_eq!(list(all.clone()).await, [made[3], made[2], made[1], made[0]]);
    let of_api = RunFilter { repository: Some(api.id), limit: 2, ..RunFilter::default() };
    assert_eq!(list(of_api.clone()).await, [made[3], made[2]]);
    assert_eq!(list(RunFilter { before: Some(made[2]), ..of_api }).await, [made[0]]);
    let failed = RunFilter { status: Some(RunStatus::Failed), ..all.clone() };
    assert_eq!(list(failed).await, []);
    let first = &runs::list(&world.app, &all).await.unwrap()[3];
    assert_eq!(
        (first.number, first.repository.as_str(), first.title.as_str()),
        (1, api.full_name.as_str(), "a change")
    );
    assert_eq!(first.stage_counts.values().sum::<i64>(), 2);
    assert_eq!(first.stage_counts["queued"], 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_page_has_stages_attempts_steps_and_history(pool: PgPool) {
    let world = World::new(pool).await;
    let run = push(&world, &world.repository().await, TWO).await;
    let runner = world.runner().await;
    let first = lease(&world, runner).await;
    for index in [0, 1] {
        let report = step(index, StepStatus::Succeeded);
        leases::report_step(&world.app, runner, first.attempt, first.epoch, &report).await.unwrap();
    }
    finish(&world, runner, &first, finished(Outcome::Succeeded)).await.unwrap();

    let page = runs::detail(&world.app, run, &world.admin).await.unwrap();
    assert_eq!((page.summary.id, page.stages.len()), (run, 2));
    assert_eq!(page.source_path.as_deref(), Some(".tidegate/pipeline.yml"));
    assert_eq!(page.source_text.as_deref(), Some(TWO));
    let stage = &page.stages[0];
    assert_eq!((stage.key.as_str(), stage.verb.as_str(), stage.attempts.len()), ("first", "run", 1));
    assert_eq!(stage.attempts[0].runner.id, runner);
    let steps: Vec<&str> = stage.attempts[0].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["step 0", "step 1"]);
    assert_eq!(
        (page.stages[1].needs[0].stage.as_str(), page.stages[1].needs[0].accepts.as_str()),
        ("first", "succeeded")
    );
    let missing = runs::detail(&world.app, RunId::new(), &world.admin).await;
    assert!(matches!(missing, Err(Error::NotFound(_))));

    let events = runs::events(&world.app, Some(run), 0, 100).await.unwrap();
    assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq) && events.len() > 4, "{events:?}");
    assert_eq!(runs::last_event(&world.app).await.unwrap(), events.last().unwrap().seq);
    let rest = runs::events(&world.app, None, events[1].seq, 2).await.unwrap();
    assert_eq!(rest.iter().map(|event| event.seq).collect::<Vec<_>>(), [events[2].seq, events[3].seq]);
    assert!(runs::events(&world.app, Some(RunId::new()), 0, 100).await.unwrap().is_empty());
}

/// A gate of an environment with these rules, on a run by `dora`; what runs there now is `old`.
async fn gate(world: &World, rules: Rules) -> Gate {
    let repository = world.repository().await;
    let environment =
        environments::upsert(&world.app, repository.id, "production", rules, &world.admin).await.unwrap();
    let run = world.run(&repository, &serde_json::Value::Null).await;
    let (id, environment) = (run, environment.id);
    world
        .sql(&format!(
            "insert into stages (id, run_id, key, position, plan, verb, status) values ('{id}', '{id}', 'deploy', 0, '{{\"name\": \"deploy\"}}', 'deploy', 'gated');
             insert into gates (id, run_id, stage_id, environment_id, sha, plan_digest, image, required_approvals, ready_at, expires_at)
                 values ('{id}', '{id}', '{id}', '{environment}', repeat('b', 40), '\\x00', 'new', 2, now(), now() + interval '1 day');
             insert into deployments (id, environment_id, run_id, stage_id, image, status, actor, sha, created_at, finished_at)
                 values ('{id}', '{environment}', '{id}', '{id}', 'old', 'succeeded', 'dora', repeat('a', 40), now() - interval '1 hour', now());"
        ))
        .await;
    gates::get(&world.app, tidegate_protocol::ids::GateId(run.0), &world.admin).await.unwrap()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn each_person_sees_whether_and_why_not(pool: PgPool) {
    let world = World::new(pool).await;
    let dora = world.user("dora", Role::ReleaseManager).await;
    let rita = world.user("rita", Role::ReleaseManager).await;
    let max = world.user("max", Role::ReleaseManager).await;
    let dev = world.user("dev", Role::Developer).await;
    let gate = gate(&world, Rules::default()).await;
    assert_eq!(
        (gate.stage.as_str(), gate.environment.name.as_str(), gate.status),
        ("deploy", "production", GateStatus::Open)
    );
    assert_eq!(gate.changes.current_image.as_deref(), Some("old"));
    assert_eq!(
        (gate.changes.new_image.as_str(), gate.changes.current_sha.as_deref()),
        ("new", Some("a".repeat(40).as_str()))
    );
    assert!(gate.changes.commits.is_none(), "there is no mirror");
    let names = |gate: &Gate| gate.approvers.iter().map(|person| person.username.clone()).collect::<Vec<_>>();
    assert_eq!(names(&gate), ["anna", "max", "rita"]);

    let sees = async |who| gates::get(&world.app, gate.id, who).await.unwrap().may_approve;
    assert!(sees(&rita).await.allowed);
    assert!(sees(&dora).await.reason.unwrap().contains("caused this run"));
    assert!(sees(&dev).await.reason.unwrap().contains("release manager"));
    // Whoever ran it again is no better.
    world
        .sql(&format!(
            "insert into events (run_id, kind, message, detail) values ('{}', 'run.rerun', '', '{{\"by\": \"rita\"}}')",
            gate.run_id
        ))
        .await;
    assert!(sees(&rita).await.reason.unwrap().contains("caused this run"));
    world
        .sql(&format!(
            "insert into decisions (gate_id, user_id, username, role, verdict, via)
             values ('{}', '{}', 'max', 'release_manager', 'approve', 'session')",
            gate.id, max.user
        ))
        .await;
    assert!(sees(&max).await.reason.unwrap().contains("decided already"));
    assert!(sees(&world.admin).await.allowed);
    // The role counts that somebody has now, not the one of the session.
    world.sql("update users set role = 'developer' where username = 'anna'").await;
    assert!(!sees(&world.admin).await.allowed);

    let open = gates::list(&world.app, Some(GateStatus::Open), &rita).await.unwrap();
    assert_eq!((open.len(), open[0].decisions.len()), (1, 1));
    assert!(gates::list(&world.app, Some(GateStatus::Rejected), &rita).await.unwrap().is_empty());
    world.sql("update gates set expires_at = now() - interval '1 second'").await;
    assert!(sees(&world.admin).await.reason.unwrap().contains("expired"));
    world.sql("update gates set status = 'rejected', closed_at = now()").await;
    assert!(sees(&world.admin).await.reason.unwrap().contains("rejected"));
    let page = runs::detail(&world.app, gate.run_id, &rita).await.unwrap();
    assert_eq!((page.gates.len(), page.deployments.len()), (1, 1));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_environment_may_name_its_approvers_and_allow_oneself(pool: PgPool) {
    let world = World::new(pool).await;
    let dora = world.user("dora", Role::ReleaseManager).await;
    world.user("rita", Role::ReleaseManager).await;
    let rules = Rules { approvers: vec!["dora".to_owned()], allow_self_approval: true, ..Rules::default() };
    let gate = gate(&world, rules).await;
    assert_eq!(gate.approvers.len(), 1);
    assert!(gate.may_approve.reason.unwrap().contains("only dora"), "the admin is not among them");
    assert!(gates::get(&world.app, gate.id, &dora).await.unwrap().may_approve.allowed);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_gate_shows_the_commits_between(pool: PgPool) {
    let world = World::new(pool).await;
    let gate = gate(&world, Rules::default()).await;
    let repository: uuid::Uuid = world.value("select repository_id from runs").await;
    let folder = world.app.config.data_dir.join("mirrors").join(format!("{repository}.git"));
    let mirror = git2::Repository::init_bare(folder).unwrap();
    let ann = git2::Signature::now("Ann", "ann@example.org").unwrap();
    let tree = mirror.find_tree(mirror.treebuilder(None).unwrap().write().unwrap()).unwrap();
    let mut made: Vec<git2::Oid> = Vec::new();
    for message in ["what runs now", "first change\n\nwith a body", "second change"] {
        let parents: Vec<_> = made.last().map(|oid| mirror.find_commit(*oid).unwrap()).into_iter().collect();
        let parents: Vec<_> = parents.iter().collect();
        made.push(mirror.commit(Some("HEAD"), &ann, &ann, message, &tree, &parents).unwrap());
    }
    world
        .sql(&format!("update deployments set sha = '{}'; update gates set sha = '{}'", made[0], made[2]))
        .await;
    let commits = gates::get(&world.app, gate.id, &world.admin).await.unwrap().changes.commits.unwrap();
    let mut titles: Vec<&str> = commits.iter().map(|commit| commit.title.as_str()).collect();
    titles.sort_unstable();
    assert_eq!(titles, ["first change", "second change"]);
    assert_eq!(commits[0].author, "Ann");
}
