//! Built-in actions as steps: begun, written down once they have ended, and replayed from what was written after a
//! restart of the runner.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tidegate_protocol::messages::{AnnotationLevel, Outcome, RegistryLogin};
use tokio::time::sleep_until;

use super::{
    Failure,
    command::Command,
    engine::Engine,
    given::Given,
    judge::Came,
    posts::{Post, PostOf},
    scope::Scope,
    talk::Reads,
    turn::Turn,
};
use crate::{
    actions::builtin::{Builtin, Hands, Left, Part, Use},
    sandbox::{WORKSPACE, shim::wire::Finished},
};

/// How a built-in action ended, for the record: what it left, or its outcome and reason with that.
type Ended = (Left, Option<(Outcome, String)>);

/// What a built-in action is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Main,
    Post,
    /// What its main part had in memory before this process began.
    Recall,
}

/// Runs commands for a built-in action.
struct Sandboxed<'e, 'c> {
    engine: &'e mut Engine<'c>,
    scope: &'e Scope,
    turn: &'e Turn,
    env: BTreeMap<String, String>,
}

#[async_trait]
impl Hands for Sandboxed<'_, '_> {
    async fn shell(
        &mut self,
        script: &str,
        env: &BTreeMap<String, String>,
    ) -> Result<(u32, Finished), Failure> {
        let mut own = self.env.clone();
        own.extend(env.clone());
        let command = Command {
            argv: vec!["sh".to_owned(), "-e".to_owned(), "{0}".to_owned()],
            fallback: Vec::new(),
            reads: Reads::Script(script),
            env: own,
            cwd: WORKSPACE.to_owned(),
        };
        let number = self.engine.commands_of(self.turn.page);
        self.engine.strange_files = true;
        self.engine.command(self.scope, self.turn, command).await.map(|finished| (number, finished))
    }

    fn annotate(&mut self, level: AnnotationLevel, text: &str) {
        if let Some(spoken) = &self.engine.spoken {
            spoken.say(self.turn.page, level, text);
        }
    }
}

