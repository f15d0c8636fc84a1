//! `tidegate run`: a plan from the working tree, on the local engine, without a server.
//!
//! The stages go through the very code that a runner uses ([`crate::stage`]); only the scheduler is smaller: stages
//! start as soon as what they need has ended, a few at a time. There are no gates here: whoever runs it decides.
//! Which stages a stage stands for or adds is told by the functions that the server asks. The tree is copied, never
//! changed.

mod attempt;
mod emitted;
mod lenient;
mod results;
mod stop;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tidegate_pipelines::{
    Context, EnvironmentFacts, Files, StageFacts, condition,
    event::Event,
    made,
    plan::{Expressions, Need, NeedState, Plan, Roll, StageKey, StagePlan, replace_stage},
    render_template, resolve,
};
use tidegate_protocol::{ids::RunId, messages::StepReport, status::StageStatus};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::{
    attempt::one_stage,
    lenient::Given,
    results::Kept,
    stop::{Started, Stop},
};
use crate::{
    actions::ActionSettings,
    error::RunnerError,
    sandbox::{Engine, docker::Docker, shim},
    stage::RunnerFacts,
    sync::lock,
};

/// What to run, and for whom.
pub struct LocalRun {
    /// The compiled pipeline.
    pub plan: Plan,
    /// The working tree.
    pub workspace: PathBuf,
    /// The other files that stages which are added may name.
    pub files: Arc<dyn Files + Send + Sync>,
    /// What expressions of stages that fill in their templates themselves read as `vars`.
    pub variables: BTreeMap<String, String>,
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
    /// As in [`crate::RunnerConfig::actions`].
    pub actions: ActionSettings,
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
    /// Every stage that was in question, in the order of the plan as it is in the end.
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
pub async fn run_on(mut run: LocalRun, engine: Arc<dyn Engine>) -> Result<LocalOutcome, RunnerError> {
    let id = RunId::new();
    lenient::name_run(&mut run.plan, id);
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
        kept: Kept::default(),
        facts: Arc::new(RunnerFacts {
            id: format!("local-{id}"),
            name: "local".to_owned(),
            mirrors: data_dir.join("mirrors"),
            shim,
            allow_file_clone: true,
            grace: run.grace,
            docker_host: run.docker_host.clone(),
            action_mirrors: data_dir.join("actions"),
            actions: run.actions.clone(),
        }),
        engine: engine.clone(),
        slots: Semaphore::new(parallel),
        plan: Mutex::new(run.plan.clone()),
        run,
    });
    let runner = shared.facts.id.clone();
    let count = wanted.as_ref().map_or(shared.run.plan.stages.len(), BTreeSet::len);
    engine.prepare(&runner, parallel.min(count)).await;
    let ended = all_stages(&shared, wanted).await;
    engine.retire().await;
    let _ = fs::remove_dir_all(&shared.stages);
    let stages =
        lock(&shared.plan).stages.iter().filter_map(|stage| ended.get(&stage.key).cloned()).collect();
    Ok(LocalOutcome { stages, results })
}

/// The stages in question: the named ones with all that they need; none: all.
fn wanted(run: &LocalRun) -> Result<Option<BTreeSet<StageKey>>, RunnerError> {
    let all = &run.plan.stages;
    let Some(only) = &run.only else { return Ok(None) };
    let mut open: Vec<&StagePlan> =
        all.iter().filter(|stage| stage.key.0 == *only || stage.name == *only).collect();
    if open.is_empty() {
        let names: Vec<&str> = all.iter().map(|stage| stage.key.0.as_str()).collect();
        return Err(RunnerError::Local(format!(
            "there is no stage `{only}`; there are: {}",
            names.join(", ")
        )));
    }
    let mut chosen = BTreeSet::new();
    while let Some(stage) = open.pop() {
        if chosen.insert(stage.key.clone()) {
            open.extend(stage.needs.iter().filter_map(|need| run.plan.stage(&need.stage)));
        }
    }
    Ok(Some(chosen))
}

struct Shared {
    id: RunId,
    tree: PathBuf,
    stages: PathBuf,
    results: PathBuf,
    caches: PathBuf,
    kept: Kept,
    facts: Arc<RunnerFacts>,
    engine: Arc<dyn Engine>,
    slots: Semaphore,
    /// The plan as it has become: with the stages that others stood for, and those that stages added.
    plan: Mutex<Plan>,
    run: LocalRun,
}

