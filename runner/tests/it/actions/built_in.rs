//! Built-in actions: the checkout, one that is replayed after a restart, and the setting that runs an original instead.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use tidegate_protocol::{messages::Secret, status::StepStatus};
use tidegate_runner::{
    actions::builtin::{Builtin, Use},
    stage::Failure,
};

use super::{Origin, mapped, uses};
use crate::{
    steps::{Ran, Runner, with},
    support::agent::{lease, lenient, sh},
};

#[tokio::test]
async fn the_built_in_checkout_brings_files_history_and_other_repositories() {
    let app = Origin::new(&[("a.txt", "one\n")]);
    app.git(&["tag", "v1"]);
    app.git(&["branch", "side"]);
    app.commit(&[("a.txt", "two\n")]);
    let other = Origin::new(&[("tool.txt", "tool\n")]);
    let mapping = mapped("team/other", &other);
    let runner = Runner::start_with(|config| config.actions.sources = vec![mapping]).await;
    let head = app.git(&["rev-parse", "HEAD"]);
    let steps = json!([
        sh("echo old > stale.txt; mkdir -p tools/x"),
        with(uses("actions/checkout@v4", json!({})), json!({ "id": "own" })),
        sh(
            "cat a.txt; test ! -e stale.txt; git log --oneline | wc -l; git status --short; echo '${{ steps.own.outputs.commit }}'; git config --get-regexp extraheader || echo none"
        ),
        uses("actions/checkout@v4", json!({ "fetch-depth": "0", "persist-credentials": "false" })),
        sh("git log --oneline | wc -l; git tag; git branch -r"),
        uses("actions/checkout@v4", json!({ "repository": "team/other", "path": "tools/other" })),
        uses("actions/checkout@v4", json!({ "ref": "v1", "path": "old" })),
        sh("cat tools/other/tool.txt old/a.txt a.txt"),
        sh("ln -s /etc link"),
        with(uses("actions/checkout@v4", json!({ "path": "link/x" })), json!({ "continue_on_error": true })),
    ]);
    let mut leased = app.lease(steps);
    let token = "ghs_token_of_this_run";
    leased.secrets.push(Secret { name: "GITHUB_TOKEN".to_owned(), env: None, value: token.to_owned() });
    let ran = runner.run_lease(leased).await;
    ran.succeeded();
    assert!(ran.text(3).starts_with(&format!("two\n1\n{head}\nhttp.")), "{}", ran.text(3));
    assert!(ran.text(3).contains("basic ***"), "{}", ran.text(3));
    assert_eq!(ran.text(5), "2\nv1\n  origin/main\n  origin/side\n");
    assert_eq!(ran.text(8), "tool\none\ntwo\n");
    assert_eq!(ran.status(10), StepStatus::Failed);
    assert_eq!(ran.statuses().iter().filter(|(name, _)| name.starts_with("Post ")).count(), 5);
    runner.stop().await;
}

/// A built-in action that speaks, runs commands, and waits in the middle of one.
struct Probe {
    gate: std::path::PathBuf,
}

#[async_trait::async_trait]
impl Builtin for Probe {
    fn name(&self) -> &'static str {
        "test/probe"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[("word", "${{ github.repository }}"), ("fail", "false")]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        step.say(format!("begins with {}", step.input("word")));
        let script = "echo run >> \"$GATE/runs\"; echo \"found=$HIS $OWN\" >> $GITHUB_OUTPUT; echo waiting; while [ ! -e \"$GATE/go\" ]; do sleep 0.02; done; echo went";
        let env = BTreeMap::from([
            ("HIS".to_owned(), "his".to_owned()),
            ("GATE".to_owned(), self.gate.display().to_string()),
        ]);
        let finished = step.shell(script, &env).await?;
        step.hide("letmein77");
        step.warn("careful, letmein77");
        step.say("ends");
        let second = step.shell("exit 5", &BTreeMap::new()).await?;
        step.set_output("found", finished.outputs["found"].clone());
        step.set_output("code", second.exit_code.unwrap_or_default().to_string());
        step.export("PROBE", "exported");
        step.save_state("word", step.input("word").to_owned());
        match step.flag("fail")? {
            true => Err(Failure::failed("as it was asked to")),
            false => Ok(()),
        }
    }

    fn post_if(&self) -> Option<&'static str> {
        Some("always()")
    }

    async fn post(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let word = step.state("word").to_owned();
        step.say(format!("after {word}"));
        step.shell("echo $PROBE", &BTreeMap::new()).await.map(|_| ())
    }
}