impl Engine<'_> {
    /// The main part of a built-in action.
    pub(super) async fn built_in(
        &mut self,
        scope: &Scope,
        builtin: &Arc<dyn Builtin>,
        given: Given,
        turn: &Turn,
    ) -> Result<Came, Failure> {
        let at = builtin.post_if().map(|condition| {
            self.posts.push(Post {
                name: turn.name.clone(),
                of: PostOf::Builtin(builtin.clone()),
                given: given.clone(),
                scope_env: scope.env.clone(),
                action: scope.action(),
                state: BTreeMap::new(),
                condition: condition.to_owned(),
            });
            self.posts.len() - 1
        });
        let (left, failure) =
            self.run_built_in(scope, builtin, &given, BTreeMap::new(), Work::Main, turn).await?;
        if let Some(post) = at.and_then(|at| self.posts.get_mut(at)) {
            post.state = left.state;
        }
        self.world.adopt(left.env, left.path);
        self.world.log_in(left.logins, &left.logouts);
        Ok(Came { outputs: left.outputs, failure, ..Came::default() })
    }

    /// The post part of a built-in action.
    pub(super) async fn built_in_post(
        &mut self,
        scope: &Scope,
        builtin: &Arc<dyn Builtin>,
        post: &Post,
        turn: &Turn,
    ) -> Result<Came, Failure> {
        let state = post.state.clone();
        let (left, failure) = self.run_built_in(scope, builtin, &post.given, state, Work::Post, turn).await?;
        self.world.adopt(left.env, left.path);
        self.world.log_in(left.logins, &left.logouts);
        Ok(Came { failure, ..Came::default() })
    }

    async fn run_built_in(
        &mut self,
        scope: &Scope,
        builtin: &Arc<dyn Builtin>,
        given: &Given,
        before: BTreeMap<String, String>,
        work: Work,
        turn: &Turn,
    ) -> Result<(Left, Option<Failure>), Failure> {
        let key = format!("built-in {} {}", builtin.name(), turn.page);
        let (left, failed) = match self.tape.heard::<Ended>(&key)? {
            Some(ended) => {
                self.replay(scope, &ended.0.parts, given, turn).await?;
                let (mut left, failed) = ended;
                if failed.is_none() && work == Work::Main {
                    left.logins = self.recall(scope, builtin, given, turn).await?;
                }
                (left, failed)
            }
            None => {
                let (left, done) = self.perform(scope, builtin, given, before, work, turn).await;
                let failed = done.err();
                // Whoever stopped it is asked again by the next process.
                let stopped = failed.as_ref().is_some_and(|failure| failure.outcome == Outcome::Cancelled);
                let ended: Ended = (left, failed.map(|failure| (failure.outcome, failure.reason)));
                if !(stopped && self.ctx.fence.is_cancelled()) {
                    self.tape.note(&key, &ended)?;
                }
                ended
            }
        };
        if let Some(spoken) = &self.spoken {
            spoken.summary(turn.page, &left.summary);
        }
        let failure = failed.map(|(outcome, reason)| {
            let reason = match outcome {
                Outcome::Cancelled => reason,
                _ => format!("step `{}`: {reason}", turn.name),
            };
            Failure { outcome, reason, exit_code: None }
        });
        Ok((left, failure))
    }

    /// Lets it work until it ends, or somebody stops the stage, or its time is up.
    async fn perform(
        &mut self,
        scope: &Scope,
        builtin: &Arc<dyn Builtin>,
        given: &Given,
        before: BTreeMap<String, String>,
        work: Work,
        turn: &Turn,
    ) -> (Left, Result<(), Failure>) {
        let (ctx, paths) = (self.ctx, self.paths.clone());
        let mut env = self.world.facts.clone();
        env.extend(turn.env.clone());
        env.extend(given.env.clone());
        let logins = self.world.logins.clone();
        let mut hands = Sandboxed { engine: self, scope, turn, env: given.env.clone() };
        let mut step = Use {
            ctx,
            paths: &paths,
            contexts: &scope.contexts,
            env: &env,
            logins: &logins,
            inputs: given.inputs.clone(),
            before,
            page: turn.page,
            said: 0,
            left: Left::default(),
            hands: &mut hands,
        };
        let cancelled = async {
            match turn.afterwards {
                true => std::future::pending().await,
                false => ctx.cancel.cancelled().await,
            }
        };
        let work = async {
            match work {
                Work::Main => builtin.main(&mut step).await,
                Work::Post => builtin.post(&mut step).await,
                Work::Recall => builtin.recall(&mut step).await,
            }
        };
        let done = tokio::select! {
            biased;
            () = ctx.fence.cancelled() => Err(Failure::infrastructure("the lease was lost")),
            () = cancelled => Err(Failure::cancelled()),
            () = sleep_until(turn.until) => Err(match turn.own_limit {
                Some(seconds) if !ctx.remaining().is_zero() => {
                    Failure::timed_out(format!("it took longer than {seconds} s"))
                }
                _ => ctx.timed_out(),
            }),
            done = work => done,
        };
        let left = step.left;
        self.strange_files = true;
        if done.is_err() {
            self.talk.stop().await;
        }
        (left, done)
    }

    /// The credentials that its main part kept before this process began.
    async fn recall(
        &mut self,
        scope: &Scope,
        builtin: &Arc<dyn Builtin>,
        given: &Given,
        turn: &Turn,
    ) -> Result<BTreeMap<String, RegistryLogin>, Failure> {
        let (left, done) = self.perform(scope, builtin, given, BTreeMap::new(), Work::Recall, turn).await;
        done.map(|()| left.logins).map_err(|failure| Failure {
            reason: format!(
                "the runner was restarted, and the login of {} cannot be made again ({}): run the stage again",
                builtin.name(),
                failure.reason
            ),
            ..failure
        })
    }

    /// Shows once more what was seen of it. Its commands were sent; their output is in the spool.
    async fn replay(
        &mut self,
        scope: &Scope,
        parts: &[Part],
        given: &Given,
        turn: &Turn,
    ) -> Result<(), Failure> {
        for part in parts {
            match part {
                Part::Said(text) => self.ctx.log.write(turn.page, text.as_bytes()),
                Part::Annotation(level, text) => {
                    if let Some(spoken) = &self.spoken {
                        spoken.say(turn.page, *level, text);
                    }
                }
                Part::Hidden(value) => self.ctx.log.hide(value),
                Part::Command(number) if *number == self.commands_of(turn.page) => {
                    let mut hands = Sandboxed { engine: self, scope, turn, env: given.env.clone() };
                    hands.shell("", &BTreeMap::new()).await?;
                }
                Part::Command(_) => {
                    return Err(Failure::infrastructure("the record of a built-in action does not fit"));
                }
            }
        }
        Ok(())
    }
}
