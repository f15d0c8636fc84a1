//! The examples on the language's pages, run on the fake engine: what a reader copies does what the page says. The programs
//! that they call are stand-ins, which tell how they were called. What comes of each example stands in
//! `tests/documentation.json`; run with `TIDEGATE_BLESS=1` to write what comes of them now, and read the difference.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use regex::Regex;
use serde_json::{Map, Value, json};
use tidegate_pipelines::{
    Compiled, FileRef, Files, Setting, SourceFile, compile,
    event::Event,
    plan::{Driver, Plan, StageKey, StagePlan, Verb},
};
use tidegate_protocol::{messages::StepReport, status::StageStatus};
use tidegate_runner::local::{LocalRun, LocalSink, run_on};
use tokio_util::sync::CancellationToken;

use self::pages::{Example, Is};
use crate::{
    scenarios::{commit, scenario::web},
    support::fake::Fake,
};

#[path = "../../../pipelines/tests/it/events.rs"]
#[allow(dead_code, reason = "shared with the tests of the language, which use all of it")]
mod events;
#[path = "../../../pipelines/tests/it/pages.rs"]
#[allow(dead_code, reason = "shared with the tests of the language, which use all of it")]
mod pages;

/// So many at once: most of the time is spent waiting for processes.
const AT_ONCE: usize = 8;

/// Where the results stand.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documentation.json");

/// What a stand-in does that is called for nothing else.
const TELLS: &str = "echo \"${0##*/} $*\"";
/// What images have.
const PROGRAMS: &[(&str, &str)] = &[
    ("make", TELLS),
    ("pip", TELLS),
    ("ruff", TELLS),
    ("ruby", "echo \"${0##*/} $1\""),
    ("pytest", PYTEST),
    ("npm", NPM),
];
/// The programs of the repository.
const SCRIPTS: &[(&str, &str)] = &[
    ("announce", TELLS),
    ("audit", TELLS),
    ("blame", TELLS),
    ("build", TELLS),
    ("clean", TELLS),
    ("deploy", TELLS),
    ("deploy.sh", TELLS),
    ("flaky", TELLS),
    ("load", TELLS),
    ("measure", TELLS),
    ("next", TELLS),
    ("publish", TELLS),
    ("raise", TELLS),
    ("release", TELLS),
    ("report", TELLS),
    ("smoke.sh", TELLS),
    ("tell", TELLS),
    ("tools/check", TELLS),
    ("train", TELLS),
    ("changed", "echo count=2"),
    ("changed-services", CHANGED),
    ("experiment", "exit 3"),
    ("plan-what-changed", "cat emitted.yml"),
    ("scan", SCAN),
    ("version", "echo kind=release; echo count=3"),
];
/// The other files of the repository.
const FILES: &[(&str, &str)] = &[
    ("VERSION", "1.2.0\n"),
    ("Dockerfile", "FROM debian:12\n"),
    ("api/Dockerfile", "FROM debian:12\n"),
    ("web/Dockerfile", "FROM debian:12\n"),
    ("models/one", "1\n"),
];
const CHANGED: &str = r#"echo 'services=["api", "web"]'
echo 'targets=[{"os": "debian", "arch": "arm64"}, {"os": "alpine"}]'"#;
const PYTEST: &str = r#"echo "${0##*/} $*"
for word; do
  case $word in
    --junitxml=*) echo '<testsuite><testcase name="one"/></testsuite>' > "${word#*=}" ;;
    --cov-report=xml) echo '<coverage line-rate="0.9"/>' > coverage.xml ;;
  esac
done"#;
const NPM: &str = r#"echo "${0##*/} $*"
mkdir -p dist coverage results
echo bundle > dist/app.js
printf 'SF:a.js\nDA:1,1\nend_of_record\n' > coverage/lcov.info
printf '1..1\nok 1 - one\n' > results/unit.tap"#;
const SCAN: &str = r#"echo "${0##*/} $*"
test "$1" != --sarif || echo '{"version": "2.1.0", "runs": []}' > "$2""#;

