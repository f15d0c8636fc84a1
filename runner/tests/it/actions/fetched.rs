//! Actions of other repositories: fetched, held to their commits, and kept in their place.

use std::process::Command;

use serde_json::json;
use tidegate_protocol::status::StepStatus;
use tidegate_runner::actions::SourceMapping;

use super::{Origin, files, mapped, uses};
use crate::{
    steps::{Runner, with},
    support::agent::sh,
};

const NODE: &str = "
inputs: {word: {default: none}}
runs: {using: node20, main: dist/main.js, pre: pre.js, post: post.js}
";
const NODE_FILES: [(&str, &str); 4] = [
    ("action.yml", NODE),
    ("pre.js", "echo \"pre $INPUT_WORD\"; echo before=1 >> $GITHUB_STATE"),
    (
        "dist/main.js",
        "echo \"main $INPUT_WORD $STATE_before $GITHUB_ACTION $(basename $GITHUB_ACTION_PATH | wc -c)\"; echo word=$INPUT_WORD >> $GITHUB_STATE; echo said=$INPUT_WORD >> $GITHUB_OUTPUT",
    ),
    ("post.js", "echo \"post $INPUT_WORD $STATE_word $STATE_before ${STATE_other}.\""),
];

#[tokio::test]
async fn a_javascript_action_is_fetched_and_runs_before_in_and_after_its_step() {
    let action = Origin::new(&NODE_FILES);
    let sha = action.git(&["rev-parse", "HEAD"]);
    action.git(&["tag", "v1"]);
    let runner =
        Runner::start_with(|config| config.actions.sources = vec![mapped("team/tool", &action)]).await;
    let path = format!("{}/bin", runner.data.path().display());
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(format!("{path}/node"), "#!/bin/sh\nexec /bin/sh \"$@\"\n").unwrap();
    Command::new("chmod").args(["+x", &format!("{path}/node")]).status().unwrap();
    let steps = json!([
        with(uses("team/tool@v1", json!({ "word": "one" })), json!({ "id": "one" })),
        with(uses("Team/Tool@main", json!({ "word": "${{ steps.one.outputs.said }}-two" })), json!({})),
        with(uses(&format!("team/tool@{sha}"), json!({})), json!({ "condition": "false" })),
        with(sh("exit 9"), json!({ "name": "bad" })),
    ]);
    let app = Origin::new(&[("a.txt", "one\n")]);
    let mut leased = app.lease(steps);
    leased.env.insert("PATH".to_owned(), format!("{path}:{}", std::env::var("PATH").unwrap()));
    let ran = runner.run_lease(leased).await;
    let (s, k, f) = (StepStatus::Succeeded, StepStatus::Skipped, StepStatus::Failed);
    let named = |name: &str, status| (name.to_owned(), status);
    let pinned = format!("team/tool@{sha}");
    assert_eq!(
        ran.statuses(),
        [
            named("Pre team/tool@v1", s),
            named("Pre Team/Tool@main", s),
            named(&format!("Pre {pinned}"), s),
            named("team/tool@v1", s),
            named("Team/Tool@main", s),
            named(&pinned, k),
            named("bad", f),
            named("Post Team/Tool@main", s),
            named("Post team/tool@v1", s),
        ],
        "{}",
        ran.all()
    );
    assert_eq!(ran.text(1), "pre one\n");
    assert_eq!(ran.text(4), "main one 1 one 41\n");
    assert_eq!(ran.text(5), "main one-two 1 __Team_Tool 41\n");
    assert_eq!(ran.text(8), "post one-two one-two 1 .\n");
    assert_eq!(ran.text(9), "post one one 1 .\n");
    assert!(
        ran.known.text(0).contains(&format!("action team/tool@v1 is commit {sha}")),
        "{}",
        ran.known.text(0)
    );
    runner.stop().await;
}

#[tokio::test]
async fn a_lock_file_holds_actions_to_their_commits() {
    let action =
        Origin::new(&[("action.yml", "runs: {using: composite, steps: [{run: echo ran, shell: sh}]}")]);
    let first = action.git(&["rev-parse", "HEAD"]);
    let mapping = mapped("team/tool", &action);
    let runner = Runner::start_with(|config| config.actions.sources = vec![mapping]).await;
    let app = Origin::new(&[(".github/tidegate-actions.lock", &format!("team/tool@main {first}\n"))]);
    let steps = json!([uses("team/tool@main", json!({}))]);
    let ran = runner.run_lease(app.lease(steps.clone())).await;
    ran.succeeded();
    let second = action.commit(&[("more", "x")]);
    let ran = runner.run_lease(app.lease(steps)).await;
    let reason = ran.finish.reason.clone().unwrap();
    assert!(reason.contains(&first) && reason.contains(&second), "{reason}");
    let ran = runner.run_lease(app.lease(json!([uses(&format!("team/tool@{first}"), json!({}))]))).await;
    assert!(ran.finish.reason.clone().unwrap().contains("tidegate lock"), "{:?}", ran.finish.reason);
    runner.stop().await;
}

