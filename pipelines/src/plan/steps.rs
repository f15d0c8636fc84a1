//! The steps of a stage: commands, and actions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Container, Late, Template};

/// Steps in a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The sandbox's image.
    pub image: Template,
    /// What else is asked of the sandbox.
    #[serde(default, skip_serializing_if = "Container::is_plain")]
    pub container: Container,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One step of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The name by which later steps read its outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the page shows; a template where expressions are lenient.
    pub name: String,
    /// What it does.
    #[serde(flatten)]
    pub does: Does,
    /// Environment values beside the stage's.
    #[serde(default)]
    pub env: BTreeMap<String, Template>,
    /// More of them, each over those before: known ones, or a template that tells a mapping of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_env: Vec<Late<BTreeMap<String, Template>>>,
    /// Environment values that read what earlier steps left, where expressions are strict: exactly one `${{ }}` each.
    /// [`crate::resolve`] puts all other facts into it; [`crate::step_env`] makes the value when its turn has come.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub late_env: BTreeMap<String, Template>,
    /// The `if` expression, without `${{ }}`, evaluated when its turn has come; absent: [`Step::when`] decides alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Seconds the step may take; absent: what is left of the stage's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// The same as an expression, in minutes, told when its turn has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<Template>,
    /// After which endings of the steps before it runs.
    #[serde(default)]
    pub when: StepWhen,
    /// A script that runs beside the steps after it, until one of them waits for it ([`Does::Wait`]) or stops it
    /// ([`Does::Cancel`]); at the latest the stage's last step is followed by a wait for all. What it hands on, and its
    /// failure, count from then on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
    /// A failure does not fail the stage.
    #[serde(default)]
    pub continue_on_error: bool,
    /// The same as an expression, told when its turn has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_fail: Option<Template>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "Stored")]
pub enum Does {
    /// Runs a script.
    Run(Script),
    /// Uses an action.
    Uses(ActionUse),
    /// Waits for steps in the background, whatever happened before. It fails when one of them did.
    Wait(Wait),
    /// Stops a step in the background, by its id, whatever happened before.
    Cancel(String),
}

/// Which steps are waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Their ids; absent: all that are still in the background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<String>>,
}

/// [`Does`] as it may be stored: the first version knew scripts alone, and the rest of them stood beside.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Run { run: Script },
    Uses { uses: ActionUse },
    Wait { wait: Wait },
    Cancel { cancel: String },
    First { run: String, shell: Vec<String>, working_directory: Option<Template> },
}

impl From<Stored> for Does {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Run { run } => Self::Run(run),
            Stored::Uses { uses } => Self::Uses(uses),
            Stored::Wait { wait } => Self::Wait(wait),
            Stored::Cancel { cancel } => Self::Cancel(cancel),
            Stored::First { run: script, shell, working_directory } => {
                Self::Run(Script { script, shell, working_directory })
            }
        }
    }
}

/// A script and the shell that reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The script. Where expressions are strict no template is ever put into it; where they are lenient it is one.
    pub script: String,
    /// The shell's argument vector; `{0}` in it stands for the script's path, which is else appended. Empty: the
    /// first of `bash` and `sh` that the image has.
    #[serde(default)]
    pub shell: Vec<String>,
    /// Below the workspace; absent: the workspace itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<Template>,
}

/// An action and what it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionUse {
    /// As in the file: `owner/repository/path@reference`, `./path` or `docker://image`.
    pub action: String,
    /// Its inputs.
    #[serde(default)]
    pub with: BTreeMap<String, Template>,
    /// More of them, each over those before: known ones, or a template that tells a mapping of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_with: Vec<Late<BTreeMap<String, Template>>>,
}

/// After which endings of the steps before a step runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepWhen {
    /// All succeeded so far.
    #[default]
    Success,
    /// One failed.
    Failure,
    /// Either, and after a cancel too.
    Always,
}
