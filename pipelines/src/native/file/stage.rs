//! A stage: what comes before it, where and with what it runs. Its verb, its steps, its services and what it leaves have
//! files of their own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use super::{Artifact, Cache, Concurrency, Duration, Env, Fetch, Report, Service, Size, Verb, shape};
use crate::{
    diagnostic::{Place, Spanned},
    plan::{NeedState, Network, RetryWhen},
};

/// A stage: what must come before, and one verb.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Stage {
    #[schemars(skip)]
    pub name: Spanned<String>,
    /// The keys that are there, for checks that depend on the verb.
    #[schemars(skip)]
    pub keys: Vec<Spanned<String>>,
    /// The scope that it stands in.
    #[schemars(skip)]
    pub scope: usize,
    /// The stages that come before.
    #[schemars(with = "Option<shape::Needs>")]
    pub needs: Vec<Need>,
    /// An expression; the stage is skipped when it is false.
    #[schemars(rename = "if")]
    pub condition: Option<Spanned<String>>,
    /// The image that the commands run in.
    pub image: Option<Spanned<String>>,
    /// Makes a stage of every combination of values.
    #[schemars(with = "Option<shape::MatrixForm>")]
    pub matrix: Option<Spanned<Matrix>>,
    /// How many stages of the matrix run at once; absent: all.
    pub max_parallel: Option<u32>,
    /// The failure of one stage of the matrix stops the others.
    #[schemars(with = "Option<bool>")]
    pub fail_fast: bool,
    /// Which stages may not overlap, those of other runs included.
    pub concurrency: Option<Concurrency>,
    /// Labels that a runner must carry.
    #[schemars(with = "Option<shape::Texts>")]
    pub runs_on: Option<Vec<Spanned<String>>>,
    /// The program that runs scripts.
    #[schemars(with = "Option<shape::Shell>")]
    pub shell: Option<Vec<String>>,
    /// The folder of the workspace that scripts run in.
    pub working_directory: Option<Spanned<String>>,
    /// What the sandbox can reach.
    #[schemars(with = "Option<shape::Network>")]
    pub network: Option<Spanned<Network>>,
    /// Stages that it may add to the run, in a file that it writes.
    #[schemars(with = "Option<shape::EmitsForm>")]
    pub emits: Option<Spanned<Emits>>,
    /// What the stage hands on, by name; absent: all outputs of its steps.
    #[schemars(with = "Option<shape::Env>")]
    pub outputs: Env,
    /// Environment values of the commands.
    #[schemars(with = "Option<shape::Env>")]
    pub env: Env,
    /// Secrets that the commands get, as environment values, and that the Dockerfile of a build may mount.
    #[schemars(with = "Option<Vec<shape::SecretUse>>")]
    pub secrets: Vec<Secret>,
    /// Containers beside the stage, reachable by their name.
    #[schemars(with = "Option<shape::Services>")]
    pub services: Vec<Service>,
    /// The time an attempt may take.
    pub timeout: Option<Spanned<Duration>>,
    /// When and how often a failed attempt is tried again.
    #[schemars(with = "Option<shape::RetryForm>")]
    pub retry: Option<Retry>,
    /// A failure does not fail the run.
    #[schemars(with = "Option<bool>")]
    pub continue_on_error: bool,
    /// Files to keep as a result.
    #[schemars(with = "Option<Vec<Artifact>>")]
    pub artifacts: Vec<Artifact>,
    /// Artifacts of earlier stages, as `stage.artifact`, unpacked into the workspace.
    #[schemars(with = "Option<shape::Texts>")]
    pub fetch: Vec<Spanned<Fetch>>,
    /// Files to keep for speed.
    #[schemars(with = "Option<Vec<Cache>>")]
    pub cache: Vec<Cache>,
    /// Machine-readable results.
    #[schemars(with = "Option<Vec<Report>>")]
    pub reports: Vec<Report>,
    /// Limits of the sandbox.
    pub resources: Option<Resources>,
    /// Whether the repository is checked out.
    pub checkout: Option<bool>,
    #[schemars(flatten)]
    pub verb: Option<Verb>,
}

