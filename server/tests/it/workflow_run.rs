//! What a run tells the repository's workflows of itself: that it was asked for, that it began, that it ended.

use serde_json::{Value, json};
use sqlx::PgPool;
use tidegate_protocol::{ids::RunId, messages::Outcome};
use tidegate_server::{
    runs::{self, Scope},
    store::views::Repository,
};

use crate::{
    leased::{LABEL, claim, finish, finished},
    origin::{Origin, deliver, push, runs as all_runs, work_off},
    support::{MIGRATOR, World},
    workflows::world,
};

const CI: &str = ".github/workflows/ci.yml";
const HEARS: &str = ".github/workflows/hears.yml";

fn workflow(name: &str, on: &str, more: &str) -> String {
    format!(
        "name: {name}\non: {on}\n{more}jobs:\n  a:\n    runs-on: ubuntu-latest\n    timeout-minutes: 5\n    steps: [{{run: make}}]\n"
    )
}

/// A repository with these files on its default branch, pushed once.
async fn pushed(world: &World, files: &[(&str, &str)]) -> (Repository, Origin, String) {
    let repository = world.repository().await;
    world.sql("update repositories set pipelines = 'both'").await;
    let origin = Origin::new(&repository);
    let sha = origin.commit("refs/heads/main", "a change", files);
    again(world, &repository, &sha).await;
    (repository, origin, sha)
}

async fn again(world: &World, repository: &Repository, sha: &str) {
    deliver(world, repository, "push", push("refs/heads/main", sha, &["x"])).await;
    work_off(world).await;
}

/// `action status conclusion` of what started the runs of a file, in their order.
async fn heard(world: &World, path: &str) -> Vec<String> {
    world
        .value(&format!(
            "select coalesce(array_agg(concat_ws(' ', payload->>'action', payload->'workflow_run'->>'status',
                 payload->'workflow_run'->>'conclusion') order by number), '{{}}')
             from runs where path = '{path}' and event_kind = 'upstream'"
        ))
        .await
}

async fn run_of(world: &World, path: &str) -> RunId {
    RunId(
        world.value(&format!("select id from runs where path = '{path}' order by number desc limit 1")).await,
    )
}

/// Ends the oldest stage that waits for a runner, and works off what comes of it.
async fn end(world: &World, outcome: Outcome) {
    let runner = world.runner().await;
    let lease = claim(world, runner, &[LABEL]).await.expect("a stage was to be had");
    finish(world, runner, &lease, finished(outcome)).await.unwrap();
    work_off(world).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn workflows_hear_of_a_runs_beginning_and_end(pool: PgPool) {
    let world = world(pool).await;
    let ci = workflow("CI", "push", "");
    let all = workflow("Hears", "{workflow_run: {workflows: [CI]}}", "");
    let one = workflow("One", "{workflow_run: {workflows: [CI], types: [in_progress]}}", "");
    // The native language hears of ends alone.
    let native =
        "on: {pipeline: {names: [CI], statuses: [failed]}}\nstages: {a: {image: debian, run: make}}\n";
    let files =
        [(CI, &*ci), (HEARS, &*all), (".github/workflows/one.yml", &*one), (".tidegate/next.yml", native)];
    let (_, _, sha) = pushed(&world, &files).await;
    let begun = ["requested queued", "in_progress in_progress"];
    assert_eq!(heard(&world, HEARS).await, begun);
    assert_eq!(heard(&world, ".github/workflows/one.yml").await, begun[1..]);
    assert_eq!(heard(&world, ".tidegate/next.yml").await, Vec::<String>::new());

    let ci = run_of(&world, CI).await;
    let payload: Value = world
        .value(&format!("select payload from runs where path = '{HEARS}' order by number limit 1"))
        .await;
    let told = &payload["workflow_run"];
    for (key, value) in [
        ("name", json!("CI")),
        ("path", json!(CI)),
        ("event", json!("push")),
        ("head_branch", json!("main")),
        ("head_sha", json!(sha)),
        ("conclusion", json!(null)),
        ("tidegate_id", json!(ci)),
    ] {
        assert_eq!(told[key], value, "{key} in {told}");
    }
    assert_eq!((&payload["workflow"]["name"], &payload["sender"]["login"]), (&json!("CI"), &json!("dora")));

    end(&world, Outcome::Failed).await;
    assert_eq!(heard(&world, HEARS).await[2..], ["completed completed failure"]);
    assert_eq!(heard(&world, ".tidegate/next.yml").await, ["completed completed failure"]);

    // What failed runs again in the same run: it was asked for before, and it is in progress again.
    runs::rerun(&world.app, ci, Scope::Failed, &world.admin).await.unwrap();
    work_off(&world).await;
    assert_eq!(heard(&world, HEARS).await[3..], begun[1..]);
    // So does a run that repeats it.
    runs::rerun(&world.app, ci, Scope::All, &world.admin).await.unwrap();
    work_off(&world).await;
    assert_eq!(heard(&world, HEARS).await[4..], begun[1..]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_run_that_waits_for_its_turn_is_asked_for_and_begins_later(pool: PgPool) {
    let world = world(pool).await;
    let ci = workflow("CI", "push", "concurrency: one\n");
    let hears = workflow("Hears", "{workflow_run: {workflows: [CI], types: [requested, in_progress]}}", "");
    let (repository, _, sha) = pushed(&world, &[(CI, &ci), (HEARS, &hears)]).await;
    let both = ["requested queued", "in_progress in_progress"];
    assert_eq!(heard(&world, HEARS).await, both);
    again(&world, &repository, &sha).await;
    assert_eq!(heard(&world, HEARS).await[2..], both[..1]);
    end(&world, Outcome::Succeeded).await;
    world.sweep().await;
    work_off(&world).await;
    assert_eq!(heard(&world, HEARS).await[2..], both);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn runs_that_start_one_another_come_to_an_end(pool: PgPool) {
    let world = world(pool).await;
    let ci = workflow("CI", "{push: , workflow_run: {workflows: [CI], types: [requested]}}", "");
    pushed(&world, &[(CI, &ci)]).await;
    let depths: Vec<i32> = world.value("select array_agg(depth order by number) from runs").await;
    assert_eq!(depths, [0, 1, 2, 3, 4, 5]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn where_nobody_listens_nothing_is_stored(pool: PgPool) {
    let world = world(pool).await;
    let ci = workflow("CI", "push", "");
    pushed(&world, &[(CI, &ci)]).await;
    assert_eq!(all_runs(&world).await.len(), 1);
    let events: Vec<String> = world.value("select array_agg(event) from deliveries").await;
    assert_eq!(events, ["push"]);
}
