//! A step that uses an action: found, given its inputs, and carried out in its own way. Here are the ways of composite
//! and JavaScript actions; built-in ones are in [`super::built_in`], containers in [`super::container`].
//!
//! An action may have a part before the stage's first step ([`super::pres`]) and one after its last ([`super::posts`]).

use std::{collections::BTreeMap, sync::Arc};

use tidegate_pipelines::plan::{ActionUse, Step, Template};

use super::{
    Failure,
    command::Command,
    engine::Engine,
    fetching::{self, Found},
    given::Given,
    judge::Came,
    paths::LENT_NODE,
    scope::{DEEPEST, Ending, Scope},
    talk::Reads,
    turn::Turn,
};
use crate::{
    actions::{
        builtin::{self, Builtin},
        inputs,
        manifest::{Node, Runs},
        reference::Reference,
    },
    sandbox::{WORKSPACE, shim::wire::Finished},
};

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
            Ok(Reference::Own(_)) => "selfRepository".to_owned(),
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
            Reference::Own(path) => {
                let remote = self.fetched.own(&path);
                let found = self.fetched.get(self.ctx, &mut self.tape, &remote, page).await?;
                found.map(Target::Found).map_err(Failure::failed)
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
                if turn.behind {
                    let command = self.node_command(found, &node.main, &given, &saved);
                    return self.start_behind(scope, turn, command, Some((node.clone(), post))).await;
                }
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
    ) -> Result<Finished, Failure> {
        let command = self.node_command(found, file, given, saved);
        let mut finished = self.command(scope, turn, command).await?;
        self.explain_no_node(node, &mut finished);
        Ok(finished)
    }

    fn node_command(
        &self,
        found: &Found,
        file: &str,
        given: &Given,
        saved: &BTreeMap<String, String>,
    ) -> Command<'static> {
        let file = format!("{}/{}", found.folder, file.trim_start_matches("./"));
        let lent = self.ctx.runner.actions.node.is_some();
        let argv = |program: &str| vec![program.to_owned(), file.clone()];
        let mut env = given.variables(saved);
        env.extend(self.toolkit_variables());
        Command {
            argv: argv("node"),
            fallback: if lent { argv(&format!("{LENT_NODE}/bin/node")) } else { Vec::new() },
            reads: Reads::Arguments,
            env,
            cwd: WORKSPACE.to_owned(),
        }
    }

    /// Says what to do where there was no Node.js.
    pub(super) fn explain_no_node(&self, node: &Node, finished: &mut Finished) {
        if finished.exit_code != Some(127) || finished.error.is_none() {
            return;
        }
        let what = match self.ctx.runner.actions.node {
            Some(_) => "neither the image nor the runner has one that starts here",
            None => "the image has none",
        };
        finished.error = Some(format!(
            "the action runs on {} and {what}: use an image with Node.js, or name a folder with `bin/node` in the \
             runner's settings (`actions.node`)",
            node.using
        ));
    }

    /// Where libraries of actions find their services; scripts are not told.
    pub(super) fn toolkit_variables(&self) -> BTreeMap<String, String> {
        self.ctx.toolkit.as_ref().map(|toolkit| toolkit.variables_of_actions()).unwrap_or_default()
    }
}
