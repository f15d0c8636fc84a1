//! `tidegate run`: a plan from the working tree, on the local engine, without a server.
//!
//! The stages go through the very code that a runner uses ([`crate::stage`]); only the scheduler is smaller: stages
//! start as soon as what they need has ended, a few at a time. There are no gates here: whoever runs it decides.
//! The tree is copied, never changed.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use tidegate_pipelines::{
    Context, EnvironmentFacts, StageFacts, condition,
    event::Event,
    plan::{Need, NeedState, Plan, RetryWhen, StageKey, StagePlan, Verb},
    render_template, resolve,
};
use tidegate_protocol::{
    ids::{AttemptId, DeploymentId, RunId, StageId},
    messages::{DeploymentFacts, Finish, Lease, Outcome, RegistryLogin, Secret, Source, StepReport},
    status::StageStatus,
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::RunnerError,
    journal::Journal,
    local_results::FolderResults,
    logs::{LogStore, MaskedLog},
    sandbox::{Engine, docker::Docker, shim},
    stage::{self, Executed, RunnerFacts, StageContext, StageDirs, StepBook, StepSink, WorkspaceFrom},
};

/// What to run, and for whom.
pub struct LocalRun {
    /// The compiled pipeline.
    pub plan: Plan,
    /// The working tree.
    pub workspace: PathBuf,
    /// Only the stages of this key or name, and what they need.
    pub only: Option<String>,
    /// The event that it is run for.
    pub event: Event,
    /// Values of secrets, by the secret's name.
    pub secrets: BTreeMap<String, String>,
    /// URLs of environments, by their name.
    pub environments: BTreeMap<String, String>,
    /// Where workspaces, artifacts and caches are kept.
    pub data_dir: PathBuf,
    /// As in [`crate::RunnerConfig::docker_host`].
    pub docker_host: Option<String>,
    /// How many stages run at once, at least 1.
    pub parallel: usize,
    /// How long a step may take to end after TERM.
    pub grace: Duration,
    /// Who is told what happens.
    pub sink: Arc<dyn LocalSink>,
    /// Stops everything.
    pub cancel: CancellationToken,
}

/// Who is told what happens in a local run. No call may block for long.
pub trait LocalSink: Send + Sync {
    /// A stage changed its state.
    fn stage(&self, stage: &StageKey, status: StageStatus, reason: Option<&str>);

    /// A step began or ended.
    fn step(&self, stage: &StageKey, report: &StepReport);

    /// Bytes of a step's log, masked.
    fn log(&self, stage: &StageKey, step: u32, bytes: &[u8]);
}

/// How a local run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalOutcome {
    /// Every stage that was in question, in the plan's order.
    pub stages: Vec<LocalStage>,
    /// Where artifacts and reports are.
    pub results: PathBuf,
}

/// How a stage of a local run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalStage {
    /// Which.
    pub key: StageKey,
    /// How.
    pub status: StageStatus,
    /// Why, in one sentence.
    pub reason: Option<String>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
}

impl LocalOutcome {
    /// Whether nothing failed.
    pub fn succeeded(&self) -> bool {
        let good =
            |status| matches!(status, StageStatus::Succeeded | StageStatus::Warned | StageStatus::Skipped);
        self.stages.iter().all(|stage| good(stage.status))
    }
}

/// Runs a plan on Docker.
pub async fn run_pipeline(run: LocalRun) -> Result<LocalOutcome, RunnerError> {
    let engine = Docker::connect(run.docker_host.as_deref()).await?;
    run_on(run, Arc::new(engine)).await
}

/// Runs a plan on any engine.
pub async fn run_on(run: LocalRun, engine: Arc<dyn Engine>) -> Result<LocalOutcome, RunnerError> {
    let id = RunId::new();
    let disk = |path: &PathBuf| {
        let path = path.clone();
        move |source| RunnerError::Disk { path, source }
    };
    let tree = fs::canonicalize(&run.workspace).map_err(disk(&run.workspace))?;
    fs::create_dir_all(&run.data_dir).map_err(disk(&run.data_dir))?;
    let data_dir = fs::canonicalize(&run.data_dir).map_err(disk(&run.data_dir))?;
    let root = data_dir.join("runs").join(id.to_string());
    let results = root.join("results");
    fs::create_dir_all(&results).map_err(disk(&results))?;
    let shim = shim::install(&data_dir.join("shim")).map_err(disk(&data_dir))?;
    let wanted = wanted(&run)?;
    let parallel = run.parallel.max(1);
    let shared = Arc::new(Shared {
        id,
        tree,
        stages: root.join("stages"),
        results: results.clone(),
        caches: data_dir.join("caches"),
        facts: Arc::new(RunnerFacts {
            id: format!("local-{id}"),
            name: "local".to_owned(),
            mirrors: data_dir.join("mirrors"),
            shim,
            allow_file_clone: true,
            grace: run.grace,
            docker_host: run.docker_host.clone(),
        }),
        engine: engine.clone(),
        slots: Semaphore::new(parallel),
        run,
    });
    let runner = shared.facts.id.clone();
    engine.prepare(&runner, parallel.min(wanted.len())).await;
    let ended = all_stages(&shared, &wanted).await;
    engine.retire().await;
    let _ = fs::remove_dir_all(&shared.stages);
    let stages = wanted.into_iter().filter_map(|key| ended.get(&key).cloned()).collect();
    Ok(LocalOutcome { stages, results })
}

