//! What starts a pipeline.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a file's `on` says, for the server's schedules and for the form of a manual run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Triggers {
    /// Starts on pushes to (some) branches.
    pub push: bool,
    /// Starts on (some) tags.
    pub tag: bool,
    /// Starts on pull requests.
    pub pull_request: bool,
    /// Starts on (some) releases.
    #[serde(default)]
    pub release: bool,
    /// Starts when a program asks for it through the forge.
    #[serde(default)]
    pub repository_dispatch: bool,
    /// Starts when runs of these pipelines of the repository end.
    #[serde(default)]
    pub pipelines: Vec<String>,
    /// Starts at these times.
    pub schedules: Vec<Schedule>,
    /// May be started by a person, who gives these inputs.
    pub manual_inputs: Option<Vec<InputSpec>>,
}

/// A time at which a pipeline starts, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schedule {
    /// Five fields.
    pub cron: String,
    /// IANA name; `UTC` when the file gives none.
    pub time_zone: String,
}

/// An input of a manual run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Its name, as in `inputs.<name>`.
    pub name: String,
    /// What values it takes.
    pub kind: InputKind,
    /// Whether a run cannot start without it.
    pub required: bool,
    /// The value when none is given.
    pub default: Option<Value>,
    /// The values of a choice.
    pub choices: Vec<String>,
    /// For the form.
    pub description: Option<String>,
}

/// What values an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Any text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// One of a list.
    Choice,
    /// The name of an environment.
    Environment,
}
