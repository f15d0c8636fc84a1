//! GitHub Actions workflows on the server: contexts, conditions and secrets of jobs, and the names of runs.

use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::PgPool;
use tidegate_pipelines::Machine;
use tidegate_protocol::{
    ids::RunId,
    messages::{Finish, Lease, Outcome},
};
use tidegate_server::{config::ServerConfig, secrets, store::views::Repository};

use crate::{
    leased::{finish, finished, lease, reason, start_workflow, status},
    support::{MIGRATOR, World, pushed},
};

pub async fn world(pool: PgPool) -> World {
    World::with(pool, with_machine).await
}

/// A machine for jobs that run on `ubuntu-latest`.
pub fn with_machine(config: &mut ServerConfig) {
    let machine = Machine { image: "busybox".to_owned(), labels: vec!["docker".to_owned()] };
    config.machines.insert("ubuntu-latest".to_owned(), machine);
}

/// A run of a workflow for a push that carries what the forge said.
pub async fn push(world: &World, repository: &Repository, text: &str) -> RunId {
    let mut event = pushed(repository);
    event["name"] = "push".into();
    event["payload"] = json!({ "head_commit": { "message": "a change" }, "sender": { "id": 7 } });
    start_workflow(world, repository, text, event).await
}

pub fn read<'a>(lease: &'a Lease, context: &str, pointer: &str) -> &'a Value {
    lease.contexts[context].pointer(pointer).unwrap_or(&Value::Null)
}

pub fn succeeded(outputs: &[(&str, &str)]) -> Finish {
    let outputs = outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Finish { outputs, ..finished(Outcome::Succeeded) }
}

const CI: &str = r#"
name: CI
run-name: build ${{ github.run_number }} of ${{ github.actor }}
on: push
concurrency: ci-${{ github.run_id }}
jobs:
  build:
    runs-on: ubuntu-latest
    outputs:
      version: ${{ steps.a.outputs.version }}
    steps:
      - id: a
        run: echo version=1 >> "$GITHUB_OUTPUT"
  test:
    needs: build
    if: needs.build.outputs.version == '1.5' && github.event.sender.id == 7 && vars.WHERE == 'here'
    runs-on: ubuntu-latest
    strategy:
      matrix:
        os: [debian, alpine]
    steps:
      - run: echo ${{ matrix.os }} ${{ secrets.TOKEN }}
  never:
    needs: build
    if: needs.build.outputs.version == '2'
    runs-on: ubuntu-latest
    steps:
      - run: echo never
  after:
    needs: [test, never]
    runs-on: ubuntu-latest
    steps:
      - run: echo after
  mend:
    needs: test
    if: failure()
    runs-on: ubuntu-latest
    steps:
      - run: echo ${{ toJSON(secrets) }}
  report:
    needs: [test, after]
    if: always()
    runs-on: ubuntu-latest
    steps:
      - run: echo ${{ needs.test.result }}
"#;

#[sqlx::test(migrator = "MIGRATOR")]
async fn jobs_are_decided_by_their_conditions_and_given_their_contexts(pool: PgPool) {
    let world = world(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    for (name, value) in [("TOKEN", "t-1"), ("OTHER", "o-1")] {
        let value = SecretString::from(value);
        secrets::put(&world.app, repository.id, None, name, value, &world.admin).await.unwrap();
    }
    world
        .sql(&format!(
            "insert into variables (id, repository_id, name, value, updated_by)
             values (gen_random_uuid(), '{}', 'WHERE', 'here', 'anna')",
            repository.id
        ))
        .await;
    let run = push(&world, &repository, CI).await;
    let named: String =
        world.value(&format!("select title || '|' || concurrency_group from runs where id = '{run}'")).await;
    assert_eq!(named, format!("build 1 of dora|ci-{run}"));

    let build = lease(&world, runner).await;
    assert_eq!(build.stage.key.0, "build");
    assert_eq!(read(&build, "github", "/event/head_commit/message"), "a change");
    assert_eq!(read(&build, "github", "/run_id"), &json!(run.to_string()));
    assert_eq!(
        (read(&build, "github", "/job"), read(&build, "vars", "/WHERE")),
        (&json!("build"), &json!("here"))
    );
    assert!(build.secrets.is_empty(), "it reads none");
    finish(&world, runner, &build, succeeded(&[("version", "1.5")])).await.unwrap();

    assert_eq!(status(&world, run, "never").await, "skipped");
    let why = reason(&world, run, "never").await.unwrap();
    assert!(why.contains("needs.build.outputs.version == '2'"), "{why}");
    assert_eq!(status(&world, run, "after").await, "blocked");

    let (one, two) = (lease(&world, runner).await, lease(&world, runner).await);
    assert_eq!(one.stage.key.0, "test (debian)");
    assert_eq!(read(&one, "matrix", "/os"), "debian");
    assert_eq!(read(&one, "needs", "/build/outputs/version"), "1.5");
    assert_eq!(read(&two, "strategy", "/job-index"), 1);
    let given: Vec<_> = one.secrets.iter().map(|one| (one.name.as_str(), one.value.as_str())).collect();
    assert_eq!(given, [("TOKEN", "t-1")]);
    finish(&world, runner, &two, succeeded(&[])).await.unwrap();
    finish(&world, runner, &one, finished(Outcome::Failed)).await.unwrap();

    assert_eq!(status(&world, run, "after").await, "skipped");
    assert_eq!(reason(&world, run, "after").await.as_deref(), Some("`test` failed"));
    let (mend, report) = (lease(&world, runner).await, lease(&world, runner).await);
    assert_eq!((mend.stage.key.0.as_str(), report.stage.key.0.as_str()), ("mend", "report"));
    let given: Vec<_> = mend.secrets.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(given, ["OTHER", "TOKEN"], "its expressions read all that there are");
    assert_eq!(read(&report, "needs", "/test/result"), "failure");
    assert_eq!(read(&report, "needs", "/after/result"), "skipped");
    for one in [&mend, &report] {
        finish(&world, runner, one, succeeded(&[])).await.unwrap();
    }
    let ended: String = world.value(&format!("select status from runs where id = '{run}'")).await;
    assert_eq!(ended, "failed");
}
