//! What the tests about leases share: runs from a pipeline's text, and runners that claim and report.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tidegate_protocol::{
    ids::{AttemptId, RunId, RunnerId},
    messages::{Claim, Finish, Lease, LogAccepted, Outcome, PROTOCOL_VERSION, StepReport},
    status::StepStatus,
};
use tidegate_server::{
    error::Error,
    leases,
    runs::{self, Created, NewRun},
    store::views::Repository,
};
use tokio_util::sync::CancellationToken;

use crate::support::{World, pushed};

/// The label that all runners of these tests carry.
pub const LABEL: &str = "docker";

/// A run of this pipeline for a push to `main`.
pub async fn push(world: &World, repository: &Repository, text: &str) -> RunId {
    start(world, repository, text, true).await
}

/// As [`push`], by a fork when it is not trusted.
pub async fn start(world: &World, repository: &Repository, text: &str, trusted: bool) -> RunId {
    let mut event = pushed(repository);
    event["trusted"] = trusted.into();
    make(world, new_run(repository, ".tidegate/pipeline.yml", text, event)).await
}

/// A run of a workflow for an event.
pub async fn start_workflow(world: &World, repository: &Repository, text: &str, event: Value) -> RunId {
    make(world, new_run(repository, ".github/workflows/ci.yml", text, event)).await
}

/// The first run of this file for an event.
pub fn new_run(repository: &Repository, path: &str, text: &str, event: Value) -> NewRun {
    NewRun {
        repository: repository.id,
        event: Arc::new(serde_json::from_value(event).unwrap()),
        path: path.to_owned(),
        text: text.to_owned(),
        delivery: None,
        rerun_of: None,
        depth: 0,
        skip: None,
    }
}

/// Makes a run, of a file without mistakes.
async fn make(world: &World, new: NewRun) -> RunId {
    match runs::create(&world.app, new).await.unwrap() {
        Created::Run(run) => {
            let status: String = world.value(&format!("select status from runs where id = '{run}'")).await;
            let mistakes: String =
                world.value(&format!("select diagnostics::text from runs where id = '{run}'")).await;
            assert_ne!(status, "invalid", "{mistakes}");
            run
        }
        other => panic!("{other:?}"),
    }
}

/// What a runner with these labels says when it asks for a stage.
pub fn asking(labels: &[&str], wait_ms: u64) -> Claim {
    Claim {
        protocol: PROTOCOL_VERSION,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        free_slots: 2,
        version: "0.1.0".to_owned(),
        wait_ms,
    }
}

/// What a runner gets that does not wait.
pub async fn claim(world: &World, runner: RunnerId, labels: &[&str]) -> Option<Lease> {
    leases::claim(&world.app, runner, &asking(labels, 0), &CancellationToken::new()).await.unwrap()
}

/// A lease that there must be.
pub async fn lease(world: &World, runner: RunnerId) -> Lease {
    claim(world, runner, &[LABEL]).await.expect("a stage was to be had")
}

pub fn step(index: u32, status: StepStatus) -> StepReport {
    StepReport { index, name: format!("step {index}"), status, exit_code: None, duration_ms: None }
}

pub fn finished(outcome: Outcome) -> Finish {
    Finish { outcome, reason: None, exit_code: None, outputs: BTreeMap::new(), emitted: None }
}

pub async fn finish(world: &World, runner: RunnerId, lease: &Lease, finish: Finish) -> Result<(), Error> {
    leases::finish(&world.app, runner, lease.attempt, lease.epoch, finish).await
}

/// Hands in log bytes.
pub async fn append(
    world: &World,
    runner: RunnerId,
    lease: &Lease,
    step: u32,
    offset: u64,
    bytes: &[u8],
) -> Result<LogAccepted, Error> {
    let frame = Bytes::from(zstd::bulk::compress(bytes, 1).unwrap());
    leases::append_log(&world.app, runner, lease.attempt, lease.epoch, step, offset, frame).await
}

/// The status of a run's stage.
pub async fn status(world: &World, run: RunId, stage: &str) -> String {
    world.value(&format!("select status from stages where run_id = '{run}' and key = '{stage}'")).await
}

/// The reason of a run's stage.
pub async fn reason(world: &World, run: RunId, stage: &str) -> Option<String> {
    world.value(&format!("select reason from stages where run_id = '{run}' and key = '{stage}'")).await
}

/// The status and reason of a run.
pub async fn end_of(world: &World, run: RunId) -> (String, Option<String>) {
    let status = world.value(&format!("select status from runs where id = '{run}'")).await;
    (status, world.value(&format!("select reason from runs where id = '{run}'")).await)
}

/// Lets an attempt's lease end so long ago.
pub async fn expire(world: &World, attempt: AttemptId, ago: Duration) {
    let ago = ago.as_secs();
    world
        .sql(&format!(
            "update attempts set lease_expires_at = now() - interval '{ago} seconds' where id = '{attempt}'"
        ))
        .await;
}

/// All that a runner's writes could change, as one text.
pub async fn everything(world: &World) -> String {
    world
        .value(
            "select concat_ws(e'\n', (select string_agg(t::text, ',' order by id) from attempts t),
                (select string_agg(t::text, ',' order by id) from stages t),
                (select string_agg(t::text, ',' order by attempt_id, index) from steps t),
                (select string_agg(t::text, ',' order by byte_start) from log_chunks t),
                (select string_agg(t::text, ',' order by seq) from events t),
                (select string_agg(t::text, ',' order by id) from runs t))",
        )
        .await
}
