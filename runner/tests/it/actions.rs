//! Steps that use actions, on the scripted engine: composite, JavaScript (run by a shell script that calls itself
//! `node`), containers and built-in ones; from the workspace and from repositories of this machine.

use std::{collections::BTreeMap, path::Path, process::Command, sync::Arc};

use serde_json::{Value, json};
use tidegate_protocol::{
    messages::{Lease, Outcome, Secret},
    status::StepStatus,
};
use tidegate_runner::{
    actions::{
        SourceMapping,
        builtin::{Builtin, Use},
    },
    stage::Failure,
};

use crate::{
    steps::{Ran, Runner, with},
    support::agent::{lease, lenient, sh},
};

fn uses(action: &str, inputs: Value) -> Value {
    json!({ "uses": { "action": action, "with": inputs }, "name": action })
}

/// A step that writes files into the workspace, as a checkout would.
fn files(files: &[(&str, &str)]) -> Value {
    let mut script = String::new();
    for (path, text) in files {
        // The script is a template itself.
        let text = text.replace("${{", "${{ '${{' }}");
        script.push_str(&format!(
            "mkdir -p \"$(dirname {path})\"\ncat > {path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE\n"
        ));
    }
    with(sh(&script), json!({ "name": "files" }))
}

/// A `node` that runs its file as a shell script, first on the search path.
fn node() -> Value {
    let program = "#!/bin/sh\nexec /bin/sh \"$@\"";
    let step = files(&[("bin/node", program)]);
    let mut step = step;
    let script = format!(
        "{}chmod +x bin/node; echo $PWD/bin >> $GITHUB_PATH",
        step["run"]["script"].as_str().unwrap()
    );
    step["run"]["script"] = script.into();
    step["name"] = "node".into();
    step
}

/// A repository on this machine.
struct Origin {
    folder: tempfile::TempDir,
}

impl Origin {
    fn new(files: &[(&str, &str)]) -> Self {
        let origin = Self { folder: tempfile::tempdir().unwrap() };
        origin.git(&["init", "-q", "--initial-branch=main"]);
        origin.commit(files);
        origin
    }

    fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(self.folder.path(), arguments)
    }

    fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    /// A lease of a stage of this repository.
    fn lease(&self, steps: Value) -> Lease {
        let mut lease = lease(lenient(steps));
        lease.source.clone_url = self.url();
        lease.source.sha = self.git(&["rev-parse", "HEAD"]);
        lease
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.org"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const GREET: &str = "
name: Greet
inputs:
  who: {default: '${{ github.repository }}'}
  fail: {default: 'no'}
outputs:
  said: {value: '${{ steps.say.outputs.said }} ${{ inputs.who }}'}
runs:
  using: composite
  steps:
    - id: say
      shell: sh
      run: |
        echo \"hello ${{ inputs.who }} from ${{ github.action_path }} $OUTER\"
        echo said=hello >> $GITHUB_OUTPUT
        echo INNER=set >> $GITHUB_ENV
        test '${{ inputs.fail }}' = no
    - shell: sh
      run: echo never
      if: failure() && inputs.fail == 'no'
    - shell: sh
      run: echo 'sees ${{ steps.outer.outputs.x }} ${{ secrets.WORD }}.'
      if: always()
";

#[tokio::test]
async fn a_composite_action_has_its_own_inputs_steps_and_status() {
    let runner = Runner::start().await;
    let steps = json!([
        files(&[("greet/action.yml", GREET)]),
        with(sh("echo x=outer >> $GITHUB_OUTPUT"), json!({ "id": "outer" })),
        with(uses("./greet", json!({ "Who": "you" })), json!({ "id": "greet", "env": { "OUTER": "env" } })),
        sh("echo '${{ steps.greet.outputs.said }}' $INNER '${{ steps.say.outputs.said }}.'"),
        with(
            uses("./greet", json!({ "fail": "yes", "bogus": "1" })),
            json!({ "id": "bad", "continue_on_error": true })
        ),
        sh("echo '${{ steps.bad.outcome }} ${{ steps.bad.conclusion }} ${{ github.action_path }}.'"),
        uses("./greet", json!({ "fail": "yes" })),
        with(uses("./greet", json!({})), json!({ "condition": "failure()" })),
    ]);
    let mut leased = lease(lenient(steps));
    leased.secrets.push(Secret { name: "WORD".to_owned(), env: None, value: "correct horse".to_owned() });
    let ran = runner.run_lease(leased).await;
    assert_eq!(ran.finish.outcome, Outcome::Failed);
    assert_eq!(ran.finish.exit_code, Some(1));
    assert!(ran.text(3).contains("hello you from /workspace/greet env\nsees  .\n"), "{}", ran.text(3));
    assert_eq!(ran.text(4), "hello you set .\n");
    assert!(
        ran.text(5).contains("there is no input `bogus`") && !ran.text(5).contains("never"),
        "{}",
        ran.text(5)
    );
    assert_eq!(ran.text(6), "failure success .\n");
    assert!(
        ran.text(8).contains("hello team/app from"),
        "after a failure its own steps begin well: {}",
        ran.text(8)
    );
    assert_eq!(
        [3, 5, 7, 8].map(|step| ran.status(step)),
        [StepStatus::Succeeded, StepStatus::Failed, StepStatus::Failed, StepStatus::Succeeded]
    );
    runner.stop().await;
}

#[tokio::test]
async fn composite_actions_do_not_use_each_other_for_ever() {
    let runner = Runner::start().await;
    let again = "runs:\n  using: composite\n  steps:\n    - uses: ./again\n";
    let ran =
        runner.run(lenient(json!([files(&[("again/action.yml", again)]), uses("./again", json!({}))]))).await;
    assert!(ran.finish.reason.as_deref().unwrap().contains("more than 10 deep"), "{:?}", ran.finish.reason);
    let ran = runner.run(lenient(json!([uses("./nowhere", json!({}))]))).await;
    assert!(ran.finish.reason.as_deref().unwrap().contains("actions/checkout"), "{:?}", ran.finish.reason);
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

fn mapped(from: &str, origin: &Origin) -> SourceMapping {
    SourceMapping { from: from.to_owned(), to: origin.url() }
}

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

#[tokio::test]
async fn a_container_action_runs_beside_with_the_same_workspace() {
    let runner = Runner::start().await;
    runner.engine.add_image("tool:1", &["sh", "-c"]);
    let manifest = "
inputs: {word: {default: x}}
runs:
  using: docker
  image: docker://tool:1
  args: ['${{ inputs.word }}']
  env: {FROM: 'action ${{ inputs.word }}'}
  post-entrypoint: /bin/true
";
    let steps = json!([
        files(&[("act/action.yml", manifest)]),
        with(
            uses(
                "./act",
                json!({ "word": "echo \"$FROM $INPUT_WORD\" | head -c 12; echo; echo made > \"$GITHUB_WORKSPACE/file\"; echo out=1 >> $GITHUB_OUTPUT; echo '::notice::said'" })
            ),
            json!({ "id": "act" })
        ),
        sh("cat file; echo '${{ steps.act.outputs.out }}'"),
        uses("docker://tool:1", json!({ "args": "'echo by image; exit 3'" })),
    ]);
    let ran = runner.run(lenient(steps)).await;
    assert!(ran.text(2).starts_with("action echo "), "{}", ran.all());
    assert_eq!(ran.text(3), "made\n1\n");
    assert!(ran.text(4).contains("by image\n"), "{}", ran.text(4));
    assert_eq!(ran.finish.exit_code, Some(3));
    assert_eq!(ran.annotations().notices, 1);
    runner.stop().await;
}

/// A restart between and within the parts of actions.
#[tokio::test]
async fn a_restart_among_actions_changes_nothing() {
    let gate = tempfile::tempdir().unwrap();
    let wait = |number: u32| {
        format!(
            "echo waiting {number}; while [ ! -e {}/{number} ]; do sleep 0.02; done",
            gate.path().display()
        )
    };
    let app = Origin::new(&[("a.txt", "one\n")]);
    let composite = format!(
        "
outputs: {{word: {{value: '${{{{ steps.in.outputs.word }}}}'}}}}
runs:
  using: composite
  steps:
    - {{shell: sh, run: echo first}}
    - {{shell: sh, id: in, run: 'echo word=deep >> $GITHUB_OUTPUT; {}; echo second'}}
    - {{shell: sh, run: 'echo third ${{{{ steps.in.outputs.word }}}}'}}
",
        wait(1)
    );
    let main = format!("echo main $INPUT_WORD; echo w=$INPUT_WORD >> $GITHUB_STATE; {}", wait(2));
    let steps = json!([
        uses("actions/checkout@v4", json!({})),
        node(),
        files(&[
            ("deep/action.yml", &composite),
            ("js/action.yml", "inputs: {word: {}}\nruns: {using: node24, main: main.js, post: post.js}"),
            ("js/main.js", &main),
            ("js/post.js", "echo post $STATE_w"),
        ]),
        with(uses("./deep", json!({})), json!({ "id": "deep" })),
        uses("./js", json!({ "word": "${{ steps.deep.outputs.word }}" })),
    ]);
    let go = |number: u32| std::fs::write(gate.path().join(number.to_string()), "").unwrap();
    let mut runner = Runner::start().await;
    let attempt = runner.model.queue(app.lease(steps));
    runner.model.printed(attempt, 4, "waiting 1").await;
    runner.kill_and_restart().await;
    go(1);
    runner.model.printed(attempt, 5, "waiting 2").await;
    runner.kill_and_restart().await;
    go(2);
    let finish = runner.model.finished(attempt).await;
    let ran = Ran { finish, known: runner.model.attempt(attempt).unwrap() };
    ran.succeeded();
    assert!(ran.text(1).contains("checked out team/app"), "{}", ran.text(1));
    assert_eq!(ran.text(4), "first\nwaiting 1\nsecond\nthird deep\n");
    assert_eq!(ran.text(5), "main deep\nwaiting 2\n");
    assert_eq!(ran.text(6), "post deep\n");
    assert_eq!(ran.name(7), "Post actions/checkout@v4");
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
async fn without_node_the_reason_is_told_and_a_lent_one_is_used() {
    let js = [("js/action.yml", "runs: {using: node20, main: main.js}"), ("js/main.js", "echo by lent node")];
    let steps = json!([files(&js), uses("./js", json!({}))]);
    let without = |mut leased: Lease| {
        leased.env.insert("PATH".to_owned(), "/usr/sbin".to_owned());
        leased
    };
    let stage = |leased: Lease| without(leased);
    let mut plan = lenient(steps);
    let tidegate_pipelines::plan::Verb::Run(run) = &mut plan.verb else { panic!() };
    let tidegate_pipelines::plan::Does::Run(script) = &mut run.steps[0].does else { panic!() };
    script.shell = vec!["/bin/sh".to_owned()];
    script.script = format!("PATH=/usr/bin:/bin\n{}", script.script);
    let runner = Runner::start().await;
    let ran = runner.run_lease(stage(lease(plan.clone()))).await;
    assert!(
        ran.finish.reason.as_deref().unwrap().contains("runs on node20 and the image has none"),
        "{:?}",
        ran.finish.reason
    );
    runner.stop().await;
    let lent = tempfile::tempdir().unwrap();
    std::fs::create_dir(lent.path().join("bin")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", lent.path().join("bin/node")).unwrap();
    let runner = Runner::start_with(|config| config.actions.node = Some(lent.path().to_owned())).await;
    let ran = runner.run_lease(stage(lease(plan))).await;
    ran.succeeded();
    assert_eq!(ran.text(2), "by lent node\n");
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
    assert!(ran.text(2).contains("no other platform is emulated"), "{}", ran.text(2));
    runner.stop().await;
}