/// The stages in question: all, or the named ones with all that they need.
fn wanted(run: &LocalRun) -> Result<Vec<StageKey>, RunnerError> {
    let all = &run.plan.stages;
    let Some(only) = &run.only else { return Ok(all.iter().map(|stage| stage.key.clone()).collect()) };
    let mut open: Vec<&StagePlan> =
        all.iter().filter(|stage| stage.key.0 == *only || stage.name == *only).collect();
    if open.is_empty() {
        let names: Vec<&str> = all.iter().map(|stage| stage.key.0.as_str()).collect();
        return Err(RunnerError::Local(format!(
            "there is no stage `{only}`; there are: {}",
            names.join(", ")
        )));
    }
    let mut chosen: Vec<StageKey> = Vec::new();
    while let Some(stage) = open.pop() {
        if !chosen.contains(&stage.key) {
            chosen.push(stage.key.clone());
            open.extend(stage.needs.iter().filter_map(|need| run.plan.stage(&need.stage)));
        }
    }
    Ok(all.iter().map(|stage| stage.key.clone()).filter(|key| chosen.contains(key)).collect())
}

struct Shared {
    id: RunId,
    tree: PathBuf,
    stages: PathBuf,
    results: PathBuf,
    caches: PathBuf,
    facts: Arc<RunnerFacts>,
    engine: Arc<dyn Engine>,
    slots: Semaphore,
    run: LocalRun,
}

/// Starts stages as what they need ends, until all have ended.
async fn all_stages(shared: &Arc<Shared>, wanted: &[StageKey]) -> BTreeMap<StageKey, LocalStage> {
    let mut ended: BTreeMap<StageKey, LocalStage> = BTreeMap::new();
    let mut started: Vec<StageKey> = Vec::new();
    let mut running = JoinSet::new();
    loop {
        let mut progress = false;
        for stage in shared.run.plan.stages.iter().filter(|stage| wanted.contains(&stage.key)) {
            let ready = stage.needs.iter().all(|need| ended.contains_key(&need.stage));
            if !ready || started.contains(&stage.key) {
                continue;
            }
            progress = true;
            started.push(stage.key.clone());
            match decide(shared, stage, &ended) {
                Ok(resolved) => {
                    let shared = shared.clone();
                    running.spawn(async move { one_stage(&shared, resolved).await });
                }
                Err((status, reason)) => {
                    shared.run.sink.stage(&stage.key, status, Some(&reason));
                    let outputs = BTreeMap::new();
                    let skipped =
                        LocalStage { key: stage.key.clone(), status, reason: Some(reason), outputs };
                    ended.insert(stage.key.clone(), skipped);
                }
            }
        }
        if progress {
            continue;
        }
        match running.join_next().await {
            Some(Ok(stage)) => {
                ended.insert(stage.key.clone(), stage);
            }
            Some(Err(error)) => tracing::error!(%error, "a stage broke off"),
            None => return ended,
        }
    }
}

