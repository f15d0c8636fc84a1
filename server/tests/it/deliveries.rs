//! From a delivery to its runs: one of each pipeline file that asks for it, and a mark for each that was left out.

use serde_json::json;
use sqlx::PgPool;
use tidegate_protocol::{
    ids::{DeliveryId, RunId},
    messages::Outcome,
};
use tidegate_server::{
    actor::Role,
    error::Error,
    repositories::{self, RepositoryChange},
    runs::{self, Manual, Scope},
    store::views::{Repository, RunFilter},
    tasks::schedules,
    variables,
};

use crate::{
    leased::{LABEL, claim, finish, finished, lease},
    origin::{Origin, deliver, outcome, push, runs as all_runs, work_off},
    support::{MIGRATOR, World},
};

const CI: &str = "name: ci\non: push\nstages:\n  one: {image: debian, run: make}\n";
const NIGHTLY: &str = "name: nightly\non: {schedule: [{cron: \"0 3 * * *\"}], manual: {inputs: {level: {type: choice, choices: [a, b]}}}}\nstages:\n  one: {image: debian, run: make}\n";
const DOCS: &str = "name: docs\non: {push: {paths: [docs/**]}}\nstages:\n  one: {image: debian, run: make}\n";

async fn change(world: &World, repository: &Repository, pipelines: &str) {
    let change = RepositoryChange { pipelines: Some(pipelines.to_owned()), ..RepositoryChange::default() };
    repositories::update(&world.app, repository.id, change, &world.admin).await.unwrap();
}

