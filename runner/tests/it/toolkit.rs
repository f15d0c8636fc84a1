//! The services that libraries of actions talk to, with GitHub's own libraries of several generations in real containers
//! (`tidegate-test/clients:1`, by `scripts/images clients`), on stages whose network leads nowhere.

use std::{collections::BTreeMap, process::Command, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tidegate_pipelines::{
    Compiled, Machine, NoFiles, Setting, SourceFile, compile,
    event::Event,
    plan::{Network, StageKey, StagePlan, Verb},
};
use tidegate_protocol::{
    messages::{Lease, Outcome, StepReport},
    status::StageStatus,
};
use tidegate_runner::{
    local::{LocalRun, LocalSink, run_pipeline},
    sandbox::docker::Docker,
};

use crate::support::{
    agent::{Agent, lease, lenient, sh},
    server::{Attempt, Model},
};

const IMAGE: &str = "tidegate-test/clients:1";

/// An agent on the machine's engine with a server of its own.
struct Runner {
    model: Arc<Model>,
    data: tempfile::TempDir,
    agent: Option<Agent>,
}

impl Runner {
    async fn start() -> Self {
        let (model, data) = (Model::start().await, tempfile::tempdir().unwrap());
        let mut runner = Self { model, data, agent: None };
        runner.begin().await;
        runner
    }

    async fn begin(&mut self) {
        let engine = Arc::new(Docker::connect(None).await.unwrap());
        self.agent = Some(Agent::start(&self.model, engine, self.data.path()));
    }

    async fn run(&self, lease: Lease) -> Ran {
        let attempt = self.model.queue(lease);
        let finish = self.model.finished(attempt).await;
        let known = self.model.attempt(attempt).unwrap();
        let all: String = known.log.keys().map(|step| format!("--- {step}\n{}", known.text(*step))).collect();
        assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}\n{all}", finish.reason);
        Ran { known, all }
    }

    async fn stop(mut self) {
        self.agent.take().unwrap().stop().await.unwrap();
    }
}

struct Ran {
    known: Attempt,
    all: String,
}

impl Ran {
    #[track_caller]
    fn says(&self, step: u32, line: &str) {
        let text = self.known.text(step);
        assert!(text.lines().any(|found| found == line), "no line `{line}` in step {step}:\n{}", self.all);
    }

    /// What the line of a step that begins so goes on with.
    #[track_caller]
    fn after(&self, step: u32, begin: &str) -> String {
        let text = self.known.text(step);
        let found = text.lines().find_map(|line| line.strip_prefix(begin));
        found.unwrap_or_else(|| panic!("no line `{begin}` in step {step}:\n{}", self.all)).to_owned()
    }
}

