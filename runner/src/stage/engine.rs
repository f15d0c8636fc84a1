//! The steps of a stage, one after the other.
//!
//! A step's turn: what stands so far is asked (a cancel, the deadline), its environment and its condition are
//! evaluated, then it is carried out, and what it left is noted for the ones after it. Stages with strict expressions
//! go the same way with nothing to fill in.
//!
//! After a restart of the runner the same code goes over the same steps again. Commands that were sent are not sent
//! again, their results come from the spool; everything else that a decision rests on comes from the [`Tape`]. So
//! contexts, numbers of commands and lines between commands come out the same, and what is new begins where the
//! earlier process was.

use std::{collections::BTreeMap, future::Future, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tidegate_pipelines::{
    ResolveError,
    lenient::{self, Status, Values},
    plan::{Does, Run, Step, StepWhen, Template},
    stage_outputs, step_condition, step_env,
};
use tidegate_protocol::{
    messages::{AnnotationLevel, Outcome},
    status::StepStatus,
};
use tokio::time::Instant;

use super::{
    Failure, StageContext, VerbResult,
    commands::Pages,
    fetching::Fetched,
    hash_files,
    paths::Paths,
    posts::Post,
    scope::{Ending, Scope, World},
    spoken::{self, Spoken},
    strict, surroundings,
    talk::{Reads, Talk},
    tape::Tape,
};
use crate::{
    commands::StreamSettings,
    logs::line,
    sandbox::shim::wire::{Finished, StepCommand},
};

/// Bytes of output of a command that are kept.
const OUTPUT_LIMIT: u64 = 1 << 30;
/// How long steps that run whatever happened may take once the stage is stopped or out of time.
const AFTERWARDS: Duration = Duration::from_secs(60);
/// How many steps a stage may have, those of composite actions included, and commands one of its own steps.
const MOST_TURNS: usize = 20_000;
/// How many different `hashFiles` one template may ask for.
const MOST_HASHES: usize = 16;

pub(super) type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

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
    outputs: BTreeMap<String, String>,
    failure: Option<Failure>,
    /// When a cancel or the stage's deadline was first met; steps that always run still do, for a while.
    stopped_at: Option<Instant>,
    /// How many commands each step of the page had so far.
    commands: BTreeMap<u32, u32>,
    turns: usize,
    /// Actions of other repositories.
    pub(super) fetched: Fetched,
    /// What the parts of each step's action before the main one saved, by the step of the page.
    pub(super) states: BTreeMap<u32, BTreeMap<String, String>>,
    /// An earlier process was here: logs are written anew.
    resumed: bool,
    /// Somebody else than the stage's commands may have written files since the last one of them.
    pub(super) strange_files: bool,
}

/// How things stand when a step's turn comes. In the order of getting worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Success,
    Failure,
    Cancelled,
    TimedOut,
    /// Nothing can run any more.
    Over,
}

/// What a step came to.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) exit_code: Option<i32>,
    pub(super) took: Option<Duration>,
    pub(super) failure: Option<Failure>,
    /// The failure is nothing but an exit code, or was told already: the log need not say more.
    pub(super) plain: bool,
}

impl From<Failure> for Came {
    fn from(failure: Failure) -> Self {
        Self { exit_code: failure.exit_code, failure: Some(failure), ..Self::default() }
    }
}

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
}

impl Turn {
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
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
            stopped_at: None,
            commands: BTreeMap::new(),
            turns: 0,
            fetched,
            states: BTreeMap::new(),
            resumed,
            strange_files: true,
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

