//! A step that uses an action: found, given its inputs, and carried out in its own way. Here are the ways of composite
//! and JavaScript actions; built-in ones are in [`super::built_in`], containers in [`super::container`].
//!
//! An action may have a part before the stage's first step and one after its last. The first is run as a step of its
//! own for actions that the stage's own steps use; for others (in composite actions, in the workspace) right before
//! their main part, since nobody knows of them earlier.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_pipelines::plan::{ActionUse, Does, Step, Template};
use tidegate_protocol::{messages::AnnotationLevel, status::StepStatus};

use super::{
    Failure,
    engine::{Came, Command, Engine, Turn},
    fetching::{self, Found},
    paths::LENT_NODE,
    posts::{Post, PostOf},
    scope::{DEEPEST, Ending, Scope},
    talk::Reads,
};
use crate::{
    actions::{
        builtin::{self, Builtin},
        inputs,
        manifest::{Manifest, Node, Runs},
        reference::Reference,
    },
    sandbox::WORKSPACE,
};

/// What an action is given: by the step, and by the runner.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// Its inputs, by names in lower case.
    pub(super) inputs: BTreeMap<String, String>,
    /// Those of them that the step says itself, by the names that it uses.
    pub(super) said: BTreeMap<String, String>,
    /// The step's own environment.
    pub(super) env: BTreeMap<String, String>,
}

enum Target {
    Builtin(Arc<dyn Builtin>),
    Found(Arc<Found>),
    Image(String),
}

