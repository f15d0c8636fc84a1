//! Stages that come to a run while it goes on: in the place of one that stood for them, and those that a stage adds.

use sqlx::PgPool;
use tidegate_protocol::{
    ids::RunId,
    messages::{Finish, Lease, Outcome},
};
use tidegate_server::runs::{self, Scope};

use crate::{
    leased::{self, LABEL, claim, finish, finished, lease, reason, status},
    support::{MIGRATOR, World},
    workflows::{self, read, succeeded},
};

/// The keys of a run's stages with their states, in the page's order.
async fn stages(world: &World, run: RunId) -> Vec<String> {
    world
        .value(&format!(
            "select array_agg(key || ' ' || status order by position, key) from stages where run_id = '{run}'"
        ))
        .await
}

async fn ended(world: &World, run: RunId) -> String {
    world.value(&format!("select status from runs where id = '{run}'")).await
}

fn emitting(text: &str) -> Finish {
    Finish { emitted: Some(text.to_owned()), ..finished(Outcome::Succeeded) }
}

fn key(lease: &Lease) -> &str {
    &lease.stage.key.0
}

const WORKFLOW: &str = r#"
name: CI
on: push
jobs:
  plan:
    runs-on: ubuntu-latest
    outputs: {matrix: "${{ steps.a.outputs.matrix }}"}
    steps:
      - {id: a, run: 'echo matrix=x >> "$GITHUB_OUTPUT"'}
  build:
    needs: plan
    runs-on: ${{ matrix.os }}
    name: build of ${{ matrix.arch }}
    outputs: {built: "${{ steps.b.outputs.built }}"}
    strategy:
      max-parallel: 1
      fail-fast: false
      matrix: ${{ fromJSON(needs.plan.outputs.matrix) }}
    steps:
      - {id: b, run: 'echo built=${{ matrix.arch }} >> "$GITHUB_OUTPUT"'}
  after:
    needs: [build]
    if: always()
    runs-on: ubuntu-latest
    steps:
      - run: echo ${{ needs.build.outputs.built }}