impl Stage {
    /// In their usual order: when it runs, where, with what, what it does, what it leaves, and what if it fails.
    pub(crate) const KEYS: &'static [&'static str] = &[
        "needs",
        "if",
        "matrix",
        "max_parallel",
        "fail_fast",
        "concurrency",
        "image",
        "runs_on",
        "network",
        "shell",
        "working_directory",
        "checkout",
        "env",
        "secrets",
        "services",
        "fetch",
        "cache",
        "run",
        "build",
        "push",
        "deploy",
        "smoke",
        "use",
        "with",
        "emits",
        "outputs",
        "artifacts",
        "reports",
        "resources",
        "timeout",
        "retry",
        "continue_on_error",
    ];

    /// All secrets that it names.
    pub(crate) fn secret_names(&self) -> Vec<&Spanned<String>> {
        let credentials = match &self.verb {
            Some(Verb::Push(push)) => push.credentials.as_ref(),
            _ => None,
        };
        let emitted = self.emits.iter().flat_map(|emits| &emits.value.secrets);
        self.secrets.iter().map(|secret| &secret.name).chain(credentials).chain(emitted).collect()
    }

    /// Where a key stands, else the stage's name.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        self.keys.iter().find(|found| found.value == key).map_or(self.name.place, |found| found.place)
    }
}

/// Stages that a stage may add to the run, in a file that it writes.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Emits {
    /// The file; it has the keys of a template, without `inputs` and `outputs`.
    pub file: Spanned<String>,
    /// The secrets that the stages may have.
    #[schemars(with = "Option<shape::Texts>")]
    pub secrets: Vec<Spanned<String>>,
    /// The environments that the stages may deploy to and check.
    #[schemars(with = "Option<shape::Texts>")]
    pub environments: Vec<Spanned<String>>,
    /// The labels that the stages may ask of runners, beside those of this one.
    #[schemars(with = "Option<shape::Texts>")]
    pub runs_on: Vec<Spanned<String>>,
}

impl Emits {
    pub(crate) const KEYS: &'static [&'static str] = &["file", "secrets", "environments", "runs_on"];
}

/// A stage that comes before.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    pub stage: Spanned<String>,
    pub accepts: NeedState,
}

/// A stage for every combination of values. Expressions stand without `${{ }}`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matrix {
    /// All of it as one expression.
    pub whole: Option<String>,
    /// The lists that an expression tells, by name; they are in `axes` too, without values.
    pub told: BTreeMap<String, String>,
    /// An expression for `include`.
    pub told_include: Option<String>,
    /// An expression for `exclude`.
    pub told_exclude: Option<String>,
    /// A value could not be read, so what the matrix makes is not known.
    pub broken: bool,
    pub axes: Vec<(Spanned<String>, Vec<Value>)>,
    pub include: Vec<Vec<(Spanned<String>, Value)>>,
    pub exclude: Vec<Vec<(Spanned<String>, Value)>>,
}

impl Matrix {
    /// Whether what it makes is known only when the stage's turn has come.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.whole.is_some()
            || !self.told.is_empty()
            || self.told_include.is_some()
            || self.told_exclude.is_some()
    }

    /// Whether it may have names that the file does not tell.
    pub(crate) fn is_open(&self) -> bool {
        self.whole.is_some() || self.told_include.is_some()
    }
}

/// A secret that commands get.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Secret {
    /// The secret's name on the server.
    pub name: Spanned<String>,
    /// The environment variable that carries it; absent: the secret's name.
    #[schemars(with = "Option<String>")]
    pub env: Spanned<String>,
}

impl Secret {
    pub(crate) const KEYS: &'static [&'static str] = &["name", "env"];
}

/// When and how often a failed attempt is tried again.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Retry {
    /// Attempts in all.
    pub max: u32,
    /// Which endings are tried again; absent: `infrastructure`.
    #[schemars(with = "Option<Vec<shape::RetryWhen>>")]
    pub when: Vec<RetryWhen>,
    /// Time to wait before the next attempt.
    #[schemars(with = "Option<Duration>")]
    pub backoff: Duration,
}

impl Retry {
    pub(crate) const KEYS: &'static [&'static str] = &["max", "when", "backoff"];
}

/// Limits of the sandbox.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Resources {
    /// Processor cores, for example 1.5.
    pub cpus: Option<f64>,
    /// Memory.
    #[schemars(with = "Option<Size>")]
    pub memory: Option<Spanned<Size>>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

impl Resources {
    pub(crate) const KEYS: &'static [&'static str] = &["cpus", "memory", "pids"];
}