/// Whether a stage whose needs have ended runs, and with which values; else how it ends, and why.
fn decide(
    shared: &Shared,
    stage: &StagePlan,
    ended: &BTreeMap<StageKey, LocalStage>,
) -> Result<StagePlan, (StageStatus, String)> {
    if shared.run.cancel.is_cancelled() {
        return Err((StageStatus::Cancelled, "the run was stopped".to_owned()));
    }
    let failed = |error: tidegate_pipelines::ResolveError| (StageStatus::Failed, error.to_string());
    let event = &shared.run.event;
    let mut context = Context {
        git: event.git.clone(),
        event: event.clone(),
        inputs: shared.run.plan.inputs.clone(),
        environment: None,
        stages: ended
            .iter()
            .map(|(key, stage)| {
                let status = stage.status.as_str().to_owned();
                (key.clone(), StageFacts { status, outputs: stage.outputs.clone() })
            })
            .collect(),
    };
    match &stage.condition {
        Some(expression) => {
            if !condition(expression, stage, &context).map_err(failed)? {
                return Err((StageStatus::Skipped, format!("its condition `{expression}` does not hold")));
            }
        }
        None => {
            let other = stage.needs.iter().find_map(|need| {
                let status = ended.get(&need.stage)?.status;
                (!accepted(need, status)).then_some((need, status))
            });
            if let Some((need, status)) = other {
                return Err((StageStatus::Skipped, format!("`{}` is {status}", need.stage)));
            }
        }
    }
    if let Some(name) = stage.environment() {
        let name = render_template(name, Some(stage), &context).map_err(failed)?;
        let url = shared.run.environments.get(&name).cloned();
        context.environment = Some(EnvironmentFacts { name, url });
    }
    resolve(stage, &context).map_err(failed)
}

fn accepted(need: &Need, status: StageStatus) -> bool {
    match need.accepts {
        NeedState::Succeeded => matches!(status, StageStatus::Succeeded | StageStatus::Warned),
        NeedState::Failed => matches!(status, StageStatus::Failed | StageStatus::Unknown),
        NeedState::Finished => true,
    }
}

/// Executes a stage, again where its own rules say so.
async fn one_stage(shared: &Shared, stage: StagePlan) -> LocalStage {
    let key = stage.key.clone();
    let sink = shared.run.sink.clone();
    sink.stage(&key, StageStatus::Queued, None);
    let _slot = shared.slots.acquire().await;
    sink.stage(&key, StageStatus::Running, None);
    let mut number = 0;
    let finish = loop {
        number += 1;
        let finish = match lease(shared, &stage, number) {
            Ok(lease) => one_attempt(shared, lease).await,
            Err(reason) => ended_early(Outcome::Failed, reason),
        };
        if !again(&stage, number, &finish) || shared.run.cancel.is_cancelled() {
            break finish;
        }
        let reason = finish.reason.unwrap_or_default();
        sink.stage(
            &key,
            StageStatus::Queued,
            Some(&format!("attempt {number}: {reason}; it is tried again")),
        );
        tokio::time::sleep(Duration::from_secs(stage.retry.backoff_seconds)).await;
        sink.stage(&key, StageStatus::Running, None);
    };
    let status = match finish.outcome {
        Outcome::Succeeded => StageStatus::Succeeded,
        Outcome::Cancelled => StageStatus::Cancelled,
        _ if stage.continue_on_error => StageStatus::Warned,
        _ => StageStatus::Failed,
    };
    sink.stage(&key, status, finish.reason.as_deref());
    LocalStage { key, status, reason: finish.reason, outputs: finish.outputs }
}

fn ended_early(outcome: Outcome, reason: String) -> Finish {
    Finish { outcome, reason: Some(reason), exit_code: None, outputs: BTreeMap::new() }
}

/// Whether another attempt follows; as on the server.
fn again(stage: &StagePlan, number: i32, finish: &Finish) -> bool {
    let left = u32::try_from(number).is_ok_and(|number| number < stage.retry.max_attempts);
    left && stage.retry_safe()
        && stage.retry.when.iter().any(|when| match (when, &finish.outcome) {
            (_, Outcome::Succeeded | Outcome::Cancelled) => false,
            (RetryWhen::Failure, _) => true,
            (RetryWhen::Infrastructure, outcome) => *outcome == Outcome::Infrastructure,
            (RetryWhen::Timeout, outcome) => *outcome == Outcome::TimedOut,
            (RetryWhen::ExitCodes(codes), _) => finish.exit_code.is_some_and(|code| codes.contains(&code)),
        })
}

