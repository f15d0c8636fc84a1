//! The state machine of an attempt: prepare, do, keep, clean.
//!
//! ```text
//! Preparing ──> Steps ──┐
//!     │                 ├──> Finished ──> (reported, cleaned, forgotten)
//!     └───────> Verb ───┘
//! ```
//!
//! Each state is in the journal before anything of it happens. After a restart of the runner: `Preparing` begins
//! anew, for nothing of the stage itself had happened; `Steps` goes on from the shim's spool; `Verb` begins anew
//! where that is harmless (a build, a push, a check), and a deployment, which is carried out at most once, is given
//! up without a report, so that the server calls it unknown; `Finished` is only reported again.

use std::collections::BTreeMap;

use tidegate_pipelines::plan::{Driver, Smoke, Verb};
use tidegate_protocol::{
    messages::{Finish, Outcome},
    status::StepStatus,
};

use super::{Failure, StageContext, VerbResult, commands, fill, keep, prepare, sandboxed};
use crate::{journal::Phase, logs::line, toolkit::Toolkit, verbs};

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executed {
    /// Report this.
    Finish(Finish),
    /// Say nothing and let the lease end: the lease is lost, or nobody knows how far a deployment came.
    Abandon(String),
}

/// Executes the attempt, or goes on with it.
pub async fn execute(ctx: &StageContext) -> Executed {
    if let Phase::Finished(finish) = ctx.journal.phase() {
        return Executed::Finish(finish);
    }
    let resumed = ctx.journal.phase();
    if resumed == Phase::Verb && matches!(ctx.lease.stage.verb, Verb::Deploy(_)) {
        return Executed::Abandon("the runner was restarted in the middle of the deployment".to_owned());
    }
    let result = match fill::fill(ctx) {
        Ok(ctx) => attempt(&ctx, resumed == Phase::Steps).await,
        Err(failure) => {
            ctx.steps.begin("set up");
            failed_set_up(ctx, failure)
        }
    };
    if ctx.fence.is_cancelled() {
        return Executed::Abandon("the lease was lost".to_owned());
    }
    let finish = finish(ctx, result);
    let end = if finish.outcome == Outcome::Cancelled { StepStatus::Cancelled } else { StepStatus::Failed };
    ctx.steps.close(end);
    if let Err(error) = ctx.journal.update(|entry| entry.phase = Phase::Finished(finish.clone())) {
        tracing::warn!(%error, attempt = %ctx.lease.attempt, "the result could not be journalled");
    }
    Executed::Finish(finish)
}

async fn attempt(ctx: &StageContext, resumed: bool) -> VerbResult {
    let set_up = ctx.steps.begin("set up");
    let stage = &ctx.lease.stage;
    if resumed {
        line(&*ctx.log, set_up, format!("runner {} was restarted and goes on", ctx.runner.name));
    } else {
        line(&*ctx.log, set_up, format!("runner {}, attempt {}", ctx.runner.name, ctx.lease.number));
    }
    if let Err(failure) = prepare::folders(ctx) {
        return failed_set_up(ctx, failure);
    }
    let with_toolkit;
    let (result, caches) = match &stage.verb {
        Verb::Run(run) => {
            let ctx = match Toolkit::open(ctx, run) {
                Ok(None) => ctx,
                Ok(toolkit) => {
                    with_toolkit = StageContext { toolkit, ..ctx.clone() };
                    &with_toolkit
                }
                Err(failure) => return failed_set_up(ctx, failure),
            };
            let planned = tokio::select! {
                planned = commands::plan_steps(ctx, run) => planned,
                stopped = stopped(ctx) => Err(stopped),
            };
            let planned = match planned {
                Ok(planned) => planned,
                Err(failure) => return failed_set_up(ctx, failure),
            };
            // The sandbox starts while its workspace is filled.
            let fill = async { if resumed { Ok(Vec::new()) } else { prepare::workspace(ctx).await } };
            let both = async { tokio::join!(sandboxed::start(ctx, run), fill) };
            let (sandbox, caches) = tokio::select! {
                both = both => both,
                stopped = stopped(ctx) => return failed_set_up(ctx, stopped),
            };
            let (sandbox, caches) = match (sandbox, caches) {
                (Ok(sandbox), Ok(caches)) => (sandbox, caches),
                (_, Err(failure)) | (Err(failure), _) => return failed_set_up(ctx, failure),
            };
            end_set_up(ctx, StepStatus::Succeeded);
            (commands::steps(ctx, run, planned, sandbox, &BTreeMap::new()).await, caches)
        }
        verb => {
            let filled = tokio::select! {
                filled = prepare::workspace(ctx), if !resumed => filled,
                stopped = stopped(ctx) => Err(stopped),
                () = std::future::ready(()), if resumed => Ok(Vec::new()),
            };
            let caches = match filled {
                Ok(caches) => caches,
                Err(failure) => return failed_set_up(ctx, failure),
            };
            end_set_up(ctx, StepStatus::Succeeded);
            // Commands in a sandbox write `Steps` themselves: they can be gone on with.
            let in_sandbox =
                matches!(verb, Verb::Deploy(deploy) if matches!(deploy.driver, Driver::Command(_)));
            if !in_sandbox
                && !resumed
                && let Err(error) = ctx.journal.update(|entry| entry.phase = Phase::Verb)
            {
                return Failure::infrastructure(format!("the journal cannot be written: {error}")).into();
            }
            (by_runner(ctx, verb, resumed).await, caches)
        }
    };
    let (failure, emitted) = keep::results(ctx, result.failure, &caches).await;
    VerbResult { outputs: result.outputs, failure, emitted }
}

