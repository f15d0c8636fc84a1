//! Commands in a sandbox: the verb `run`, and the command parts of `deploy` and `smoke`.
//!
//! The sandbox is started while the workspace is being filled ([`super::sandboxed`]); the steps are the
//! [`super::engine`]'s. After a restart of the runner the same code runs again on the same channel: steps that were
//! sent are not sent again, and everything they printed or came to is read once more from the spool.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_pipelines::plan::Run;

use super::{
    Failure, StageContext, VerbResult, engine::Engine, fetching::Fetched, paths::Paths, sandboxed,
    spoken::Spoken, talk::Talk, tape::Tape,
};
use crate::{journal::Phase, logs::LogSink, sandbox::Sandbox};

/// The places of a stage's steps on the page.
#[derive(Default)]
pub(super) struct Pages {
    /// What actions do before the first step: its own page, the step's index, and the step's page.
    pub(super) before: Vec<(u32, usize, u32)>,
    /// The steps.
    pub(super) steps: Vec<u32>,
}

/// What is known of a stage's steps before its sandbox is up.
pub(super) struct Planned {
    pub(super) pages: Pages,
    pub(super) tape: Tape,
    pub(super) fetched: Fetched,
}

/// Starts a sandbox and runs the commands. The workspace is filled already.
pub async fn run(ctx: &StageContext, run: &Run, extra_env: &BTreeMap<String, String>) -> VerbResult {
    let planned = match plan_steps(ctx, run).await {
        Ok(planned) => planned,
        Err(failure) => return failure.into(),
    };
    match sandboxed::start(ctx, run).await {
        Ok(sandbox) => steps(ctx, run, planned, sandbox, extra_env).await,
        Err(failure) => failure.into(),
    }
}

/// Fetches actions, and adds the commands to the attempt's steps.
pub(super) async fn plan_steps(ctx: &StageContext, run: &Run) -> Result<Planned, Failure> {
    let mut tape = Tape::open(&ctx.dirs.tape())
        .map_err(|error| Failure::infrastructure(format!("{}: {error}", ctx.dirs.tape().display())))?;
    let mut fetched = Fetched::new(&ctx.lease.source);
    let mut pages = Pages::default();
    if ctx.is_lenient() {
        fetched.all(ctx, &mut tape, &run.steps).await?;
        let before = run.steps.iter().enumerate().filter(|(_, step)| fetched.has_pre(step));
        let before: Vec<(u32, usize)> =
            before.map(|(at, step)| (ctx.steps.plan(format!("Pre {}", step.name)), at)).collect();
        pages.steps = run.steps.iter().map(|step| ctx.steps.plan(step.name.clone())).collect();
        let of = |at: usize| pages.steps.get(at).copied().unwrap_or_default();
        pages.before = before.into_iter().map(|(page, at)| (page, at, of(at))).collect();
    } else {
        pages.steps = run.steps.iter().map(|step| ctx.steps.plan(step.name.clone())).collect();
    }
    Ok(Planned { pages, tape, fetched })
}

/// Runs the steps. `None` for a sandbox: it ended while no runner was there; the spool tells what had happened.
pub(super) async fn steps(
    ctx: &StageContext,
    run: &Run,
    planned: Planned,
    sandbox: Option<Arc<dyn Sandbox>>,
    extra_env: &BTreeMap<String, String>,
) -> VerbResult {
    let resumed = ctx.journal.phase() == Phase::Steps;
    if resumed {
        for page in planned.pages.before.iter().map(|(page, ..)| page).chain(&planned.pages.steps) {
            ctx.log.restart(*page);
        }
    } else if let Err(error) = ctx.journal.update(|entry| entry.phase = Phase::Steps) {
        return Failure::infrastructure(format!("the journal cannot be written: {error}")).into();
    }
    let spoken = ctx.is_lenient().then(|| Arc::new(Spoken::new(ctx.log.clone(), Paths::of(ctx))));
    let log: Arc<dyn LogSink> = match &spoken {
        Some(spoken) => spoken.clone(),
        None => ctx.log.clone(),
    };
    if let Some(token) = ctx.lease.contexts.get("github").and_then(|github| github.get("token")?.as_str()) {
        ctx.log.hide(token);
    }
    let talk = match Talk::open(ctx, sandbox, log) {
        Ok(talk) => talk,
        Err(failure) => return failure.into(),
    };
    let Planned { pages, tape, fetched } = planned;
    Engine::new(ctx, talk, spoken, (tape, fetched), extra_env, resumed).all(run, &pages).await
}