/// `pipeline reason` of what the forge is told of pipelines that were left out.
async fn skipped(world: &World) -> Vec<String> {
    world
        .value(
            "select coalesce(array_agg(concat_ws(': ', payload->>'pipeline', payload->>'reason') order by id), '{}')
             from outbox where payload->>'kind' = 'skipped'",
        )
        .await
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn each_file_that_asks_for_it_has_a_run(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let origin = Origin::new(&repository);
    let files = [
        (".tidegate/pipeline.yml", CI),
        (".tidegate/second.yaml", CI),
        (".tidegate/nightly.yml", NIGHTLY),
        (".tidegate/broken.yml", "on: push\nstages: 3\n"),
    ];
    let sha = origin.commit("refs/heads/main", "a change", &files);
    let first = deliver(&world, &repository, "push", push("refs/heads/main", &sha, &["x"])).await;
    work_off(&world).await;
    let expected = [
        ".tidegate/broken.yml push invalid",
        ".tidegate/pipeline.yml push running",
        ".tidegate/second.yaml push running",
    ];
    assert_eq!(all_runs(&world).await, expected);
    let (state, result) = outcome(&world, first).await;
    assert_eq!(state, "processed");
    for path in files.map(|(path, _)| path) {
        assert!(result.contains(path), "{result}");
    }
    let names: Vec<String> = world.value("select array_agg(pipeline order by number) from runs").await;
    assert_eq!(
        names,
        ["broken", "ci", "ci (.tidegate/second.yaml)"],
        "no two marks of a commit are the same"
    );
    let filter =
        RunFilter { path: Some(".tidegate/second.yaml".to_owned()), limit: 9, ..RunFilter::default() };
    assert_eq!(runs::list(&world.app, &filter).await.unwrap().len(), 1);

    // Worked on again, as after a crash, it makes none twice.
    world.sql("update deliveries set state = 'received', not_before = now()").await;
    work_off(&world).await;
    assert_eq!(all_runs(&world).await, expected);
    // Schedules are kept by file, and make runs of it.
    assert_eq!(world.value::<String>("select path from schedules").await, ".tidegate/nightly.yml");
    world.sql("update schedules set next_at = now() - interval '1 minute'").await;
    while schedules::once(&world.app).await.unwrap() {}
    assert_eq!(all_runs(&world).await[3], ".tidegate/nightly.yml schedule running");
    let payload: String = world.value("select payload::text from runs order by number desc limit 1").await;
    assert_eq!(payload, "{\"schedule\":\"0 3 * * *\"}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_repository_says_which_files_are_pipelines(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let origin = Origin::new(&repository);
    let files = [(".tidegate/pipeline.yml", CI), (".tidegate/second.yml", CI), ("elsewhere.yml", CI)];
    let sha = origin.commit("refs/heads/main", "a change", &files);
    for (pipelines, count) in [("file", 1), ("tidegate", 2), ("github", 0)] {
        change(&world, &repository, pipelines).await;
        world.sql("delete from runs").await;
        let id = deliver(&world, &repository, "push", push("refs/heads/main", &sha, &["x"])).await;
        work_off(&world).await;
        assert_eq!(all_runs(&world).await.len(), count, "{pipelines}");
        let state = if count == 0 { "ignored" } else { "processed" };
        assert_eq!(outcome(&world, id).await.0, state, "{pipelines}");
    }
    let path =
        RepositoryChange { pipeline_path: Some("elsewhere.yml".to_owned()), ..RepositoryChange::default() };
    repositories::update(&world.app, repository.id, path, &world.admin).await.unwrap();
    change(&world, &repository, "both").await;
    deliver(&world, &repository, "push", push("refs/heads/main", &sha, &["x"])).await;
    work_off(&world).await;
    let paths: Vec<String> = world.value("select array_agg(path order by path) from runs").await;
    assert_eq!(paths, [".tidegate/pipeline.yml", ".tidegate/second.yml", "elsewhere.yml"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_is_left_out_on_purpose_leaves_no_required_mark_hanging(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    world.sql("update repositories set forge = 'github'").await;
    let origin = Origin::new(&repository);
    let files = [(".tidegate/ci.yml", CI), (".tidegate/docs.yml", DOCS), (".tidegate/nightly.yml", NIGHTLY)];
    let sha = origin.commit("refs/heads/main", "a change", &files);
    let id = deliver(&world, &repository, "push", push("refs/heads/main", &sha, &["src/x"])).await;
    work_off(&world).await;
    assert_eq!(all_runs(&world).await, [".tidegate/ci.yml push running"]);
    let told = skipped(&world).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("docs: none of the 1 changed paths"), "{told:?}");
    assert!(outcome(&world, id).await.1.contains(".tidegate/docs.yml: skipped: "));

    // The message asks for nothing: every pipeline that would have begun says so.
    let sha = origin.commit("refs/heads/main", "typo [skip ci]", &files);
    deliver(&world, &repository, "push", push("refs/heads/main", &sha, &["docs/x"])).await;
    work_off(&world).await;
    assert_eq!(all_runs(&world).await.len(), 1);
    let told = skipped(&world).await;
    let said = "the commit's message asks for no run: it has `[skip ci]`";
    assert_eq!(told[1..], [format!("ci: {said}"), format!("docs: {said}")]);

    // A commit that has a mark of the pipeline keeps it.
    let sha = origin.commit("refs/heads/main", "another", &files);
    deliver(&world, &repository, "push", push("refs/heads/topic", &sha, &["docs/x"])).await;
    deliver(&world, &repository, "push", push("refs/heads/main", &sha, &["src/x"])).await;
    work_off(&world).await;
    assert_eq!(skipped(&world).await.len(), 3);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_strangers_message_stands_in_for_no_checks(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    world.sql("update repositories set forge = 'github'").await;
    let origin = Origin::new(&repository);
    let ci = CI.replace("on: push", "on: pull_request");
    let base = origin.commit("refs/heads/main", "a change", &[(".tidegate/ci.yml", &ci)]);
    for (number, head_repository) in [(1, 2), (2, 1)] {
        let head = format!("refs/pull/{number}/head");
        let sha = origin.commit(&head, "typo [skip ci]", &[(".tidegate/ci.yml", &ci)]);
        let side = |name: &str, sha: &str, repository: i32| json!({ "ref": name, "sha": sha, "repo": { "id": repository } });
        let body = json!({
            "action": "opened", "number": number,
            "pull_request": {
                "title": "fix it", "head": side("fix", &sha, head_repository), "base": side("main", &base, 1),
            },
        });
        let id = deliver(&world, &repository, "pull_request", body).await;
        work_off(&world).await;
        assert!(outcome(&world, id).await.1.contains("skipped: the commit's message says [skip ci]"));
        let told = if head_repository == 1 {
            vec!["ci: the commit's message says [skip ci]".to_owned()]
        } else {
            Vec::new()
        };
        assert_eq!(skipped(&world).await, told, "pull request {number}");
    }
    assert_eq!(all_runs(&world).await, Vec::<String>::new());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_person_names_the_pipeline(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let origin = Origin::new(&repository);
    let files = [(".tidegate/ci.yml", CI), (".tidegate/nightly.yml", NIGHTLY)];
    origin.commit("refs/heads/main", "a change", &files);
    let there = runs::pipelines(&world.app, repository.id, None).await.unwrap();
    let there: Vec<_> = there.iter().map(|one| (one.path.as_str(), one.manual, one.inputs.len())).collect();
    assert_eq!(there, [(".tidegate/ci.yml", false, 0), (".tidegate/nightly.yml", true, 1)]);

    let start = |pipeline: Option<&str>, level: &str| Manual {
        reference: "main".to_owned(),
        pipeline: pipeline.map(str::to_owned),
        inputs: [("level".to_owned(), json!(level))].into(),
    };
    let run = |manual: Manual| runs::start(&world.app, repository.id, manual, &world.admin);
    // Only one of them can be meant.
    run(start(None, "a")).await.unwrap();
    run(start(Some(".tidegate/nightly.yml"), "b")).await.unwrap();
    for (pipeline, level, why) in [
        (Some(".tidegate/nightly.yml"), "c", "is one of"),
        (Some(".tidegate/ci.yml"), "a", "on.manual"),
        (Some(".tidegate/no.yml"), "a", "there is .tidegate/ci.yml"),
    ] {
        let refused = run(start(pipeline, level)).await;
        assert!(matches!(&refused, Err(Error::Refused(text)) if text.contains(why)), "{refused:?}");
    }
    let viewer = world.user("vera", Role::Viewer).await;
    let refused = runs::start(&world.app, repository.id, start(None, "a"), &viewer).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))));
    let payload: String = world.value("select payload::text from runs order by number limit 1").await;
    assert!(payload.contains("\"level\":\"a\"") && payload.contains("nightly.yml"), "{payload}");

    // A rerun has the same file and the same payload.
    let first = RunId(world.value("select id from runs order by number limit 1").await);
    let again = runs::rerun(&world.app, first, Scope::All, &world.admin).await.unwrap();
    assert_eq!(
        world.value::<String>(&format!("select payload::text from runs where id = '{again}'")).await,
        payload
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_no_file_names_is_not_looked_at(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let origin = Origin::new(&repository);
    let sha = origin.commit("refs/heads/main", "a change", &[(".tidegate/ci.yml", CI)]);
    let comment = json!({ "action": "created", "comment": { "body": "hello" } });
    let early = deliver(&world, &repository, "issue_comment", comment.clone()).await;
    deliver(&world, &repository, "push", push("refs/heads/main", &sha, &["x"])).await;
    let late = deliver(&world, &repository, "issue_comment", comment).await;
    work_off(&world).await;
    let (state, result) = outcome(&world, early).await;
    assert_eq!(state, "ignored");
    assert!(result.contains(".tidegate/ci.yml: "), "{result}");
    assert_eq!(
        outcome(&world, late).await,
        ("ignored".to_owned(), "no pipeline file of main names `issue_comment`".to_owned())
    );
    assert_eq!(all_runs(&world).await, [".tidegate/ci.yml push running"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_older_servers_rows_are_filled_in(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let plan =
        json!({ "version": 1, "name": "ci", "source": { "path": "a/b.yml", "sha256": "" }, "stages": [] });
    world.run(&repository, &plan).await;
    world.run(&repository, &serde_json::Value::Null).await;
    let paths: Vec<String> = world.value("select array_agg(path order by number) from runs").await;
    assert_eq!(paths, ["a/b.yml", ".tidegate/pipeline.yml"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn variables_are_the_environments_before_the_repositorys(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    for (environment, value) in [(None, "one"), (Some("production"), "two"), (None, "three")] {
        variables::put(&world.app, repository.id, environment, "LEVEL", value, &world.admin).await.unwrap();
    }
    let all = variables::list(&world.app, repository.id).await.unwrap();
    let all: Vec<_> = all.iter().map(|one| (one.environment.as_deref(), one.value.as_str())).collect();
    assert_eq!(all, [(None, "three"), (Some("production"), "two")]);
    let mut tx = world.app.db.begin().await.unwrap();
    for (environment, value) in [(None, "three"), (Some("production"), "two"), (Some("staging"), "three")] {
        let seen = tx.variables_in_reach(repository.id, environment).await.unwrap();
        assert_eq!(seen["LEVEL"], value);
    }
    drop(tx);
    for (environment, name, value) in
        [(None, "level", "x"), (None, "9A", "x"), (Some("No"), "A", "x"), (None, "A", "\0")]
    {
        let refused = variables::put(&world.app, repository.id, environment, name, value, &world.admin).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{name}: {refused:?}");
    }
    variables::delete(&world.app, repository.id, Some("production"), "LEVEL", &world.admin).await.unwrap();
    let gone = variables::delete(&world.app, repository.id, Some("production"), "LEVEL", &world.admin).await;
    assert!(matches!(gone, Err(Error::NotFound(_))));
    assert_eq!(world.value::<i64>("select count(*) from audit where action like 'variable.%'").await, 4);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_end_of_a_run_is_told_once_and_not_for_ever(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let origin = Origin::new(&repository);
    let runner = world.runner().await;
    let sha = origin.commit("refs/heads/main", "a change", &[(".tidegate/ci.yml", CI)]);
    deliver(&world, &repository, "push", push("refs/heads/main", &sha, &["x"])).await;
    work_off(&world).await;
    let ends = "select count(*) from deliveries where run_id is not null";
    assert_eq!(world.value::<i64>(ends).await, 0);
    let lease = lease(&world, runner).await;
    finish(&world, runner, &lease, finished(Outcome::Failed)).await.unwrap();
    assert_eq!(world.value::<i64>(ends).await, 1);
    work_off(&world).await;
    let (state, result) = {
        let id = world.value("select id from deliveries where run_id is not null").await;
        outcome(&world, DeliveryId(id)).await
    };
    assert_eq!(state, "ignored");
    assert!(result.contains("no pipeline file of main names `workflow_run`"), "{result}");

    // It goes on, and ends again: that is another end.
    runs::rerun(&world.app, lease.run, Scope::Failed, &world.admin).await.unwrap();
    let again = claim(&world, runner, &[LABEL]).await.unwrap();
    finish(&world, runner, &again, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(world.value::<i64>(ends).await, 2);

    // As deep as it goes, nobody is told any more.
    world.sql("update runs set depth = 5").await;
    let again = runs::rerun(&world.app, lease.run, Scope::All, &world.admin).await.unwrap();
    assert_eq!(world.value::<i32>(&format!("select depth from runs where id = '{again}'")).await, 5);
    let last = claim(&world, runner, &[LABEL]).await.unwrap();
    finish(&world, runner, &last, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(world.value::<i64>(ends).await, 2);
    assert_eq!(world.value::<i64>("select count(*) from events where kind = 'run.deep'").await, 1);
}
