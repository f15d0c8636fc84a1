//! A stage of a local run: the lease that a server would have given, its attempts, and where they tell of themselves.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use tidegate_pipelines::plan::{RetryWhen, StageKey, StagePlan, Verb};
use tidegate_protocol::{
    ids::{AttemptId, DeploymentId, StageId},
    messages::{DeploymentFacts, Finish, Lease, Outcome, RegistryLogin, Secret, Source, StepReport},
    status::StageStatus,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    LocalRun, LocalSink, LocalStage, Shared, Stop, emitted,
    lenient::Given,
    results::{FolderResults, RunPlace},
};
use crate::{
    journal::Journal,
    logs::{LogStore, MaskedLog},
    stage::{self, Executed, StageContext, StageDirs, StepBook, StepSink, WorkspaceFrom},
};

/// Executes a stage, again where its own rules say so.
pub(super) async fn one_stage(
    shared: &Shared,
    stage: StagePlan,
    given: Option<Given>,
    stop: Stop,
) -> LocalStage {
    let key = stage.key.clone();
    let sink = shared.run.sink.clone();
    sink.stage(&key, StageStatus::Queued, None);
    let _slot = shared.slots.acquire().await;
    sink.stage(&key, StageStatus::Running, None);
    let mut number = 0;
    let mut finish = loop {
        number += 1;
        let finish = match lease(shared, &stage, given.as_ref(), number) {
            Ok(lease) => emitted::add(shared, &stage, one_attempt(shared, lease, &stop.cancel).await),
            Err(reason) => ended_early(Outcome::Failed, reason),
        };
        if !again(&stage, number, &finish) || stop.cancel.is_cancelled() {
            break finish;
        }
        let reason = finish.reason.unwrap_or_default();
        sink.stage(
            &key,
            StageStatus::Queued,
            Some(&format!("attempt {number}: {reason}; it is tried again")),
        );
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(stage.retry.backoff_seconds)) => {}
            () = stop.cancel.cancelled() => {
                break ended_early(Outcome::Cancelled, "the run was stopped".to_owned());
            }
        }
        sink.stage(&key, StageStatus::Running, None);
    };
    if finish.outcome == Outcome::Cancelled {
        finish.reason = stop.reason().or(finish.reason);
    }
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
    Finish { outcome, reason: Some(reason), exit_code: None, outputs: BTreeMap::new(), emitted: None }
}

/// Whether another attempt follows; as on the server.
fn again(stage: &StagePlan, number: i32, finish: &Finish) -> bool {
    // What says nothing about the stage has a second try even where none was asked for.
    let blameless = finish.outcome == Outcome::Infrastructure;
    let most = if blameless { stage.retry.max_attempts.max(2) } else { stage.retry.max_attempts };
    let left = u32::try_from(number).is_ok_and(|number| number < most);
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
fn lease(shared: &Shared, stage: &StagePlan, given: Option<&Given>, number: i32) -> Result<Lease, String> {
    let run = &shared.run;
    let value = |name: &str| {
        run.secrets.get(name).cloned().ok_or_else(|| {
            format!("the secret `{name}` has no value here; set it in the environment variable {name}")
        })
    };
    let mut secrets = given.map(|given| given.secrets.clone()).unwrap_or_default();
    for used in stage.secrets.iter().filter(|_| given.is_none()) {
        if used.optional && !run.secrets.contains_key(&used.name) {
            continue;
        }
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
        contexts: given.map(|given| given.contexts.clone()).unwrap_or_default(),
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

async fn one_attempt(shared: &Shared, lease: Lease, cancel: &CancellationToken) -> Finish {
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
    let (git, plan) = (&shared.run.event.git, &shared.run.plan);
    let place = RunPlace {
        reference: git.reference.clone(),
        default_branch: shared.run.event.default_branch.clone(),
        pipeline: plan.source.path.clone(),
    };
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
        results: Arc::new(FolderResults::new(
            &shared.results,
            &shared.caches,
            place,
            shared_stage(&journal),
            shared.kept.clone(),
        )),
        journal,
        cancel: cancel.child_token(),
        fence: CancellationToken::new(),
        lease_ends,
        toolkit: None,
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
