//! The facts that expressions are evaluated with, and the doors through which plans are resolved.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    event::{Event, GitFacts},
    plan::{Plan, StageKey},
};

/// All that expressions of a run may read; `matrix.*` comes from the stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// `git.*`
    pub git: GitFacts,
    /// `event.*`
    pub event: Event,
    /// `inputs.*`: [`Plan::inputs`].
    pub inputs: BTreeMap<String, Value>,
    /// `environment.*`, for deploy and smoke stages.
    pub environment: Option<EnvironmentFacts>,
    /// `stages.*`: stages that have ended, by key.
    pub stages: BTreeMap<StageKey, StageFacts>,
    /// What lenient expressions read, by name: `github`, `needs`, `inputs`, `vars`, `strategy`, `matrix`.
    pub contexts: BTreeMap<String, Value>,
}

impl Context {
    /// The context of a run before any stage has ended.
    pub fn new(plan: &Plan, event: &Event) -> Self {
        Self {
            git: event.git.clone(),
            event: event.clone(),
            inputs: plan.inputs.clone(),
            environment: None,
            stages: BTreeMap::new(),
            contexts: BTreeMap::new(),
        }
    }
}

/// Facts of the environment that a stage is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentFacts {
    /// Its name.
    pub name: String,
    /// Where what it runs can be reached.
    pub url: Option<String>,
}

/// Facts of a stage that has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageFacts {
    /// As in the database: `succeeded`, `failed`, `skipped`, ….
    pub status: String,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
}

/// What the steps of a stage came to so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepFacts {
    /// Those that have an id, by it.
    pub steps: BTreeMap<String, StepResult>,
    /// A step that may not fail did.
    pub failed: bool,
    /// The stage is being stopped.
    pub cancelled: bool,
}

/// What a step came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepResult {
    /// `succeeded`, `failed`, `skipped` or `cancelled`; `failed` also when it may fail.
    pub outcome: String,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
}

/// A template or condition that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {message}")]
pub struct ResolveError {
    /// The text as in the file.
    pub expression: String,
    /// Why, in one sentence.
    pub message: String,
}