/// A stage whose first step puts the action there that drives the libraries; its network leads nowhere.
fn stage(steps: Value) -> StagePlan {
    let mut all = vec![sh("mkdir clients
echo 'runs: {using: node20, main: main.mjs}' > clients/action.yml
echo 'import \"/opt/clients/run.mjs\";' > clients/main.mjs
head -c 9000000 /dev/urandom > large; sha256sum large | cut -c1-16 > large.sum
mkdir -p tree/deep; echo one > tree/deep/one; echo two > tree/two")];
    all.extend(steps.as_array().unwrap().clone());
    let mut stage = lenient(all.into());
    stage.network = Network::None;
    let Verb::Run(run) = &mut stage.verb else { panic!() };
    run.image.0 = IMAGE.to_owned();
    stage
}

fn clients(doing: &str, client: &str, more: Value) -> Value {
    let mut with = more;
    with["do"] = doing.into();
    with["client"] = client.into();
    json!({ "uses": { "action": "./clients", "with": with } })
}

#[tokio::test]
async fn libraries_of_several_generations_keep_and_find_caches() {
    let runner = Runner::start().await;
    let mut steps = Vec::new();
    for client in ["cache3", "cache4", "cache6"] {
        let paths = "tree\nlarge";
        let key = format!("{client} a+b-1");
        let restore = json!({
            "paths": paths, "key": format!("{client} a+b-2"), "restore-keys": format!("none\n{client} a+b-"),
            "sums": "tree/deep/one\nlarge",
        });
        steps.extend([
            clients("restore", client, restore.clone()),
            clients("save", client, json!({ "paths": paths, "key": key })),
            sh("rm -r tree; mv large kept"),
            clients("restore", client, restore.clone()),
            sh("cmp large kept; cat tree/two; rm kept"),
            clients("restore", client, json!({ "paths": "tree", "key": key })),
            clients("save", client, json!({ "paths": paths, "key": key })),
        ]);
    }
    // A container action has a container of its own.
    let image = format!("docker://{IMAGE}");
    let with = json!({
        "entrypoint": "node", "args": "/opt/clients/run.mjs", "do": "save", "client": "cache4", "paths": "tree", "key": "k",
    });
    steps.push(json!({ "uses": { "action": image, "with": with } }));
    let ran = runner.run(lease(stage(steps.into()))).await;
    let mut first = 2;
    for client in ["cache3", "cache4", "cache6"] {
        ran.says(first, &format!("found by {client}: nothing"));
        ran.says(first + 1, &format!("saved by {client}"));
        ran.says(first + 3, &format!("found by {client}: {client} a+b-1"));
        ran.says(first + 4, "two");
        // Another list of paths is another version, which has no such key.
        ran.says(first + 5, &format!("found by {client}: nothing"));
        let again = ran.known.text(first + 6);
        assert!(again.contains("nable to reserve cache with key"), "an entry never changes:\n{again}");
        first += 7;
    }
    ran.says(first, "saved by cache4");
    runner.stop().await;
}

#[tokio::test]
async fn artifacts_go_between_libraries_built_in_actions_and_stages() {
    let runner = Runner::start().await;
    let builtin = |action: &str, with: Value| json!({ "uses": { "action": action, "with": with } });
    let made = stage(json!([
        clients(
            "upload",
            "artifact2",
            json!({ "name": "dist", "paths": "/workspace/tree/deep/one\n/workspace/large" })
        ),
        clients("download", "artifact6", json!({ "name": "dist", "to": "by-six", "sums": "by-six/large" })),
        builtin("actions/download-artifact@v4", json!({ "name": "dist", "path": "by-us" })),
        sh("cmp large by-six/large; cmp large by-us/large; cat by-six/tree/deep/one"),
        clients("upload", "artifact6", json!({ "name": "x", "paths": "/workspace/tree/two", "raw": "true" })),
        builtin("actions/upload-artifact@v4", json!({ "name": "ours", "path": "tree" })),
        clients("list", "artifact2", json!({})),
        clients("upload", "artifact2", json!({ "name": "ours", "paths": "/workspace/tree/two" })),
        clients("delete", "artifact2", json!({ "name": "dist" })),
        clients("list", "artifact6", json!({})),
        clients("download", "artifact2", json!({ "name": "two", "to": "raw", "sums": "raw/two" })),
    ]));
    let ran = runner.run(lease(made)).await;
    ran.says(2, "uploaded by artifact2: true true");
    ran.says(3, "downloaded by artifact6: dist");
    ran.says(5, "one");
    ran.says(6, "uploaded by artifact6: true true");
    ran.says(8, "listed by artifact2: dist ours two");
    assert!(ran.after(9, "error: ").contains("an earlier step kept an artifact `ours`"), "{}", ran.all);
    ran.says(10, "deleted by artifact2");
    ran.says(11, "listed by artifact6: ours two");
    ran.says(12, "downloaded by artifact2: two");
    assert_ne!(ran.after(12, "sum raw/two: "), "missing");
    assert_eq!(ran.known.artifacts.iter().collect::<Vec<_>>(), ["ours", "two"]);

    let mut next = stage(json!([
        clients("list", "artifact6", json!({})),
        clients("download", "artifact6", json!({ "name": "ours", "to": "there", "sums": "there/deep/one" })),
        clients("delete", "artifact2", json!({ "name": "ours" })),
        clients("download", "artifact2", json!({ "name": "other", "to": "there" })),
    ]));
    let mut other = lease(next.clone());
    other.stage.upstream = Vec::new();
    let seen = runner.run(other).await;
    seen.says(2, "listed by artifact6: ");
    next.upstream = vec![StageKey("made".to_owned())];
    let seen = runner.run(lease(next)).await;
    seen.says(2, "listed by artifact6: ours two");
    seen.says(3, "downloaded by artifact6: ours");
    assert_ne!(seen.after(3, "sum there/deep/one: "), "missing");
    assert!(seen.after(4, "error: ").contains("a job can delete only what it kept itself"), "{}", seen.all);
    assert!(seen.after(5, "error: ").contains("not found"), "{}", seen.all);
    runner.stop().await;
}

/// Asks without a library.
fn asks(script: &str) -> Value {
    let script = format!(
        "const base = 'http://127.0.0.1:61017';
const ask = async (name, path, options) => {{
  const answer = await fetch(base + path, options);
  console.log(name + ':', answer.status, (await answer.text()).slice(0, 200));
}};
{script}"
    );
    sh(&format!("cat > ask.mjs <<'END'\n{script}\nEND\nnode ask.mjs"))
}

#[tokio::test]
async fn nobody_is_served_without_the_token_of_this_attempt() {
    let runner = Runner::start().await;
    let steps = json!([
        sh("env | grep ^ACTIONS_ || echo scripts are told nothing"),
        { "uses": { "action": "./clients", "with": { "do": "none" } }, "env": { "ACTIONS_RUNTIME_TOKEN": "mine" } },
        sh("mkdir say; echo 'runs: {using: node20, main: m.mjs}' > say/action.yml
echo 'const e = process.env; console.log(\"token\", e.ACTIONS_RUNTIME_TOKEN, e.ACTIONS_RESULTS_URL, e.ACTIONS_ID_TOKEN_REQUEST_URL);
console.log(\"length\", e.ACTIONS_RUNTIME_TOKEN.length > 100);
console.log(\"scope\", JSON.parse(Buffer.from(e.ACTIONS_RUNTIME_TOKEN.split(\".\")[1], \"base64url\")).scp.split(\":\").length)' > say/m.mjs"),
        { "uses": { "action": "./say" } },
        asks("
const list = '/twirp/github.actions.results.api.v1.ArtifactService/ListArtifacts';
await ask('none', list, { method: 'POST', body: '{}' });
await ask('other', list, { method: 'POST', body: '{}', headers: { authorization: 'Bearer x.y.z' } });
await ask('rest', '/_apis/artifactcache/cache?keys=a&version=v');
await ask('file', '/blobs/down/1?sig=00');
await ask('identity', '/id-token?v=1');
await ask('unknown', '/');
"),
    ]);
    let ran = runner.run(lease(stage(steps))).await;
    ran.says(2, "scripts are told nothing");
    ran.says(5, "token *** http://127.0.0.1:61017/ undefined");
    ran.says(5, "length true");
    ran.says(5, "scope 3");
    for name in ["none", "other", "rest", "file", "identity"] {
        assert!(ran.after(6, &format!("{name}: ")).starts_with("401 "), "{name}: {}", ran.all);
    }
    assert!(ran.after(6, "unknown: ").starts_with("404 "), "{}", ran.all);
    runner.stop().await;
}

#[tokio::test]
async fn an_identity_token_is_handed_on_where_the_job_may_have_one() {
    let runner = Runner::start().await;
    let steps = json!([
        clients("token", "", json!({ "audience": "sts.example.org" })),
        clients("token", "", json!({})),
        asks("
const { ACTIONS_ID_TOKEN_REQUEST_URL: url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: token } = process.env;
await ask('by hand', url.slice(base.length) + '&audience=a%20b', { headers: { authorization: 'bearer ' + token } });
await ask('caches', '/_apis/artifactcache/cache?keys=a&version=v', { headers: { authorization: 'bearer ' + token } });
"),
    ]);
    let mut with = stage(steps.clone());
    with.id_token = true;
    let ran = runner.run(lease(with)).await;
    ran.says(2, r#"claims: {"aud":"sts.example.org"}"#);
    ran.says(2, "token: ***");
    ran.says(3, r#"claims: {"aud":"usual"}"#);
    let by_hand = ran.after(4, "by hand: ");
    assert!(by_hand.starts_with("200 {") && by_hand.contains(r#""value":"***""#), "{by_hand}");
    assert!(ran.after(4, "caches: ").starts_with("401 "), "{}", ran.all);

    let mut fork = lease(stage(json!([
        clients("token", "", json!({})),
        clients("save", "cache4", json!({ "paths": "tree", "key": "forked" })),
    ])));
    fork.stage.id_token = true;
    fork.trusted = false;
    let ran = runner.run(fork).await;
    assert!(ran.after(2, "error: ").contains("ACTIONS_ID_TOKEN_REQUEST_URL"), "{}", ran.all);
    // All else is there, though its sandbox has no rights at all and its network leads nowhere.
    ran.says(3, "saved by cache4");
    runner.stop().await;
}

#[tokio::test]
async fn tokens_and_uploads_outlive_a_restart_of_the_runner() {
    let mut runner = Runner::start().await;
    let steps = json!([
        sh("mkdir slow; echo 'runs: {using: node20, main: m.mjs}' > slow/action.yml
cat > slow/m.mjs <<'END'
import { existsSync, writeFileSync } from 'node:fs';
const { ACTIONS_CACHE_URL: base, ACTIONS_RUNTIME_TOKEN: token } = process.env;
const call = async (method, path, body, more = {}) => {
  for (;;) {
    try {
      const answer = await fetch(base + '_apis/artifactcache/' + path, { method, body, headers: { authorization: 'Bearer ' + token, ...more } });
      if (answer.status < 500) return answer;
    } catch {}
    await new Promise((wait) => setTimeout(wait, 50));
  }
};
const { cacheId } = await (await call('POST', 'caches', JSON.stringify({ key: 'k', version: 'v' }))).json();
const part = (at, text) => call('PATCH', 'caches/' + cacheId, text, { 'content-range': `bytes ${at}-${at + text.length - 1}/*` });
console.log('first', (await part(0, 'hello ')).status);
while (!existsSync('go')) await new Promise((wait) => setTimeout(wait, 20));
console.log('second', (await part(6, 'world')).status);
console.log('gap', (await call('POST', 'caches/' + cacheId, JSON.stringify({ size: 12 }))).status);
console.log('commit', (await call('POST', 'caches/' + cacheId, JSON.stringify({ size: 11 }))).status);
console.log('again', (await call('POST', 'caches/' + cacheId, JSON.stringify({ size: 11 }))).status);
const found = await (await call('GET', 'cache?keys=k&version=v')).json();
console.log('found', found.cacheKey, await (await fetch(found.archiveLocation)).text());
const range = await fetch(found.archiveLocation, { headers: { range: 'bytes=6-8' } });
console.log('range', range.status, range.headers.get('content-range'), await range.text());
END"),
        { "uses": { "action": "./slow" } },
    ]);
    let attempt = runner.model.queue(lease(stage(steps)));
    runner.model.printed(attempt, 3, "first 204").await;
    runner.agent.take().unwrap().kill().await;
    let workspace = runner.data.path().join(format!("stages/{attempt}/files/workspace"));
    std::fs::write(workspace.join("go"), "").unwrap();
    runner.begin().await;
    let finish = runner.model.finished(attempt).await;
    let text = runner.model.attempt(attempt).unwrap().text(3);
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}\n{text}", finish.reason);
    for line in [
        "second 204",
        "gap 400",
        "commit 204",
        "again 204",
        "found k hello world",
        "range 206 bytes 6-8/11 wor",
    ] {
        assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
    }
    runner.stop().await;
}

/// Keeps the lines of all steps.
#[derive(Default)]
struct Told(std::sync::Mutex<Vec<u8>>);

impl LocalSink for Told {
    fn stage(&self, _stage: &StageKey, _status: StageStatus, _reason: Option<&str>) {}

    fn step(&self, _stage: &StageKey, _report: &StepReport) {}

    fn log(&self, _stage: &StageKey, _step: u32, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

#[tokio::test]
async fn a_local_run_has_caches_and_artifacts_and_says_why_it_has_no_token() {
    const WORKFLOW: &str = "
on: push
permissions: {id-token: write}
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - {uses: ./clients, with: {do: restore, client: cache6, paths: kept, key: k, sums: kept/word}}
      - run: mkdir -p kept; echo word > kept/word
      - {uses: ./clients, with: {do: save, client: cache6, paths: kept, key: k}}
      - {uses: ./clients, with: {do: upload, client: artifact6, name: words, paths: /workspace/kept/word}}
      - {uses: ./clients, with: {do: token}}
";
    let (tree, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(Command::new("git").args(["init", "-q"]).current_dir(tree.path()).status().unwrap().success());
    std::fs::create_dir(tree.path().join("clients")).unwrap();
    for (path, text) in [
        ("clients/action.yml", "runs: {using: node20, main: main.mjs}"),
        ("clients/main.mjs", "import '/opt/clients/run.mjs';"),
    ] {
        std::fs::write(tree.path().join(path), text).unwrap();
    }
    let event: Event = serde_json::from_value(json!({
        "kind": "push", "repository": "team/app", "default_branch": "main", "actor": "dev", "trusted": true,
        "git": { "sha": "1".repeat(40), "reference": "refs/heads/main", "branch": "main", "message": "" },
    }))
    .unwrap();
    let machines = BTreeMap::from([(
        "ubuntu-latest".to_owned(),
        Machine { image: IMAGE.to_owned(), labels: Vec::new() },
    )]);
    let setting = Setting { machines: &machines, ..Setting::default() };
    let source = SourceFile { path: ".github/workflows/ci.yml", text: WORKFLOW };
    let mut found = Vec::new();
    for _ in 0..2 {
        let compilation = compile(&source, &event, setting);
        let Some(Compiled::Plan(plan)) = compilation.result else { panic!("{:?}", compilation.diagnostics) };
        let told = Arc::new(Told::default());
        let outcome = run_pipeline(LocalRun {
            plan,
            workspace: tree.path().to_owned(),
            files: Arc::new(NoFiles),
            variables: BTreeMap::new(),
            only: None,
            event: event.clone(),
            secrets: BTreeMap::new(),
            environments: BTreeMap::new(),
            data_dir: data.path().to_owned(),
            docker_host: None,
            actions: Default::default(),
            parallel: 1,
            grace: Duration::from_secs(5),
            sink: told.clone(),
            cancel: Default::default(),
        })
        .await
        .unwrap();
        let text = String::from_utf8(told.0.lock().unwrap().clone()).unwrap();
        assert!(outcome.succeeded(), "{text}");
        assert!(outcome.results.join("artifacts/one/words.tar.zst").exists(), "{text}");
        assert!(text.contains("a local run has no identity tokens"), "{text}");
        found.push(text.lines().find_map(|line| line.strip_prefix("found by cache6: ")).unwrap().to_owned());
    }
    assert_eq!(found, ["nothing", "k"]);
}
