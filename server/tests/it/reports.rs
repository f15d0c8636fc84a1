//! Reports: stored as they come, judged at the end, shown on the run's page.

use bytes::Bytes;
use sqlx::PgPool;
use tidegate_pipelines::plan::ReportKind;
use tidegate_protocol::{
    ids::RunnerId,
    messages::{Lease, Outcome},
};
use tidegate_server::{error::Error, reports::Summary, results, runs};

use crate::{
    leased::{finish, finished, lease, push, reason, status},
    support::{MIGRATOR, World},
};

const TEST: &str = "
on: push
stages:
  test:
    image: debian
    run: make test
    reports:
      - {junit: tests.xml, fail_on: {failed_tests: true}}
      - {cobertura: coverage.xml, fail_on: {coverage_below: 80}}
      - {sarif: scan.sarif, fail_on: {findings_at: warning}}
";
const TESTS: &str = r#"<testsuites><testsuite name="unit"><testcase classname="unit" name="one"/>
    <testcase classname="unit" name="two"><failure message="no"/></testcase></testsuite></testsuites>"#;
const COVERED: &str = r#"<coverage lines-valid="1000" lines-covered="712"/>"#;
const FOUND: &str = r#"{"runs": [{"results": [{"ruleId": "B105", "level": "error", "message": {"text": "a password"},
    "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.py"}, "region": {"startLine": 3}}}]},
    {"ruleId": "B1", "level": "note", "message": {"text": "a note"}}]}]}"#;

