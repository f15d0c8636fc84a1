//! The plan: what a pipeline file compiles to, and all that the scheduler and the runner know of it.
//!
//! A plan is plain data, versioned and serialisable: it is stored with its run, so a run never changes when
//! its file does. Matrices are already expanded. Strings that may still hold `${{ }}` are [`Template`]s;
//! [`crate::resolve`] turns a stage into one whose templates are literal, which is what a runner receives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the plan's own format. A server refuses to schedule a plan of a version it does not know.
pub const PLAN_VERSION: u32 = 1;

/// One compiled pipeline for one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Always [`PLAN_VERSION`] when written by this build.
    pub version: u32,
    /// The pipeline's `name`, or its file's stem.
    pub name: String,
    /// Where the plan came from.
    pub source: PlanSource,
    /// Which runs of this pipeline may not overlap, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Every input that the file declares, by name: as given, else its default, else null. This, not the event,
    /// is what `inputs.*` means.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    /// The stages, in file order, matrices expanded; the graph over `needs` is acyclic.
    pub stages: Vec<StagePlan>,
}

impl Plan {
    /// The stage with this key.
    pub fn stage(&self, key: &StageKey) -> Option<&StagePlan> {
        self.stages.iter().find(|stage| &stage.key == key)
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

/// One stage: a node of the graph and the unit that a runner leases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagePlan {
    /// Unique in the plan.
    pub key: StageKey,
    /// The name in the file, shared by all stages of one matrix.
    pub name: String,
    /// This stage's matrix values; empty without a matrix.
    #[serde(default)]
    pub matrix: BTreeMap<String, Value>,
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
    /// Seconds an attempt may take before it is stopped.
    pub timeout_seconds: u64,
    /// When and how often a failed attempt is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// A failure ends as `warned` and does not fail the run.
    #[serde(default)]
    pub continue_on_error: bool,
    /// Environment values for every step.
    #[serde(default)]
    pub env: BTreeMap<String, Template>,
    /// Secrets given to this stage, as environment values.
    #[serde(default)]
    pub secrets: Vec<SecretUse>,
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
    /// Whether the repository is checked out into the workspace.
    pub checkout: bool,
    /// What the stage does.
    pub verb: Verb,
}

impl StagePlan {
    /// The environment that a deploy or smoke stage is about.
    pub fn environment(&self) -> Option<&Template> {
        match &self.verb {
            Verb::Deploy(deploy) => Some(&deploy.environment),
            Verb::Smoke(smoke) => Some(&smoke.environment),
            Verb::Run(_) | Verb::Build(_) | Verb::Push(_) => None,
        }
    }

    /// Whether another attempt may follow a lost one. A deployment is carried out at most once.
    pub fn retry_safe(&self) -> bool {
        !matches!(self.verb, Verb::Deploy(_))
    }
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
    /// The environment variable that carries it.
    pub env: String,
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

/// Files to keep as a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRule {
    /// Unique in the stage.
    pub name: String,
    /// Globs below the workspace.
    pub paths: Vec<String>,
    /// Kept after which endings.
    #[serde(default)]
    pub when: ArtifactWhen,
    /// Days until it may be deleted; absent: the server's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
}

/// After which endings an artifact is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactWhen {
    /// Only after success.
    #[default]
    Success,
    /// Only after failure.
    Failure,
    /// After either.
    Always,
}

/// An artifact of an earlier stage to unpack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFetch {
    /// The stage that made it; one of `needs`, directly or further up.
    pub stage: StageKey,
    /// The artifact's name there.
    pub name: String,
}

/// Files kept for speed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRule {
    /// The exact key; an existing entry is never written again.
    pub key: Template,
    /// Prefixes tried in order when the key is not there; the newest entry wins.
    #[serde(default)]
    pub restore_keys: Vec<Template>,
    /// Paths to keep: below the workspace, or absolute in the sandbox below `/root` or `/tmp`.
    pub paths: Vec<String>,
}

/// A report that the server reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportRule {
    /// The report's format.
    pub kind: ReportKind,
    /// Globs below the workspace.
    pub paths: Vec<String>,
    /// What fails the stage, beside what the commands themselves say.
    #[serde(default)]
    pub fail_on: Thresholds,
}

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// JUnit XML.
    Junit,
    /// Cobertura XML.
    Cobertura,
    /// LCOV trace file.
    Lcov,
    /// SARIF 2.1.0.
    Sarif,
}

