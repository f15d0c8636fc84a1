//! A step that runs a script.

use std::collections::BTreeMap;

use tidegate_pipelines::plan::{Script, Step, Template};

use super::{
    Failure, command::Command, engine::Engine, judge::Came, scope::Scope, shell::Shell, talk::Reads,
    turn::Turn,
};
use crate::sandbox::WORKSPACE;

impl Engine<'_> {
    /// Runs the step's script. `own` are the step's own environment values.
    pub(super) async fn script(
        &mut self,
        scope: &mut Scope,
        step: &Step,
        script: &Script,
        own: BTreeMap<String, String>,
        turn: &Turn,
    ) -> Came {
        match self.run_script(scope, step, script, own, turn).await {
            Ok(came) => came,
            Err(failure) => failure.into(),
        }
    }

    async fn run_script(
        &mut self,
        scope: &mut Scope,
        step: &Step,
        script: &Script,
        own: BTreeMap<String, String>,
        turn: &Turn,
    ) -> Result<Came, Failure> {
        let told = |failure: Failure| Failure {
            reason: format!("step `{}`: {}", turn.name, failure.reason),
            ..failure
        };
        let shell = match script.shell.as_slice() {
            // A composite action says a name or a command line.
            [word] if !scope.is_top() => {
                let word = self.text(scope, turn.page, &Template(word.clone())).await.map_err(told)?;
                Shell::of_word(&word).map_err(|reason| told(Failure::failed(reason)))?
            }
            argv => Shell::of_plan(argv),
        };
        let text = self.text(scope, turn.page, &Template(script.script.clone())).await.map_err(told)?;
        let cwd = match &script.working_directory {
            Some(folder) => self.text(scope, turn.page, folder).await.map_err(told)?,
            None => String::new(),
        };
        let cwd = match cwd.as_str() {
            "" | "." => WORKSPACE.to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("{WORKSPACE}/{path}"),
        };
        let action = scope.name_step(step.id.as_deref(), "run");
        scope.set_github("action", action);
        if self.is_lenient() {
            let mut head = vec![format!("shell: {}", shell.shown())];
            if script.working_directory.is_some() {
                head.push(format!("working-directory: {cwd}"));
            }
            self.head(turn.page, &text, &head, &turn.env);
        }
        let script = if self.is_lenient() { shell.complete(&text) } else { text };
        let command = Command {
            argv: shell.argv,
            fallback: shell.fallback,
            reads: Reads::Script(&script),
            env: own,
            cwd,
        };
        if turn.behind {
            return self.start_behind(scope, turn, command, None).await;
        }
        let finished = self.command(scope, turn, command).await?;
        let came = self.judge(turn, &finished);
        if self.is_lenient() {
            self.world.adopt(finished.env, finished.path);
        }
        Ok(came)
    }

    /// What a step is about to do, folded in its log.
    pub(super) fn head(&self, page: u32, what: &str, details: &[String], env: &BTreeMap<String, String>) {
        let first = what.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let mut text = format!("##[group]Run {}\n", first.trim());
        if what.trim().contains('\n') {
            // In colour, so that nobody takes it for output.
            for line in what.trim_end().lines() {
                text.push_str(&format!("\u{1b}[36m{line}\u{1b}[0m\n"));
            }
        }
        for detail in details {
            text.push_str(&format!("{detail}\n"));
        }
        if !env.is_empty() {
            text.push_str("env:\n");
            for (name, value) in env {
                text.push_str(&format!("  {name}: {}\n", value.replace('\n', "\n    ")));
            }
        }
        text.push_str("##[endgroup]\n");
        self.ctx.log.write(page, text.as_bytes());
    }
}
