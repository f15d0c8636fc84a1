//! Calls of other workflows: a matrix over them has places and fails fast, and each waits in its group as a whole.

use sqlx::PgPool;
use tidegate_protocol::{
    ids::{RunId, RunnerId},
    messages::{Lease, Outcome},
};
use tidegate_server::store::views::Repository;

use crate::{
    leased::{LABEL, claim, end_of, finish, finished, lease, reason, start_workflow, status},
    origin::Origin,
    support::{MIGRATOR, World, pushed},
    workflows::world,
};

/// Two jobs, the one after the other.
const CALLED: &str = "
on: {workflow_call: {inputs: {where: {type: string}}}}
jobs:
  first: {runs-on: ubuntu-latest, steps: [{run: first}]}
  last: {needs: first, runs-on: ubuntu-latest, steps: [{run: last}]}
";

const CALLED_PATH: &str = ".github/workflows/called.yml";

struct Stand {
    world: World,
    runner: RunnerId,
    repository: Repository,
    sha: String,
}

impl Stand {
    async fn new(pool: PgPool, called: &str) -> Self {
        let world = world(pool).await;
        let repository = world.repository().await;
        let sha = Origin::new(&repository).commit("refs/heads/main", "one", &[(CALLED_PATH, called)]);
        Self { runner: world.runner().await, world, repository, sha }
    }

    async fn push(&self, jobs: &str) -> RunId {
        let mut event = pushed(&self.repository);
        event["git"]["sha"] = self.sha.as_str().into();
        let text = format!("on: push\njobs:\n{jobs}");
        start_workflow(&self.world, &self.repository, &text, event).await
    }

    /// The next stage, which has this key.
    async fn lease(&self, key: &str) -> Lease {
        let leased = lease(&self.world, self.runner).await;
        assert_eq!(leased.stage.key.0, key);
        leased
    }

    async fn nothing_to_take(&self) {
        let taken = claim(&self.world, self.runner, &[LABEL]).await;
        assert!(taken.is_none(), "{:?}", taken.map(|lease| lease.stage.key));
    }

    async fn end(&self, lease: &Lease, outcome: Outcome) {
        finish(&self.world, self.runner, lease, finished(outcome)).await.unwrap();
    }

    async fn status(&self, run: RunId, stage: &str) -> String {
        status(&self.world, run, stage).await
    }

