//! The plan: what a pipeline file compiles to, and all that the scheduler and the runner know of it.
//!
//! A plan is plain data, versioned and serialisable: it is stored with its run, so a run never changes when
//! its file does. Both languages compile to it, and nothing in it says which one it came from. Matrices are already
//! expanded. Strings that may still hold `${{ }}` are [`Template`]s; when they are filled in, and how, is said by
//! [`Expressions`].

mod calls;
mod container;
mod dynamic;
mod late;
mod made;
mod results;
mod stage;
mod steps;
mod verbs;
mod weight;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Machine;

pub use calls::{Call, CallInput, path_of};
pub use container::{Container, Credentials};
pub use dynamic::{Dynamic, Row, Told};
pub use late::{Expand, Late, MatrixPlan, OpenCall, Pairs, RunsOn};
pub use made::{MOST_STAGES, Roll, replace_stage};
pub use results::{
    ArtifactFetch, ArtifactRule, ArtifactWhen, CacheRule, CacheScope, CacheUser, FindingLevel, ReportKind,
    ReportRule, RiskLevel, Thresholds,
};
pub use stage::{
    Emits, Expressions, Need, NeedState, Network, Ready, ReadyProbe, Resources, Retry, RetryWhen, SecretUse,
    Service, StagePlan, Strategy,
};
pub use steps::{ActionUse, Does, Run, Script, Step, StepWhen, Wait};
pub use verbs::{Build, Deploy, Driver, HttpCheck, Push, Smoke, Verb};
pub(crate) use weight::{MAX_PLAN, too_heavy, weight};

/// The version of the plan's own format. A server refuses to schedule a plan of a version it does not know.
pub const PLAN_VERSION: u32 = 1;

/// One compiled pipeline for one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Always [`PLAN_VERSION`] when written by this build.
    pub version: u32,
    /// The pipeline's `name`, or its file's stem.
    pub name: String,
    /// What pages call the run; absent: something made of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where the plan came from.
    pub source: PlanSource,
    /// The event's name as the file knows it, where that is not its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// Which runs of this pipeline may not overlap, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Every input that the file declares, by name: as given, else its default, else null. This, not the event,
    /// is what `inputs.*` means.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    /// The calls of other files that stages came from, the outer ones first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// Where stages run that tell the kind of their machine only once their needs have ended, by its label. Empty where
    /// no stage does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<String, Machine>,
    /// The stages, in file order, matrices expanded as far as they are known; the graph over `needs` is acyclic. A run
    /// may come to have others: those that stand in the place of one of these, and those that stages add.
    pub stages: Vec<StagePlan>,
}

impl Plan {
    /// The stage with this key.
    pub fn stage(&self, key: &StageKey) -> Option<&StagePlan> {
        self.stages.iter().find(|stage| &stage.key == key)
    }

    /// The plan as a run has come to be: with these stages, and the calls that came with them.
    pub fn grown(&self, stages: Vec<StagePlan>) -> Self {
        let mut plan = Self { stages: Vec::new(), ..self.clone() };
        plan.note_calls(&stages);
        plan.stages = stages;
        plan
    }

    /// Takes over the calls that came with stages, each once.
    pub(crate) fn note_calls(&mut self, stages: &[StagePlan]) {
        self.calls = self.calls_with(stages);
    }

    /// The plan's calls, and those that came with stages, each once.
    pub fn calls_with<'s>(&self, stages: impl IntoIterator<Item = &'s StagePlan>) -> Vec<Call> {
        let mut calls = self.calls.clone();
        let mut known: BTreeSet<String> = calls.iter().map(|call| call.key.clone()).collect();
        let came = stages.into_iter().flat_map(|stage| &stage.calls);
        calls.extend(came.filter(|call| known.insert(call.key.clone())).cloned());
        calls
    }
}

/// The file a plan was compiled from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSource {
    /// Path inside the repository, for example `.tidegate/pipeline.yml`.
    pub path: String,
    /// SHA-256 of the file's bytes, lower-case hex.
    pub sha256: String,
}

/// A concurrency group: at most one run of a group is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// The group's name, already rendered.
    pub group: String,
    /// Cancel the older run (true), or let the newer one wait its turn (false).
    pub cancel_superseded: bool,
    /// A newer one takes the place of an older one that still waits (true), or all wait in order (false).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace_waiting: bool,
}

/// What concurrency groups are told apart by: names that differ only in case are one group, as on GitHub.
pub fn group_key(name: &str) -> String {
    name.to_lowercase()
}

/// A stage's unique name in its plan: the name in the file, with the matrix values of an expanded one
/// (`test (node=20, os=debian)`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageKey(pub String);

impl std::fmt::Display for StageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that may hold `${{ }}` expressions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(pub String);

impl Template {
    /// The text as it stands. After [`crate::resolve`] this is the final value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Template {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