impl Engine<'_> {
    /// Carries out the action that a step uses. `own` are the step's own environment values.
    pub(super) async fn uses(
        &mut self,
        scope: &mut Scope,
        step: &Step,
        uses: &ActionUse,
        own: BTreeMap<String, String>,
        turn: &Turn,
    ) -> Came {
        if !self.is_lenient() {
            let reason = format!("step `{}`: actions are not known to stages of this language", turn.name);
            return Failure::failed(reason).into();
        }
        let name = match Reference::parse(&uses.action) {
            Ok(Reference::Remote(remote)) => remote.repository,
            Ok(Reference::Local(_)) => "self".to_owned(),
            _ => uses.action.clone(),
        };
        let action = scope.name_step(step.id.as_deref(), &name);
        let before = scope.action();
        scope.set_github("action", action);
        let came = self.run_uses(scope, uses, own, turn).await;
        scope.restore_action(before);
        came.unwrap_or_else(|failure| {
            let reason = format!("step `{}`: {}", turn.name, failure.reason);
            Failure { reason, ..failure }.into()
        })
    }

    async fn run_uses(
        &mut self,
        scope: &mut Scope,
        uses: &ActionUse,
        own: BTreeMap<String, String>,
        turn: &Turn,
    ) -> Result<Came, Failure> {
        let target = self.find(uses, turn.page).await?;
        let with = self.variables(scope, turn.page, &uses.with, &uses.more_with).await?;
        if let Target::Builtin(builtin) = &target {
            for (_, value) in with
                .iter()
                .filter(|(name, _)| builtin.hidden().iter().any(|hidden| hidden.eq_ignore_ascii_case(name)))
            {
                self.ctx.log.hide(value.trim());
            }
        }
        let shown: Vec<String> = match with.is_empty() {
            true => Vec::new(),
            false => ["with:".to_owned()]
                .into_iter()
                .chain(with.iter().map(|(name, value)| format!("  {name}: {value}")))
                .collect(),
        };
        self.head(turn.page, &uses.action, &shown, &turn.env);
        match target {
            Target::Builtin(builtin) => {
                let known = builtin.inputs();
                self.unexpected(turn.page, &with, known.iter().map(|(name, _)| *name));
                let mut defaults = Vec::new();
                for (name, template) in known {
                    let text = self.text(scope, turn.page, &Template((*template).to_owned())).await?;
                    defaults.push((*name, text));
                }
                let given = Given { inputs: inputs::complete(&with, defaults), said: with, env: own };
                self.built_in(scope, &builtin, given, turn).await
            }
            Target::Image(image) => {
                let given = Given { inputs: inputs::complete(&with, []), said: with, env: own };
                self.image(scope, &image, given, turn).await
            }
            Target::Found(found) => {
                let given = self.given(scope, &found.manifest, &with, own, turn.page).await?;
                self.carry_out(scope, &found, given, turn).await
            }
        }
    }

    async fn find(&mut self, uses: &ActionUse, page: u32) -> Result<Target, Failure> {
        match Reference::parse(&uses.action).map_err(Failure::failed)? {
            Reference::Docker(image) => Ok(Target::Image(image)),
            Reference::Local(path) => {
                let found = fetching::local(&self.paths, &path, &mut self.tape)?;
                found.map(|found| Target::Found(Arc::new(found))).map_err(Failure::failed)
            }
            Reference::Remote(remote) => {
                if let Some(builtin) = builtin::find(self.ctx, &remote) {
                    return Ok(Target::Builtin(builtin));
                }
                let found = self.fetched.get(self.ctx, &mut self.tape, &remote, page).await?;
                found.map(Target::Found).map_err(Failure::failed)
            }
        }
    }

    /// The inputs of an action: what the step gives, and the manifest's defaults for the rest.
    pub(super) async fn given(
        &mut self,
        scope: &Scope,
        manifest: &Manifest,
        with: &BTreeMap<String, String>,
        own: BTreeMap<String, String>,
        page: u32,
    ) -> Result<Given, Failure> {
        self.unexpected(page, with, manifest.inputs.iter().map(|input| input.name.as_str()));
        for input in &manifest.inputs {
            if let Some(why) = &input.deprecation
                && with.keys().any(|name| name.eq_ignore_ascii_case(&input.name))
                && let Some(spoken) = &self.spoken
            {
                spoken.say(
                    page,
                    AnnotationLevel::Warning,
                    &format!("the input `{}` is deprecated: {why}", input.name),
                );
            }
        }
        let given = Given { inputs: BTreeMap::new(), said: with.clone(), env: own };
        self.given_now(scope, manifest, &given, page).await
    }

    /// The same with the manifest's defaults as they are now: one may say how the stage stands, which a part after the
    /// last step is to know.
    pub(super) async fn given_now(
        &mut self,
        scope: &Scope,
        manifest: &Manifest,
        given: &Given,
        page: u32,
    ) -> Result<Given, Failure> {
        let mut defaults = Vec::new();
        for input in &manifest.inputs {
            let template = input.default.clone().unwrap_or_default();
            defaults.push((input.name.as_str(), self.text(scope, page, &template).await?));
        }
        Ok(Given { inputs: inputs::complete(&given.said, defaults), ..given.clone() })
    }

    fn unexpected<'n>(
        &self,
        page: u32,
        with: &BTreeMap<String, String>,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        // Every container action knows these.
        let always = ["entrypoint", "args"];
        for name in with.keys() {
            let is_known = known.clone().chain(always).any(|one| one.eq_ignore_ascii_case(name));
            if let Some(spoken) = self.spoken.as_ref().filter(|_| !is_known) {
                let all: Vec<&str> = known.clone().collect();
                let text = format!("there is no input `{name}`; there are: {}", all.join(", "));
                spoken.say(page, AnnotationLevel::Warning, &text);
            }
        }
    }

    /// Carries out an action by its manifest.
    async fn carry_out(
        &mut self,
        scope: &mut Scope,
        found: &Arc<Found>,
        given: Given,
        turn: &Turn,
    ) -> Result<Came, Failure> {
        scope.set_action(&found.folder, &found.repository, &found.reference);
        // What its earlier part saved.
        let early = if scope.is_top() { self.states.get(&turn.page).cloned() } else { None };
        let mut saved = early.unwrap_or_default();
        if !scope.is_top() || found.repository.is_empty() {
            saved.extend(self.late_pre(scope, found, &given, turn).await?);
        }
        match &found.manifest.runs {
            Runs::Composite(steps) => self.composite(scope, found, steps, given, turn).await,
            Runs::Node(node) => {
                let post = self.add_post(scope, found, &given, &saved, turn);
                let finished = self.node(scope, found, node, &node.main, &given, &saved, turn).await?;
                self.keep_state(post, &finished.state);
                let came = self.judge(turn, &finished);
                self.world.adopt(finished.env, finished.path);
                Ok(came)
            }
            Runs::Docker(docker) => {
                let post = self.add_post(scope, found, &given, &saved, turn);
                let given = Given { env: given.variables(&saved), ..given };
                let finished = self.docker_action(scope, found, docker, None, &given, turn).await?;
                self.keep_state(post, &finished.state);
                let came = self.judge(turn, &finished);
                self.world.adopt(finished.env, finished.path);
                Ok(came)
            }
        }
    }

    /// The steps of a composite action, in a scope of their own.
    async fn composite(
        &mut self,
        scope: &mut Scope,
        found: &Found,
        steps: &[Step],
        given: Given,
        turn: &Turn,
    ) -> Result<Came, Failure> {
        if scope.depth >= DEEPEST {
            return Err(Failure::failed(format!(
                "composite actions use each other more than {DEEPEST} deep"
            )));
        }
        let mut env = scope.env.clone();
        env.extend(given.env);
        let mut inside = scope.inside(&given.inputs, env, Some(turn.until));
        let mut first: Option<Came> = None;
        for step in steps {
            let stepped = self.step(&mut inside, step, turn.page).await;
            if stepped.came.failure.is_some() && !stepped.excused && stepped.ending != Ending::Skipped {
                first.get_or_insert(stepped.came);
            }
        }
        let mut now = self.world.env.clone();
        now.extend(inside.env.clone());
        let status = self.status(&inside);
        inside.set_now(&now, status);
        let mut outputs = BTreeMap::new();
        for (name, template) in &found.manifest.outputs {
            let Some(template) = template else { continue };
            outputs.insert(name.clone(), self.text(&inside, turn.page, template).await?);
        }
        let first = first.unwrap_or_default();
        // The step inside said it already.
        Ok(Came { outputs, exit_code: first.exit_code, took: None, failure: first.failure, plain: true })
    }

    /// Runs a file of a JavaScript action.
    #[expect(clippy::too_many_arguments, reason = "they are what the file is run with")]
    pub(super) async fn node(
        &mut self,
        scope: &Scope,
        found: &Found,
        node: &Node,
        file: &str,
        given: &Given,
        saved: &BTreeMap<String, String>,
        turn: &Turn,
    ) -> Result<crate::sandbox::shim::wire::Finished, Failure> {
        let file = format!("{}/{}", found.folder, file.trim_start_matches("./"));
        let lent = self.ctx.runner.actions.node.is_some();
        let argv = |program: &str| vec![program.to_owned(), file.clone()];
        let mut env = given.variables(saved);
        env.extend(self.toolkit_variables());
        let command = Command {
            argv: argv("node"),
            fallback: if lent { argv(&format!("{LENT_NODE}/bin/node")) } else { Vec::new() },
            reads: Reads::Arguments,
            env,
            cwd: WORKSPACE.to_owned(),
        };
        let mut finished = self.command(scope, turn, command).await?;
        if finished.exit_code == Some(127) && finished.error.is_some() {
            let what = if lent {
                "neither the image nor the runner has one that starts here"
            } else {
                "the image has none"
            };
            finished.error = Some(format!(
                "the action runs on {} and {what}: use an image with Node.js, or name a folder with `bin/node` in the \
                 runner's settings (`actions.node`)",
                node.using
            ));
        }
        Ok(finished)
    }

    /// Where libraries of actions find their services; scripts are not told.
    pub(super) fn toolkit_variables(&self) -> BTreeMap<String, String> {
        self.ctx.toolkit.as_ref().map(|toolkit| toolkit.variables_of_actions()).unwrap_or_default()
    }

    fn keep_state(&mut self, post: Option<usize>, state: &BTreeMap<String, String>) {
        if let Some(post) = post.and_then(|at| self.posts.get_mut(at)) {
            post.state.extend(state.clone());
        }
    }

    /// Adds what the action does after the stage's last step; once for each step.
    fn add_post(
        &mut self,
        scope: &Scope,
        found: &Arc<Found>,
        given: &Given,
        saved: &BTreeMap<String, String>,
        turn: &Turn,
    ) -> Option<usize> {
        let hook = found.manifest.post()?;
        let condition = hook.condition.clone();
        self.posts.push(Post {
            name: turn.name.clone(),
            of: PostOf::Found(found.clone()),
            given: given.clone(),
            scope_env: scope.env.clone(),
            action: scope.action(),
            state: saved.clone(),
            condition,
        });
        Some(self.posts.len() - 1)
    }

    /// What an action does before its main part, when it could not be done before the stage's first step; gives what it
    /// saved.
    async fn late_pre(
        &mut self,
        scope: &Scope,
        found: &Arc<Found>,
        given: &Given,
        turn: &Turn,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let Some(hook) = found.manifest.pre() else { return Ok(BTreeMap::new()) };
        if !self.holds(scope, turn.page, &hook.condition).await? {
            return Ok(BTreeMap::new());
        }
        let finished = match &found.manifest.runs {
            Runs::Node(node) => {
                self.node(scope, found, node, &hook.run, given, &BTreeMap::new(), turn).await?
            }
            Runs::Docker(docker) => {
                self.docker_action(scope, found, docker, Some(&hook.run), given, turn).await?
            }
            Runs::Composite(_) => return Ok(BTreeMap::new()),
        };
        let came = self.judge(turn, &finished);
        self.world.adopt(finished.env, finished.path);
        came.failure.map_or(Ok(finished.state), Err)
    }

    /// What the action of one of the stage's own steps does before the first step. `of` is that step's page.
    pub(super) async fn run_pre(&mut self, scope: &mut Scope, step: &Step, page: u32, of: u32) {
        let done = self.pre(scope, step, page, of).await;
        let status = match done {
            Ok(None) => StepStatus::Skipped,
            Ok(Some(came)) => match came.failure {
                None => StepStatus::Succeeded,
                Some(failure) => self.failed_page(page, failure),
            },
            Err(failure) => self.failed_page(page, failure),
        };
        self.ctx.log.end(page);
        self.ctx.steps.end(page, status, None);
    }

    async fn pre(
        &mut self,
        scope: &mut Scope,
        step: &Step,
        page: u32,
        of: u32,
    ) -> Result<Option<Came>, Failure> {
        let Some(turn) = self.whole_turn(scope, page, &format!("Pre {}", step.name))? else {
            return Ok(None);
        };
        let (Some(found), Does::Uses(uses)) = (self.fetched.of_step(step), &step.does) else {
            return Ok(None);
        };
        let Some(hook) = found.manifest.pre() else { return Ok(None) };
        let before = scope.action();
        scope.set_action(&found.folder, &found.repository, &found.reference);
        let holds = self.holds(scope, page, &hook.condition).await;
        let done = match holds {
            Ok(true) => self.pre_part(scope, step, uses, &found, &hook.run, &turn).await.map(Some),
            Ok(false) => Ok(None),
            Err(failure) => Err(failure),
        };
        scope.restore_action(before);
        let Some((came, state)) = done? else { return Ok(None) };
        self.states.insert(of, state);
        Ok(Some(came))
    }

    async fn pre_part(
        &mut self,
        scope: &Scope,
        step: &Step,
        uses: &ActionUse,
        found: &Arc<Found>,
        run: &str,
        turn: &Turn,
    ) -> Result<(Came, BTreeMap<String, String>), Failure> {
        self.ctx.steps.start(turn.page);
        let with = self.variables(scope, turn.page, &uses.with, &uses.more_with).await?;
        let own = self.variables(scope, turn.page, &step.env, &step.more_env).await?;
        let given = self.given(scope, &found.manifest, &with, own, turn.page).await?;
        let finished = match &found.manifest.runs {
            Runs::Node(node) => self.node(scope, found, node, run, &given, &BTreeMap::new(), turn).await?,
            Runs::Docker(docker) => self.docker_action(scope, found, docker, Some(run), &given, turn).await?,
            Runs::Composite(_) => return Ok((Came::default(), BTreeMap::new())),
        };
        let came = self.judge(turn, &finished);
        self.world.adopt(finished.env, finished.path);
        Ok((came, finished.state))
    }
}

impl Given {
    /// The variables that a program of the action reads.
    pub(super) fn variables(&self, saved: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        env.extend(self.inputs.iter().map(|(name, value)| (inputs::variable(name), value.clone())));
        env.extend(saved.iter().map(|(name, value)| (format!("STATE_{name}"), value.clone())));
        env
    }
}
