//! `tidegate run` without a server: the same stages, from a working tree, on the scripted engine.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use tidegate_pipelines::{
    Compiled, Setting, SourceFile, compile,
    event::{Event, EventKind, GitFacts},
    plan::StageKey,
};
use tidegate_protocol::{messages::StepReport, status::StageStatus};
use tidegate_runner::local::{LocalOutcome, LocalRun, LocalSink, run_on};
use tokio_util::sync::CancellationToken;

use crate::support::{fake::Fake, until};

/// Keeps what it is told.
#[derive(Default)]
struct Told {
    logs: Mutex<BTreeMap<(String, u32), Vec<u8>>>,
    stages: Mutex<Vec<(String, StageStatus)>>,
}

impl Told {
    fn text(&self, stage: &str, step: u32) -> String {
        let logs = self.logs.lock().unwrap();
        String::from_utf8(logs.get(&(stage.to_owned(), step)).cloned().unwrap_or_default()).unwrap()
    }
}

impl LocalSink for Told {
    fn stage(&self, stage: &StageKey, status: StageStatus, _reason: Option<&str>) {
        self.stages.lock().unwrap().push((stage.0.clone(), status));
    }

    fn step(&self, _stage: &StageKey, _report: &StepReport) {}

    fn log(&self, stage: &StageKey, step: u32, bytes: &[u8]) {
        self.logs.lock().unwrap().entry((stage.0.clone(), step)).or_default().extend_from_slice(bytes);
    }
}

/// A working tree with a pipeline.
struct Tree {
    folder: tempfile::TempDir,
    data: tempfile::TempDir,
    engine: Arc<Fake>,
    told: Arc<Told>,
    cancel: CancellationToken,
}

impl Tree {
    fn new() -> Self {
        let tree = Self {
            folder: tempfile::tempdir().unwrap(),
            data: tempfile::tempdir().unwrap(),
            engine: Fake::new(),
            told: Arc::default(),
            cancel: CancellationToken::new(),
        };
        let status =
            Command::new("git").args(["init", "-q"]).current_dir(tree.folder.path()).status().unwrap();
        assert!(status.success());
        tree
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.folder.path().join(path), text).unwrap();
    }

    async fn run(&self, stages: &str, only: Option<&str>) -> LocalOutcome {
        self.run_changed(stages, only, |_| ()).await
    }

    async fn run_changed(
        &self,
        stages: &str,
        only: Option<&str>,
        change: impl FnOnce(&mut tidegate_pipelines::plan::Plan),
    ) -> LocalOutcome {
        let text =
            format!("on: push\nstages:\n{}", stages.replace("image", "image: tidegate-test/busybox:1"));
        let git = GitFacts {
            sha: "1".repeat(40),
            reference: "refs/heads/main".to_owned(),
            branch: Some("main".to_owned()),
            ..GitFacts::default()
        };
        let event = Event::new(EventKind::Push, "team/app", "main", git, "dev");
        let compilation =
            compile(&SourceFile { path: "tidegate.yml", text: &text }, &event, Setting::default());
        let Some(Compiled::Plan(mut plan)) = compilation.result else {
            panic!("{:?}", compilation.diagnostics)
        };
        change(&mut plan);
        let run = LocalRun {
            plan,
            workspace: self.folder.path().to_owned(),
            files: Arc::new(tidegate_pipelines::NoFiles),
            variables: BTreeMap::new(),
            only: only.map(str::to_owned),
            event,
            secrets: BTreeMap::from([("WORD".to_owned(), "correct horse".to_owned())]),
            environments: BTreeMap::new(),
            data_dir: self.data.path().to_owned(),
            docker_host: None,
            actions: Default::default(),
            parallel: 2,
            grace: Duration::from_secs(5),
            sink: self.told.clone(),
            cancel: self.cancel.clone(),
        };
        let outcome = run_on(run, self.engine.clone()).await.unwrap();
        assert!(self.engine.is_empty(), "a local run leaves nothing in the engine");
        outcome
    }
}

fn statuses(outcome: &LocalOutcome) -> Vec<(&str, StageStatus)> {
    outcome.stages.iter().map(|stage| (stage.key.0.as_str(), stage.status)).collect()
}

