//! Steps of stages that fill in their templates themselves, on the scripted engine: what they hand on, when they run,
//! what they say, and all of it again after a restart of the runner.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use tidegate_pipelines::plan::StagePlan;
use tidegate_protocol::{
    ids::AttemptId,
    messages::{Annotations, Finish, Lease, Outcome, Secret},
    status::StepStatus,
};

use crate::support::{
    agent::{Agent, lease, lenient, sh, stage},
    fake::Fake,
    server::{Attempt, Model},
    until,
};

/// An agent on the scripted engine with a server of its own.
pub struct Runner {
    pub model: Arc<Model>,
    pub engine: Arc<Fake>,
    pub data: tempfile::TempDir,
    agent: Option<Agent>,
    actions: tidegate_runner::actions::ActionSettings,
}

impl Runner {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut tidegate_runner::RunnerConfig)) -> Self {
        let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
        let mut config = crate::support::agent::config(&model, data.path());
        change(&mut config);
        let actions = config.actions.clone();
        let agent = Some(Agent::start_with(config, engine.clone()));
        Self { model, engine, data, agent, actions }
    }

    pub async fn run(&self, stage: StagePlan) -> Ran {
        self.run_lease(lease(stage)).await
    }

    pub async fn run_lease(&self, lease: Lease) -> Ran {
        let attempt = self.model.queue(lease);
        let finish = self.model.finished(attempt).await;
        Ran { finish, known: self.model.attempt(attempt).unwrap() }
    }

    /// SIGKILL, and a new process on the same folder.
    pub async fn kill_and_restart(&mut self) {
        self.agent.take().unwrap().kill().await;
        let mut config = crate::support::agent::config(&self.model, self.data.path());
        config.actions = self.actions.clone();
        self.agent = Some(Agent::start_with(config, self.engine.clone()));
    }

    pub async fn stop(mut self) {
        self.agent.take().unwrap().stop().await.unwrap();
    }
}

/// What became of a stage.
pub struct Ran {
    pub finish: Finish,
    pub known: Attempt,
}

impl Ran {
    /// A step's log without the heads that say what is run.
    pub fn text(&self, step: u32) -> String {
        without_heads(&self.known.text(step))
    }

    pub fn status(&self, step: u32) -> StepStatus {
        self.known.steps.iter().rfind(|report| report.index == step).unwrap().status
    }

    pub fn name(&self, step: u32) -> &str {
        &self.known.steps.iter().rfind(|report| report.index == step).unwrap().name
    }

    pub fn statuses(&self) -> Vec<(String, StepStatus)> {
        let last = self.known.steps.iter().map(|report| report.index).max().unwrap();
        (1..=last).map(|step| (self.name(step).to_owned(), self.status(step))).collect()
    }

    #[track_caller]
    pub fn succeeded(&self) -> &Self {
        assert_eq!(self.finish.outcome, Outcome::Succeeded, "{:?}\n{}", self.finish.reason, self.all());
        self
    }

    pub fn all(&self) -> String {
        let steps = self.known.log.keys();
        steps.map(|step| format!("--- {step}\n{}", self.known.text(*step))).collect()
    }

    pub fn annotations(&self) -> Annotations {
        self.known
            .blobs
            .get("annotations")
            .map(|bytes| serde_json::from_slice(bytes).unwrap())
            .unwrap_or_default()
    }
}

fn without_heads(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            line if line.starts_with("##[group]Run ") => inside = true,
            "##[endgroup]" if inside => inside = false,
            _ if inside => {}
            _ => out.push_str(line),
        }
    }
    out
}