#[tokio::test]
async fn an_action_that_cannot_be_had_fails_its_step_alone() {
    let runner = Runner::start_with(|config| {
        config.actions.sources =
            vec![SourceMapping { from: "https://github.com/".to_owned(), to: "file:///nowhere/".to_owned() }];
    })
    .await;
    let steps = json!([
        with(uses("team/gone@v1", json!({})), json!({ "condition": "false" })),
        with(uses("team/gone@v1", json!({})), json!({ "continue_on_error": true })),
        sh("echo goes on"),
        uses("not an action", json!({})),
    ]);
    let app = Origin::new(&[("a.txt", "one\n")]);
    let ran = runner.run_lease(app.lease(steps)).await;
    assert!(ran.text(2).contains("cannot fetch v1 of team/gone"), "{}", ran.text(2));
    assert_eq!(ran.text(3), "goes on\n");
    assert!(ran.finish.reason.as_deref().unwrap().contains("is no action"));
    runner.stop().await;
}

/// A step that puts links where the runner writes: nothing of what follows may reach outside.
#[tokio::test]
async fn links_in_the_way_lead_nowhere() {
    let action =
        Origin::new(&[("action.yml", "runs: {using: composite, steps: [{run: echo ran, shell: sh}]}")]);
    std::os::unix::fs::symlink("/etc", action.folder.path().join("out")).unwrap();
    action.commit(&[]);
    let mapping = mapped("team/tool", &action);
    let outside = tempfile::tempdir().unwrap();
    let runner = Runner::start_with(|config| config.actions.sources = vec![mapping]).await;
    let app = Origin::new(&[("a.txt", "one\n")]);
    let late = "runs: {using: composite, steps: [{uses: team/tool@main}]}";
    let out = outside.path().display();
    let steps = json!([
        files(&[("late/action.yml", late)]),
        sh(&format!(
            "cd \"$RUNNER_TEMP/..\"; rm -rf actions event.json; ln -s {out} actions; ln -s {out}/event event.json; ln -s {out} home"
        )),
        with(uses("./late", json!({})), json!({ "continue_on_error": true })),
        with(uses("team/tool/out@main", json!({})), json!({ "continue_on_error": true })),
    ]);
    let ran = runner.run_lease(app.lease(steps)).await;
    assert_eq!((ran.status(3), ran.status(4)), (StepStatus::Failed, StepStatus::Failed), "{}", ran.all());
    assert!(ran.text(3).contains("cannot be put into its place"), "{}", ran.text(3));
    assert!(ran.text(4).contains("there is no action.yml"), "{}", ran.text(4));
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    runner.stop().await;
}

/// `$/path` is of the repository that the file lies in, at that file's commit, whatever the workspace holds.
#[tokio::test]
async fn a_repository_names_its_own_actions() {
    let tool = Origin::new(&[
        ("outer/action.yml", "runs: {using: composite, steps: [{uses: $/inner}, {uses: ./mine}]}"),
        ("inner/action.yml", "runs: {using: composite, steps: [{run: echo inner of the tool, shell: sh}]}"),
    ]);
    tool.git(&["tag", "v1"]);
    let app = Origin::new(&[
        (
            "ci/greet/action.yml",
            "inputs: {who: {default: nobody}}\nruns: {using: composite, steps: [{uses: $/inner}, {run: 'echo hello \
             ${{ inputs.who }} $(basename $GITHUB_ACTION_PATH)', shell: sh}]}",
        ),
        ("inner/action.yml", "runs: {using: composite, steps: [{run: echo inner of the app, shell: sh}]}"),
    ]);
    let runner = Runner::start_with(|config| config.actions.sources = vec![mapped("team/tool", &tool)]).await;
    let leased = app.lease(json!([
        uses("$/ci/greet", json!({ "who": "you" })),
        files(&[("mine/action.yml", "runs: {using: composite, steps: [{uses: $/inner}]}")]),
        uses("team/tool/outer@v1", json!({})),
        uses("$/nowhere", json!({})),
    ]));
    // What came later is not what runs.
    app.commit(&[("inner/action.yml", "runs: {using: composite, steps: [{run: echo later, shell: sh}]}")]);
    let ran = runner.run_lease(leased).await;
    assert_eq!(ran.text(1), "inner of the app\nhello you greet\n", "{}", ran.all());
    assert_eq!(ran.text(3), "inner of the tool\ninner of the app\n", "{}", ran.all());
    assert_eq!(ran.status(4), StepStatus::Failed);
    assert!(ran.finish.reason.as_deref().unwrap().contains("no action.yml"), "{:?}", ran.finish.reason);
    runner.stop().await;
}