/// What in a report fails its stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Line coverage under this percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage_below: Option<f64>,
    /// A finding at or above this level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings_at: Option<FindingLevel>,
    /// A failed test, even when the command ended with 0.
    #[serde(default)]
    pub failed_tests: bool,
}

/// The level of a finding, in SARIF's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingLevel {
    /// `note`.
    Note,
    /// `warning`.
    Warning,
    /// `error`.
    Error,
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

/// What a stage does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verb {
    /// Commands in a sandbox.
    Run(Run),
    /// An image, built by the runner through the engine.
    Build(Build),
    /// A built image, sent to a registry.
    Push(Push),
    /// A change of what an environment runs.
    Deploy(Deploy),
    /// A check of what an environment runs.
    Smoke(Smoke),
}

impl Verb {
    /// The verb's name, as in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Build(_) => "build",
            Self::Push(_) => "push",
            Self::Deploy(_) => "deploy",
            Self::Smoke(_) => "smoke",
        }
    }
}

/// Commands in a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The sandbox's image.
    pub image: Template,
    /// The commands, in order.
    pub steps: Vec<Step>,
}

/// One command of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The name by which later steps read its outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the page shows; the command's first line when the file gives none.
    pub name: String,
    /// The script, passed to the shell as it stands: no template is ever put into it.
    pub run: String,
    /// The shell's argument vector; the script's path is appended.
    pub shell: Vec<String>,
    /// Environment values beside the stage's.
    #[serde(default)]
    pub env: BTreeMap<String, Template>,
    /// Below the workspace; absent: the workspace itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Seconds the step may take; absent: what is left of the stage's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// After which endings of the steps before it runs.
    #[serde(default)]
    pub when: StepWhen,
    /// A failure does not fail the stage.
    #[serde(default)]
    pub continue_on_error: bool,
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

/// An image to build. Output: `image_id` (`sha256:…`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Folder below the workspace that is sent to the engine.
    pub context: String,
    /// Path of the Dockerfile below the context.
    pub dockerfile: String,
    /// The Dockerfile's stage to stop at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    #[serde(default)]
    pub args: BTreeMap<String, Template>,
    /// Labels of the image, beside the ones that name run and commit.
    #[serde(default)]
    pub labels: BTreeMap<String, Template>,
}

/// An image to send to a registry. Outputs: `digest` (`sha256:…`) and `image` (`repository@digest`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The image's id, usually `${{ stages.build.outputs.image_id }}`, filled in by the compiler.
    pub image_id: Template,
    /// Registry and path without a tag, for example `registry.example.org/team/api`.
    pub repository: Template,
    /// Tags to point at it; at least one.
    pub tags: Vec<Template>,
    /// The secret that holds `user:password` for the registry. It reaches the runner's push, never a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

/// A change of what an environment runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// The environment's name.
    pub environment: Template,
    /// What is deployed, by digest (`repository@sha256:…`). A rollback puts the previous one here.
    pub image: Template,
    /// How.
    pub driver: Driver,
}

/// How a deployment is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "snake_case")]
pub enum Driver {
    /// `docker compose up` of a file in the repository; the image is in `TIDEGATE_IMAGE`.
    Compose {
        /// Compose file below the workspace.
        file: String,
        /// Compose project name.
        project: Template,
        /// `ssh://user@host[:port]`; absent: the runner's own engine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<Template>,
        /// Seconds until its services must be up.
        wait_seconds: u64,
    },
    /// Commands in a sandbox, with `TIDEGATE_IMAGE`, `TIDEGATE_PREVIOUS_IMAGE`, `TIDEGATE_ENVIRONMENT` and
    /// `TIDEGATE_ROLLBACK` (`true` or `false`) in their environment.
    Command(Run),
}

/// A check of what an environment runs. Its failure rolls the deployment back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Smoke {
    /// The environment's name.
    pub environment: Template,
    /// The deploy stage whose work is checked.
    pub deploy: StageKey,
    /// HTTP checks, made by the runner.
    #[serde(default)]
    pub checks: Vec<HttpCheck>,
    /// Commands in a sandbox, after the checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Run>,
}

/// One HTTP request and what its answer must be. It is repeated until all holds or the deadline passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// What the page shows.
    pub name: String,
    /// Absolute URL.
    pub url: Template,
    /// Request method.
    pub method: String,
    /// Accepted status codes.
    pub status: Vec<u16>,
    /// Text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<Template>,
    /// Headers that must be there with these values; names in lower case.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// Milliseconds the answer may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<u64>,
    /// Milliseconds until the check is given up.
    pub deadline_ms: u64,
    /// Milliseconds between two tries.
    pub interval_ms: u64,
}
