//! One command of a stage.

use schemars::JsonSchema;

use super::{Duration, Env, shape};
use crate::{diagnostic::Spanned, plan::StepWhen};

/// One command of a stage.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Step {
    /// Its place in the list.
    #[schemars(skip)]
    pub index: usize,
    /// The script. It never holds expressions; values reach it as variables.
    pub run: Spanned<String>,
    /// What the page shows; absent: the script's first line.
    pub name: Option<Spanned<String>>,
    /// A name for the step's outputs.
    pub id: Option<Spanned<String>>,
    /// An expression; the step is skipped when it is false.
    #[schemars(rename = "if")]
    pub condition: Option<Spanned<String>>,
    /// Environment values beside the stage's.
    #[schemars(with = "Option<shape::Env>")]
    pub env: Env,
    /// A folder of the workspace.
    pub working_directory: Option<Spanned<String>>,
    /// The time it may take.
    pub timeout: Option<Spanned<Duration>>,
    /// After which endings of the steps before it runs.
    #[schemars(with = "Option<shape::When>")]
    pub when: StepWhen,
    /// A failure does not fail the stage.
    #[schemars(with = "Option<bool>")]
    pub continue_on_error: bool,
    /// The program that runs the script.
    #[schemars(with = "Option<shape::Shell>")]
    pub shell: Option<Vec<String>>,
}

impl Step {
    pub(crate) const KEYS: &'static [&'static str] = &[
        "run",
        "name",
        "id",
        "if",
        "env",
        "working_directory",
        "timeout",
        "when",
        "continue_on_error",
        "shell",
    ];
}
