//! A step's turn: its environment and its condition are evaluated, then it is carried out, and what it left is noted for
//! the ones after it. Steps of a stage and of composite actions go the same way.

use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};

use tidegate_pipelines::{
    lenient::Status,
    plan::{Does, Step, StepWhen, Template},
    step_env,
};
use tidegate_protocol::messages::Outcome;
use tokio::time::Instant;

use super::{
    Failure,
    engine::Engine,
    judge::Came,
    scope::{Ending, Scope},
    standing::Standing,
    strict,
};
use crate::logs::line;

/// How many steps a stage may have, those of composite actions included.
const MOST_TURNS: usize = 20_000;

pub(super) type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Where a step's lines go, how long it may take, and what surrounds it.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    /// The step of the page.
    pub(super) page: u32,
    pub(super) until: Instant,
    /// The stage was stopped, and this runs all the same.
    pub(super) afterwards: bool,
    /// The environment that the step sees as `env`.
    pub(super) env: BTreeMap<String, String>,
    /// What the step is called.
    pub(super) name: String,
    /// Seconds that the step itself allows.
    pub(super) own_limit: Option<f64>,
    /// What the step does is started and not waited for.
    pub(super) behind: bool,
}

impl Turn {
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// A step after its turn.
pub(super) struct Stepped {
    pub(super) ending: Ending,
    /// It failed, and may.
    pub(super) excused: bool,
    pub(super) came: Came,
}

impl Stepped {
    fn skipped() -> Self {
        Self { ending: Ending::Skipped, excused: false, came: Came::default() }
    }

    /// It was carried out.
    pub(super) fn of(came: Came) -> Self {
        Self { ending: Ending::Success, excused: false, came }
    }

    /// There was nothing to it.
    pub(super) fn done() -> Self {
        Self::of(Came::default())
    }

