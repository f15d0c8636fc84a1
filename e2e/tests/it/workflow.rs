//! A GitHub Actions workflow, pushed through the webhook: jobs that need each other, outputs, a matrix, conditions.

use std::time::Duration;

use serde_json::Value;
use tidegate_e2e::{
    api::{Api, describe, stage},
    stack::Stack,
};

const LIMIT: Duration = Duration::from_secs(120);

const WORKFLOW: &str = r#"
name: CI
run-name: build ${{ github.run_number }} by ${{ github.actor }}
on: {push: {branches: [main]}}
defaults: {run: {shell: sh}}
jobs:
  build:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    outputs:
      version: ${{ steps.version.outputs.version }}
    steps:
      - uses: actions/checkout@v4
      - id: version
        run: echo "version=$(cat version)" >> "$GITHUB_OUTPUT"
      - run: echo "WORD=kept" >> "$GITHUB_ENV"
      - name: say
        run: echo "$WORD ${{ steps.version.outputs.version }} ${{ github.event.head_commit.message }}"
  test:
    needs: build
    runs-on: ubuntu-latest
    timeout-minutes: 5
    strategy:
      fail-fast: false
      matrix:
        kind: [good, bad]
    steps:
      - name: try
        env:
          VERSION: ${{ needs.build.outputs.version }}
        run: |
          echo "${{ matrix.kind }} of $VERSION"
          test ${{ matrix.kind }} = good
      - name: skipped after a failure
        run: echo "still ${{ job.status }}"
      - name: mend
        if: failure()
        run: echo "it was ${{ matrix.kind }}"
      - name: always
        if: always()
        run: echo "ends as ${{ job.status }}"
  after:
    needs: test
    runs-on: ubuntu-latest
    timeout-minutes: 5
    steps:
      - run: echo never
  mend:
    needs: test
    if: failure()
    runs-on: ubuntu-latest
    timeout-minutes: 5
    steps:
      - name: say
        run: echo "mends ${{ needs.test.result }}"
  report:
    needs: [build, test, after]
    if: always()
    runs-on: ubuntu-latest
    timeout-minutes: 5
    steps:
      - name: say
        run: echo "build ${{ needs.build.result }}, test ${{ needs.test.result }}, after ${{ needs.after.result }}"
"#;

/// The log of a stage's step of this name, and how the step ended.
async fn step(api: &Api, run: &Value, key: &str, name: &str) -> (String, String) {
    let attempt = &stage(run, key).unwrap()["attempts"][0];
    let step = attempt["steps"].as_array().unwrap().iter().find(|step| step["name"] == name);
    let step = step.unwrap_or_else(|| panic!("no step `{name}` in {attempt}"));
    let log = api.log(attempt["id"].as_str().unwrap(), step["index"].as_u64().unwrap()).await.unwrap();
    (String::from_utf8(log).unwrap(), step["status"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_workflow_runs_as_it_is() {
    let stack = Stack::start().await.unwrap();
    let project = stack.project("workflow").await.unwrap();
    let files = [(".github/workflows/ci.yml", WORKFLOW), ("version", "1.5\n")];
    let push = project.push(&files).await.unwrap();
    let id = stack.admin.run_of(&push.after).await.unwrap();
    let run = stack.admin.run_until(&id, &["failed", "succeeded", "invalid"], LIMIT).await.unwrap();
    let told = format!("{}\n{}", describe(&run), stack.logs());

    let statuses: Vec<(&str, &str)> = run["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| (stage["key"].as_str().unwrap(), stage["status"].as_str().unwrap()))
        .collect();
    let expected = [
        ("build", "succeeded"),
        ("test (good)", "succeeded"),
        ("test (bad)", "failed"),
        ("after", "skipped"),
        ("mend", "succeeded"),
        ("report", "succeeded"),
    ];
    assert_eq!(statuses, expected, "{told}");
    assert_eq!(run["status"], "failed", "a job failed that was not allowed to");
    assert_eq!(run["title"], "build 1 by dev", "{run}");
    assert_eq!(stage(&run, "build").unwrap()["outputs"]["version"], "1.5");
    assert_eq!(stage(&run, "after").unwrap()["reason"], "`test` failed");

    for (key, name, status, line) in [
        ("build", "say", "succeeded", "kept 1.5 a change"),
        ("test (good)", "try", "succeeded", "good of 1.5"),
        ("test (good)", "skipped after a failure", "succeeded", "still success"),
        ("test (good)", "always", "succeeded", "ends as success"),
        ("test (bad)", "try", "failed", "bad of 1.5"),
        ("test (bad)", "mend", "succeeded", "it was bad"),
        ("test (bad)", "always", "succeeded", "ends as failure"),
        ("mend", "say", "succeeded", "mends failure"),
        ("report", "say", "succeeded", "build success, test failure, after skipped"),
    ] {
        let (log, ended) = step(&stack.admin, &run, key, name).await;
        assert_eq!(ended, status, "{key}: {name}\n{log}");
        assert!(log.lines().any(|found| found == line), "{key}: {name}: no line `{line}` in\n{log}");
    }
    for (key, name) in [("test (good)", "mend"), ("test (bad)", "skipped after a failure")] {
        let (log, ended) = step(&stack.admin, &run, key, name).await;
        assert_eq!((ended.as_str(), log.as_str()), ("skipped", ""), "{key}: {name}");
    }
}
