//! Steps in the background: started like any other, and left alone until a step waits for them or stops them, at the
//! latest after the last step.
//!
//! What such a step hands on counts only from then on, and so does its failure: which steps see it does not depend on how
//! fast it was, and comes out the same after a restart of the runner. Scripts and JavaScript actions really run beside
//! others: what they do is one program in the sandbox. Other actions have turns that are the engine's own; they are
//! carried out in their place, and their results are kept until they are asked for.

use tidegate_pipelines::plan::{Step, Wait};
use tidegate_protocol::{messages::Outcome, status::StepStatus};

use super::{
    Failure,
    command::Command,
    engine::Engine,
    judge::Came,
    scope::{Ending, Scope},
    standing::Standing,
    turn::{Stepped, Turn},
};
use crate::{actions::manifest::Node, logs::line};

/// A step in the background.
pub(super) struct Behind {
    step: Step,
    page: u32,
    state: State,
}

enum State {
    /// Its command is at work, or has ended and was not asked for; and whether a step stops it.
    Running(Left, bool),
    /// It was carried out in its place.
    Ended(Stepped),
}

/// A command that was started and not waited for.
pub(super) struct Left {
    /// The command's number.
    index: u32,
    turn: Turn,
    /// Of a JavaScript action: what it is to run on, and what it does after the last step.
    action: Option<(Node, Option<usize>)>,
}

impl Engine<'_> {
    /// A step's turn that is not waited for.
    pub(super) async fn leave_behind(&mut self, scope: &mut Scope, step: &Step, page: u32) {
        let stepped = self.turn(scope, step, page).await;
        let state = match self.left.take() {
            Some(left) => State::Running(left, false),
            None if stepped.ending == Ending::Skipped => {
                let stepped = self.noted(scope, step, page, stepped).await;
                self.close(page, stepped);
                return;
            }
            None => State::Ended(stepped),
        };
        self.behind.push(Behind { step: step.clone(), page, state });
    }

    /// Starts what a step does and does not wait for its end. `action`: see [`Left`].
    pub(super) async fn start_behind(
        &mut self,
        scope: &Scope,
        turn: &Turn,
        command: Command<'_>,
        action: Option<(Node, Option<usize>)>,
    ) -> Result<Came, Failure> {
        let index = self.command_behind(scope, turn, command).await?;
        self.left = Some(Left { index, turn: turn.clone(), action });
        Ok(Came::default())
    }

    /// A step that waits for others. It fails with the first of them that did.
    pub(super) async fn wait_step(&mut self, scope: &mut Scope, step: &Step, wait: &Wait, page: u32) {
        if !self.begin_control(step, page) {
            return;
        }
        let joined = match &wait.steps {
            None => std::mem::take(&mut self.behind),
            Some(names) => names.iter().filter_map(|name| self.take_behind(page, name)).collect(),
        };
        let failure = self.join(scope, joined, Some(page)).await;
        let stepped = match failure {
            Some(failure) => Stepped::failed(failure),
            None => Stepped::done(),
        };
        let stepped = self.noted(scope, step, page, stepped).await;
        let excused = stepped.excused;
        let Some(failure) = self.close(page, stepped) else { return };
        match excused {
            // The stage goes on as if nothing were wrong, and fails in the end all the same.
            true => _ = self.kept.get_or_insert(failure),
            false => self.fail(failure),
        }
    }

    /// A step that stops another one. What that one did until then is of no consequence, unless it had failed.
    pub(super) async fn cancel_step(&mut self, scope: &mut Scope, step: &Step, name: &str, page: u32) {
        if !self.begin_control(step, page) {
            return;
        }
        if let Some(mut behind) = self.take_behind(page, name) {
            if let State::Running(left, stopped) = &mut behind.state {
                *stopped = true;
                self.talk.stop_behind(left.index);
            }
            if let Some(failure) = self.join(scope, vec![behind], Some(page)).await {
                self.kept.get_or_insert(failure);
            }
        }
        let stepped = self.noted(scope, step, page, Stepped::done()).await;
        self.close(page, stepped);
    }

    /// Waits for all that nobody waited for, after the last step. Then every failure counts.
    pub(super) async fn wait_for_rest(&mut self, scope: &mut Scope) {
        let rest = std::mem::take(&mut self.behind);
        let failure = self.join(scope, rest, None).await;
        if let Some(failure) = self.kept.take().or(failure) {
            self.fail(failure);
        }
    }

    /// Shows that a step that waits or stops is at work; false: nothing can be done any more.
    fn begin_control(&mut self, step: &Step, page: u32) -> bool {
        match self.standing() {
            Ok(Standing::Over) => {
                self.ctx.steps.end(page, StepStatus::Skipped, None);
                return false;
            }
            Ok(_) => {}
            Err(failure) => self.fail(failure),
        }
        self.ctx.steps.rename(page, &self.ctx.log.mask(&step.name));
        self.ctx.steps.start(page);
        true
    }

    /// Takes the step of this id out of the background, if it is there.
    fn take_behind(&mut self, page: u32, name: &str) -> Option<Behind> {
        let is = |behind: &Behind| behind.step.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(name));
        match self.behind.iter().position(is) {
            Some(at) => Some(self.behind.remove(at)),
            None => {
                line(&*self.ctx.log, page, format!("[tidegate: `{name}` is not in the background]"));
                None
            }
        }
    }

    /// Waits for steps in their order, and says on the page how they ended. The first failure that counts.
    async fn join(&mut self, scope: &mut Scope, steps: Vec<Behind>, page: Option<u32>) -> Option<Failure> {
        let mut first = None;
        for behind in steps {
            let Behind { step, page: own, state } = behind;
            let stepped = match state {
                State::Ended(stepped) => stepped,
                State::Running(left, stopped) => self.ended(left, stopped).await,
            };
            let stepped = self.noted(scope, &step, own, stepped).await;
            let (word, excused) = (stepped.ending.word(), stepped.excused);
            let failure = self.close(own, stepped);
            if let Some(page) = page {
                let name = step.id.as_deref().unwrap_or(&step.name);
                line(&*self.ctx.log, page, format!("{name}: {word}"));
            }
            if let Some(failure) = failure.filter(|_| !excused) {
                // That the stage is to stop is everybody's business at once.
                if failure.outcome != Outcome::Failed {
                    self.fail(failure.clone());
                }
                first.get_or_insert(failure);
            }
        }
        first
    }

    /// What a command in the background came to, once it has ended.
    async fn ended(&mut self, left: Left, stopped: bool) -> Stepped {
        let Left { index, turn, action } = &left;
        let came = match self.talk.wait_for(*index, turn.left(), turn.afterwards).await {
            Err(failure) => failure.into(),
            Ok(mut finished) => {
                self.merge_behind(*index, turn.page, &mut finished);
                if let Some((node, post)) = action {
                    self.explain_no_node(node, &mut finished);
                    self.keep_state(*post, &finished.state);
                }
                let mut came = self.judge(turn, &finished);
                let cancelled = stopped && finished.cancelled;
                self.world.adopt(finished.env, finished.path);
                if cancelled {
                    came.failure = None;
                    return Stepped { ending: Ending::Cancelled, ..Stepped::of(came) };
                }
                came
            }
        };
        self.tell_failure(turn.page, &came);
        Stepped::of(came)
    }
}