#[tokio::test]
async fn the_tree_as_it_is_goes_through_all_stages_in_order() {
    let tree = Tree::new();
    tree.write("word", "uncommitted\n");
    tree.write("ignored", "x");
    tree.write(".gitignore", "ignored\n");
    let outcome = tree
        .run(
            r#"
  make:
    secrets: [WORD]
    image
    run: |
      ls; cat word; echo "$WORD"; mkdir out; echo made > out/file; echo number=7 >> "$TIDEGATE_OUTPUT"
    artifacts:
      - {name: out, paths: ["out/**"]}
  use:
    needs: [make]
    env:
      NUMBER: ${{ stages.make.outputs.number }}
    fetch: [make.out]
    image
    run: cat out/file; echo "$NUMBER $TIDEGATE_SHA"
"#,
            None,
        )
        .await;
    assert_eq!(statuses(&outcome), [("make", StageStatus::Succeeded), ("use", StageStatus::Succeeded)]);
    assert_eq!(tree.told.text("make", 1), "word\nuncommitted\n***\n");
    assert_eq!(tree.told.text("use", 1), format!("made\n7 {}\n", "1".repeat(40)));
    assert!(outcome.results.join("artifacts/make/out.tar.zst").exists());
    assert!(!tree.folder.path().join("out").exists(), "the tree itself is not touched");
}

#[tokio::test]
async fn stages_that_fill_in_their_templates_get_their_contexts() {
    let tree = Tree::new();
    tree.write("word", "from the tree\n");
    let stages = "
  make:
    checkout: false
    image
    run: echo ignored
  use:
    needs: [make]
    checkout: false
    image
    run: echo ignored
";
    let outcome = tree
        .run_changed(stages, None, |plan| {
            for (stage, steps) in plan.stages.iter_mut().zip([
                serde_json::json!([
                    { "uses": { "action": "actions/checkout@v4" }, "name": "checkout" },
                    { "run": { "script": "cat word; echo a=1 >> $GITHUB_OUTPUT", "shell": ["sh"] }, "id": "a", "name": "a" },
                ]),
                serde_json::json!([{ "run": { "script": "echo ${{ needs.make.outputs.x }}", "shell": ["sh"] }, "name": "b" }]),
            ]) {
                stage.expressions = tidegate_pipelines::plan::Expressions::Lenient;
                let tidegate_pipelines::plan::Verb::Run(run) = &mut stage.verb else { panic!() };
                run.steps = serde_json::from_value(steps).unwrap();
            }
            plan.stages[0].outputs.insert("x".to_owned(), "${{ steps.a.outputs.a }}".into());
            plan.stages[1].condition = Some("needs.make.outputs.x == 1".to_owned());
        })
        .await;
    assert_eq!(
        statuses(&outcome),
        [("make", StageStatus::Succeeded), ("use", StageStatus::Succeeded)],
        "{outcome:?}"
    );
    assert!(tree.told.text("make", 2).ends_with("from the tree\n"), "{}", tree.told.text("make", 2));
    assert!(tree.told.text("use", 1).ends_with("\n1\n"), "{}", tree.told.text("use", 1));
}

#[tokio::test]
async fn what_follows_a_failure_is_skipped_and_says_so() {
    let tree = Tree::new();
    let stages = r#"
  bad:
    image
    run: exit 4
  after:
    needs: [bad]
    image
    run: echo never
  anyway:
    needs: [bad]
    if: always()
    image
    run: echo anyway
  other:
    image
    run: echo other
"#;
    let outcome = tree.run(stages, None).await;
    assert_eq!(
        statuses(&outcome),
        [
            ("bad", StageStatus::Failed),
            ("after", StageStatus::Skipped),
            ("anyway", StageStatus::Succeeded),
            ("other", StageStatus::Succeeded)
        ]
    );
    assert!(!outcome.succeeded());
    assert_eq!(outcome.stages[0].reason.as_deref(), Some("step `exit 4` ended with exit code 4"));
    assert_eq!(outcome.stages[1].reason.as_deref(), Some("`bad` failed"));
    assert_eq!(tree.told.text("after", 1), "");
    // Only one stage, with what it needs.
    let outcome = tree.run(stages, Some("other")).await;
    assert_eq!(statuses(&outcome), [("other", StageStatus::Succeeded)]);
}

#[tokio::test]
async fn a_stage_that_may_be_tried_again_is() {
    let tree = Tree::new();
    let outside = tempfile::tempdir().unwrap();
    let count = outside.path().join("count");
    let stages = format!(
        "
  flaky:
    retry: {{ max: 3, when: [failure], backoff: 1s }}
    image
    run: echo try >> {0}; [ $(wc -l < {0}) -eq 3 ]
",
        count.display()
    );
    let outcome = tree.run(&stages, None).await;
    assert_eq!(statuses(&outcome), [("flaky", StageStatus::Succeeded)], "{outcome:?}");
    assert_eq!(std::fs::read_to_string(count).unwrap(), "try\ntry\ntry\n");
}