/// Starts stages as what they need ends, until all have ended.
async fn all_stages(
    shared: &Arc<Shared>,
    mut wanted: Option<BTreeSet<StageKey>>,
) -> BTreeMap<StageKey, LocalStage> {
    let mut ended: BTreeMap<StageKey, LocalStage> = BTreeMap::new();
    let mut started = Started::new(&shared.run.cancel);
    let mut running = JoinSet::new();
    loop {
        let plan = lock(&shared.plan).clone();
        let mut progress = false;
        let mut places = started.places(&plan, wanted.as_ref(), &ended);
        for stage in &plan.stages {
            let asked = wanted.as_ref().is_none_or(|wanted| wanted.contains(&stage.key));
            let ready = stage.needs.iter().all(|need| ended.contains_key(&need.stage));
            if !asked || !ready || started.has(&stage.key) || ended.contains_key(&stage.key) {
                continue;
            }
            let decided = match places.failed_fast(stage) {
                Some(reason) => Err((StageStatus::Cancelled, reason)),
                None => decide(shared, &plan, stage, &ended),
            };
            if matches!(decided, Ok(Turn::Run(..))) && places.full(stage).is_some() {
                continue;
            }
            progress = true;
            match decided {
                Ok(Turn::Run(resolved, given)) => {
                    places.take(stage);
                    let stop = started.start(&stage.key);
                    let shared = shared.clone();
                    running.spawn(async move { one_stage(&shared, *resolved, given, stop).await });
                }
                Ok(Turn::Stands(made)) => {
                    if let Some(wanted) = &mut wanted {
                        wanted.extend(made.iter().map(|stage| stage.key.clone()));
                    }
                    replace_stage(&mut lock(&shared.plan), &stage.key, made);
                    // The others are looked at in the plan as it is now.
                    break;
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

/// What a stage whose needs have ended does.
enum Turn {
    /// It runs, with these values and what it is given.
    Run(Box<StagePlan>, Option<Given>),
    /// It stands for these.
    Stands(Vec<StagePlan>),
}

/// What a stage whose needs have ended does; else how it ends, and why.
fn decide(
    shared: &Shared,
    plan: &Plan,
    stage: &StagePlan,
    ended: &BTreeMap<StageKey, LocalStage>,
) -> Result<Turn, (StageStatus, String)> {
    if shared.run.cancel.is_cancelled() {
        return Err((StageStatus::Cancelled, "the run was stopped".to_owned()));
    }
    if let Some(reason) = &stage.skip_reason {
        return Err((StageStatus::Skipped, reason.clone()));
    }
    let failed = |error: tidegate_pipelines::ResolveError| (StageStatus::Failed, error.to_string());
    let event = &shared.run.event;
    let mut context = Context {
        git: event.git.clone(),
        event: event.clone(),
        inputs: plan.inputs.clone(),
        environment: None,
        contexts: BTreeMap::new(),
        stages: ended
            .iter()
            .map(|(key, stage)| {
                let status = stage.status.as_str().to_owned();
                (key.clone(), StageFacts { status, outputs: stage.outputs.clone() })
            })
            .collect(),
    };
    let given = match stage.expressions {
        Expressions::Lenient => Some(lenient::given(shared, plan, stage, &context.stages)?),
        Expressions::Strict => None,
    };
    let unmet = || {
        stage.needs.iter().find_map(|need| {
            let status = ended.get(&need.stage)?.status;
            (!accepted(need, status)).then(|| unmet_reason(need, status))
        })
    };
    let skip = match &stage.condition {
        _ if given.is_some() => None,
        Some(expression) if condition(expression, stage, &context).map_err(failed)? => None,
        Some(expression) => {
            Some(unmet().unwrap_or_else(|| format!("its condition `{expression}` does not hold")))
        }
        None => unmet(),
    };
    if let Some(reason) = skip {
        return Err((StageStatus::Skipped, reason));
    }
    if let Some(given) = &given {
        context.contexts.clone_from(&given.contexts);
    }
    if stage.is_open() {
        return stands_for(plan, stage, &context).map(Turn::Stands);
    }
    if let Some(name) = stage.environment() {
        let name = render_template(name, Some(stage), &context).map_err(failed)?;
        let url = shared.run.environments.get(&name).cloned();
        context.environment = Some(EnvironmentFacts { name, url });
    }
    let resolved = resolve(stage, &context).map_err(failed)?;
    Ok(Turn::Run(Box::new(resolved), given))
}

/// The stages that a stage stands for, at least one; else how it ends, and why.
fn stands_for(
    plan: &Plan,
    stage: &StagePlan,
    context: &Context,
) -> Result<Vec<StagePlan>, (StageStatus, String)> {
    let told = made(stage, |key| plan.stage(key), context, &plan.machines);
    let made = told.map_err(|error| (StageStatus::Failed, format!("its stages cannot be told: {error}")))?;
    if made.is_empty() {
        return Err((StageStatus::Skipped, "its matrix is empty, so there is nothing to do".to_owned()));
    }
    let entered = Roll::of(&plan.stages).enter(Some(&stage.key), &made);
    entered.map(|()| made).map_err(|reason| (StageStatus::Failed, reason))
}

fn accepted(need: &Need, status: StageStatus) -> bool {
    match need.accepts {
        NeedState::Succeeded => matches!(status, StageStatus::Succeeded | StageStatus::Warned),
        NeedState::Failed => matches!(status, StageStatus::Failed | StageStatus::Unknown),
        NeedState::Finished => true,
    }
}

/// Why a need that is not met keeps a stage from running; a server says the same.
fn unmet_reason(need: &Need, status: StageStatus) -> String {
    let how = match status {
        StageStatus::Succeeded => "succeeded",
        StageStatus::Warned => "failed, which it was allowed to",
        StageStatus::Skipped => "was skipped",
        StageStatus::Cancelled => "was cancelled",
        _ => "failed",
    };
    match need.accepts {
        NeedState::Failed => format!("it runs only when `{0}` fails, and `{0}` {how}", need.stage),
        _ => format!("`{}` {how}", need.stage),
    }
}
