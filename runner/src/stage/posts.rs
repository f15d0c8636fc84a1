//! What actions do after the stage's last step, in reverse order of the steps that used them. Each is a step of its own
//! on the page, and runs by default whatever happened.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_protocol::{messages::Outcome, status::StepStatus};
use tokio::time::Instant;

use super::{
    Failure,
    engine::Engine,
    fetching::Found,
    given::Given,
    judge::Came,
    scope::{Action, Scope},
    turn::Turn,
};
use crate::{
    actions::{builtin::Builtin, manifest::Runs},
    logs::line,
};

/// What is left to do for a step.
pub(super) struct Post {
    /// The step's name.
    pub(super) name: String,
    pub(super) of: PostOf,
    pub(super) given: Given,
    /// Of the composite action that the step belongs to.
    pub(super) scope_env: BTreeMap<String, String>,
    pub(super) action: Action,
    /// What its earlier parts saved.
    pub(super) state: BTreeMap<String, String>,
    pub(super) condition: String,
}

/// Whose it is.
#[derive(Clone)]
pub(super) enum PostOf {
    Found(Arc<Found>),
    Builtin(Arc<dyn Builtin>),
}

impl Engine<'_> {
    /// Adds what the action does after the stage's last step; once for each step.
    pub(super) fn add_post(
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

    /// Keeps what the action's main part saved for the one after the last step.
    pub(super) fn keep_state(&mut self, post: Option<usize>, state: &BTreeMap<String, String>) {
        if let Some(post) = post.and_then(|at| self.posts.get_mut(at)) {
            post.state.extend(state.clone());
        }
    }

    /// Does all that is left, the last step's first.
    pub(super) async fn run_posts(&mut self, scope: &mut Scope) {
        while let Some(post) = self.posts.pop() {
            let page = self.new_page(&format!("Post {}", post.name));
            let before = scope.action();
            scope.restore_action(post.action.clone());
            scope.env.clone_from(&post.scope_env);
            let done = self.post(scope, &post, page).await;
            scope.env.clear();
            scope.restore_action(before);
            let (status, exit_code) = match done {
                Ok(None) => (StepStatus::Skipped, None),
                Ok(Some(came)) => match came.failure {
                    None => (StepStatus::Succeeded, came.exit_code),
                    Some(failure) => (self.failed_page(page, failure), came.exit_code),
                },
                Err(failure) => (self.failed_page(page, failure), None),
            };
            self.ctx.log.end(page);
            self.ctx.steps.end(page, status, exit_code);
        }
    }

    async fn post(&mut self, scope: &mut Scope, post: &Post, page: u32) -> Result<Option<Came>, Failure> {
        let Some(turn) = self.whole_turn(scope, page, &format!("Post {}", post.name))? else {
            return Ok(None);
        };
        if !self.holds(scope, page, &post.condition).await? {
            return Ok(None);
        }
        self.ctx.steps.start(page);
        match &post.of {
            PostOf::Builtin(builtin) => self.built_in_post(scope, builtin, post, &turn).await.map(Some),
            PostOf::Found(found) => {
                let Some(hook) = found.manifest.post() else { return Ok(None) };
                let given = self.given_now(scope, &found.manifest, &post.given, page).await?;
                let finished = match &found.manifest.runs {
                    Runs::Node(node) => {
                        self.node(scope, found, node, &hook.run, &given, &post.state, &turn).await?
                    }
                    Runs::Docker(docker) => {
                        let given = Given { env: given.variables(&post.state), ..given.clone() };
                        self.docker_action(scope, found, docker, Some(&hook.run), &given, &turn).await?
                    }
                    Runs::Composite(_) => return Ok(None),
                };
                let came = self.judge(&turn, &finished);
                self.world.adopt(finished.env, finished.path);
                Ok(Some(came))
            }
        }
    }

    /// A turn with all the time that is left; none when nothing can run any more.
    pub(super) fn whole_turn(
        &mut self,
        scope: &mut Scope,
        page: u32,
        name: &str,
    ) -> Result<Option<Turn>, Failure> {
        if !self.can_run()? {
            return Ok(None);
        }
        let mut env = self.world.env.clone();
        env.extend(scope.env.clone());
        let status = self.status(scope);
        scope.set_now(&env, status);
        Ok(Some(Turn {
            page,
            until: Instant::now() + self.time_left(),
            afterwards: self.is_stopped(),
            env,
            name: name.to_owned(),
            own_limit: None,
            behind: false,
        }))
    }

    /// Says in a page's log why it failed, and fails the stage.
    pub(super) fn failed_page(&mut self, page: u32, failure: Failure) -> StepStatus {
        let cancelled = failure.outcome == Outcome::Cancelled;
        if !cancelled {
            line(&*self.ctx.log, page, format!("[tidegate: {}]", failure.reason));
        }
        self.fail(failure);
        if cancelled { StepStatus::Cancelled } else { StepStatus::Failed }
    }
}
