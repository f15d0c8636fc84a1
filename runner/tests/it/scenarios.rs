//! The scenarios of `e2e/scenarios`, compiled and run without a server on the fake engine: steps are plain processes of
//! this machine, so all of them together take as long as one of them does on containers. `e2e` runs the same folders
//! through server and runner.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};
use tidegate_pipelines::{
    Compiled, FileRef, Files, Machine, Setting, SourceFile, compile,
    event::{Event, EventKind, GitFacts},
    plan::{Plan, StageKey},
    sample::{Known, sample},
};
use tidegate_protocol::{
    messages::{Annotations, StepReport},
    status::{StageStatus, StepStatus},
};
use tidegate_runner::local::{LocalOutcome, LocalRun, LocalSink, run_on};
use tokio_util::sync::CancellationToken;

use self::scenario::{Scenario, differences};
use crate::support::{IMAGE, fake::Fake, git::git};

#[path = "../../../e2e/src/scenario/mod.rs"]
pub mod scenario;

/// What the scenarios' stages run in, beside [`IMAGE`].
const DEBIAN: &str = "tidegate-demo/python:1";
const REPOSITORY: &str = "e2e/scenario";
/// The other repository that files name, and its commit.
const OTHER: &str = "e2e/other";
const OTHER_SHA: &str = "cccccccccccccccccccccccccccccccccccccccc";

