//! Commands in a sandbox: the verb `run`, and the command parts of `deploy` and `smoke`.
//!
//! The sandbox is started while the workspace is being filled. Steps go to the shim one by one; what comes back is
//! judged here. After a restart of the runner the same code runs again on the same channel: steps that were sent are
//! not sent again, and everything they printed or came to is read once more from the spool.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tidegate_pipelines::plan::{Does, Run, Script, Step, StepWhen, Template};
use tidegate_protocol::{messages::Outcome, status::StepStatus};
use tokio::time::{Instant, sleep_until};

use super::{Failure, StageContext, VerbResult, services};
use crate::{
    journal::Phase,
    logs::line,
    sandbox::{
        EngineError, Sandbox, SandboxEnd, SandboxSpec, WORKSPACE,
        session::{self, Event, Session},
        shim::wire::{Finished, StepCommand},
    },
};

/// Bytes of output of a step that are kept.
const OUTPUT_LIMIT: u64 = 1 << 30;
/// How long steps with `when: always` may take once the stage is stopped or out of time.
const AFTERWARDS: Duration = Duration::from_secs(60);
/// How much longer than its own limits the shim may take before the sandbox is ended from outside.
const SLACK: Duration = Duration::from_secs(15);

/// Starts a sandbox and runs the commands. The workspace is filled already.
pub async fn run(ctx: &StageContext, run: &Run, extra_env: &BTreeMap<String, String>) -> VerbResult {
    let planned = plan_steps(ctx, run);
    match start(ctx, run).await {
        Ok(sandbox) => steps(ctx, run, &planned, sandbox, extra_env).await,
        Err(failure) => failure.into(),
    }
}

/// Adds the commands to the attempt's steps.
pub(super) fn plan_steps(ctx: &StageContext, run: &Run) -> Vec<u32> {
    run.steps.iter().map(|step| ctx.steps.plan(step.name.clone())).collect()
}

/// Makes images present, starts services and the sandbox; or finds the sandbox of an earlier process.
pub(super) async fn start(ctx: &StageContext, run: &Run) -> Result<Option<Arc<dyn Sandbox>>, Failure> {
    if ctx.journal.phase() == Phase::Steps {
        return ctx.engine.find(&ctx.owner()).await.map_err(Failure::from);
    }
    let image = run.image.as_str();
    let began = Instant::now();
    session::create_channel(&ctx.dirs.channel(), &ctx.dirs.spool(), &ctx.runner.shim)
        .map_err(|error| Failure::infrastructure(format!("{}: {error}", ctx.dirs.root.display())))?;
    let owner = ctx.owner();
    let mut progress = |text: String| line(&*ctx.log, 0, text);
    let (image_there, network) = tokio::join!(
        ctx.engine.ensure_image(image, &mut progress),
        ctx.engine.network(&owner, !ctx.lease.trusted)
    );
    image_there?;
    let network = network?;
    ctx.journal
        .update(|entry| entry.network = Some(network.clone()))
        .map_err(|error| Failure::infrastructure(format!("the journal cannot be written: {error}")))?;
    services::start_all(ctx, &network).await?;
    let spec = SandboxSpec {
        owner,
        image: image.to_owned(),
        network,
        channel: ctx.dirs.channel(),
        spool: ctx.dirs.spool(),
        workspace: ctx.dirs.workspace(),
        mounts: super::prepare::mounts(ctx),
        resources: ctx.lease.stage.resources.clone(),
        untrusted: !ctx.lease.trusted,
    };
    let sandbox = ctx.engine.start(&spec).await?;
    line(&*ctx.log, 0, format!("{image} started in {} ms", began.elapsed().as_millis()));
    Ok(Some(sandbox))
}

