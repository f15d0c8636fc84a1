//! The steps of a stage, one after the other, and those in the background ([`super::background`]).
//!
//! Here is what they share, and the order: what actions do before the first step, the steps, what actions do after the
//! last one, the outputs. A step's turn itself is in [`super::turn`], and that asks how the stage stands
//! ([`super::standing`]), evaluates what is templated ([`super::evaluate`]), sends commands ([`super::command`]) and says
//! what they came to ([`super::judge`]).
//!
//! After a restart of the runner the same code goes over the same steps again. Commands that were sent are not sent
//! again, their results come from the spool; everything else that a decision rests on comes from the [`Tape`]. So
//! contexts, numbers of commands and lines between commands come out the same, and what is new begins where the
//! earlier process was.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_pipelines::plan::{Does, Run, Step};
use tidegate_protocol::status::StepStatus;
use tokio::time::Instant;

use super::{
    Failure, StageContext, VerbResult,
    background::{Behind, Left},
    commands::Pages,
    fetching::Fetched,
    judge::Came,
    paths::Paths,
    posts::Post,
    scope::{Ending, Scope, World},
    spoken::Spoken,
    surroundings,
    talk::Talk,
    tape::Tape,
    turn::Stepped,
};
use crate::logs::line;

/// What an attempt's steps are carried out with.
pub(super) struct Engine<'a> {
    pub(super) ctx: &'a StageContext,
    pub(super) talk: Talk<'a>,
    pub(super) tape: Tape,
    /// There in stages that speak in workflow commands.
    pub(super) spoken: Option<Arc<Spoken>>,
    pub(super) paths: Paths,
    pub(super) world: World,
    /// What belongs to a stage's own steps; a composite action's have another one.
    pub(super) posts: Vec<Post>,
    /// Every output of every step.
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) failure: Option<Failure>,
    /// Steps in the background that nobody has waited for yet.
    pub(super) behind: Vec<Behind>,
    /// What the step at hand started for that.
    pub(super) left: Option<Left>,
    /// Why one of them failed, where that is to count only in the end.
    pub(super) kept: Option<Failure>,
    /// When a cancel or the stage's deadline was first met; steps that always run still do, for a while.
    pub(super) stopped_at: Option<Instant>,
    /// How many commands each step of the page had so far.
    pub(super) commands: BTreeMap<u32, u32>,
    pub(super) turns: usize,
    /// Actions of other repositories.
    pub(super) fetched: Fetched,
    /// What the parts of each step's action before the main one saved, by the step of the page.
    pub(super) states: BTreeMap<u32, BTreeMap<String, String>>,
    /// An earlier process was here: logs are written anew.
    resumed: bool,
    /// Somebody else than the stage's commands may have written files since the last one of them.
    pub(super) strange_files: bool,
    /// The stage's user and group on this machine, once they are known.
    pub(super) owner: Option<(u32, u32)>,
}

impl<'a> Engine<'a> {
    /// An engine over an open talk.
    pub(super) fn new(
        ctx: &'a StageContext,
        talk: Talk<'a>,
        spoken: Option<Arc<Spoken>>,
        (tape, fetched): (Tape, Fetched),
        extra_env: &BTreeMap<String, String>,
        resumed: bool,
    ) -> Self {
        let mut world = World::default();
        if spoken.is_some() {
            world.facts = ctx.facts();
            world.env = ctx.stage_env();
        } else {
            world.facts = ctx.env();
        }
        world.facts.extend(extra_env.clone());
        Self {
            ctx,
            talk,
            tape,
            spoken,
            paths: Paths::of(ctx),
            world,
            posts: Vec::new(),
            outputs: BTreeMap::new(),
            failure: None,
            behind: Vec::new(),
            left: None,
            kept: None,
            stopped_at: None,
            commands: BTreeMap::new(),
            turns: 0,
            fetched,
            states: BTreeMap::new(),
            resumed,
            strange_files: true,
            owner: None,
        }
    }

    /// A step of the page that nobody planned before.
    pub(super) fn new_page(&self, name: &str) -> u32 {
        let page = self.ctx.steps.plan(self.ctx.log.mask(name));
        if self.resumed {
            self.ctx.log.restart(page);
        }
        page
    }

    /// Carries out all steps: what actions do before them, they themselves, and what actions do after them.
    pub(super) async fn all(mut self, run: &Run, pages: &Pages) -> VerbResult {
        let mut scope = Scope::of_stage(surroundings::contexts(&self.ctx.lease, &self.ctx.runner));
        for (page, step, of) in &pages.before {
            if let Some(step) = run.steps.get(*step) {
                self.run_pre(&mut scope, step, *page, *of).await;
            }
        }
        for (step, page) in run.steps.iter().zip(&pages.steps) {
            match &step.does {
                Does::Wait(wait) => self.wait_step(&mut scope, step, wait, *page).await,
                Does::Cancel(name) => self.cancel_step(&mut scope, step, name, *page).await,
                _ if step.background => self.leave_behind(&mut scope, step, *page).await,
                _ => self.top_step(&mut scope, step, *page).await,
            }
        }
        self.wait_for_rest(&mut scope).await;
        self.run_posts(&mut scope).await;
        let outputs = self.stage_outputs(&mut scope).await;
        self.hand_in_annotations().await;
        self.talk.end();
        VerbResult { outputs, failure: self.failure, emitted: None }
    }

    /// A step of the stage itself: it has a place on the page, and its failure is the stage's.
    async fn top_step(&mut self, scope: &mut Scope, step: &Step, page: u32) {
        let stepped = self.step(scope, step, page).await;
        let excused = stepped.excused;
        if let Some(failure) = self.close(page, stepped).filter(|_| !excused) {
            self.fail(failure);
        }
    }

    /// Ends a step of the stage on its page; its failure, whether it counts or not.
    pub(super) fn close(&mut self, page: u32, stepped: Stepped) -> Option<Failure> {
        let status = match (&stepped.ending, &stepped.came.failure) {
            (Ending::Skipped, _) => StepStatus::Skipped,
            (Ending::Cancelled, _) => StepStatus::Cancelled,
            (_, Some(_)) => StepStatus::Failed,
            (_, None) => StepStatus::Succeeded,
        };
        let Came { outputs, exit_code, took, failure, plain: _ } = stepped.came;
        for (name, value) in outputs {
            self.outputs.insert(name, self.ctx.log.mask(&value));
        }
        if failure.is_some() && stepped.excused {
            line(&*self.ctx.log, page, "[tidegate: this step may fail; the stage goes on]");
        }
        if status != StepStatus::Skipped {
            self.ctx.log.end(page);
        }
        match took {
            Some(took) => self.ctx.steps.end_after(page, status, exit_code, Some(took)),
            None => self.ctx.steps.end(page, status, exit_code),
        }
        failure
    }
}