async fn by_runner(ctx: &StageContext, verb: &Verb, resumed: bool) -> VerbResult {
    let work = async {
        match verb {
            Verb::Build(build) => verbs::build::run(ctx, build).await,
            Verb::Push(push) => verbs::push::run(ctx, push).await,
            Verb::Deploy(deploy) => match &deploy.driver {
                Driver::Compose { .. } => verbs::deploy::compose(ctx, deploy).await,
                Driver::Command(run) => {
                    let facts = verbs::deploy::facts(ctx, deploy);
                    commands::run(ctx, run, &facts).await
                }
            },
            Verb::Smoke(smoke) => smoke_test(ctx, smoke, resumed).await,
            Verb::Run(run) => commands::run(ctx, run, &BTreeMap::new()).await,
        }
    };
    // The verbs stop themselves on a cancel, as they know what is half done; a lost lease waits for nobody.
    tokio::select! {
        result = work => result,
        () = ctx.fence.cancelled() => Failure::infrastructure("the lease was lost").into(),
    }
}

/// The checks, then the commands. When the commands are gone on with, the checks had passed.
async fn smoke_test(ctx: &StageContext, smoke: &Smoke, resumed: bool) -> VerbResult {
    if resumed {
        for check in &smoke.checks {
            let step = ctx.steps.plan(format!("check {}", check.name));
            ctx.steps.end(step, StepStatus::Succeeded, None);
        }
    } else {
        let checked = verbs::smoke::checks(ctx, smoke).await;
        if checked.failure.is_some() {
            return checked;
        }
    }
    match &smoke.commands {
        Some(run) => commands::run(ctx, run, &BTreeMap::new()).await,
        None => VerbResult::default(),
    }
}

/// Ready when a set-up must not go on: a cancel, or the stage's time is up.
async fn stopped(ctx: &StageContext) -> Failure {
    tokio::select! {
        () = ctx.cancel.cancelled() => Failure::cancelled(),
        () = tokio::time::sleep_until(ctx.deadline) => ctx.timed_out(),
    }
}

fn end_set_up(ctx: &StageContext, status: StepStatus) {
    ctx.log.end(0);
    ctx.steps.end(0, status, None);
}

fn failed_set_up(ctx: &StageContext, failure: Failure) -> VerbResult {
    line(&*ctx.log, 0, &failure.reason);
    let cancelled = failure.outcome == Outcome::Cancelled;
    end_set_up(ctx, if cancelled { StepStatus::Cancelled } else { StepStatus::Failed });
    failure.into()
}

fn finish(ctx: &StageContext, result: VerbResult) -> Finish {
    match result.failure {
        None => Finish {
            outcome: Outcome::Succeeded,
            reason: None,
            exit_code: None,
            outputs: result.outputs,
            emitted: result.emitted,
        },
        Some(failure) => Finish {
            outcome: failure.outcome,
            reason: Some(ctx.log.mask(&failure.reason)),
            exit_code: failure.exit_code,
            outputs: result.outputs,
            emitted: None,
        },
    }
}

/// Destroys everything of the attempt: in the engine, then on disk. May be called again.
pub async fn clean(ctx: &StageContext) {
    if clean_engine(ctx).await {
        clean_disk(ctx).await;
    }
}

/// Destroys what the attempt has in the engine; false when that did not go well.
pub async fn clean_engine(ctx: &StageContext) -> bool {
    let owner = ctx.owner();
    match ctx.engine.clean(&owner.runner, owner.attempt).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, attempt = %owner.attempt, "not all could be removed; it is tried again later");
            false
        }
    }
}

/// Destroys the attempt's files, once nothing in the engine uses them.
pub async fn clean_disk(ctx: &StageContext) {
    let root = ctx.dirs.root.clone();
    let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(root)).await;
    if let Ok(Err(error)) = &removed
        && error.kind() == std::io::ErrorKind::PermissionDenied
        && let Ok(ctx) = fill::fill(ctx)
        && let Some(run) = ctx.lease.stage.verb.commands()
    {
        // Files of other users, and this process is not root: the sandbox's own image helps.
        let (owner, folder) = (ctx.owner(), ctx.dirs.files());
        let emptied = ctx.engine.empty_folder(&owner, run.image.as_str(), &ctx.runner.shim, &folder).await;
        if let Err(error) = emptied {
            tracing::warn!(%error, folder = %folder.display(), "the workspace could not be emptied");
        }
        let _ = std::fs::remove_dir_all(&ctx.dirs.root);
    }
}