#[tokio::test]
async fn a_built_in_action_is_replayed_or_begun_again() {
    let gate = tempfile::tempdir().unwrap();
    let probe: Arc<dyn Builtin> = Arc::new(Probe { gate: gate.path().to_owned() });
    let mut runner = Runner::start_with(|config| config.actions.more = vec![probe]).await;
    let wait = format!("echo waiting; while [ ! -e {}/end ]; do sleep 0.02; done", gate.path().display());
    let steps = json!([
        with(uses("test/probe@v1", json!({})), json!({ "id": "p", "env": { "OWN": "own" } })),
        sh(&format!(
            "echo '${{{{ steps.p.outputs.found }}}} ${{{{ steps.p.outputs.code }}}}' $PROBE; {wait}"
        )),
        uses("test/probe@v1", json!({ "fail": "true", "word": "two" })),
    ]);
    let attempt = runner.model.queue(lease(lenient(steps)));
    runner.model.printed(attempt, 1, "waiting").await;
    runner.kill_and_restart().await;
    std::fs::write(gate.path().join("go"), "").unwrap();
    runner.model.printed(attempt, 2, "waiting").await;
    runner.kill_and_restart().await;
    std::fs::write(gate.path().join("end"), "").unwrap();
    let finish = runner.model.finished(attempt).await;
    let ran = Ran { finish, known: runner.model.attempt(attempt).unwrap() };
    assert_eq!(
        ran.finish.reason.as_deref(),
        Some("step `test/probe@v1`: as it was asked to"),
        "{}",
        ran.all()
    );
    assert_eq!(
        ran.text(1),
        "begins with team/app\nwaiting\nwent\n\u{1b}[33mWarning: careful, ***\u{1b}[0m\nends\n"
    );
    assert_eq!(ran.text(2), "his own 5 exported\nwaiting\n");
    assert_eq!(
        (ran.text(4).as_str(), ran.text(5).as_str()),
        ("after two\nexported\n", "after team/app\nexported\n")
    );
    assert_eq!(
        std::fs::read_to_string(gate.path().join("runs")).unwrap(),
        "run\nrun\n",
        "each command ran once"
    );
    assert_eq!(ran.annotations().warnings, 2);
    runner.stop().await;
}

#[tokio::test]
async fn a_setting_runs_the_original_of_a_built_in_action() {
    let original = Origin::new(&[(
        "action.yml",
        "runs: {using: composite, steps: [{run: 'echo the original', shell: sh}]}",
    )]);
    let app = Origin::new(&[("a.txt", "one\n")]);
    let mapping = mapped("docker/metadata-action", &original);
    let runner = Runner::start_with(|config| {
        config.actions.sources = vec![mapping];
        config.actions.originals = vec!["Docker/Metadata-Action".to_owned()];
    })
    .await;
    let steps = json!([
        uses("docker/metadata-action@main", json!({})),
        uses("docker/setup-qemu-action@v3", json!({})),
    ]);
    let ran = runner.run_lease(app.lease(steps)).await;
    ran.succeeded();
    assert_eq!(ran.text(1), "the original\n");
    assert!(ran.text(2).contains("no other processor is emulated"), "{}", ran.text(2));
    runner.stop().await;
}