    async fn reason(&self, run: RunId, stage: &str) -> String {
        reason(&self.world, run, stage).await.unwrap_or_default()
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn one_call_of_a_matrix_at_a_time_and_its_failure_stops_the_others(pool: PgPool) {
    let stand = Stand::new(pool, CALLED).await;
    let jobs = "  go:
    strategy: {max-parallel: 1, matrix: {where: [a, b, c]}}
    uses: ./.github/workflows/called.yml
    with: {where: '${{ matrix.where }}'}
";
    let run = stand.push(jobs).await;
    let first = stand.lease("go (a) / first").await;
    stand.nothing_to_take().await;
    stand.end(&first, Outcome::Succeeded).await;
    let waits = "waits: 1 of 1 of the matrix of `go` are at work";
    assert_eq!(stand.reason(run, "go (b) / first").await, waits);
    let last = stand.lease("go (a) / last").await;
    stand.end(&last, Outcome::Succeeded).await;

    let first = stand.lease("go (b) / first").await;
    stand.nothing_to_take().await;
    stand.end(&first, Outcome::Failed).await;
    stand.nothing_to_take().await;
    assert_eq!(stand.status(run, "go (b) / last").await, "skipped");
    for stopped in ["go (c) / first", "go (c) / last"] {
        assert_eq!(stand.status(run, stopped).await, "cancelled");
        let why = "`go (b)` of its matrix failed, which stops the others";
        assert_eq!(stand.reason(run, stopped).await, why);
    }
    assert_eq!(end_of(&stand.world, run).await.0, "failed");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_call_that_is_at_work_is_asked_to_stop_once_another_has_failed(pool: PgPool) {
    let stand = Stand::new(pool, CALLED).await;
    let jobs = "  go:
    strategy: {matrix: {where: [a, b]}}
    uses: ./.github/workflows/called.yml
";
    let run = stand.push(jobs).await;
    let (a, b) = (stand.lease("go (a) / first").await, stand.lease("go (b) / first").await);
    stand.end(&a, Outcome::Failed).await;
    let asked =
        format!("select cancel_requested from stages where run_id = '{run}' and key = 'go (b) / first'");
    assert!(stand.world.value::<bool>(&asked).await);
    stand.end(&b, Outcome::Cancelled).await;
    assert_eq!(stand.status(run, "go (b) / first").await, "cancelled");

    // Unless the file says that the others go on.
    let run = stand.push(&jobs.replace("{matrix", "{fail-fast: false, matrix")).await;
    let (a, b) = (stand.lease("go (a) / first").await, stand.lease("go (b) / first").await);
    stand.end(&a, Outcome::Failed).await;
    stand.end(&b, Outcome::Succeeded).await;
    let last = stand.lease("go (b) / last").await;
    stand.end(&last, Outcome::Succeeded).await;
    assert_eq!(end_of(&stand.world, run).await.0, "failed");
}

const SHIP: &str = "  ship:
    uses: ./.github/workflows/called.yml
    with: {where: live}
    concurrency: CONCURRENCY
";

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_call_is_in_its_group_until_its_last_stage_has_ended(pool: PgPool) {
    let stand = Stand::new(pool, CALLED).await;
    let jobs = SHIP.replace("CONCURRENCY", "Live-${{ github.ref_name }}");
    let one = stand.push(&jobs).await;
    let first = stand.lease("ship / first").await;
    let two = stand.push(&jobs).await;
    let waits = "waits for `ship` of run 1, which goes first in the concurrency group live-main";
    assert_eq!(stand.reason(two, "ship / first").await, waits);
    // A newer one takes the place of the one that waits; the one at work is left alone.
    let three = stand.push(&jobs).await;
    stand.world.sweep().await;
    for stage in ["ship / first", "ship / last"] {
        assert_eq!(stand.status(two, stage).await, "cancelled");
        assert_eq!(stand.reason(two, stage).await, "`ship` of run 3, which is newer, takes its place");
    }
    stand.end(&first, Outcome::Succeeded).await;
    stand.world.sweep().await;
    let last = stand.lease("ship / last").await;
    assert_eq!(last.run, one);
    stand.nothing_to_take().await;
    stand.end(&last, Outcome::Succeeded).await;
    stand.world.sweep().await;
    let first = stand.lease("ship / first").await;
    assert_eq!(first.run, three);
    stand.end(&first, Outcome::Failed).await;
    assert_eq!(end_of(&stand.world, three).await.0, "failed");
    let left: i64 = stand.world.value("select count(*) from call_groups").await;
    assert_eq!(left, 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_newer_call_stops_the_one_at_work_where_the_file_says_so(pool: PgPool) {
    let stand = Stand::new(pool, CALLED).await;
    let jobs = SHIP.replace("CONCURRENCY", "{group: live, cancel-in-progress: true}");
    let one = stand.push(&jobs).await;
    let first = stand.lease("ship / first").await;
    let two = stand.push(&jobs).await;
    stand.world.sweep().await;
    assert_eq!(stand.status(one, "ship / last").await, "cancelled");
    stand.nothing_to_take().await;
    stand.end(&first, Outcome::Cancelled).await;
    let why = "`ship` of run 2, which is newer, takes its place";
    assert_eq!(stand.reason(one, "ship / first").await, why);
    stand.world.sweep().await;
    assert_eq!(stand.lease("ship / first").await.run, two);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_job_and_the_call_that_it_is_part_of_do_not_wait_for_each_other(pool: PgPool) {
    let called = CALLED.replace("{needs: first,", "{needs: first, concurrency: LIVE,");
    let stand = Stand::new(pool, &called).await;
    let run = stand.push(&SHIP.replace("CONCURRENCY", "live")).await;
    let first = stand.lease("ship / first").await;
    stand.end(&first, Outcome::Succeeded).await;
    assert_eq!(stand.status(run, "ship / last").await, "failed");
    let why = "the concurrency group live is that of the call `ship` which it is part of: each would wait for the other";
    assert_eq!(stand.reason(run, "ship / last").await, why);
    assert_eq!(end_of(&stand.world, run).await.0, "failed");
}