/// Runs the steps. `None` for a sandbox: it ended while no runner was there; the spool tells what had happened.
pub(super) async fn steps(
    ctx: &StageContext,
    run: &Run,
    planned: &[u32],
    sandbox: Option<Arc<dyn Sandbox>>,
    extra_env: &BTreeMap<String, String>,
) -> VerbResult {
    let resumed = ctx.journal.phase() == Phase::Steps;
    if resumed {
        for step in planned {
            ctx.log.restart(*step);
        }
    } else if let Err(error) = ctx.journal.update(|entry| entry.phase = Phase::Steps) {
        return Failure::infrastructure(format!("the journal cannot be written: {error}")).into();
    }
    let session = match Session::open(&ctx.dirs.channel(), &ctx.dirs.spool(), ctx.log.clone()) {
        Ok(session) => session,
        Err(error) => {
            return Failure::infrastructure(format!("the sandbox's channel cannot be opened: {error}"))
                .into();
        }
    };
    let ended = watch_end(sandbox.clone());
    let mut env = ctx.env();
    env.extend(extra_env.clone());
    let mut steps = Steps {
        ctx,
        session,
        sandbox,
        ended,
        env,
        outputs: BTreeMap::new(),
        failure: None,
        stopped_at: None,
    };
    for (step, index) in run.steps.iter().zip(planned) {
        if steps.wants(step) {
            steps.run(step, *index).await;
        } else {
            ctx.steps.end(*index, StepStatus::Skipped, None);
        }
    }
    let _ = steps.session.end();
    VerbResult { outputs: steps.outputs, failure: steps.failure }
}

/// The end of the sandbox as a value that many may look at.
fn watch_end(sandbox: Option<Arc<dyn Sandbox>>) -> tokio::sync::watch::Receiver<Option<String>> {
    let (sender, receiver) = tokio::sync::watch::channel(None);
    tokio::spawn(async move {
        let text = match sandbox {
            None => "the sandbox ended while the runner was away".to_owned(),
            Some(sandbox) => tokio::select! {
                // Nobody looks any more.
                () = sender.closed() => return,
                ended = sandbox.wait() => match ended {
                    Ok(SandboxEnd { out_of_memory: true, .. }) => "the sandbox ran out of memory".to_owned(),
                    Ok(SandboxEnd { code: 71, .. }) => {
                        "the sandbox's process 1 gave up; the runner's disk may be full".to_owned()
                    }
                    Ok(SandboxEnd { code: 75, .. }) => "the sandbox ended itself when its lease ran out".to_owned(),
                    Ok(SandboxEnd { code, .. }) => {
                        format!("the sandbox was ended from outside (exit code {code})")
                    }
                    Err(error) => error.to_string(),
                },
            },
        };
        let _ = sender.send(Some(text));
    });
    receiver
}

struct Steps<'a> {
    ctx: &'a StageContext,
    session: Session,
    sandbox: Option<Arc<dyn Sandbox>>,
    ended: tokio::sync::watch::Receiver<Option<String>>,
    env: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
    failure: Option<Failure>,
    /// When a cancel or the stage's deadline was first met; `always` steps still run for a while.
    stopped_at: Option<Instant>,
}