/// The step with more keys.
pub fn with(mut step: Value, more: Value) -> Value {
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

#[tokio::test]
async fn a_step_hands_on_outputs_environment_paths_and_a_summary() {
    let runner = Runner::start().await;
    let mut stage = lenient(json!([
        with(
            sh("echo 'word=a b' >> $GITHUB_OUTPUT
printf 'lines<<END\\none\\ntwo\\nEND\\n' >> \"$GITHUB_OUTPUT\"
echo STAGE=changed >> $GITHUB_ENV
echo FRESH=new >> $GITHUB_ENV
mkdir -p bin; printf '#!/bin/sh\\necho own tool' > bin/own-tool; chmod +x bin/own-tool
echo $PWD/bin >> $GITHUB_PATH
echo '# Well' >> $GITHUB_STEP_SUMMARY
echo \"::set-output name=old::way\""),
            json!({ "id": "one" })
        ),
        with(
            sh("echo '${{ steps.one.outputs.word }} ${{ steps.one.outputs.old }}' \"$STAGE $FRESH\"; own-tool
echo '${{ steps.one.outcome }} ${{ env.FRESH }} ${{ env.OWN }} ${{ job.status }}'; echo \"$OWN\""),
            json!({ "env": { "OWN": "${{ steps.one.outputs.word }}!", "FRESH": "own" }, "name": "Say ${{ steps.one.outputs.word }}" })
        ),
        sh("echo \"$FRESH\"; test -z \"$OWN\"; cat \"$GITHUB_EVENT_PATH\"; echo; test -d \"$RUNNER_TEMP\"; echo \"$GITHUB_REPOSITORY $CI\""),
    ]));
    stage.env.insert("STAGE".to_owned(), "${{ github.repository }}".into());
    stage.outputs.insert("said".to_owned(), "${{ steps.one.outputs.lines }}".into());
    let mut leased = lease(stage);
    leased.contexts.insert("github".to_owned(), json!({ "event": { "number": 7 } }));
    let ran = runner.run_lease(leased).await;
    ran.succeeded();
    assert_eq!(ran.text(1), "");
    assert_eq!(ran.text(2), "a b way changed own\nown tool\nsuccess own a b! success\na b!\n");
    assert_eq!(ran.text(3), "new\n{\"number\":7}\nteam/app true\n");
    assert_eq!(ran.name(2), "Say a b");
    assert_eq!(ran.finish.outputs, BTreeMap::from([("said".to_owned(), "one\ntwo".to_owned())]));
    assert_eq!(ran.annotations().summaries[0].text, "# Well\n");
    runner.stop().await;
}

#[tokio::test]
async fn conditions_decide_by_what_came_before() {
    let runner = Runner::start().await;
    let stage = lenient(json!([
        with(sh("exit 3"), json!({ "id": "excused", "continue_on_error": true })),
        with(sh("echo '${{ steps.excused.outcome }} ${{ steps.excused.conclusion }}'"), json!({})),
        with(sh("exit 4"), json!({ "id": "bad", "may_fail": "${{ github.repository == 'x' }}" })),
        with(sh("echo never"), json!({})),
        with(sh("echo never"), json!({ "condition": "steps.bad.outcome == 'failure'" })),
        with(
            sh("echo '${{ job.status }}'"),
            json!({ "condition": "failure() && steps.bad.outcome == 'failure'" })
        ),
        with(sh("echo never"), json!({ "condition": "success() || cancelled()" })),
        with(sh("echo always"), json!({ "condition": "${{ always() }}" })),
        with(sh("echo never"), json!({ "condition": "nonsense(" })),
    ]));
    let ran = runner.run(stage).await;
    assert_eq!(ran.finish.outcome, Outcome::Failed);
    assert_eq!(
        (ran.finish.reason.as_deref(), ran.finish.exit_code),
        (Some("step `exit 4` ended with exit code 4"), Some(4))
    );
    let (f, k, s) = (StepStatus::Failed, StepStatus::Skipped, StepStatus::Succeeded);
    let statuses: Vec<StepStatus> = (1..=9).map(|step| ran.status(step)).collect();
    assert_eq!(statuses, [f, s, f, k, k, s, k, s, f]);
    assert_eq!(ran.text(2), "failure success\n");
    assert_eq!(ran.text(6), "failure\n");
    assert!(ran.text(9).contains("nonsense("), "{}", ran.text(9));
    runner.stop().await;
}

#[tokio::test]
async fn after_a_cancel_only_what_asks_for_it_runs() {
    let runner = Runner::start().await;
    let stage = lenient(json!([
        sh("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"),
        with(sh("echo never"), json!({ "condition": "failure()" })),
        with(sh("echo '${{ job.status }}'"), json!({ "condition": "cancelled()" })),
        with(sh("echo always"), json!({ "condition": "always()" })),
    ]));
    let mut leased = lease(stage);
    leased.expires_in_ms = 3_000;
    let attempt = runner.model.queue(leased);
    runner.model.printed(attempt, 1, "up").await;
    runner.model.cancel(attempt);
    let finish = runner.model.finished(attempt).await;
    let ran = Ran { finish, known: runner.model.attempt(attempt).unwrap() };
    assert_eq!(ran.finish.outcome, Outcome::Cancelled);
    assert_eq!(
        (ran.text(2), ran.text(3), ran.text(4)),
        (String::new(), "cancelled\n".into(), "always\n".into())
    );
    runner.stop().await;
}

#[tokio::test]
async fn a_native_stage_has_conditions_too_and_its_log_can_set_nothing() {
    let runner = Runner::start().await;
    let mut stage = stage(&[
        "echo '::set-output name=a::1'; echo '::add-mask::hunter22'; echo hunter22; echo b=2 >> $TIDEGATE_OUTPUT; test -z \"$GITHUB_OUTPUT\"",
        "exit 1",
        "echo ${{ not.filled.in }}",
        "echo never",
    ]);
    let tidegate_pipelines::plan::Verb::Run(run) = &mut stage.verb else { panic!() };
    run.steps[0].id = Some("one".to_owned());
    run.steps[2].condition = Some("failure() && steps.one.outputs.b == '2'".to_owned());
    run.steps[3].condition = Some("success()".to_owned());
    run.steps[2].does =
        serde_json::from_value(json!({ "run": { "script": "echo '${{ as it is }}'", "shell": ["sh"] } }))
            .unwrap();
    let ran = runner.run(stage).await;
    assert_eq!(ran.finish.reason.as_deref(), Some("step `step 2` ended with exit code 1"));
    assert_eq!(ran.known.text(1), "::set-output name=a::1\n::add-mask::hunter22\nhunter22\n");
    assert_eq!(ran.known.text(3), "${{ as it is }}\n");
    assert_eq!(ran.status(4), StepStatus::Skipped);
    assert_eq!(ran.finish.outputs, BTreeMap::from([("b".to_owned(), "2".to_owned())]));
    runner.stop().await;
}

#[tokio::test]
async fn what_a_step_says_is_hidden_noted_and_obeyed() {
    let runner = Runner::start().await;
    let mut stage = lenient(json!([
        sh("echo 'before letmein77'; echo '::add-mask::letmein77'; printf 'after letme'; echo in77
echo '::group::Build'; echo inside; echo '::endgroup::'
echo '::error file=src/a.rs,line=7,col=3::wrong letmein77'
echo '::warning::careful'; echo '::debug::not shown'
echo '::stop-commands::t0k3n'; echo '::error::as it is'; echo '::t0k3n::'"),
        sh("echo letmein77; echo '${{ secrets.WORD }}'"),
        with(sh("echo '::set-env name=X::1'"), json!({ "continue_on_error": true })),
        with(
            sh("echo NODE_OPTIONS=--x >> $GITHUB_ENV; echo \"secret=${{ secrets.WORD }}\" >> $GITHUB_OUTPUT"),
            json!({ "id": "leak" })
        ),
        sh("echo \"<$NODE_OPTIONS>\""),
    ]));
    stage.outputs.insert("leak".to_owned(), "${{ steps.leak.outputs.secret }}".into());
    stage.outputs.insert("fine".to_owned(), "yes".into());
    let mut leased = lease(stage);
    leased.secrets.push(Secret { name: "WORD".to_owned(), env: None, value: "correct horse".to_owned() });
    let ran = runner.run_lease(leased).await;
    ran.succeeded();
    assert_eq!(
        ran.text(1),
        "before letmein77\nafter ***\n##[group]Build\ninside\n##[endgroup]\n\
         \u{1b}[31mError: src/a.rs:7:3: wrong ***\u{1b}[0m\n\u{1b}[33mWarning: careful\u{1b}[0m\n::error::as it is\n"
    );
    assert_eq!(ran.text(2), "***\n***\n");
    assert_eq!(ran.status(3), StepStatus::Failed);
    assert!(ran.text(3).contains("GITHUB_ENV"), "{}", ran.text(3));
    assert_eq!(ran.text(5), "<>\n");
    assert_eq!(ran.finish.outputs, BTreeMap::from([("fine".to_owned(), "yes".to_owned())]));
    let annotations = ran.annotations();
    assert_eq!((annotations.errors, annotations.warnings), (3, 2));
    let first = &annotations.annotations[0];
    assert_eq!(
        (first.step, first.file.as_deref(), first.line, first.message.as_str()),
        (1, Some("src/a.rs"), Some(7), "wrong ***")
    );
    assert!(annotations.annotations.iter().any(|note| note.message.contains("`leak` is left out")));
    runner.stop().await;
}

#[tokio::test]
async fn shells_folders_and_times() {
    let runner = Runner::start().await;
    let stage = lenient(json!([
        { "run": { "script": "echo $0; false; echo never" }, "continue_on_error": true },
        { "run": { "script": "mkdir -p a/b", "shell": ["sh", "-e", "{0}"] } },
        { "run": { "script": "pwd; exit 0", "shell": ["sh", "-e", "{0}"], "working_directory": "a/${{ 'b' }}" } },
        { "run": { "script": "sleep 300", "shell": ["sh", "-e", "{0}"] }, "timeout_minutes": "${{ 0.02 }}", "id": "slow", "may_fail": "${{ true }}" },
        { "run": { "script": "echo '${{ steps.slow.outcome }} ${{ hashFiles('a.txt', 'b.txt') }}'", "shell": ["sh"] } },
    ]));
    let ran = runner.run(stage).await;
    ran.succeeded();
    assert!(ran.known.text(1).contains("shell: bash -e {0}\n"), "{}", ran.known.text(1));
    assert!(!ran.text(1).contains("never"));
    assert!(ran.text(3).trim_end().ends_with("/workspace/a/b"), "{}", ran.text(3));
    assert!(ran.text(4).contains("took longer than 1.2 s"), "{}", ran.text(4));
    assert_eq!(ran.text(5), "failure \n");
    runner.stop().await;
}

/// Everything that a restart must not change: outputs, masks, hashes of files that are other ones by then, conditions.
fn long_stage(gate: &std::path::Path) -> StagePlan {
    let wait = |number: u32| {
        format!("echo waiting {number}; while [ ! -e {}/{number} ]; do sleep 0.02; done", gate.display())
    };
    let mut stage = lenient(json!([
        with(
            sh(&format!(
                "echo run >> {}/runs; echo word=one >> $GITHUB_OUTPUT; echo FRESH=new >> $GITHUB_ENV; echo '::add-mask::letmein77'; echo x > a.lock",
                gate.display()
            )),
            json!({ "id": "one" })
        ),
        with(
            sh(&format!(
                "echo letmein77 ${{{{ steps.one.outputs.word }}}} ${{{{ hashFiles('a.lock') }}}} $FRESH; {}; echo after 2",
                wait(1)
            )),
            json!({ "name": "Hash ${{ hashFiles('a.lock') }}", "condition": "hashFiles('a.lock') != ''" })
        ),
        with(
            sh("echo y > a.lock; rm -f b.lock; echo '::warning::third'; exit 3"),
            json!({ "continue_on_error": true, "id": "three" })
        ),
        sh(&format!(
            "echo ${{{{ steps.three.outcome }}}} ${{{{ env.FRESH }}}} ${{{{ hashFiles('a.lock') }}}}; {}; echo letmein77 done",
            wait(2)
        )),
    ]));
    stage.outputs.insert("word".to_owned(), "${{ steps.one.outputs.word }}".into());
    stage
}

async fn finished(runner: &Runner, attempt: AttemptId) -> Ran {
    let finish = runner.model.finished(attempt).await;
    Ran { finish, known: runner.model.attempt(attempt).unwrap() }
}

#[tokio::test]
async fn a_restart_in_mid_stage_changes_nothing() {
    let go = |gate: &tempfile::TempDir, number: u32| {
        std::fs::write(gate.path().join(number.to_string()), "").unwrap()
    };
    // Undisturbed.
    let gate = tempfile::tempdir().unwrap();
    go(&gate, 1);
    go(&gate, 2);
    let quiet = Runner::start().await;
    let expected = quiet.run(long_stage(gate.path())).await;
    expected.succeeded();
    quiet.stop().await;
    // Killed while the second step waits, and again while the fourth does.
    let gate = tempfile::tempdir().unwrap();
    let mut runner = Runner::start().await;
    let attempt = runner.model.queue(lease(long_stage(gate.path())));
    runner.model.printed(attempt, 2, "waiting 1").await;
    runner.kill_and_restart().await;
    go(&gate, 1);
    runner.model.printed(attempt, 4, "waiting 2").await;
    runner.kill_and_restart().await;
    go(&gate, 2);
    let ran = finished(&runner, attempt).await;
    ran.succeeded();
    for step in 1..=4 {
        assert_eq!(ran.text(step), expected.text(step), "step {step}");
        assert_eq!(ran.status(step), expected.status(step), "step {step}");
    }
    assert_eq!(ran.name(2), expected.name(2));
    assert_eq!(ran.finish, expected.finish);
    assert_eq!(ran.annotations(), expected.annotations());
    assert_eq!(
        std::fs::read_to_string(gate.path().join("runs")).unwrap(),
        "run\n",
        "the first step ran once"
    );
    runner.stop().await;
}

/// A step in the background goes on while there is no runner, and is never run twice.
#[tokio::test]
async fn a_restart_among_steps_in_the_background_changes_nothing() {
    let gate = tempfile::tempdir().unwrap();
    let wait = |number: u32| {
        format!(
            "echo waiting {number}; while [ ! -e {}/{number} ]; do sleep 0.02; done",
            gate.path().display()
        )
    };
    let go = |number: u32| std::fs::write(gate.path().join(number.to_string()), "").unwrap();
    let behind = json!({ "background": true });
    let stage = lenient(json!([
        with(
            sh(&format!("echo run >> {}/runs; {}; echo word=behind >> $GITHUB_OUTPUT; echo ended", gate.path().display(), wait(1))),
            with(behind.clone(), json!({ "id": "slow" })),
        ),
        with(sh("echo '::warning::quick'; echo of=quick >> $GITHUB_ENV"), with(behind, json!({ "id": "quick" }))),
        sh(&format!("{}; echo before $of", wait(2))),
        { "name": "all", "wait": {} },
        sh("echo ${{ steps.slow.outputs.word }} $of"),
    ]));
    let mut runner = Runner::start().await;
    let attempt = runner.model.queue(lease(stage));
    runner.model.printed(attempt, 1, "waiting 1").await;
    runner.model.printed(attempt, 3, "waiting 2").await;
    runner.kill_and_restart().await;
    go(2);
    // While it is waited for.
    runner.model.printed(attempt, 3, "before").await;
    runner.kill_and_restart().await;
    go(1);
    let ran = finished(&runner, attempt).await;
    ran.succeeded();
    assert_eq!(ran.text(1), "waiting 1\nended\n");
    assert_eq!(ran.text(3), "waiting 2\nbefore\n");
    assert_eq!(ran.text(4), "slow: success\nquick: success\n");
    assert_eq!(ran.text(5), "behind quick\n");
    assert_eq!(ran.annotations().warnings, 1);
    assert_eq!(std::fs::read_to_string(gate.path().join("runs")).unwrap(), "run\n", "it ran once");
    runner.stop().await;
}

/// A cancel of the stage stops what is in the background too.
#[tokio::test]
async fn a_cancel_reaches_the_background() {
    let runner = Runner::start().await;
    let stage = lenient(json!([
        with(
            sh("trap 'echo stopped; exit 1' TERM; echo up; while :; do sleep 0.02; done"),
            json!({ "background": true, "id": "a" })
        ),
        sh("echo front; while :; do sleep 0.02; done"),
    ]));
    let attempt = runner.model.queue(lease(stage));
    runner.model.printed(attempt, 1, "up").await;
    runner.model.printed(attempt, 2, "front").await;
    runner.model.cancel(attempt);
    let ran = finished(&runner, attempt).await;
    assert_eq!(ran.finish.outcome, Outcome::Cancelled);
    assert!(ran.text(1).contains("stopped"), "{}", ran.text(1));
    assert_eq!([ran.status(1), ran.status(2)], [StepStatus::Cancelled, StepStatus::Cancelled]);
    runner.stop().await;
}

#[tokio::test]
async fn problem_matchers_find_errors_in_ordinary_output() {
    let runner = Runner::start().await;
    let matcher = json!({ "problemMatcher": [{ "owner": "cc", "severity": "warning", "pattern": [
        { "regexp": "^([^:]+):(\\d+):(\\d+): (.+)$", "file": 1, "line": 2, "column": 3, "message": 4 }] }] });
    let stage = lenient(json!([
        sh(&format!(
            "cat > m.json <<'X'\n{matcher}\nX\necho 'a.c:1:1: too early'; echo '::add-matcher::m.json'; echo 'a.c:2:3: odd'"
        )),
        sh("printf 'b.c:4:5: str'; echo ange; echo '::remove-matcher owner=cc::'; echo 'b.c:6:7: too late'"),
    ]));
    let ran = runner.run(stage).await;
    ran.succeeded();
    let found: Vec<_> = ran.annotations().annotations;
    let found: Vec<_> =
        found.iter().map(|note| (note.step, note.file.as_deref().unwrap(), note.message.as_str())).collect();
    assert_eq!(found, [(1, "a.c", "odd"), (2, "b.c", "strange")]);
    assert_eq!(ran.text(2), "b.c:4:5: strange\nb.c:6:7: too late\n");
    runner.stop().await;
}

#[tokio::test]
async fn a_flood_of_lines_passes_whole() {
    let runner = Runner::start().await;
    let stage = lenient(json!([sh(
        "i=0; while [ $i -lt 20 ]; do seq 1 20000 | sed 's/^/test std::vec line /'; i=$((i+1)); done; echo '::set-output name=n::1'"
    )]));
    let ran = runner.run(stage).await;
    ran.succeeded();
    assert_eq!(ran.text(1).lines().count(), 400_000);
    until("nothing is left", || runner.engine.is_empty()).await;
    runner.stop().await;
}