#[tokio::test]
async fn a_cancel_ends_what_runs_and_starts_nothing_more() {
    let tree = Tree::new();
    let stages = "
  long:
    image
    run: echo up; sleep 300
  later:
    needs: [long]
    image
    run: echo never
";
    let stopped = async {
        until("the stage is up", || tree.told.text("long", 1).contains("up")).await;
        tree.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(tree.run(stages, None), stopped);
    assert_eq!(statuses(&outcome), [("long", StageStatus::Cancelled), ("later", StageStatus::Cancelled)]);
}

const TOLD: &str = r#"
  list:
    image
    run: echo 'services=["api", "web"]' >> "$TIDEGATE_OUTPUT"
  pack:
    needs: [list]
    matrix: "${{ fromJSON(stages.list.outputs.services) }}"
    image
    env: {SERVICE: "${{ matrix.value }}"}
    run: mkdir out; echo "packed $SERVICE" > "out/$SERVICE"
    artifacts: [{name: out, paths: [out]}]
  after:
    needs: [pack]
    fetch: [pack.out]
    image
    run: cat out/*
  other:
    image
    run: echo other
"#;

#[tokio::test]
async fn a_matrix_that_a_stage_tells_is_made_here_too() {
    let tree = Tree::new();
    let outcome = tree.run(TOLD, None).await;
    let expected = ["list", "pack (value=api)", "pack (value=web)", "after", "other"];
    assert_eq!(statuses(&outcome), expected.map(|key| (key, StageStatus::Succeeded)));
    assert_eq!(tree.told.text("after", 1), "packed api\npacked web\n");
    // Asked for by its name, with what it needs and nothing else.
    let tree = Tree::new();
    let outcome = tree.run(TOLD, Some("pack")).await;
    assert_eq!(
        statuses(&outcome),
        expected[..3].iter().map(|key| (*key, StageStatus::Succeeded)).collect::<Vec<_>>()
    );
    let tree = Tree::new();
    let empty = TOLD.replace(r#"["api", "web"]"#, "[]").replace("fetch: [pack.out]", "");
    let outcome = tree.run(&empty, None).await;
    let pack = outcome.stages.iter().find(|stage| stage.key.0 == "pack").unwrap();
    assert_eq!(pack.status, StageStatus::Skipped);
    assert!(pack.reason.as_deref().unwrap().contains("its matrix is empty"));
}

#[tokio::test]
async fn a_stage_adds_stages_here_too_or_fails_with_what_is_wrong() {
    let emitting = |command: &str| {
        format!(
            r#"
  plan:
    emits: {{file: out/stages.yml}}
    image
    run: |
      mkdir out; {command}; echo word=hello >> "$TIDEGATE_OUTPUT"
  other:
    image
    run: echo other
"#
        )
    };
    let tree = Tree::new();
    let image = "image: tidegate-test/busybox:1";
    tree.write(
        "good.yml",
        &format!(
            "defaults: {{{image}}}\nstages:\n  a: {{env: {{WORD: '${{{{ stages.plan.outputs.word }}}}'}}, run: echo \"a $WORD\"}}\n  b: {{needs: [a], run: echo b}}\n"
        ),
    );
    tree.write("bad.yml", &format!("stages:\n  a: {{{image}, secrets: [WORD], run: x}}\n"));
    let outcome = tree.run(&emitting("cp good.yml out/stages.yml"), None).await;
    let expected = ["plan", "other", "plan / a", "plan / b"];
    assert_eq!(statuses(&outcome), expected.map(|key| (key, StageStatus::Succeeded)));
    assert_eq!(tree.told.text("plan / a", 1), "a hello\n");
    let outcome = tree.run(&emitting("cp bad.yml out/stages.yml"), None).await;
    assert_eq!(statuses(&outcome), [("plan", StageStatus::Failed), ("other", StageStatus::Succeeded)]);
    assert!(outcome.stages[0].reason.as_deref().unwrap().contains("out/stages.yml cannot be added"));
    assert!(tree.told.text("plan", 0).contains("TG0707"), "{}", tree.told.text("plan", 0));
    // Nothing is added where there is no file, and where only this stage is asked for.
    let outcome = tree.run(&emitting("true"), None).await;
    assert_eq!(statuses(&outcome).len(), 2);
    let outcome = tree.run(&emitting("cp good.yml out/stages.yml"), Some("plan")).await;
    assert_eq!(statuses(&outcome), [("plan", StageStatus::Succeeded)]);
}
