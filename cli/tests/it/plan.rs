use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{GOOD, tidegate, write};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Makes a repository of a folder, with one commit.
fn repository(at: &Path, branch: &str) {
    for arguments in [
        &["init", "-q", "--initial-branch", branch][..],
        &["add", "-A"],
        &["-c", "user.name=D", "-c", "user.email=d@example.org", "commit", "-q", "-m", "one"],
    ] {
        assert!(Command::new("git").current_dir(at).args(arguments).status().unwrap().success());
    }
}

#[test]
fn a_plan_outside_of_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, ".tidegate/pipeline.yml", GOOD);
    let plan = json(&tidegate(at, &["plan", "--json"]).out);
    assert_eq!((&plan["triggered"], &plan["name"]), (&true.into(), &"pipeline".into()));
    assert_eq!(plan["jobs"][1]["needs"][0], "lint");
    assert_eq!(plan["jobs"][1]["steps"][0]["run"], "make test");
    let said = tidegate(at, &["plan", "--event", "release"]);
    assert_eq!(said.code, 0, "not to be triggered is no failure");
    assert!(said.out.starts_with(".tidegate/pipeline.yml: not triggered by release: "), "{}", said.out);
    let said = tidegate(at, &["plan"]);
    assert!(
        said.out.contains("test run\n  needs    lint\n") && said.out.contains("    1  make test\n"),
        "{}",
        said.out
    );
    assert_eq!(tidegate(at, &["plan", "--event", "No such!"]).code, 2);
    write(at, "wrong.yml", "on: push\nstages: {a: {}}\n");
    let said = tidegate(at, &["plan", "wrong.yml", "--json"]);
    assert_eq!((said.code, &json(&said.out)["triggered"]), (1, &false.into()));
}

#[test]
fn a_workflow_is_planned_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(
        at,
        ".github/workflows/ci.yml",
        "on: {pull_request: , push: {branches: [main]}}
jobs:
  test:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    strategy: {matrix: {node: [22, 24], os: [a], exclude: [{node: 22}], include: [{node: 26, os: b}]}}
    steps: [{uses: actions/checkout@v4}, {id: unit, run: npm test, if: matrix.node > 22}]
  tell:
    needs: [test]
    if: always() && needs.test.result == 'failure'
    runs-on: ubuntu-latest
    steps: [{run: ./tell}]
",
    );
    let plan = |event: &str| {
        json(&tidegate(at, &["plan", ".github/workflows/ci.yml", "--event", event, "--json"]).out)
    };
    for (event, triggered) in [("pull_request", true), ("release", false)] {
        let plan = plan(event);
        assert_eq!(plan["triggered"], triggered, "{plan:#}");
        let jobs = plan["jobs"].as_array().unwrap();
        if !triggered {
            assert!(jobs.is_empty() && plan["reason"].is_string());
            continue;
        }
        let told: Vec<_> =
            jobs.iter().map(|job| (job["id"].as_str().unwrap(), job["name"].as_str().unwrap())).collect();
        assert_eq!(told, [("test", "test (24, a)"), ("test", "test (26, b)"), ("tell", "tell")]);
        assert_eq!((&jobs[1]["matrix"]["node"], &jobs[1]["matrix"]["os"]), (&26.into(), &"b".into()));
        assert_eq!(
            (&jobs[0]["steps"][1]["id"], &jobs[0]["steps"][1]["if"]),
            (&"unit".into(), &"matrix.node > 22".into())
        );
        assert_eq!(
            (&jobs[2]["needs"], &jobs[2]["runs_on"][0]),
            (&serde_json::json!(["test"]), &"ubuntu-latest".into())
        );
        assert_eq!(jobs[2]["if"], "always() && needs.test.result == 'failure'");
    }
}

#[test]
fn facts_come_from_the_working_tree_the_payload_and_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(
        at,
        ".tidegate/pipeline.yml",
        "on: {push: {branches: [trunk]}, tag: [\"v*\"], manual: {inputs: {level: {choices: [a, b]}}}}\nstages: {a: {image: \"a:1\", run: x}}\n",
    );
    repository(at, "trunk");
    let triggered = |arguments: &[&str]| {
        let all: Vec<&str> = ["plan", "--json"].iter().chain(arguments).copied().collect();
        json(&tidegate(at, &all).out)["triggered"] == true
    };
    assert!(triggered(&[]), "the branch is that of the working tree");
    assert!(!triggered(&["--ref", "other"]));
    assert!(triggered(&["--ref", "refs/tags/v1"]) && triggered(&["--event", "tag", "--ref", "v2"]));
    assert!(triggered(&["--event", "workflow_dispatch", "--inputs", "level=a"]));
    assert!(!triggered(&["--event", "manual", "--inputs", "level=c"]));
    write(at, "payload.json", "{\"ref\": \"refs/heads/other\"}");
    assert!(!triggered(&["--payload", "payload.json"]));
    write(at, "payload.json", "{");
    assert_eq!(tidegate(at, &["plan", "--payload", "payload.json"]).code, 2);
}

#[test]
fn graphs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, ".tidegate/pipeline.yml", &GOOD.replace("on: push", "on: {schedule: [{cron: \"0 3 * * *\"}]}"));
    let said = tidegate(at, &["graph"]);
    assert!(
        said.code == 0 && said.out.contains("│ lint │") && said.out.contains("│ test │"),
        "{}{}",
        said.out,
        said.err
    );
    assert!(tidegate(at, &["graph", "--format", "mermaid"]).out.contains("s0 --> s1"));
    assert!(tidegate(at, &["graph", "--format", "svg"]).out.starts_with("<svg "));
    let said = tidegate(at, &["graph", "--event", "push"]);
    assert!(said.code == 1 && said.err.contains("push: a push does not start this pipeline"), "{}", said.err);
}

#[test]
fn what_runs_on_the_default_branch_alone_is_drawn_on_any() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let only_main = GOOD.replace("on: push", "on: {push: {branches: [main]}}").replace(":12", ":latest");
    write(at, ".tidegate/pipeline.yml", &only_main);
    repository(at, "a-branch");
    let said = tidegate(at, &["graph"]);
    assert!(said.code == 0 && said.out.contains("│ lint │"), "{}{}", said.out, said.err);
    assert_eq!(said.err.matches("TG0902").count(), 2, "each warning once: {}", said.err);
    let said = tidegate(at, &["graph", "--ref", "a-branch"]);
    assert!(said.code == 1 && said.err.contains("push to `a-branch` matches none"), "{}", said.err);
}