/// The lease that a server would have given.
fn lease(shared: &Shared, stage: &StagePlan, number: i32) -> Result<Lease, String> {
    let run = &shared.run;
    let value = |name: &str| {
        run.secrets.get(name).cloned().ok_or_else(|| {
            format!("the secret `{name}` has no value here; set it in the environment variable {name}")
        })
    };
    let mut secrets = Vec::new();
    for used in &stage.secrets {
        secrets.push(Secret { name: used.name.clone(), env: used.env.clone(), value: value(&used.name)? });
    }
    let registry_login = match &stage.verb {
        Verb::Push(push) => match &push.credentials {
            Some(name) => {
                let login = value(name)?;
                let (username, password) = login
                    .split_once(':')
                    .ok_or_else(|| format!("the secret `{name}` is not of the form user:password"))?;
                Some(RegistryLogin { username: username.to_owned(), password: password.to_owned() })
            }
            None => None,
        },
        _ => None,
    };
    let deployment = matches!(stage.verb, Verb::Deploy(_)).then(|| DeploymentFacts {
        id: DeploymentId::new(),
        previous_image: None,
        rollback: false,
    });
    let git = &run.event.git;
    Ok(Lease {
        attempt: AttemptId::new(),
        epoch: 1,
        expires_in_ms: 0,
        stage_id: StageId::new(),
        run: shared.id,
        run_number: 0,
        number,
        source: Source {
            repository: run.event.repository.clone(),
            clone_url: String::new(),
            login: None,
            reference: git.reference.clone(),
            sha: git.sha.clone(),
        },
        stage: stage.clone(),
        env: facts(run, stage),
        secrets,
        registry_login,
        deployment,
        trusted: true,
    })
}

/// Facts of run and event as environment values.
fn facts(run: &LocalRun, stage: &StagePlan) -> BTreeMap<String, String> {
    let git = &run.event.git;
    let mut env = BTreeMap::from([
        ("CI", "true".to_owned()),
        ("TIDEGATE", "true".to_owned()),
        ("TIDEGATE_LOCAL", "true".to_owned()),
        ("TIDEGATE_SHA", git.sha.clone()),
        ("TIDEGATE_REF", git.reference.clone()),
        ("TIDEGATE_REPOSITORY", run.event.repository.clone()),
        ("TIDEGATE_EVENT", run.event.kind.as_str().to_owned()),
        ("TIDEGATE_ACTOR", run.event.actor.clone()),
        ("TIDEGATE_PIPELINE", run.plan.name.clone()),
        ("TIDEGATE_STAGE", stage.key.0.clone()),
        ("TIDEGATE_RUN_NUMBER", "0".to_owned()),
    ]);
    env.extend(git.branch.clone().map(|branch| ("TIDEGATE_BRANCH", branch)));
    env.extend(git.tag.clone().map(|tag| ("TIDEGATE_TAG", tag)));
    env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn one_attempt(shared: &Shared, lease: Lease) -> Finish {
    let key = lease.stage.key.clone();
    let dirs = StageDirs { root: shared.stages.join(lease.attempt.to_string()) };
    let journal = fs::create_dir_all(&dirs.root).and_then(|()| Journal::begin(&dirs.journal(), &lease, 0, 0));
    let journal = match journal {
        Ok(journal) => Arc::new(journal),
        Err(error) => {
            return ended_early(Outcome::Infrastructure, format!("{}: {error}", dirs.root.display()));
        }
    };
    let mut secrets: Vec<String> = lease.secrets.iter().map(|secret| secret.value.clone()).collect();
    secrets.extend(lease.registry_login.iter().map(|login| login.password.clone()));
    let told = Arc::new(Told { sink: shared.run.sink.clone(), stage: key });
    // No lease, so no end of one; the sender must only live as long as the attempt.
    let (_ends, lease_ends) = watch::channel(None);
    let ctx = StageContext {
        deadline: Instant::now() + Duration::from_secs(lease.stage.timeout_seconds),
        lease: Arc::new(lease),
        runner: shared.facts.clone(),
        dirs,
        workspace_from: WorkspaceFrom::Tree(shared.tree.clone()),
        engine: shared.engine.clone(),
        log: Arc::new(MaskedLog::new(&secrets, told.clone())),
        steps: Arc::new(StepBook::new(told)),
        results: Arc::new(FolderResults::new(&shared.results, &shared.caches, shared_stage(&journal))),
        journal,
        cancel: shared.run.cancel.child_token(),
        fence: CancellationToken::new(),
        lease_ends,
    };
    let executed = stage::execute(&ctx).await;
    stage::clean(&ctx).await;
    match executed {
        Executed::Finish(finish) => finish,
        Executed::Abandon(reason) => ended_early(Outcome::Infrastructure, reason),
    }
}

fn shared_stage(journal: &Journal) -> StageKey {
    journal.entry().lease.stage.key
}

/// Passes a stage's lines and steps on.
struct Told {
    sink: Arc<dyn LocalSink>,
    stage: StageKey,
}

impl LogStore for Told {
    fn append(&self, step: u32, bytes: &[u8]) {
        self.sink.log(&self.stage, step, bytes);
    }

    /// A local run is never gone on with, so nothing comes twice.
    fn truncate(&self, _step: u32) {}
}

impl StepSink for Told {
    fn report(&self, report: StepReport) {
        self.sink.step(&self.stage, &report);
    }
}
