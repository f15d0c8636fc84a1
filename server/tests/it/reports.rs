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
async fn only_findings_that_the_branch_does_not_have_fail_a_stage(pool: PgPool) {
    let text = "
on: push
stages:
  scan: {image: debian, run: scan, reports: [{sarif: scan.sarif, fail_on: {new_findings: high}}]}
";
    let world = World::new(pool).await;
    let repository = world.repository().await;
    let runner = world.runner().await;
    // Of each: a rule, a line, and how bad it is.
    let sarif = |found: &[(&str, u32, &str)]| {
        let rules: Vec<_> = found
            .iter()
            .map(|(id, _, severity)| serde_json::json!({ "id": id, "properties": { "security-severity": severity } }))
            .collect();
        let results: Vec<_> = found
            .iter()
            .map(|(id, line, _)| {
                let place = serde_json::json!({ "artifactLocation": { "uri": "a.py" }, "region": { "startLine": line } });
                serde_json::json!({ "ruleId": id, "message": { "text": format!("bad at {line}") },
                    "locations": [{ "physicalLocation": place }] })
            })
            .collect();
        let tool = serde_json::json!({ "driver": { "name": "scan", "rules": rules } });
        serde_json::json!({ "runs": [{ "tool": tool, "results": results }] }).to_string()
    };
    let scan = async |reference: &str, trusted: bool, report: &str| {
        let run = crate::leased::start(&world, &repository, text, trusted).await;
        world.sql(&format!("update runs set reference = '{reference}' where id = '{run}'")).await;
        let leased = lease(&world, runner).await;
        put(&world, runner, &leased, ReportKind::Sarif, "scan.sarif", report).await.unwrap();
        finish(&world, runner, &leased, finished(Outcome::Succeeded)).await.unwrap();
        (status(&world, run, "scan").await, reason(&world, run, "scan").await)
    };
    let first = sarif(&[("OLD", 3, "9.1"), ("LOW", 4, "2.0")]);
    let (status, said) = scan("refs/heads/topic", true, &first).await;
    assert_eq!(status, "failed");
    let said = said.unwrap();
    assert!(
        said.contains("1 finding at or above high, all of them new, because `main` has no report"),
        "{said}"
    );
    assert!(said.ends_with("OLD at a.py:3"), "{said}");
    // A branch other than main, and a fork that says it is on main, are no measure.
    assert_eq!(scan("refs/heads/main", false, &first).await.0, "failed");
    assert_eq!(scan("refs/heads/main", true, &first).await.0, "failed");
    // Now main has it, at whatever line.
    assert_eq!(scan("refs/heads/main", true, &first).await.0, "succeeded");
    assert_eq!(
        scan("refs/heads/topic", true, &sarif(&[("OLD", 300, "9.1"), ("NEWLOW", 1, "3")])).await.0,
        "succeeded"
    );
    let (status, said) =
        scan("refs/heads/topic", true, &sarif(&[("OLD", 5, "9.1"), ("NEW", 9, "7.0")])).await;
    let said = said.unwrap();
    assert_eq!(status, "failed");
    assert!(
        said.contains("1 finding at or above high that run 4 of `main` does not have: NEW at a.py:9"),
        "{said}"
    );
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