    pub(super) fn failed(failure: Failure) -> Self {
        Self { ending: Ending::Failure, excused: false, came: failure.into() }
    }
}

/// What [`Step::when`] says.
fn would_run(step: &Step, status: Status) -> bool {
    match step.when {
        StepWhen::Success => status == Status::Success,
        StepWhen::Failure => status == Status::Failure,
        StepWhen::Always => true,
    }
}

impl Engine<'_> {
    /// A step of the stage or of a composite action, from the question whether it runs to its note in the contexts.
    pub(super) fn step<'f>(
        &'f mut self,
        scope: &'f mut Scope,
        step: &'f Step,
        page: u32,
    ) -> Boxed<'f, Stepped> {
        Box::pin(async move {
            let stepped = self.turn(scope, step, page).await;
            self.noted(scope, step, page, stepped).await
        })
    }

    /// Notes in the contexts how a step came out.
    pub(super) async fn noted(
        &mut self,
        scope: &mut Scope,
        step: &Step,
        page: u32,
        mut stepped: Stepped,
    ) -> Stepped {
        let (outcome, failed) = match &stepped.came.failure {
            _ if stepped.ending == Ending::Skipped => (Ending::Skipped, false),
            None if stepped.ending == Ending::Cancelled => (Ending::Cancelled, false),
            None => (Ending::Success, false),
            Some(failure) if failure.outcome == Outcome::Cancelled => (Ending::Cancelled, true),
            Some(_) => (Ending::Failure, true),
        };
        stepped.ending = outcome;
        stepped.excused = failed && self.may_fail(scope, step, page, &stepped.came).await;
        let conclusion = if stepped.excused { Ending::Success } else { outcome };
        if failed && !stepped.excused {
            scope.failed = true;
        }
        scope.note(step.id.as_deref(), outcome, conclusion, &stepped.came.outputs);
        stepped
    }

    /// Whether the step's failure does not count.
    async fn may_fail(&mut self, scope: &Scope, step: &Step, page: u32, came: &Came) -> bool {
        let own = match came.failure.as_ref().map(|failure| &failure.outcome) {
            Some(Outcome::Failed) => true,
            // When the stage's own time is up, that is not the step's failure.
            Some(Outcome::TimedOut) => !self.ctx.remaining().is_zero(),
            _ => false,
        };
        let Some(template) = step.may_fail.as_ref().filter(|_| own) else {
            return own && step.continue_on_error;
        };
        match self.value(scope, page, template).await {
            Ok(serde_json::Value::Bool(may)) => may,
            Ok(serde_json::Value::String(text)) => text == "true",
            Ok(_) => false,
            Err(failure) => {
                line(&*self.ctx.log, page, format!("[tidegate: {}]", failure.reason));
                false
            }
        }
    }

    pub(super) async fn turn(&mut self, scope: &mut Scope, step: &Step, page: u32) -> Stepped {
        match self.standing() {
            Ok(Standing::Over) => return Stepped::skipped(),
            Ok(_) => {}
            Err(failure) => return Stepped::failed(failure),
        }
        match self.set_out(scope, step, page).await {
            Ok(Some((turn, own))) => self.do_step(scope, step, own, &turn).await,
            Ok(None) => Stepped::skipped(),
            Err(failure) => self.broken(scope, page, step, failure),
        }
    }

    /// Whether the step runs, and if so with what: its turn, and its own environment values.
    async fn set_out(
        &mut self,
        scope: &mut Scope,
        step: &Step,
        page: u32,
    ) -> Result<Option<(Turn, BTreeMap<String, String>)>, Failure> {
        let status = self.status(scope);
        let mut env = self.world.env.clone();
        env.extend(scope.env.clone());
        scope.set_now(&env, status);
        let own = match self.own_env(scope, step, page).await {
            Ok(own) => own,
            // A step that would be skipped does not fail for its environment.
            Err(_) if !would_run(step, status) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        if self.is_lenient() {
            env.extend(own.clone());
            scope.set_now(&env, status);
        }
        let runs = match &step.condition {
            None => would_run(step, status),
            Some(condition) => self.holds(scope, page, condition).await?,
        };
        if !runs {
            return Ok(None);
        }
        let name = if self.is_lenient() {
            self.text(scope, page, &Template(step.name.clone())).await.unwrap_or_else(|_| step.name.clone())
        } else {
            step.name.clone()
        };
        let own_limit = match &step.timeout_minutes {
            Some(minutes) => self.number(scope, page, minutes).await?.map(|minutes| minutes * 60.0),
            None => step.timeout_seconds.map(|seconds| seconds as f64),
        };
        if scope.is_top() {
            self.ctx.steps.rename(page, &self.ctx.log.mask(&name));
            self.ctx.steps.start(page);
        }
        let left = self.time_left();
        let left = match scope.until {
            Some(until) => left.min(until.saturating_duration_since(Instant::now())),
            None => left,
        };
        let own_time = own_limit.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let until = Instant::now() + own_time.map_or(left, |own| left.min(own));
        let behind = step.background && scope.is_top();
        let turn = Turn { page, until, afterwards: self.is_stopped(), env, name, own_limit, behind };
        Ok(Some((turn, own)))
    }

    /// The step's own environment values.
    async fn own_env(
        &mut self,
        scope: &Scope,
        step: &Step,
        page: u32,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let mut own = BTreeMap::new();
        if self.is_lenient() {
            own = self.variables(scope, page, &step.env, &step.more_env).await?;
        } else {
            own.extend(step.env.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned())));
            let late = step_env(step, &strict::facts(&scope.contexts, self.status(scope)));
            own.extend(late.map_err(|error| Failure::failed(error.to_string()))?);
        }
        Ok(own)
    }

    /// Does what the step is there for.
    async fn do_step(
        &mut self,
        scope: &mut Scope,
        step: &Step,
        own: BTreeMap<String, String>,
        turn: &Turn,
    ) -> Stepped {
        self.turns += 1;
        let came = match &step.does {
            _ if self.turns > MOST_TURNS => Failure::failed(format!(
                "a stage may have at most {MOST_TURNS} steps, those of actions included"
            ))
            .into(),
            Does::Run(script) => self.script(scope, step, script, own, turn).await,
            Does::Uses(uses) => self.uses(scope, step, uses, own, turn).await,
            // Those of a stage never come here, and a composite action has none.
            Does::Wait(_) | Does::Cancel(_) => Came::default(),
        };
        self.tell_failure(turn.page, &came);
        Stepped::of(came)
    }

    /// Says in the step's log why it failed, where that is not plain from it.
    pub(super) fn tell_failure(&self, page: u32, came: &Came) {
        if let Some(failure) = &came.failure
            && failure.outcome != Outcome::Cancelled
            && !came.plain
        {
            line(&*self.ctx.log, page, format!("[tidegate: {}]", failure.reason));
        }
    }

    /// The step cannot even be looked at.
    fn broken(&mut self, scope: &Scope, page: u32, step: &Step, failure: Failure) -> Stepped {
        if scope.is_top() {
            self.ctx.steps.start(page);
        }
        let failure = Failure { reason: format!("step `{}`: {}", step.name, failure.reason), ..failure };
        line(&*self.ctx.log, page, format!("[tidegate: {}]", failure.reason));
        Stepped::failed(failure)
    }
}