async fn put(
    world: &World,
    runner: RunnerId,
    lease: &Lease,
    kind: ReportKind,
    path: &str,
    text: &str,
) -> Result<(), Error> {
    let body = Bytes::copy_from_slice(text.as_bytes());
    results::put_report(&world.app, runner, lease.attempt, lease.epoch, kind, path, body).await
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn thresholds_turn_a_success_into_a_failure_that_says_why(pool: PgPool) {
    let world = World::new(pool).await;
    let run = push(&world, &world.repository().await, TEST).await;
    let runner = world.runner().await;
    let test = lease(&world, runner).await;
    put(&world, runner, &test, ReportKind::Junit, "tests.xml", TESTS).await.unwrap();
    put(&world, runner, &test, ReportKind::Cobertura, "coverage.xml", COVERED).await.unwrap();
    put(&world, runner, &test, ReportKind::Sarif, "scan.sarif", FOUND).await.unwrap();
    finish(&world, runner, &test, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(status(&world, run, "test").await, "failed");
    let said = reason(&world, run, "test").await.unwrap();
    for part in [
        "1 of 2 tests failed: unit.two",
        "line coverage is 71.2 %, and 80 % is wanted",
        "1 finding at or above warning: B105 at a.py:3",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let page = runs::detail(&world.app, run, &world.admin).await.unwrap();
    let shown: Vec<&str> = page.stages[0].reports.iter().map(|report| report.kind.as_str()).collect();
    assert_eq!(shown, ["cobertura", "junit", "sarif"]);
    assert!(matches!(&page.stages[0].reports[1].summary, Summary::Tests { failed: 1, .. }));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_keeps_to_the_thresholds_succeeds(pool: PgPool) {
    let world = World::new(pool).await;
    let run = push(&world, &world.repository().await, TEST).await;
    let runner = world.runner().await;
    let test = lease(&world, runner).await;
    // Handed in twice, as after a lost answer: the later one counts.
    put(&world, runner, &test, ReportKind::Junit, "tests.xml", TESTS).await.unwrap();
    put(&world, runner, &test, ReportKind::Junit, "tests.xml", "<testsuites/>").await.unwrap();
    let fine = r#"<coverage lines-valid="10" lines-covered="8"/>"#;
    put(&world, runner, &test, ReportKind::Cobertura, "coverage.xml", fine).await.unwrap();
    put(&world, runner, &test, ReportKind::Sarif, "scan.sarif", r#"{"runs": []}"#).await.unwrap();
    finish(&world, runner, &test, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(status(&world, run, "test").await, "succeeded");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_report_that_is_missing_or_unreadable_is_no_success(pool: PgPool) {
    let world = World::new(pool).await;
    let run = push(&world, &world.repository().await, TEST).await;
    let runner = world.runner().await;
    let test = lease(&world, runner).await;
    let bad = put(&world, runner, &test, ReportKind::Junit, "tests.xml", "<html/>").await.unwrap_err();
    assert!(matches!(&bad, Error::Invalid(text) if text.contains("<html>")), "{bad:?}");
    let nowhere = put(&world, runner, &test, ReportKind::Junit, "", TESTS).await;
    assert!(matches!(nowhere, Err(Error::Invalid(_))));
    let stranger = put(&world, world.runner().await, &test, ReportKind::Junit, "tests.xml", TESTS).await;
    assert!(matches!(stranger, Err(Error::Fenced(_))));
    finish(&world, runner, &test, finished(Outcome::Succeeded)).await.unwrap();
    assert_eq!(status(&world, run, "test").await, "failed");
    let said = reason(&world, run, "test").await.unwrap();
    assert!(said.contains("no JUnit report came from tests.xml"), "{said}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_steps_say_is_shown_and_told_at_the_end(pool: PgPool) {
    let world = World::new(pool).await;
    let repository = world.repository().await;
    world.sql("update repositories set forge = 'github'").await;
    let text = "on: push\nstages:\n  test: {image: debian, run: make, reports: []}\n  later: {needs: [test], image: debian, run: x}\n";
    let run = push(&world, &repository, text).await;
    let runner = world.runner().await;
    let test = lease(&world, runner).await;
    let said = r##"{"annotations": [
        {"step": 1, "level": "error", "message": "no such name", "title": "E1", "file": "src/a.rs", "line": 3, "column": 5},
        {"step": 1, "level": "notice", "message": "all in all"}], "errors": 1, "notices": 1,
        "summaries": [{"step": 1, "text": "# Tests\n"}, {"step": 2, "text": "fine"}]}"##;
    put(&world, runner, &test, ReportKind::Annotations, "annotations", said).await.unwrap();
    // Said again, as after a restart of the runner, it is there once.
    put(&world, runner, &test, ReportKind::Annotations, "annotations", said).await.unwrap();
    let notes = results::notes(&world.app, test.attempt).await.unwrap();
    let notes: Vec<_> = notes.iter().map(|note| (note.step, note.text.as_str())).collect();
    assert_eq!(notes, [(1, "# Tests\n"), (2, "fine")]);
    finish(&world, runner, &test, finished(Outcome::Succeeded)).await.unwrap();
    let told = "select count(*) from outbox where payload->'remarks' is not null";
    assert_eq!(world.value::<i64>(told).await, 0, "the run has not ended");
    let later = lease(&world, runner).await;
    finish(&world, runner, &later, finished(Outcome::Succeeded)).await.unwrap();
    let remarks: String =
        world.value("select payload->>'remarks' from outbox where payload->>'status' = 'succeeded'").await;
    assert!(remarks.contains("no such name") && remarks.contains("src/a.rs"), "{remarks}");
    let page = runs::detail(&world.app, run, &world.admin).await.unwrap();
    let summary = &page.stages[0].reports[0].summary;
    assert!(matches!(summary, Summary::Annotations { errors: 1, notes: 2, .. }), "{summary:?}");
    let bad = put(&world, runner, &later, ReportKind::Annotations, "annotations", "{}").await;
    assert!(matches!(bad, Err(Error::Fenced(_))));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn tap_is_read(pool: PgPool) {
    let world = World::new(pool).await;
    let run = push(&world, &world.repository().await, TEST).await;
    let runner = world.runner().await;
    let test = lease(&world, runner).await;
    put(&world, runner, &test, ReportKind::Tap, "tests.tap", "1..2\nok 1\nnot ok 2 - two\n").await.unwrap();
    let page = runs::detail(&world.app, run, &world.admin).await.unwrap();
    assert_eq!(page.stages[0].reports[0].kind, "tap");
    assert!(matches!(&page.stages[0].reports[0].summary, Summary::Tests { total: 2, failed: 1, .. }));
}
