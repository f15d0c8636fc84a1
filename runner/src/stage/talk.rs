//! One command in the sandbox: sent, waited for, stopped on a cancel, and the sandbox ended when the shim does not keep
//! its word. Commands in the background are sent, and waited for later.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Failure, StageContext, context::PartDirs, sandboxed::watch_end};
use crate::{
    logs::LogSink,
    sandbox::{
        Sandbox,
        session::{Event, Session},
        shim::wire::{Finished, StepCommand},
    },
};

/// How much longer than its own limits the shim may take before the sandbox is ended from outside.
const SLACK: Duration = Duration::from_secs(15);

/// The talk with one sandbox.
pub(super) struct Talk<'a> {
    ctx: &'a StageContext,
    session: Session,
    sandbox: Option<Arc<dyn Sandbox>>,
    ended: watch::Receiver<Option<String>>,
    /// The command that was sent and whose end was not heard.
    running: Option<u32>,
    /// Those in the background, with their ends once they were heard.
    behind: BTreeMap<u32, Option<Finished>>,
}

/// What a command reads.
pub(super) enum Reads<'a> {
    /// A script.
    Script(&'a str),
    /// Nothing but its arguments.
    Arguments,
}

impl<'a> Talk<'a> {
    /// Opens the talk. `None` for a sandbox: it ended while no runner was there; the spool tells what had happened.
    pub(super) fn open(
        ctx: &'a StageContext,
        sandbox: Option<Arc<dyn Sandbox>>,
        log: Arc<dyn LogSink>,
    ) -> Result<Self, Failure> {
        let dirs = PartDirs { channel: ctx.dirs.channel(), spool: ctx.dirs.spool() };
        Self::open_at(ctx, &dirs, sandbox, log)
    }

    /// The same with another container of the stage.
    pub(super) fn open_at(
        ctx: &'a StageContext,
        dirs: &PartDirs,
        sandbox: Option<Arc<dyn Sandbox>>,
        log: Arc<dyn LogSink>,
    ) -> Result<Self, Failure> {
        let session = Session::open(&dirs.channel, &dirs.spool, log).map_err(|error| {
            Failure::infrastructure(format!("the sandbox's channel cannot be opened: {error}"))
        })?;
        Ok(Self {
            ctx,
            session,
            ended: watch_end(sandbox.clone()),
            sandbox,
            running: None,
            behind: BTreeMap::new(),
        })
    }

    /// Stops the command whose [`Talk::run`] was dropped, and waits until it has ended.
    pub(super) async fn stop(&mut self) {
        if let Some(index) = self.running.take() {
            let _ = self.session.cancel(index);
            let _ = self.wait(index, Duration::ZERO, true).await;
        }
    }

    /// Whether a command was sent, by this process or an earlier one.
    pub(super) fn was_sent(&self, index: u32) -> bool {
        self.session.was_sent(index)
    }

    /// Whether the sandbox has ended.
    pub(super) fn is_over(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Lets process 1 exit.
    pub(super) fn end(&mut self) {
        let _ = self.session.end();
    }

    /// Runs a command to its end. `afterwards`: it runs though the stage was stopped, and no cancel is for it.
    pub(super) async fn run(
        &mut self,
        command: StepCommand,
        reads: Reads<'_>,
        limit: Duration,
        afterwards: bool,
    ) -> Result<Finished, Failure> {
        let index = command.index;
        self.send(command, reads)?;
        self.running = Some(index);
        let ended = self.wait(index, limit, afterwards).await;
        self.running = None;
        ended
    }

    fn send(&mut self, command: StepCommand, reads: Reads<'_>) -> Result<(), Failure> {
        let sent = match reads {
            Reads::Script(script) => self.session.send(command, script),
            Reads::Arguments => self.session.send_program(command),
        };
        sent.map_err(|error| Failure::infrastructure(format!("the step could not be sent: {error}")))
    }

    /// Starts a command that runs beside those after it.
    pub(super) fn start(&mut self, command: StepCommand, reads: Reads<'_>) -> Result<(), Failure> {
        let index = command.index;
        self.send(command, reads)?;
        self.behind.insert(index, None);
        Ok(())
    }

    /// Stops a command in the background; nothing when it has ended.
    pub(super) fn stop_behind(&mut self, index: u32) {
        if let Err(error) = self.session.cancel(index) {
            tracing::warn!(%error, index, "a command in the background cannot be stopped");
        }
    }

    /// Waits for the end of a command in the background.
    pub(super) async fn wait_for(
        &mut self,
        index: u32,
        limit: Duration,
        afterwards: bool,
    ) -> Result<Finished, Failure> {
        match self.behind.remove(&index).flatten() {
            Some(finished) => Ok(finished),
            None => self.wait(index, limit, afterwards).await,
        }
    }

    async fn wait(&mut self, index: u32, limit: Duration, afterwards: bool) -> Result<Finished, Failure> {
        let ctx = self.ctx;
        let grace = ctx.runner.grace;
        let mut overdue = Instant::now() + limit + grace + SLACK;
        let mut cancel_sent = afterwards;
        let mut lease = ctx.lease_ends.clone();
        let mut ended = self.ended.clone();
        self.send_lease(*lease.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                event = self.session.next() => match event {
                    Some(Event::Finished(step, finished)) if step == index => return Ok(finished),
                    Some(Event::Finished(step, finished)) => self.heard_behind(step, finished),
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
                    // Those in the background are waited for later, and have no more time than this one.
                    self.behind.keys().copied().collect::<Vec<_>>().into_iter().for_each(|one| self.stop_behind(one));
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
            match event {
                Event::Finished(step, finished) if step == index => return Ok(finished),
                Event::Finished(step, finished) => self.heard_behind(step, finished),
                _ => {}
            }
        }
        let reason = self.ended.borrow().clone().unwrap_or_default();
        Err(Failure::infrastructure(reason))
    }

    fn heard_behind(&mut self, step: u32, finished: Finished) {
        if let Some(ended) = self.behind.get_mut(&step) {
            *ended = Some(finished);
        }
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
}

/// Ready once the sandbox has ended.
async fn over(ended: &mut watch::Receiver<Option<String>>) {
    let _ = ended.wait_for(Option::is_some).await;
}