    /// Whether templates are filled in here.
    pub(super) fn is_lenient(&self) -> bool {
        self.spoken.is_some()
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
            self.top_step(&mut scope, step, *page).await;
        }
        self.run_posts(&mut scope).await;
        let outputs = self.stage_outputs(&mut scope).await;
        self.hand_in_annotations().await;
        self.talk.end();
        VerbResult { outputs, failure: self.failure, emitted: None }
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        if matches!(failure.outcome, Outcome::Cancelled | Outcome::TimedOut) {
            self.stopped_at.get_or_insert_with(Instant::now);
        }
        self.failure.get_or_insert(failure);
    }

    /// A step of the stage itself: it has a place on the page, and its failure is the stage's.
    async fn top_step(&mut self, scope: &mut Scope, step: &Step, page: u32) {
        let stepped = self.step(scope, step, page).await;
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
        match failure {
            Some(_) if stepped.excused => {
                line(&*self.ctx.log, page, "[tidegate: this step may fail; the stage goes on]");
            }
            Some(failure) => self.fail(failure),
            None => {}
        }
        if status != StepStatus::Skipped {
            self.ctx.log.end(page);
        }
        match took {
            Some(took) => self.ctx.steps.end_after(page, status, exit_code, Some(took)),
            None => self.ctx.steps.end(page, status, exit_code),
        }
    }

    /// A step of the stage or of a composite action, from the question whether it runs to its note in the contexts.
    pub(super) fn step<'f>(
        &'f mut self,
        scope: &'f mut Scope,
        step: &'f Step,
        page: u32,
    ) -> Boxed<'f, Stepped> {
        Box::pin(async move {
            let mut stepped = self.turn(scope, step, page).await;
            let (outcome, failed) = match &stepped.came.failure {
                _ if stepped.ending == Ending::Skipped => (Ending::Skipped, false),
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
        })
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

    async fn turn(&mut self, scope: &mut Scope, step: &Step, page: u32) -> Stepped {
        let standing = match self.standing() {
            Ok(standing) => standing,
            Err(failure) => return Stepped::failed(failure),
        };
        if standing == Standing::Over {
            return Stepped::skipped();
        }
        let status = self.status(scope);
        let mut env = self.world.env.clone();
        env.extend(scope.env.clone());
        scope.set_now(&env, status);
        let mut own = BTreeMap::new();
        if self.is_lenient() {
            match self.variables(scope, page, &step.env, &step.more_env).await {
                Ok(variables) => own = variables,
                // A step that would be skipped does not fail for its environment.
                Err(_) if !would_run(step, status) => return Stepped::skipped(),
                Err(failure) => return self.broken(scope, page, step, failure),
            }
            env.extend(own.clone());
            scope.set_now(&env, status);
        } else {
            own.extend(step.env.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned())));
            match step_env(step, &strict::facts(&scope.contexts, status)) {
                Ok(late) => own.extend(late),
                Err(_) if !would_run(step, status) => return Stepped::skipped(),
                Err(error) => {
                    return self.broken(scope, page, step, Failure::failed(error.to_string()));
                }
            }
        }
        let runs = match &step.condition {
            None => would_run(step, status),
            Some(condition) => match self.holds(scope, page, condition).await {
                Ok(holds) => holds,
                Err(failure) => return self.broken(scope, page, step, failure),
            },
        };
        if !runs {
            return Stepped::skipped();
        }
        let name = if self.is_lenient() {
            self.text(scope, page, &Template(step.name.clone())).await.unwrap_or_else(|_| step.name.clone())
        } else {
            step.name.clone()
        };
        let own_limit = match &step.timeout_minutes {
            Some(minutes) => match self.number(scope, page, minutes).await {
                Ok(minutes) => minutes.map(|minutes| minutes * 60.0),
                Err(failure) => return self.broken(scope, page, step, failure),
            },
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
        let turn = Turn {
            page,
            until: Instant::now() + own_time.map_or(left, |own| left.min(own)),
            afterwards: self.is_stopped(),
            env,
            name,
            own_limit,
        };
        self.turns += 1;
        let came = match &step.does {
            _ if self.turns > MOST_TURNS => Failure::failed(format!(
                "a stage may have at most {MOST_TURNS} steps, those of actions included"
            ))
            .into(),
            Does::Run(script) => self.script(scope, step, script, own, &turn).await,
            Does::Uses(uses) => self.uses(scope, step, uses, own, &turn).await,
        };
        if let Some(failure) = &came.failure
            && failure.outcome != Outcome::Cancelled
            && !came.plain
        {
            line(&*self.ctx.log, page, format!("[tidegate: {}]", failure.reason));
        }
        Stepped { ending: Ending::Success, excused: false, came }
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

    /// Asks once how things stand, and takes note of a cancel or of the deadline.
    fn standing(&mut self) -> Result<Standing, Failure> {
        let heard = self.tape.heard("standing")?;
        let standing = match heard {
            Some(standing) => standing,
            None => {
                let now = self.look();
                self.tape.note("standing", &now)?;
                now
            }
        };
        match standing {
            Standing::Cancelled if self.failure.is_none() => self.fail(Failure::cancelled()),
            Standing::TimedOut if self.failure.is_none() => self.fail(self.ctx.timed_out()),
            _ => {}
        }
        Ok(standing)
    }

    /// Whether anything can run at all.
    pub(super) fn can_run(&mut self) -> Result<bool, Failure> {
        Ok(self.standing()? != Standing::Over)
    }

    /// The stage was cancelled or is out of time.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// How long what comes next may take.
    pub(super) fn time_left(&self) -> Duration {
        match self.stopped_at {
            None => self.ctx.remaining(),
            Some(at) => AFTERWARDS.saturating_sub(at.elapsed()),
        }
    }

    /// How many commands a step of the page had so far.
    pub(super) fn commands_of(&self, page: u32) -> u32 {
        self.commands.get(&page).copied().unwrap_or_default()
    }

    fn look(&self) -> Standing {
        if self.ctx.fence.is_cancelled() || self.talk.is_over() && self.failure.is_some() {
            Standing::Over
        } else if self.stopped_at.is_some() {
            match &self.failure {
                Some(failure) if failure.outcome == Outcome::TimedOut => Standing::TimedOut,
                _ => Standing::Cancelled,
            }
        } else if self.failure.is_some() {
            Standing::Failure
        } else if self.ctx.cancel.is_cancelled() {
            Standing::Cancelled
        } else if self.ctx.remaining().is_zero() {
            Standing::TimedOut
        } else {
            Standing::Success
        }
    }

    /// What `success()` and the like are about, for a step of this scope.
    pub(super) fn status(&self, scope: &Scope) -> Status {
        let failed = if scope.is_top() { self.failure.is_some() } else { scope.failed };
        match (self.stopped_at, failed) {
            (Some(_), _) => Status::Cancelled,
            (None, true) => Status::Failure,
            (None, false) => Status::Success,
        }
    }

    /// The text of a template, as things are.
    pub(super) async fn text(
        &mut self,
        scope: &Scope,
        page: u32,
        template: &Template,
    ) -> Result<String, Failure> {
        if !self.is_lenient() || !template.0.contains("${{") {
            return Ok(template.0.clone());
        }
        self.evaluate(scope, page, |values| lenient::text(&template.0, values)).await
    }

    /// The value of a template, as things are.
    pub(super) async fn value(
        &mut self,
        scope: &Scope,
        page: u32,
        template: &Template,
    ) -> Result<serde_json::Value, Failure> {
        if !template.0.contains("${{") {
            return Ok(template.0.clone().into());
        }
        self.evaluate(scope, page, |values| lenient::value(&template.0, values)).await
    }

    /// A number of minutes, if the template gives one that means something.
    async fn number(
        &mut self,
        scope: &Scope,
        page: u32,
        template: &Template,
    ) -> Result<Option<f64>, Failure> {
        let value = self.value(scope, page, template).await?;
        let number = match &value {
            serde_json::Value::Number(number) => number.as_f64(),
            serde_json::Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        Ok(number.filter(|minutes: &f64| minutes.is_finite() && *minutes > 0.0))
    }

    /// Whether a condition holds, as things are.
    pub(super) async fn holds(&mut self, scope: &Scope, page: u32, condition: &str) -> Result<bool, Failure> {
        if !self.is_lenient() {
            let facts = strict::facts(&scope.contexts, self.status(scope));
            return step_condition(condition, &facts).map_err(|error| Failure::failed(error.to_string()));
        }
        self.evaluate(scope, page, |values| lenient::holds(condition, values)).await
    }

    /// Evaluates; files are hashed in between, away from the async threads, and once.
    async fn evaluate<T>(
        &mut self,
        scope: &Scope,
        page: u32,
        ask: impl Fn(&Values<'_>) -> Result<T, ResolveError> + Send,
    ) -> Result<T, Failure>
    where
        T: Send,
    {
        let status = self.status(scope);
        let mut known: BTreeMap<Vec<String>, Result<String, String>> = BTreeMap::new();
        loop {
            let wanted = std::sync::Mutex::new(None);
            let answer = {
                let hash_files = |patterns: &[String]| match known.get(patterns) {
                    Some(hash) => hash.clone(),
                    None => {
                        *crate::sync::lock(&wanted) = Some(patterns.to_vec());
                        Err("the files are hashed first".to_owned())
                    }
                };
                ask(&Values { contexts: &scope.contexts, status, hash_files: &hash_files })
            };
            match wanted.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
                Some(patterns) if known.len() < MOST_HASHES => {
                    let hash = self.hash_files(page, &patterns).await?;
                    known.insert(patterns, hash);
                }
                _ => return answer.map_err(|error| Failure::failed(error.to_string())),
            }
        }
    }

    async fn hash_files(
        &mut self,
        page: u32,
        patterns: &[String],
    ) -> Result<Result<String, String>, Failure> {
        let key = format!("hash files {page}");
        if let Some(heard) = self.tape.heard(&key)? {
            return Ok(heard);
        }
        let (workspace, patterns): (PathBuf, Vec<String>) = (self.ctx.dirs.workspace(), patterns.to_vec());
        let hashed = tokio::task::spawn_blocking(move || hash_files::hash(&workspace, &patterns))
            .await
            .unwrap_or_else(|error| Err(error.to_string()));
        self.tape.note(&key, &hashed)?;
        Ok(hashed)
    }

    /// Runs one command of a step in the sandbox, and merges what it wrote to its files with what it said.
    pub(super) async fn command(
        &mut self,
        scope: &Scope,
        turn: &Turn,
        command: Command<'_>,
    ) -> Result<Finished, Failure> {
        let (sent, reads, limit) = self.begin_command(scope, turn, command)?;
        self.hand_over(sent.index).await?;
        let mut finished = self.talk.run(sent, reads, limit, turn.afterwards).await?;
        self.merge(turn.page, &mut finished);
        Ok(finished)
    }

    /// What is sent for a command; its output is expected from here on.
    pub(super) fn begin_command<'c>(
        &mut self,
        scope: &Scope,
        turn: &Turn,
        command: Command<'c>,
    ) -> Result<(StepCommand, Reads<'c>, Duration), Failure> {
        let count = self.commands.entry(turn.page).or_default();
        if *count >= 0xffff {
            return Err(Failure::failed(format!("step `{}` runs too many commands", turn.name)));
        }
        let index = spoken::index(turn.page, *count);
        *count += 1;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let limit = turn.left();
        let mut env = self.world.facts.clone();
        env.extend(self.world.env.clone());
        let mut step_env = scope.env.clone();
        step_env.extend(command.env);
        if self.is_lenient() {
            step_env.extend(surroundings::variables(&scope.contexts));
            step_env.extend(self.ctx.toolkit.iter().flat_map(|toolkit| toolkit.variables()));
        }
        if let Some(spoken) = &self.spoken {
            let is_on = |name: &str| {
                let value = step_env.get(name).or_else(|| env.get(name));
                value.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
            };
            let settings = StreamSettings {
                debug: is_on("RUNNER_DEBUG"),
                unsecure_commands: is_on("ACTIONS_ALLOW_UNSECURE_COMMANDS"),
                unsecure_tokens: is_on("ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS"),
            };
            spoken.begin(index, settings);
        }
        let sent = StepCommand {
            index,
            argv: command.argv,
            fallback: command.fallback,
            env,
            step_env,
            path: self.world.path.clone(),
            github_files: self.is_lenient(),
            cwd: command.cwd,
            timeout_ms: Some(millis(limit)),
            grace_ms: millis(self.ctx.runner.grace),
            output_limit: OUTPUT_LIMIT,
            ..StepCommand::default()
        };
        Ok((sent, command.reads, limit))
    }

    pub(super) fn merge(&self, page: u32, finished: &mut Finished) {
        let Some(spoken) = &self.spoken else { return };
        let heard = spoken.heard();
        // Files say more than lines, so they have the last word.
        for (said, wrote) in [
            (heard.outputs, &mut finished.outputs),
            (heard.state, &mut finished.state),
            (heard.env, &mut finished.env),
        ] {
            for (name, value) in said {
                wrote.entry(name).or_insert(value);
            }
        }
        finished.path.splice(..0, heard.path);
        if let Some(wrong) = heard.wrong {
            finished.error.get_or_insert(wrong);
        }
        for refused in &finished.refused {
            spoken.say(page, AnnotationLevel::Error, refused);
        }
        spoken.summary(page, &finished.summary);
    }

    /// What a command came to, as a step.
    pub(super) fn judge(&self, turn: &Turn, finished: &Finished) -> Came {
        Came {
            outputs: finished.outputs.clone(),
            exit_code: finished.exit_code,
            took: Some(Duration::from_millis(finished.duration_ms)),
            failure: self.failure_of(turn, finished),
            plain: finished.exit_code.is_some() && finished.error.is_none() && !finished.out_of_memory,
        }
    }

    fn failure_of(&self, turn: &Turn, finished: &Finished) -> Option<Failure> {
        let name = &turn.name;
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
            let own = turn.own_limit.filter(|own| finished.duration_ms as f64 + 50.0 >= own * 1000.0);
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

    /// The stage's outputs: the ones it names, else every one of its steps.
    async fn stage_outputs(&mut self, scope: &mut Scope) -> BTreeMap<String, String> {
        let named = &self.ctx.lease.stage.outputs;
        if !self.is_lenient() || named.is_empty() {
            return self.strict_outputs(scope);
        }
        scope.set_now(&self.world.env, self.status(scope));
        let mut outputs = BTreeMap::new();
        for (name, template) in named {
            match self.text(scope, 0, template).await {
                Ok(value) if self.ctx.log.mask(&value) != value => {
                    tracing::info!(attempt = %self.ctx.lease.attempt, output = name, "an output holds a secret");
                    if let Some(spoken) = &self.spoken {
                        let text = format!("the output `{name}` is left out, since it may hold a secret");
                        spoken.note(0, AnnotationLevel::Warning, &text);
                    }
                }
                Ok(value) => {
                    outputs.insert(name.clone(), value);
                }
                Err(failure) => self
                    .fail(Failure { reason: format!("the output `{name}`: {}", failure.reason), ..failure }),
            }
        }
        outputs
    }

    /// As [`Self::stage_outputs`], of a stage with strict expressions.
    fn strict_outputs(&mut self, scope: &Scope) -> BTreeMap<String, String> {
        let facts = strict::facts(&scope.contexts, self.status(scope));
        match stage_outputs(&self.ctx.lease.stage, &facts) {
            Ok(None) => std::mem::take(&mut self.outputs),
            Ok(Some(named)) => {
                named.into_iter().map(|(name, value)| (name, self.ctx.log.mask(&value))).collect()
            }
            Err(error) => {
                self.fail(Failure::failed(format!("the stage's outputs: {error}")));
                BTreeMap::new()
            }
        }
    }

    async fn hand_in_annotations(&self) {
        let Some(annotations) = self.spoken.as_ref().and_then(|spoken| spoken.annotations()) else { return };
        if self.ctx.fence.is_cancelled() {
            return;
        }
        let Ok(bytes) = serde_json::to_vec(&annotations) else { return };
        let kind = tidegate_pipelines::plan::ReportKind::Annotations;
        if let Err(error) = self.ctx.results.put_report(kind, "annotations.json", bytes).await {
            tracing::info!(%error, attempt = %self.ctx.lease.attempt, "the annotations were not taken");
        }
    }
}

/// A command for the sandbox.
pub(super) struct Command<'c> {
    pub(super) argv: Vec<String>,
    pub(super) fallback: Vec<String>,
    pub(super) reads: Reads<'c>,
    /// Over the environment of stage and scope.
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: String,
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

    fn failed(failure: Failure) -> Self {
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