#[tokio::test]
async fn examples_of_the_pages_come_out_as_before() {
    let examples = with_what_they_emit(pages::examples());
    let count = examples.len();
    let found: BTreeMap<String, Value> = stream::iter(examples)
        .map(|(example, emitted)| async move {
            let came = carry_out(&example, emitted.as_deref()).await;
            (example.name, came)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert!(count >= 40 && found.len() == count, "{} results of {count} examples", found.len());
    let failed: Vec<&String> =
        found.iter().filter(|(_, came)| any_failed(came)).map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "examples fail, but none is to: {failed:?} of {found:#?}");
    let now = format!("{}\n", serde_json::to_string_pretty(&found).unwrap());
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        fs::write(GOLDEN, &now).unwrap();
    }
    let before: BTreeMap<String, Value> = serde_json::from_str(&fs::read_to_string(GOLDEN).unwrap()).unwrap();
    let names: BTreeSet<&String> = before.keys().chain(found.keys()).collect();
    let different: Vec<String> = names
        .into_iter()
        .filter(|name| before.get(*name) != found.get(*name))
        .map(|name| format!("{name}:\n  was {:?}\n  is  {:?}", before.get(name), found.get(name)))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The pipelines, each with the file that a stage of it writes where the page shows one.
fn with_what_they_emit(examples: Vec<Example>) -> Vec<(Example, Option<String>)> {
    let mut pipelines: Vec<(Example, Option<String>)> = Vec::new();
    for example in examples {
        match example.is {
            Is::Pipeline => pipelines.push((example, None)),
            Is::Emitted(_) => pipelines.last_mut().unwrap().1 = Some(example.text),
            Is::File(_) => {}
        }
    }
    pipelines
}

/// What comes of an example: each of its stages, or why it is not run here.
async fn carry_out(example: &Example, emitted: Option<&str>) -> Value {
    let event = events::named(&example.text);
    let files = Arc::new(Named(pages::files()));
    let setting = Setting { files: &*files, ..Setting::default() };
    let file = SourceFile { path: ".tidegate/pipeline.yml", text: &example.text };
    let Some(Compiled::Plan(plan)) = compile(&file, &event, setting).result else {
        panic!("{} does not compile", example.name)
    };
    if plan.stages.iter().any(by_compose) {
        return "compose needs a real engine: e2e/tests/it/road.rs".into();
    }
    run(plan, event, files, emitted).await
}

fn any_failed(came: &Value) -> bool {
    came.as_object().into_iter().flatten().any(|(_, stage)| stage["status"] == "failed")
}

fn by_compose(stage: &StagePlan) -> bool {
    matches!(&stage.verb, Verb::Deploy(deploy) if matches!(deploy.driver, Driver::Compose { .. }))
}

async fn run(plan: Plan, event: Event, files: Arc<Named>, emitted: Option<&str>) -> Value {
    let place = tempfile::tempdir().unwrap();
    let (tree, programs) = (place.path().join("tree"), place.path().join("programs"));
    for (path, text) in FILES.iter().copied().chain(emitted.map(|text| ("emitted.yml", text))) {
        write(&tree.join(path), text, 0o644);
    }
    for (folder, programs) in [(&tree, SCRIPTS), (&programs, PROGRAMS)] {
        for (name, script) in programs {
            write(&folder.join(name), &format!("#!/bin/sh\n{script}\n"), 0o755);
        }
    }
    commit(&tree, "a change");
    let engine = Fake::new();
    engine.furnish(&programs);
    let told = Arc::new(Told::default());
    let web = web::start().await.unwrap();
    let secrets =
        ["NPM_TOKEN", "DB_URL", "SCAN_TOKEN", "DEPLOY_KEY"].map(|name| (name, format!("value of {name}")));
    let login = ("REGISTRY_LOGIN", "robot:password of the registry".to_owned());
    let local = LocalRun {
        plan,
        workspace: tree,
        files,
        variables: BTreeMap::new(),
        only: None,
        event,
        secrets: secrets.into_iter().chain([login]).map(|(name, value)| (name.to_owned(), value)).collect(),
        environments: ["staging", "production"].map(|name| (name.to_owned(), web.clone())).into(),
        data_dir: place.path().join("data"),
        docker_host: None,
        actions: Default::default(),
        parallel: 4,
        grace: Duration::from_secs(1),
        sink: told.clone(),
        cancel: CancellationToken::new(),
    };
    let outcome = run_on(local, engine.clone()).await.unwrap();
    assert!(engine.is_empty(), "something is left in the engine");
    let logs = told.logs.lock().unwrap();
    let measured = Regex::new("[0-9]+ (bytes|ms)").unwrap();
    let mut stages = Map::new();
    for stage in &outcome.stages {
        let mut shown = Map::from_iter([("status".to_owned(), json!(stage.status))]);
        if let Some(reason) = &stage.reason {
            shown.insert("reason".to_owned(), json!(reason));
        }
        if !stage.outputs.is_empty() {
            shown.insert("outputs".to_owned(), json!(stage.outputs));
        }
        let log = logs.get(&stage.key).map(|log| String::from_utf8_lossy(log).replace(&web, "{web}"));
        let log = log.map(|log| measured.replace_all(&log, "N $1").into_owned());
        if let Some(log) = log.filter(|log| !log.is_empty()) {
            shown.insert("log".to_owned(), log.lines().map(str::to_owned).collect());
        }
        stages.insert(stage.key.0.clone(), shown.into());
    }
    stages.into()
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The files that the pages show.
struct Named(BTreeMap<String, String>);

impl Files for Named {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        self.0.get(&file.to_string()).cloned().ok_or_else(|| "there is no such file".to_owned())
    }
}

/// Keeps what the steps of each stage wrote; what the runner itself says while it sets up is left out.
#[derive(Default)]
struct Told {
    logs: Mutex<BTreeMap<StageKey, Vec<u8>>>,
}

impl LocalSink for Told {
    fn stage(&self, _stage: &StageKey, _status: StageStatus, _reason: Option<&str>) {}

    fn step(&self, _stage: &StageKey, _report: &StepReport) {}

    fn log(&self, stage: &StageKey, step: u32, bytes: &[u8]) {
        if step > 0 {
            self.logs.lock().unwrap().entry(stage.clone()).or_default().extend_from_slice(bytes);
        }
    }
}
