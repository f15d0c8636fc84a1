//! One stage of a plan, all but what it does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ArtifactFetch, ArtifactRule, CacheRule, Call, Concurrency, Container, Dynamic, Expand, Late, ReportRule,
    StageKey, Template, Verb,
};

/// One stage: a node of the graph and the unit that a runner leases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagePlan {
    /// Unique in the plan.
    pub key: StageKey,
    /// The name in the file, shared by all stages of one matrix.
    pub name: String,
    /// What pages call it; absent: its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How its expressions are evaluated, and when.
    #[serde(default, skip_serializing_if = "Expressions::is_strict")]
    pub expressions: Expressions,
    /// What is decided about it only once its needs have ended. Until then it stands for all the stages that
    /// [`crate::expand`] makes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand: Option<Box<Expand>>,
    /// The call of another file that it came from: a [`super::Call::key`] of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Calls that came to the run with it, because they were told only while it went on; the plan has all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// This stage's matrix values; empty without a matrix.
    #[serde(default)]
    pub matrix: BTreeMap<String, Value>,
    /// Its matrix, where that is known only once its needs have ended: it stands for all stages that
    /// [`crate::expand_native`] makes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic: Option<Box<Dynamic>>,
    /// Its place in its matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The stages that come before, and how each must have ended.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// Every stage before this one, by `needs` directly or further up: whose outputs it may read, and whose
    /// failure `failure()` is about.
    #[serde(default)]
    pub upstream: Vec<StageKey>,
    /// The `if` expression, without `${{ }}`; absent means: all needs are as accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Set by the compiler when the stage never runs for this event (a deployment asked for by a fork): skip it
    /// without looking at its condition, and show this sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// Labels that a runner must carry to lease this stage.
    #[serde(default)]
    pub runner_labels: Vec<String>,
    /// Only the runner that executed that stage may lease this one (an image lives in its engine).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_runner_as: Option<StageKey>,
    /// It may add stages to the run, once it has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emits: Option<Box<Emits>>,
    /// The stage that added it to the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitted_by: Option<StageKey>,
    /// Seconds an attempt may take before it is stopped.
    pub timeout_seconds: u64,
    /// When and how often a failed attempt is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// A failure ends as `warned` and does not fail the run.
    #[serde(default)]
    pub continue_on_error: bool,
    /// The environment whose rules and secrets hold for it, when its verb does not name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Template>,
    /// What it hands on, by name: templates over its steps' outputs. Empty: every output of every step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Template>,
    /// Environment values for every step.
    #[serde(default)]
    pub env: BTreeMap<String, Template>,
    /// More of them, each over those before: known ones, or a template that tells a mapping of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_env: Vec<Late<BTreeMap<String, Template>>>,
    /// Secrets given to this stage, as environment values.
    #[serde(default)]
    pub secrets: Vec<SecretUse>,
    /// Expressions read secrets whose names cannot be told: it is given all that it may have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_secrets: bool,
    /// Which stages may not overlap with it, in this run and others; the group's name may be a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Containers beside the stage, reachable by their name.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Files to keep as a result.
    #[serde(default)]
    pub artifacts: Vec<ArtifactRule>,
    /// Artifacts of earlier stages, unpacked into the workspace before the first step.
    #[serde(default)]
    pub fetch: Vec<ArtifactFetch>,
    /// Files kept for speed.
    #[serde(default)]
    pub caches: Vec<CacheRule>,
    /// Machine-readable results that the server reads.
    #[serde(default)]
    pub reports: Vec<ReportRule>,
    /// Limits of the sandbox.
    #[serde(default)]
    pub resources: Resources,
    /// What its sandbox can reach.
    #[serde(default, skip_serializing_if = "Network::is_default")]
    pub network: Network,
    /// It may ask for identity tokens: its job's permissions say `id-token: write`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub id_token: bool,
    /// Whether the repository is checked out into the workspace.
    pub checkout: bool,
    /// What the stage does.
    pub verb: Verb,
}

impl StagePlan {
    /// The environment that it is about.
    pub fn environment(&self) -> Option<&Template> {
        match &self.verb {
            Verb::Deploy(deploy) => Some(&deploy.environment),
            Verb::Smoke(smoke) => Some(&smoke.environment),
            Verb::Run(_) | Verb::Build(_) | Verb::Push(_) => self.environment.as_ref(),
        }
    }

