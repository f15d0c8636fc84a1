//! One command of a step: what is sent to the sandbox for it, and what it said and wrote put together afterwards.
//!
//! Invariant: a command's number is its step's page and how many came before it there, so that an engine after a restart
//! gives the same commands the same numbers and does not send them twice.

use std::{collections::BTreeMap, time::Duration};

use tidegate_protocol::messages::AnnotationLevel;

use super::{
    Failure,
    engine::Engine,
    scope::Scope,
    spoken::{self, Heard, Spoken},
    surroundings,
    talk::Reads,
    turn::Turn,
};
use crate::{
    commands::StreamSettings,
    sandbox::shim::wire::{Finished, StepCommand},
};

/// Bytes of output of a command that are kept.
const OUTPUT_LIMIT: u64 = 1 << 30;

/// A command for the sandbox.
pub(super) struct Command<'c> {
    pub(super) argv: Vec<String>,
    pub(super) fallback: Vec<String>,
    pub(super) reads: Reads<'c>,
    /// Over the environment of stage and scope.
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: String,
}

impl Engine<'_> {
    /// Runs one command of a step in the sandbox, and merges what it wrote to its files with what it said.
    pub(super) async fn command(
        &mut self,
        scope: &Scope,
        turn: &Turn,
        command: Command<'_>,
    ) -> Result<Finished, Failure> {
        let (sent, reads, limit) = self.begin_command(scope, turn, command, false)?;
        self.hand_over(sent.index).await?;
        let mut finished = self.talk.run(sent, reads, limit, turn.afterwards).await?;
        self.merge(turn.page, &mut finished);
        Ok(finished)
    }

    /// Starts a command that runs beside those after it; its number.
    pub(super) async fn command_behind(
        &mut self,
        scope: &Scope,
        turn: &Turn,
        command: Command<'_>,
    ) -> Result<u32, Failure> {
        let (sent, reads, _) = self.begin_command(scope, turn, command, true)?;
        let index = sent.index;
        self.hand_over(index).await?;
        self.talk.start(sent, reads)?;
        Ok(index)
    }

    /// What is sent for a command; its output is expected from here on.
    pub(super) fn begin_command<'c>(
        &mut self,
        scope: &Scope,
        turn: &Turn,
        command: Command<'c>,
        background: bool,
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
            match background {
                false => spoken.begin(index, settings),
                true => spoken.begin_behind(index, settings),
            }
        }
        let sent = StepCommand {
            index,
            argv: command.argv,
            fallback: command.fallback,
            env,
            step_env,
            path: self.world.path.clone(),
            github_files: self.is_lenient(),
            background,
            cwd: command.cwd,
            timeout_ms: Some(millis(limit)),
            grace_ms: millis(self.ctx.runner.grace),
            output_limit: OUTPUT_LIMIT,
            ..StepCommand::default()
        };
        Ok((sent, command.reads, limit))
    }

    /// Puts what a command said and what it wrote to its files together.
    pub(super) fn merge(&self, page: u32, finished: &mut Finished) {
        let Some(spoken) = &self.spoken else { return };
        Self::put_together(spoken, page, spoken.heard(), finished);
    }

    /// The same of a command in the background.
    pub(super) fn merge_behind(&self, index: u32, page: u32, finished: &mut Finished) {
        let Some(spoken) = &self.spoken else { return };
        Self::put_together(spoken, page, spoken.heard_behind(index), finished);
    }

    fn put_together(spoken: &Spoken, page: u32, heard: Heard, finished: &mut Finished) {
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

    /// How many commands a step of the page had so far.
    pub(super) fn commands_of(&self, page: u32) -> u32 {
        self.commands.get(&page).copied().unwrap_or_default()
    }
}