/// So many at once: most of the time is spent waiting for processes.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn scenarios_come_out_on_the_fake_as_on_containers() {
    let (faked, not): (Vec<Scenario>, Vec<Scenario>) =
        scenario::asked().unwrap().into_iter().partition(|scenario| scenario.not_faked.is_none());
    let count = faked.len();
    let ended: Vec<Option<String>> = stream::iter(faked)
        .map(|scenario| async move {
            let (place, begun) = (tempfile::tempdir().unwrap(), Instant::now());
            let found = match carry_out(&scenario, place.path()).await {
                Ok(observed) => {
                    let found = differences(&scenario.expected, &observed);
                    if !found.is_empty() && std::env::var_os("TIDEGATE_SCENARIO").is_some() {
                        println!("{observed:#}");
                    }
                    found
                }
                Err(reason) => vec![reason],
            };
            println!("{:>6} ms  {}", begun.elapsed().as_millis(), scenario.name);
            (!found.is_empty()).then(|| format!("{}\n    {}", scenario.name, found.join("\n    ")))
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let failures: Vec<String> = ended.into_iter().flatten().collect();
    println!("{} scenarios as expected, {} not for the fake:", count - failures.len(), not.len());
    for scenario in not {
        println!("  {}: {}", scenario.name, scenario.not_faked.unwrap_or_default());
    }
    assert!(failures.is_empty(), "{} scenarios came out otherwise:\n{}", failures.len(), failures.join("\n"));
}

/// Runs what the event starts, and tells what came of it.
async fn carry_out(scenario: &Scenario, place: &Path) -> Result<Value, String> {
    let tree = place.join("tree");
    let files = scenario.files(OTHER, OTHER_SHA);
    for (path, text) in &files {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let sha = commit(&tree, scenario.given.message());
    let paths: Vec<&String> = files.keys().collect();
    let event = event(scenario, &sha, &paths)?;
    let machines = [("ubuntu-latest", IMAGE), ("debian", DEBIAN)]
        .map(|(label, image)| (label.to_owned(), Machine { image: image.to_owned(), labels: Vec::new() }))
        .into();
    let tree = Arc::new(Tree { own: files.clone(), other: scenario.other.clone() });
    let variables = &scenario.given.variables;
    let setting = Setting { files: &*tree, machines: &machines, variables, any_machine: false };
    let (mut runs, mut left_out) = (Vec::new(), Map::new());
    for (path, text) in files.iter().filter(|(path, _)| is_pipeline(path)) {
        let compilation = compile(&SourceFile { path, text }, &event, setting);
        match compilation.result {
            Some(Compiled::Plan(plan)) => {
                runs.push(run(scenario, plan, &event, place, tree.clone()).await?);
            }
            Some(Compiled::NotTriggered { reason, left_out: why, .. }) => {
                if why.is_some() {
                    left_out.insert(path.clone(), reason.into());
                }
            }
            None => return Err(format!("{path}: {:#?}", compilation.diagnostics)),
        }
    }
    Ok(json!({ "runs": runs, "left_out": left_out, "untold": ["marks"] }))
}

async fn run(
    scenario: &Scenario,
    plan: Plan,
    event: &Event,
    place: &Path,
    files: Arc<Tree>,
) -> Result<Value, String> {
    let engine = Fake::new();
    engine.add_image(DEBIAN, &[]);
    let told = Arc::new(Told::default());
    let name = plan.name.clone();
    let web = scenario::web::start().await.map_err(|error| error.to_string())?;
    let environments = scenario.given.environments(&web);
    let local = LocalRun {
        plan,
        workspace: place.join("tree"),
        files,
        variables: scenario.given.variables.clone(),
        only: None,
        event: event.clone(),
        secrets: scenario.given.secrets(&web),
        environments: environments
            .into_iter()
            .filter_map(|(name, rules)| Some((name, rules["url"].as_str()?.to_owned())))
            .collect(),
        data_dir: place.join("data"),
        docker_host: None,
        actions: Default::default(),
        parallel: 4,
        grace: Duration::from_secs(1),
        sink: told.clone(),
        cancel: CancellationToken::new(),
    };
    let outcome = run_on(local, engine.clone()).await.map_err(|error| error.to_string())?;
    if !engine.is_empty() {
        return Err("something is left in the engine".to_owned());
    }
    let told = told.stages.lock().unwrap();
    let stages: Map<String, Value> = outcome
        .stages
        .iter()
        .map(|stage| {
            let nothing = Stage::default();
            let heard = told.get(&stage.key.0).unwrap_or(&nothing);
            let said = annotations(&outcome, &stage.key);
            let observed = json!({
                "status": stage.status,
                "reason": stage.reason,
                "outputs": stage.outputs,
                "attempts": heard.attempts,
                "exit_code": heard.exit_code(),
                "steps": heard.steps(),
                "annotations": said.annotations,
                "summaries": said.summaries.iter().map(|one| &one.text).collect::<Vec<_>>(),
                "artifacts": kept(&outcome, &stage.key, "artifacts"),
                "reports": kept(&outcome, &stage.key, "reports"),
                "untold": ["title", "environment", "report_summaries"],
            });
            (stage.key.0.clone(), observed)
        })
        .collect();
    Ok(
        json!({ "pipeline": name, "status": status(&outcome), "stages": stages, "untold": ["reason", "title"] }),
    )
}

/// How a server would say that the run ended.
fn status(outcome: &LocalOutcome) -> &'static str {
    let any = |status| outcome.stages.iter().any(|stage| stage.status == status);
    match () {
        () if any(StageStatus::Failed) => "failed",
        () if any(StageStatus::Cancelled) => "cancelled",
        () if any(StageStatus::Warned) => "warned",
        () => "succeeded",
    }
}

/// Names of what a stage handed in, without endings: a local run keeps it in folders.
fn kept(outcome: &LocalOutcome, stage: &StageKey, what: &str) -> Vec<String> {
    let mut names: Vec<String> = entries(&folder_of(outcome, stage, what))
        .into_iter()
        .filter(|name| name != "annotations")
        .map(|name| name.trim_end_matches(".tar.zst").to_owned())
        .collect();
    names.sort();
    names
}

fn annotations(outcome: &LocalOutcome, stage: &StageKey) -> Annotations {
    let folder = folder_of(outcome, stage, "reports").join("annotations");
    let file = entries(&folder).pop();
    file.map(|file| serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap())
        .unwrap_or_default()
}

/// A stage's folder: its key, or what is plain in it and a hash.
fn folder_of(outcome: &LocalOutcome, stage: &StageKey, what: &str) -> std::path::PathBuf {
    let plain = |char: char| if char.is_ascii_alphanumeric() || "-_.".contains(char) { char } else { '-' };
    let plain: String = stage.0.chars().map(plain).collect();
    let above = outcome.results.join(what);
    let is_its = |name: &String| match plain == stage.0 {
        true => *name == plain,
        false => name.strip_prefix(&plain).is_some_and(|rest| rest.len() == 9),
    };
    let name = entries(&above).into_iter().find(is_its);
    above.join(name.unwrap_or_else(|| "nothing".to_owned()))
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The commit of a tree whose repository is made for it.
pub fn commit(tree: &Path, message: &str) -> String {
    let git = |arguments: &[&str]| git(tree, arguments);
    git(&["init", "-q", "--initial-branch=main"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", message]);
    git(&["rev-parse", "HEAD"])
}

/// The event as the forge would tell it.
fn event(scenario: &Scenario, sha: &str, paths: &[&String]) -> Result<Event, String> {
    let given = &scenario.given;
    let git = GitFacts {
        message: given.message().to_owned(),
        author: "Dev <dev@example.org>".to_owned(),
        ..GitFacts::of_branch("main", sha)
    };
    let tree = Event::new(EventKind::Push, REPOSITORY, "main", git, "dev");
    let mut payload = given.payload(sha);
    if given.event() == "push" {
        let commit = json!({ "id": sha, "message": given.message(), "added": paths });
        payload.entry("commits").or_insert_with(|| json!([commit]));
    }
    let inputs = given.inputs.clone().into_iter().collect();
    let known = Known { name: given.event(), payload: Some(payload.into()), inputs, ..Known::default() };
    sample(tree, known)
}

/// What is compiled when something happens.
fn is_pipeline(path: &str) -> bool {
    path == ".tidegate/pipeline.yml" || path.starts_with(".github/workflows/")
}

/// Files of the scenario, for those that name others.
struct Tree {
    own: BTreeMap<String, String>,
    other: BTreeMap<String, String>,
}

impl Files for Tree {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        match file {
            FileRef::Same(path) => self.own.get(path).cloned().ok_or_else(|| format!("there is no {path}")),
            FileRef::Other { repository, path, reference }
                if repository == OTHER && reference == OTHER_SHA =>
            {
                self.other.get(path).cloned().ok_or_else(|| format!("there is no {path} of {repository}"))
            }
            FileRef::Other { repository, .. } => Err(format!("there is no {repository} here")),
        }
    }
}

/// Keeps what a local run tells.
#[derive(Default)]
struct Told {
    stages: Mutex<BTreeMap<String, Stage>>,
}

/// What was told of a stage's last attempt.
#[derive(Default)]
struct Stage {
    attempts: usize,
    reports: BTreeMap<u32, StepReport>,
    logs: BTreeMap<u32, Vec<u8>>,
}

impl Stage {
    /// Of the step that failed.
    fn exit_code(&self) -> Option<i32> {
        let failed = self.reports.values().find(|report| report.status == StepStatus::Failed);
        failed.and_then(|report| report.exit_code)
    }

    /// Steps by their names; a name that was there already is counted.
    fn steps(&self) -> Map<String, Value> {
        let mut steps = Map::new();
        for (index, report) in &self.reports {
            let mut name = report.name.clone();
            let mut count = 1;
            while steps.contains_key(&name) {
                count += 1;
                name = format!("{} #{count}", report.name);
            }
            let log = self.logs.get(index).map(|log| String::from_utf8_lossy(log)).unwrap_or_default();
            let step = json!({ "status": report.status, "exit_code": report.exit_code, "log": log });
            steps.insert(name, step);
        }
        steps
    }
}

impl LocalSink for Told {
    fn stage(&self, stage: &StageKey, status: StageStatus, _reason: Option<&str>) {
        if status == StageStatus::Running {
            let mut stages = self.stages.lock().unwrap();
            let stage = stages.entry(stage.0.clone()).or_default();
            *stage = Stage { attempts: stage.attempts + 1, ..Stage::default() };
        }
    }

    fn step(&self, stage: &StageKey, report: &StepReport) {
        let mut stages = self.stages.lock().unwrap();
        stages.entry(stage.0.clone()).or_default().reports.insert(report.index, report.clone());
    }

    fn log(&self, stage: &StageKey, step: u32, bytes: &[u8]) {
        let mut stages = self.stages.lock().unwrap();
        let logs = &mut stages.entry(stage.0.clone()).or_default().logs;
        logs.entry(step).or_default().extend_from_slice(bytes);
    }
}