    /// Whether another attempt may follow a lost one. A deployment is carried out at most once.
    pub fn retry_safe(&self) -> bool {
        !matches!(self.verb, Verb::Deploy(_))
    }
}

/// How the expressions of a stage are evaluated, and when its templates are filled in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expressions {
    /// Types are kept apart. All templates are filled in before a runner has the stage.
    #[default]
    Strict,
    /// Values are converted into each other as GitHub Actions does. Templates are filled in by the runner, each when
    /// its turn has come, because they may read what earlier steps left.
    Lenient,
}

impl Expressions {
    /// Whether it is the default.
    pub fn is_strict(&self) -> bool {
        *self == Self::Strict
    }
}

/// Stages that a stage may add to its run: those in a file that it writes, read by [`crate::compile_emitted`]. What
/// runs in a sandbox may write anything, so the added stages have no more than is said here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emits {
    /// The file, below the workspace; nothing is added when it is not there.
    pub file: String,
    /// The secrets that they may have.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// The environments that they may deploy to and check.
    #[serde(default)]
    pub environments: Vec<String>,
    /// The labels that they may ask of runners, beside those of the stage itself.
    #[serde(default)]
    pub runner_labels: Vec<String>,
}

impl Emits {
    /// The largest file that is read, in bytes.
    pub const MOST_BYTES: usize = crate::yaml::Dialect::NATIVE.max_bytes;
}

/// What a sandbox can reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing but itself.
    None,
    /// The stage's own services.
    Services,
    /// The services, and whatever the runner's machine can reach.
    #[default]
    Internet,
}

impl Network {
    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A stage's place among the stages of its matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strategy {
    /// Its index, from 0.
    pub index: u32,
    /// How many there are.
    pub total: u32,
    /// The failure of one stops the others.
    pub fail_fast: bool,
    /// How many run at once; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
}

/// An edge of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The stage that comes before.
    pub stage: StageKey,
    /// How it must have ended.
    #[serde(default)]
    pub accepts: NeedState,
}

/// How a needed stage must have ended for the next one to go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedState {
    /// `succeeded` or `warned`.
    #[default]
    Succeeded,
    /// `failed` or `unknown`.
    Failed,
    /// Any final state, skipped ones included.
    Finished,
}

/// When a failed attempt is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, at least 1. A lost runner or a failure of the engine is tried again up to this many
    /// attempts, and once even when it is 1, if the stage is safe to retry.
    pub max_attempts: u32,
    /// Which endings are tried again.
    #[serde(default)]
    pub when: Vec<RetryWhen>,
    /// Seconds to wait before the next attempt.
    #[serde(default)]
    pub backoff_seconds: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 1, when: vec![RetryWhen::Infrastructure], backoff_seconds: 0 }
    }
}

/// An ending that may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryWhen {
    /// The runner, engine or network failed, not the step.
    Infrastructure,
    /// A step ended with one of these codes.
    ExitCodes(Vec<i32>),
    /// The stage or a step ran out of time.
    Timeout,
    /// Any failure.
    Failure,
}

/// A secret handed to a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUse {
    /// The secret's name on the server.
    pub name: String,
    /// The environment variable that carries it; absent: only expressions read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Nothing in its place when there is none; else the stage fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A container that runs beside a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its host name on the stage's network.
    pub name: String,
    /// Its image.
    pub image: Template,
    /// Its environment values.
    #[serde(default)]
    pub env: BTreeMap<String, Template>,
    /// Arguments in place of the image's own.
    #[serde(default)]
    pub command: Vec<Template>,
    /// When it counts as ready; absent: its image's health check, else its being started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// What else is asked of its container.
    #[serde(default, skip_serializing_if = "Container::is_plain")]
    pub container: Container,
}

/// How to find out that a service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// What is asked.
    pub probe: ReadyProbe,
    /// Milliseconds between two questions.
    pub interval_ms: u64,
    /// Milliseconds until the service is given up.
    pub timeout_ms: u64,
}

/// What is asked of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadyProbe {
    /// A command inside the service ends with 0.
    Exec(Vec<String>),
    /// A TCP port accepts a connection.
    Tcp(u16),
    /// `GET` on this port and path answers 2xx or 3xx.
    Http {
        /// TCP port inside the service.
        port: u16,
        /// Path, beginning with `/`.
        path: String,
    },
    /// A line of its output matches this regular expression.
    Log(String),
}

/// Limits of a sandbox; absent values are the runner's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Processor cores, for example 1.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
}