"#;

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_workflow_is_told_its_matrix_by_an_earlier_job(pool: PgPool) {
    let world = workflows::world(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    let run = workflows::push(&world, &repository, WORKFLOW).await;
    assert_eq!(stages(&world, run).await, ["plan queued", "build blocked", "after blocked"]);
    let plan = format!("select plan::text || encode(plan_digest, 'hex') from runs where id = '{run}'");
    let as_compiled: String = world.value(&plan).await;

    let first = lease(&world, runner).await;
    let matrix = r#"{"os": ["ubuntu-latest"], "arch": ["x", "y"]}"#;
    finish(&world, runner, &first, succeeded(&[("matrix", matrix)])).await.unwrap();
    let made = ["build (ubuntu-latest, x)", "build (ubuntu-latest, y)"];
    let now = ["plan succeeded".to_owned(), format!("{} queued", made[0]), format!("{} blocked", made[1])];
    assert_eq!(stages(&world, run).await, [&now[..], &["after blocked".to_owned()]].concat());
    assert_eq!(
        world.value::<String>(&plan).await,
        as_compiled,
        "approvals are for the plan as it was compiled"
    );
    let event: String = world
        .value(&format!("select message from events where run_id = '{run}' and kind = 'stage.expanded'"))
        .await;
    assert_eq!(event, format!("build is 2 stages: `{}`, `{}`", made[0], made[1]));

    let one = lease(&world, runner).await;
    assert_eq!((key(&one), read(&one, "matrix", "/arch").as_str()), (made[0], Some("x")));
    assert_eq!(one.stage.title.as_deref(), Some("build of x"));
    assert_eq!(read(&one, "strategy", "/job-total"), 2);
    assert!(matches!(&one.stage.verb, tidegate_pipelines::plan::Verb::Run(run) if run.image.0 == "busybox"));
    assert!(claim(&world, runner, &[LABEL]).await.is_none(), "one at a time");
    finish(&world, runner, &one, succeeded(&[("built", "x")])).await.unwrap();
    let two = lease(&world, runner).await;
    assert_eq!(key(&two), made[1]);
    finish(&world, runner, &two, Finish { outcome: Outcome::Failed, ..succeeded(&[]) }).await.unwrap();

    let after = lease(&world, runner).await;
    assert_eq!((key(&after), read(&after, "needs", "/build/result").as_str()), ("after", Some("failure")));
    assert_eq!(read(&after, "needs", "/build/outputs/built"), "x");
    finish(&world, runner, &after, succeeded(&[])).await.unwrap();
    assert_eq!(ended(&world, run).await, "failed");

    // What failed again, in place: its matrix is not told again, and what went well stays.
    runs::rerun(&world.app, run, Scope::Failed, &world.admin).await.unwrap();
    let again = lease(&world, runner).await;
    assert_eq!((key(&again), again.number), (made[1], 2));
    finish(&world, runner, &again, succeeded(&[("built", "y")])).await.unwrap();
    let after = lease(&world, runner).await;
    assert_eq!(read(&after, "needs", "/build/outputs/built"), "y");
    finish(&world, runner, &after, succeeded(&[])).await.unwrap();
    assert_eq!(ended(&world, run).await, "succeeded");

    // All of it again is another run, whose matrix is told anew.
    let whole = runs::rerun(&world.app, run, Scope::All, &world.admin).await.unwrap();
    assert_eq!(stages(&world, whole).await, ["plan queued", "build blocked", "after blocked"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_a_job_cannot_be_made_of_fails_it_with_a_sentence(pool: PgPool) {
    let world = workflows::world(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    for (matrix, why) in [
        (r#"{"os": ["windows-99"], "arch": ["x"]}"#, "no machine is configured for `windows-99`"),
        (r#"{"os": [], "arch": ["x"]}"#, "the list `os` of the matrix has no values"),
        ("[]", "a mapping of lists"),
        ("", "JSON"),
    ] {
        let run = workflows::push(&world, &repository, WORKFLOW).await;
        let first = lease(&world, runner).await;
        finish(&world, runner, &first, succeeded(&[("matrix", matrix)])).await.unwrap();
        assert_eq!(status(&world, run, "build").await, "failed");
        let reason = reason(&world, run, "build").await.unwrap();
        assert!(reason.starts_with("its stages cannot be told") && reason.contains(why), "{reason}");
        let after = lease(&world, runner).await;
        assert_eq!(read(&after, "needs", "/build/result"), "failure");
        finish(&world, runner, &after, succeeded(&[])).await.unwrap();
        assert_eq!(ended(&world, run).await, "failed");
    }
}

const NATIVE: &str = r#"
on: push
defaults: {image: "debian:12"}
stages:
  list: {run: list}
  pack:
    needs: [list]
    matrix: "${{ fromJSON(stages.list.outputs.services) }}"
    fail_fast: true
    max_parallel: 1
    run: pack
    artifacts: [{name: out, paths: [out]}]
  check:
    needs: [list, pack]
    matrix: {value: "${{ fromJSON(stages.list.outputs.services) }}"}
    fetch: [pack.out]
    run: check
  after: {needs: [check], fetch: [pack.out], if: stages.pack.status == 'succeeded', run: after}
"#;

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_native_matrix_is_told_and_what_comes_after_fetches_from_all_of_it(pool: PgPool) {
    let world = World::new(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    let run = leased::push(&world, &repository, NATIVE).await;
    let list = lease(&world, runner).await;
    finish(&world, runner, &list, succeeded(&[("services", r#"["api", "web"]"#)])).await.unwrap();
    let one = lease(&world, runner).await;
    assert_eq!(key(&one), "pack (value=api)");
    assert!(claim(&world, runner, &[LABEL]).await.is_none(), "one at a time");
    finish(&world, runner, &one, finished(Outcome::Failed)).await.unwrap();
    assert_eq!(status(&world, run, "pack (value=web)").await, "cancelled");
    assert_eq!(status(&world, run, "check").await, "skipped", "it never came to be told");
    assert_eq!(ended(&world, run).await, "failed");

    runs::rerun(&world.app, run, Scope::Failed, &world.admin).await.unwrap();
    for value in ["api", "web"] {
        let pack = lease(&world, runner).await;
        assert_eq!(key(&pack), format!("pack (value={value})"));
        finish(&world, runner, &pack, finished(Outcome::Succeeded)).await.unwrap();
    }
    let fetched =
        |lease: &Lease| lease.stage.fetch.iter().map(|fetch| fetch.stage.0.clone()).collect::<Vec<_>>();
    for value in ["api", "web"] {
        let check = lease(&world, runner).await;
        assert_eq!(key(&check), format!("check (value={value})"));
        assert_eq!(fetched(&check), [format!("pack (value={value})")], "what has the same values");
        finish(&world, runner, &check, finished(Outcome::Succeeded)).await.unwrap();
    }
    let after = lease(&world, runner).await;
    assert_eq!(fetched(&after), ["pack (value=api)", "pack (value=web)"]);
    finish(&world, runner, &after, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(ended(&world, run).await, "succeeded");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_empty_matrix_is_skipped_with_the_reason(pool: PgPool) {
    let world = World::new(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    let run = leased::push(&world, &repository, NATIVE).await;
    let list = lease(&world, runner).await;
    finish(&world, runner, &list, succeeded(&[("services", "[]")])).await.unwrap();
    let all = ["list succeeded", "pack skipped", "check skipped", "after skipped"];
    assert_eq!(stages(&world, run).await, all);
    let why = reason(&world, run, "pack").await.unwrap();
    assert_eq!(why, "its matrix is empty, so there is nothing to do");
    assert_eq!(ended(&world, run).await, "succeeded");
}

const EMITTING: &str = r#"
on: push
defaults: {image: "debian:12"}
stages:
  flaky: {run: flaky}
  plan:
    needs: [flaky]
    if: always()
    emits: {file: out/stages.yml, environments: [preview]}
    run: plan
  apart: {run: apart}
"#;

const ADDED: &str = r#"
defaults: {image: "debian:12"}
stages:
  list: {env: {OF: "${{ stages.plan.outputs.word }}"}, run: list}
  test:
    needs: [list]
    matrix: "${{ fromJSON(stages.list.outputs.all) }}"
    run: test
"#;

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_stage_adds_stages_once(pool: PgPool) {
    let world = World::new(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    let run = leased::push(&world, &repository, EMITTING).await;
    let (flaky, apart) = (lease(&world, runner).await, lease(&world, runner).await);
    finish(&world, runner, &apart, finished(Outcome::Succeeded)).await.unwrap();
    finish(&world, runner, &flaky, finished(Outcome::Failed)).await.unwrap();
    let plan = lease(&world, runner).await;
    let mut end = emitting(ADDED);
    end.outputs.insert("word".to_owned(), "hello".to_owned());
    finish(&world, runner, &plan, end.clone()).await.unwrap();
    let all =
        ["flaky failed", "plan succeeded", "apart succeeded", "plan / list queued", "plan / test blocked"];
    assert_eq!(stages(&world, run).await, all);
    // The same report again, because its answer was lost.
    finish(&world, runner, &plan, end.clone()).await.unwrap();
    assert_eq!(stages(&world, run).await, all);
    let event: String = world
        .value(&format!("select message from events where run_id = '{run}' and kind = 'stage.added'"))
        .await;
    assert_eq!(event, "plan adds 2 stages: `plan / list`, `plan / test`");

    let list = lease(&world, runner).await;
    let env = serde_json::to_value(&list.stage).unwrap();
    assert!(env.to_string().contains("\"OF\":\"hello\""), "{env}");
    finish(&world, runner, &list, succeeded(&[("all", "[1, 2]")])).await.unwrap();
    for (n, outcome) in [(1, Outcome::Succeeded), (2, Outcome::Failed)] {
        let test = lease(&world, runner).await;
        assert_eq!(key(&test), format!("plan / test (value={n})"));
        finish(&world, runner, &test, finished(outcome)).await.unwrap();
    }
    assert_eq!(ended(&world, run).await, "failed");

    // In place: what was needed runs again, and with it the stage that added others. They stay as they are.
    runs::rerun(&world.app, run, Scope::Failed, &world.admin).await.unwrap();
    let flaky = lease(&world, runner).await;
    finish(&world, runner, &flaky, finished(Outcome::Succeeded)).await.unwrap();
    let plan = lease(&world, runner).await;
    assert_eq!(key(&plan), "plan");
    end.emitted = Some(ADDED.replace("list:", "other:").replace("[list]", "[other]"));
    finish(&world, runner, &plan, end).await.unwrap();
    for _ in 0..3 {
        let stage = lease(&world, runner).await;
        finish(&world, runner, &stage, succeeded(&[("all", "[3]")])).await.unwrap();
    }
    let keys: Vec<String> = stages(&world, run).await;
    assert_eq!(
        &keys[3..],
        ["plan / list succeeded", "plan / test (value=1) succeeded", "plan / test (value=2) succeeded"]
    );
    assert_eq!(ended(&world, run).await, "succeeded");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_bad_file_adds_nothing_and_fails_the_stage_with_all_that_is_wrong(pool: PgPool) {
    let world = World::new(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    let run = leased::push(&world, &repository, EMITTING).await;
    for _ in 0..2 {
        let stage = lease(&world, runner).await;
        finish(&world, runner, &stage, finished(Outcome::Succeeded)).await.unwrap();
    }
    let plan = lease(&world, runner).await;
    let bad = "stages:\n  a: {image: debian, run: x, secrets: [ROOT]}\n  b: {image: debian, runn: x\0}\n";
    finish(&world, runner, &plan, emitting(bad)).await.unwrap();
    assert_eq!(status(&world, run, "plan").await, "failed");
    let why = reason(&world, run, "plan").await.unwrap();
    assert!(
        why.starts_with(
            "the stages that it adds cannot be used: 3 mistakes in out/stages.yml: an added stage may not"
        ),
        "{why}"
    );
    assert_eq!(stages(&world, run).await.len(), 3, "nothing is added");
    let told: String = world
        .value("select summary::text from reports where kind = 'annotations' and path = 'out/stages.yml'")
        .await;
    for part in ["TG0707", "`ROOT`", "runn", "\"line\": 2", "\"errors\": 3"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    // Mended, and taken up again.
    runs::rerun(&world.app, run, Scope::Failed, &world.admin).await.unwrap();
    let plan = lease(&world, runner).await;
    finish(&world, runner, &plan, emitting("stages: {a: {image: debian, run: x}}")).await.unwrap();
    assert_eq!(stages(&world, run).await[3], "plan / a queued");
    let added = lease(&world, runner).await;
    finish(&world, runner, &added, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(ended(&world, run).await, "succeeded");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn only_a_stage_that_may_adds_stages_and_only_when_it_succeeds(pool: PgPool) {
    let world = World::new(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    let text = "stages: {a: {image: debian, run: x}}";
    let run = leased::push(&world, &repository, EMITTING).await;
    for _ in 0..2 {
        let stage = lease(&world, runner).await;
        finish(&world, runner, &stage, emitting(text)).await.unwrap();
    }
    let plan = lease(&world, runner).await;
    finish(&world, runner, &plan, Finish { outcome: Outcome::Failed, ..emitting(text) }).await.unwrap();
    assert_eq!(stages(&world, run).await, ["flaky succeeded", "plan failed", "apart succeeded"]);
    assert_eq!(ended(&world, run).await, "failed");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_cancelled_run_tells_and_adds_nothing_that_would_run(pool: PgPool) {
    let world = World::new(pool).await;
    let (repository, runner) = (world.repository().await, world.runner().await);
    let told = leased::push(&world, &repository, NATIVE).await;
    let list = lease(&world, runner).await;
    runs::cancel(&world.app, told, &world.admin).await.unwrap();
    finish(&world, runner, &list, succeeded(&[("services", "[1]")])).await.unwrap();
    assert_eq!(status(&world, told, "pack").await, "cancelled");
    let run = leased::push(&world, &repository, EMITTING).await;
    for _ in 0..2 {
        let stage = lease(&world, runner).await;
        finish(&world, runner, &stage, finished(Outcome::Succeeded)).await.unwrap();
    }
    let plan = lease(&world, runner).await;
    runs::cancel(&world.app, run, &world.admin).await.unwrap();
    finish(&world, runner, &plan, emitting("stages: {a: {image: debian, run: x}}")).await.unwrap();
    assert!(claim(&world, runner, &[LABEL]).await.is_none());
    assert_eq!(
        (ended(&world, told).await, ended(&world, run).await),
        ("cancelled".to_owned(), "cancelled".to_owned())
    );
}
