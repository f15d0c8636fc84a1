//! What actions do before their main part. For actions that the stage's own steps use it is a step of its own, before
//! the stage's first one; for others (in composite actions, in the workspace) it comes right before their main part,
//! since nobody knows of them earlier.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_pipelines::plan::{ActionUse, Does, Step};
use tidegate_protocol::status::StepStatus;

use super::{Failure, engine::Engine, fetching::Found, given::Given, judge::Came, scope::Scope, turn::Turn};
use crate::actions::manifest::Runs;

impl Engine<'_> {
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

    /// What an action does before its main part, when it could not be done before the stage's first step; gives what it
    /// saved.
    pub(super) async fn late_pre(
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
}
