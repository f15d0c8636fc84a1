//! What a built-in action is given, and what it leaves behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_protocol::messages::{AnnotationLevel, RegistryLogin};

use crate::{
    actions::inputs,
    sandbox::shim::wire::Finished,
    stage::{Failure, Paths, StageContext},
};

/// The most that a built-in action may say, in bytes.
const SAID: usize = 1 << 20;

/// Runs commands in the stage's sandbox for a built-in action.
#[async_trait]
pub trait Hands: Send + Sync {
    /// Runs a script with `sh -e`, with these values over the step's environment. What it prints is in the step's log;
    /// what it writes to `$GITHUB_OUTPUT` is in the answer, and goes no further. The number is the command's, by which
    /// it is found again after a restart.
    async fn shell(
        &mut self,
        script: &str,
        env: &BTreeMap<String, String>,
    ) -> Result<(u32, Finished), Failure>;

    /// An error, warning or notice of the step, with its line in the log.
    fn annotate(&mut self, level: AnnotationLevel, text: &str);
}

/// What was seen of a built-in action, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Lines in the log.
    Said(String),
    /// An annotation with its line.
    Annotation(AnnotationLevel, String),
    /// A value that is hidden from there on.
    Hidden(String),
    /// A command in the sandbox.
    Command(u32),
}

/// What it leaves behind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Left {
    /// The step's outputs.
    pub outputs: BTreeMap<String, String>,
    /// Environment values for later steps.
    pub env: BTreeMap<String, String>,
    /// Search paths for later steps, in the order of adding.
    pub path: Vec<String>,
    /// For its post step.
    pub state: BTreeMap<String, String>,
    /// Credentials for registries that later built-in actions use, by host. They are in this process's memory only
    /// and never written down: [`super::Builtin::recall`] makes them anew.
    #[serde(skip)]
    pub logins: BTreeMap<String, RegistryLogin>,
    /// Hosts whose credentials are forgotten.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub logouts: BTreeSet<String>,
    /// Markdown for the run's page.
    pub summary: String,
    /// What was seen of it.
    pub parts: Vec<Part>,
}

/// A step that uses a built-in action.
pub struct Use<'a> {
    /// The attempt: lease, folders, engine, and the way to the server.
    pub ctx: &'a StageContext,
    /// Where things of the sandbox are on this machine.
    pub paths: &'a Paths,
    /// What expressions read: `github`, `runner`, `env`, `needs`, ….
    pub contexts: &'a BTreeMap<String, Value>,
    /// The step's whole environment, without what the image has.
    pub env: &'a BTreeMap<String, String>,
    /// Credentials for registries that steps before left, by host. The sandbox never sees them.
    pub logins: &'a BTreeMap<String, RegistryLogin>,
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) before: BTreeMap<String, String>,
    pub(crate) page: u32,
    pub(crate) said: usize,
    pub(crate) left: Left,
    pub(crate) hands: &'a mut dyn Hands,
}

impl Use<'_> {
    /// An input, trimmed; empty when there is none.
    pub fn input(&self, name: &str) -> &str {
        self.inputs.get(&name.to_lowercase()).map(|value| value.trim()).unwrap_or_default()
    }

    /// An input that must be there.
    pub fn required(&self, name: &str) -> Result<&str, Failure> {
        match self.input(name) {
            "" => Err(Failure::failed(format!("the input `{name}` is missing"))),
            value => Ok(value),
        }
    }

    /// An input that is true or false.
    pub fn flag(&self, name: &str) -> Result<bool, Failure> {
        inputs::flag(name, self.input(name)).map_err(Failure::failed)
    }

    /// The values of an input that has one a line.
    pub fn lines(&self, name: &str) -> Vec<String> {
        inputs::lines(self.input(name))
    }

    /// A property of the context `github` as text.
    pub fn github(&self, key: &str) -> &str {
        self.contexts
            .get("github")
            .and_then(|github| github.get(key))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// What the main part saved for the post part.
    pub fn state(&self, name: &str) -> &str {
        self.before.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The workspace's folder on this machine.
    pub fn workspace(&self) -> PathBuf {
        self.ctx.dirs.workspace()
    }

    /// A text file by its path in the sandbox (relative ones are below the workspace). Links are not followed.
    pub fn read_file(&self, inside: &str, most_bytes: u64) -> Result<String, Failure> {
        self.paths.read_text(inside, most_bytes).map_err(Failure::failed)
    }

    /// Writes a line to the step's log.
    pub fn say(&mut self, text: impl AsRef<str>) {
        let line = format!("{}\n", text.as_ref());
        self.said += line.len();
        if self.said > SAID {
            return;
        }
        self.ctx.log.write(self.page, line.as_bytes());
        match self.left.parts.last_mut() {
            Some(Part::Said(before)) => before.push_str(&line),
            _ => self.left.parts.push(Part::Said(line)),
        }
    }

    /// Keeps what was written to the step's log already, so that a replay shows it too.
    pub(crate) fn was_said(&mut self, text: &str) {
        self.left.parts.push(Part::Said(self.ctx.log.mask(text)));
    }

    /// Warns, in the log and as an annotation.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.annotate(AnnotationLevel::Warning, text.into());
    }

    /// Says that something is wrong, in the log and as an annotation. The step does not fail for it.
    pub fn error(&mut self, text: impl Into<String>) {
        self.annotate(AnnotationLevel::Error, text.into());
    }

    fn annotate(&mut self, level: AnnotationLevel, text: String) {
        self.said += text.len();
        if self.said > SAID {
            return;
        }
        self.hands.annotate(level, &text);
        self.left.parts.push(Part::Annotation(level, text));
    }

    /// Sets an output of the step.
    pub fn set_output(&mut self, name: &str, value: impl Into<String>) {
        self.left.outputs.insert(name.to_owned(), value.into());
    }

    /// Sets an environment value for all later steps.
    pub fn export(&mut self, name: &str, value: impl Into<String>) {
        self.left.env.insert(name.to_owned(), value.into());
    }

    /// Adds a folder of the sandbox before the search path of all later steps.
    pub fn add_path(&mut self, folder: impl Into<String>) {
        self.left.path.push(folder.into());
    }

    /// Saves a value for the post part.
    pub fn save_state(&mut self, name: &str, value: impl Into<String>) {
        self.left.state.insert(name.to_owned(), value.into());
    }

    /// Keeps credentials for a registry's host until the stage ends or [`Use::log_out`], and hides the password. They
    /// are not written down, so whoever calls this in [`super::Builtin::main`] also does in [`super::Builtin::recall`].
    pub fn log_in(&mut self, host: &str, login: RegistryLogin) {
        self.ctx.log.hide(&login.password);
        self.left.logouts.remove(host);
        self.left.logins.insert(host.to_owned(), login);
    }

    /// Forgets the credentials for a registry's host.
    pub fn log_out(&mut self, host: &str) {
        self.left.logins.remove(host);
        self.left.logouts.insert(host.to_owned());
    }

    /// Hides a value in all logs from here on.
    pub fn hide(&mut self, value: &str) {
        self.ctx.log.hide(value);
        self.left.parts.push(Part::Hidden(value.to_owned()));
    }

    /// Adds Markdown to the run's page.
    pub fn summarise(&mut self, text: &str) {
        self.left.summary.push_str(text);
    }

    /// Runs a script in the sandbox with `sh -e`; see [`Hands::shell`].
    pub async fn shell(&mut self, script: &str, env: &BTreeMap<String, String>) -> Result<Finished, Failure> {
        let (number, finished) = self.hands.shell(script, env).await?;
        self.left.parts.push(Part::Command(number));
        Ok(finished)
    }
}