impl Steps<'_> {
    fn wants(&mut self, step: &Step) -> bool {
        let ctx = self.ctx;
        if ctx.fence.is_cancelled() || self.ended.borrow().is_some() && self.failure.is_some() {
            return false;
        }
        if self.failure.is_none() && ctx.cancel.is_cancelled() {
            self.fail(Failure::cancelled());
        }
        if self.failure.is_none() && ctx.remaining().is_zero() {
            self.fail(self.ctx.timed_out());
        }
        match step.when {
            StepWhen::Success => self.failure.is_none(),
            StepWhen::Failure => self.failure.is_some() && self.stopped_at.is_none(),
            StepWhen::Always => true,
        }
    }

    fn fail(&mut self, failure: Failure) {
        if matches!(failure.outcome, Outcome::Cancelled | Outcome::TimedOut) {
            self.stopped_at.get_or_insert_with(Instant::now);
        }
        self.failure.get_or_insert(failure);
    }

    /// How long the next step may take.
    fn limit(&self, step: &Step) -> Duration {
        let left = match self.stopped_at {
            None => self.ctx.remaining(),
            Some(at) => AFTERWARDS.saturating_sub(at.elapsed()),
        };
        step.timeout_seconds.map_or(left, |seconds| left.min(Duration::from_secs(seconds)))
    }

    async fn run(&mut self, step: &Step, index: u32) {
        let ctx = self.ctx;
        let limit = self.limit(step);
        let Script { script, shell, working_directory } = match &step.does {
            Does::Run(script) => script,
            Does::Uses(uses) => {
                let reason = format!("this runner cannot use actions, and the step uses `{}`", uses.action);
                line(&*ctx.log, index, &reason);
                ctx.log.end(index);
                ctx.steps.end(index, StepStatus::Failed, None);
                return self.fail(Failure::failed(reason));
            }
        };
        let cwd = match working_directory.as_ref().map(Template::as_str) {
            None | Some("" | ".") => WORKSPACE.to_owned(),
            Some(path) if path.starts_with('/') => path.to_owned(),
            Some(path) => format!("{WORKSPACE}/{path}"),
        };
        let command = StepCommand {
            index,
            argv: shell.clone(),
            script: String::new(),
            env: self.env.clone(),
            step_env: step
                .env
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().to_owned()))
                .collect(),
            cwd,
            timeout_ms: Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            grace_ms: u64::try_from(ctx.runner.grace.as_millis()).unwrap_or(u64::MAX),
            output_limit: OUTPUT_LIMIT,
        };
        ctx.steps.start(index);
        let waited = match self.session.send(command, script) {
            Ok(()) => self.wait(index, limit).await,
            Err(error) => Err(Failure::infrastructure(format!("the step could not be sent: {error}"))),
        };
        match waited {
            Ok(finished) => self.judge(step, index, &finished),
            Err(failure) => {
                ctx.log.end(index);
                let status = if failure.outcome == Outcome::Cancelled {
                    StepStatus::Cancelled
                } else {
                    line(&*ctx.log, index, format!("[tidegate: {}]", failure.reason));
                    ctx.log.end(index);
                    StepStatus::Failed
                };
                ctx.steps.end(index, status, None);
                self.fail(failure);
            }
        }
    }

    /// Waits for a step's end, passes a cancel on, and ends the sandbox when the shim does not keep its word.
    async fn wait(&mut self, index: u32, limit: Duration) -> Result<Finished, Failure> {
        let ctx = self.ctx;
        let grace = ctx.runner.grace;
        let mut overdue = Instant::now() + limit + grace + SLACK;
        // A step that runs after a cancel is not to be cancelled by the same one.
        let mut cancel_sent = self.stopped_at.is_some();
        let mut lease = ctx.lease_ends.clone();
        let mut ended = self.ended.clone();
        self.send_lease(*lease.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                event = self.session.next() => match event {
                    Some(Event::Finished(step, finished)) if step == index => return Ok(finished),
                    Some(Event::Broken(reason)) => {
                        self.kill().await;
                        return Err(Failure::infrastructure(reason));
                    }
                    Some(_) => {}
                    None => return Err(Failure::infrastructure("the sandbox's spool is not followed any more")),
                },
                () = ctx.fence.cancelled() => {
                    self.kill().await;
                    return Err(Failure::infrastructure("the lease was lost"));
                }
                () = ctx.cancel.cancelled(), if !cancel_sent => {
                    cancel_sent = true;
                    overdue = Instant::now() + grace + SLACK;
                    let _ = self.session.cancel(index);
                }
                Ok(()) = lease.changed() => {
                    let until = *lease.borrow_and_update();
                    self.send_lease(until);
                }
                () = over(&mut ended) => return self.last_words(index).await,
                () = sleep_until(overdue) => {
                    self.kill().await;
                    return Err(if ctx.cancel.is_cancelled() {
                        Failure::cancelled()
                    } else {
                        Failure::timed_out("the step did not stop in time, so its sandbox was ended")
                    });
                }
            }
        }
    }

    /// The sandbox is gone. What its spool still holds counts.
    async fn last_words(&mut self, index: u32) -> Result<Finished, Failure> {
        let until = Instant::now() + Duration::from_secs(2);
        while let Ok(Some(event)) = tokio::time::timeout_at(until, self.session.next()).await {
            if let Event::Finished(step, finished) = event
                && step == index
            {
                return Ok(finished);
            }
        }
        let reason = self.ended.borrow().clone().unwrap_or_default();
        Err(Failure::infrastructure(reason))
    }

    fn send_lease(&mut self, until: Option<Duration>) {
        if let Some(until) = until
            && let Err(error) = self.session.lease(until)
        {
            tracing::warn!(%error, "the sandbox cannot be told of its lease");
        }
    }

    async fn kill(&self) {
        if let Some(sandbox) = &self.sandbox
            && let Err(error) = sandbox.kill().await
        {
            tracing::warn!(%error, sandbox = sandbox.id(), "the sandbox could not be ended");
        }
    }

    fn judge(&mut self, step: &Step, index: u32, finished: &Finished) {
        let ctx = self.ctx;
        for (name, value) in &finished.outputs {
            self.outputs.insert(name.clone(), ctx.log.mask(value));
        }
        let failure = self.failure_of(step, finished);
        let status = match &failure {
            None => StepStatus::Succeeded,
            Some(failure) if failure.outcome == Outcome::Cancelled => StepStatus::Cancelled,
            Some(failure) => {
                let plain =
                    finished.exit_code.is_some() && finished.error.is_none() && !finished.out_of_memory;
                if !plain {
                    line(&*ctx.log, index, format!("[tidegate: {}]", failure.reason));
                    ctx.log.end(index);
                }
                StepStatus::Failed
            }
        };
        let took = Duration::from_millis(finished.duration_ms);
        ctx.steps.end_after(index, status, finished.exit_code, Some(took));
        match failure {
            Some(failure) if step.continue_on_error && failure.outcome == Outcome::Failed => {
                line(&*ctx.log, index, "[tidegate: this step may fail; the stage goes on]");
                ctx.log.end(index);
            }
            Some(failure) => self.fail(failure),
            None => {}
        }
    }

    fn failure_of(&self, step: &Step, finished: &Finished) -> Option<Failure> {
        let name = &step.name;
        let failed =
            |reason: String| Some(Failure { exit_code: finished.exit_code, ..Failure::failed(reason) });
        if let Some(error) = &finished.error {
            return failed(format!("step `{name}`: {error}"));
        }
        if finished.cancelled && !self.ctx.cancel.is_cancelled() {
            // The shim passes on what its container is told, and nobody here asked for it.
            return Some(Failure::infrastructure(format!(
                "step `{name}` was stopped from outside: the container engine was shut down, or somebody stopped the container"
            )));
        }
        if finished.cancelled {
            return Some(Failure::cancelled());
        }
        if finished.timed_out {
            let own = step.timeout_seconds.filter(|own| finished.duration_ms + 50 >= own * 1000);
            return Some(match own {
                Some(seconds) => Failure::timed_out(format!("step `{name}` took longer than {seconds} s")),
                None => self.ctx.timed_out(),
            });
        }
        let memory = if finished.out_of_memory { " after running out of memory" } else { "" };
        match (finished.exit_code, finished.signal) {
            (Some(0), _) => None,
            (Some(code), _) => failed(format!("step `{name}` ended with exit code {code}{memory}")),
            (None, Some(signal)) => failed(format!("step `{name}` was ended by signal {signal}{memory}")),
            (None, None) => failed(format!("step `{name}` ended in an unknown way")),
        }
    }
}

/// Ready once the sandbox has ended.
async fn over(ended: &mut tokio::sync::watch::Receiver<Option<String>>) {
    let _ = ended.wait_for(Option::is_some).await;
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            // The pipeline names the image, so this is the stage's own failure; trying again does not help.
            EngineError::Image(reason) => Self::failed(reason),
            other => Self::infrastructure(other.to_string()),
        }
    }
}
