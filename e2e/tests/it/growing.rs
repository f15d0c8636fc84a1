//! Runs that grow while they go on: matrices that earlier stages tell, in both languages, and stages that add stages.

use std::time::Duration;

use serde_json::Value;
use tidegate_e2e::{
    api::{Api, describe, stage},
    engine::IMAGE,
    stack::Stack,
};

const LIMIT: Duration = Duration::from_secs(180);

const WORKFLOW: &str = r#"
on: {push: {branches: [main]}}
defaults: {run: {shell: sh}}
jobs:
  plan:
    runs-on: ubuntu-latest
    outputs: {matrix: "${{ steps.tell.outputs.matrix }}"}
    steps:
      - uses: actions/checkout@v4
      - id: tell
        run: echo "matrix=$(cat matrix.json)" >> "$GITHUB_OUTPUT"
  build:
    needs: plan
    runs-on: ${{ matrix.os }}
    outputs: {built: "${{ steps.b.outputs.built }}"}
    strategy:
      max-parallel: 1
      matrix: ${{ fromJSON(needs.plan.outputs.matrix) }}
    steps:
      - id: b
        run: echo "built=${{ matrix.part }} of ${{ strategy.job-total }}" >> "$GITHUB_OUTPUT"
  report:
    needs: [plan, build]
    runs-on: ubuntu-latest
    steps:
      - name: say
        run: echo "${{ needs.build.result }}, the last was ${{ needs.build.outputs.built }}"
"#;

fn native() -> String {
    format!(
        r#"
on: {{push: {{branches: [main]}}}}
defaults: {{image: {IMAGE}}}
stages:
  list: {{run: 'echo "parts=$(cat parts.json)" >> "$TIDEGATE_OUTPUT"'}}
  pack:
    needs: [list]
    matrix: "${{{{ fromJSON(stages.list.outputs.parts) }}}}"
    env: {{PART: "${{{{ matrix.value }}}}"}}
    run: mkdir out && echo "packed $PART" > "out/$PART"
    artifacts: [{{name: out, paths: [out]}}]
  join:
    needs: [pack]
    fetch: [pack.out]
    run: [{{name: say, run: cat out/*}}]
  plan:
    emits: out/stages.yml
    run: mkdir out && cp stages.yml out/ && echo word=hello >> "$TIDEGATE_OUTPUT"
"#
    )
}

fn added(stage: &str) -> String {
    format!(
        r#"
defaults: {{image: {IMAGE}}}
stages:
  first: {{env: {{WORD: "${{{{ stages.plan.outputs.word }}}}"}}, run: [{{name: say, run: 'echo "$WORD from an added stage"'}}]}}
  {stage}
"#
    )
}

/// The log of the step `say` of a stage.
async fn said(api: &Api, run: &Value, key: &str) -> String {
    let attempt = &stage(run, key).unwrap()["attempts"][0];
    let step = attempt["steps"].as_array().unwrap().iter().find(|step| step["name"] == "say").unwrap();
    let log = api.log(attempt["id"].as_str().unwrap(), step["index"].as_u64().unwrap()).await.unwrap();
    String::from_utf8(log).unwrap()
}

fn statuses(run: &Value) -> Vec<String> {
    let stages = run["stages"].as_array().unwrap().iter();
    stages
        .map(|stage| format!("{} {}", stage["key"].as_str().unwrap(), stage["status"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn runs_grow_by_what_their_stages_tell_and_add() {
    let stack = Stack::start().await.unwrap();
    let api = &stack.admin;
    let ends = ["failed", "succeeded", "invalid"];

    let project = stack.project("told").await.unwrap();
    let matrix = r#"{"os": ["ubuntu-latest"], "part": ["x", "y"]}"#;
    let push =
        project.push(&[(".github/workflows/ci.yml", WORKFLOW), ("matrix.json", matrix)]).await.unwrap();
    let id = api.run_of(&push.after).await.unwrap();
    let run = api.run_until(&id, &ends, LIMIT).await.unwrap();
    let expected = [
        "plan succeeded",
        "build (ubuntu-latest, x) succeeded",
        "build (ubuntu-latest, y) succeeded",
        "report succeeded",
    ];
    assert_eq!(statuses(&run), expected, "{}", describe(&run));
    assert!(said(api, &run, "report").await.contains("success, the last was y of 2"));

    let project = stack.project("grown").await.unwrap();
    let good = added("second: {needs: [first], run: 'true'}");
    let pipeline = native();
    let files = [("parts.json", r#"["a", "b"]"#), ("stages.yml", good.as_str())];
    let id = project.run(api, &pipeline, &files).await.unwrap();
    let run = api.run_until(&id, &ends, LIMIT).await.unwrap();
    let expected = [
        "list succeeded",
        "pack (value=a) succeeded",
        "pack (value=b) succeeded",
        "join succeeded",
        "plan succeeded",
        "plan / first succeeded",
        "plan / second succeeded",
    ];
    assert_eq!(statuses(&run), expected, "{}", describe(&run));
    let joined = said(api, &run, "join").await;
    assert!(joined.contains("packed a\npacked b\n"), "{joined}");
    assert!(said(api, &run, "plan / first").await.contains("hello from an added stage"));

    // A file that asks for more than it may have fails the stage that wrote it, and nothing is added.
    let bad = added("second: {secrets: [ROOT], run: 'true'}");
    let files = [("parts.json", "[]"), ("stages.yml", bad.as_str())];
    let id = project.run(api, &pipeline, &files).await.unwrap();
    let run = api.run_until(&id, &ends, LIMIT).await.unwrap();
    let expected = ["list succeeded", "pack skipped", "join skipped", "plan failed"];
    assert_eq!(statuses(&run), expected, "{}", describe(&run));
    let plan = stage(&run, "plan").unwrap();
    assert!(
        plan["reason"].as_str().unwrap().contains("an added stage may not have the secret `ROOT`"),
        "{plan}"
    );
    let report = &plan["reports"][0];
    assert_eq!(report["path"], "out/stages.yml", "{report}");
    assert_eq!(report["summary"]["items"][0]["title"], "TG0707", "{report}");
}
