//! The top of the file: what starts a pipeline, and what its stages share.

use schemars::JsonSchema;
use serde_json::Value;

use super::{Before, Duration, Scope, Stage, shape};
use crate::{InputKind, diagnostic::Spanned, plan::Network};

/// A pipeline: what starts it, and its stages.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Pipeline {
    /// The pipeline's name; absent: the file's.
    pub name: Option<Spanned<String>>,
    /// What starts the pipeline.
    #[schemars(with = "shape::Triggers")]
    pub on: On,
    /// Environment values of all commands.
    // Kept by the first scope, like what stages have by default.
    #[schemars(with = "Option<shape::Env>")]
    #[allow(dead_code, reason = "described here, kept by the scope")]
    pub env: (),
    /// What stages that do not say otherwise have.
    #[schemars(with = "Option<Defaults>")]
    #[allow(dead_code, reason = "described here, kept by the scope")]
    pub defaults: (),
    /// Which runs may not overlap.
    pub concurrency: Option<Concurrency>,
    /// The stages, by name.
    #[schemars(with = "shape::Stages")]
    pub stages: Vec<Stage>,
    /// Where names hold; the first is the file itself.
    #[schemars(skip)]
    pub scopes: Vec<Scope>,
    /// Stages of the run that were there before, which the outermost template may read.
    #[schemars(skip)]
    pub before: Vec<Before>,
}

impl Pipeline {
    pub(crate) const KEYS: &'static [&'static str] =
        &["name", "on", "env", "defaults", "concurrency", "stages"];
}

/// What starts a pipeline.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct On {
    /// Commits that arrive on a branch.
    #[schemars(with = "Option<shape::OnPush>")]
    pub push: Option<Push>,
    /// Tags, by pattern.
    #[schemars(with = "Option<shape::OnTag>")]
    pub tag: Option<Vec<Spanned<String>>>,
    /// Pull requests that are opened or changed.
    #[schemars(with = "Option<shape::OnPullRequest>")]
    pub pull_request: Option<Spanned<PullRequest>>,
    /// Releases that are published or changed.
    #[schemars(with = "Option<shape::OnRelease>")]
    pub release: Option<Vec<&'static str>>,
    /// Requests of programs, through the forge.
    #[schemars(with = "Option<shape::OnDispatch>")]
    pub repository_dispatch: Option<Vec<Spanned<String>>>,
    /// Runs of other pipelines of the repository that end.
    #[schemars(with = "Option<shape::Upstreams>")]
    pub pipeline: Vec<Upstream>,
    /// Times.
    #[schemars(with = "Option<shape::Schedules>")]
    pub schedule: Vec<Schedule>,
    /// People.
    #[schemars(with = "Option<shape::OnManual>")]
    pub manual: Option<Manual>,
}

impl On {
    pub(crate) const KEYS: &'static [&'static str] =
        &["push", "tag", "pull_request", "release", "repository_dispatch", "pipeline", "schedule", "manual"];
}

/// Commits that arrive on a branch.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Push {
    /// Patterns of branches; absent: all.
    #[schemars(with = "Option<shape::Texts>")]
    pub branches: Vec<Spanned<String>>,
    /// Patterns of changed paths; one must match. Absent: all.
    #[schemars(with = "Option<shape::Texts>")]
    pub paths: Vec<Spanned<String>>,
    /// Patterns of changed paths that do not count.
    #[schemars(with = "Option<shape::Texts>")]
    pub paths_ignore: Vec<Spanned<String>>,
}

impl Push {
    pub(crate) const KEYS: &'static [&'static str] = &["branches", "paths", "paths_ignore"];
}

/// Pull requests that are opened or changed.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct PullRequest {
    /// What happened to them; absent: `opened`, `reopened` and `synchronize` (new commits).
    #[schemars(with = "Option<shape::PullRequestTypes>")]
    pub types: Vec<&'static str>,
    /// Patterns of the branches that they are to be merged into; absent: all.
    #[schemars(with = "Option<shape::Texts>")]
    pub branches: Vec<Spanned<String>>,
    /// Patterns of changed paths; one must match. Absent: all.
    #[schemars(with = "Option<shape::Texts>")]
    pub paths: Vec<Spanned<String>>,
    /// Patterns of changed paths that do not count.
    #[schemars(with = "Option<shape::Texts>")]
    pub paths_ignore: Vec<Spanned<String>>,
}

impl PullRequest {
    pub(crate) const KEYS: &'static [&'static str] = &["types", "branches", "paths", "paths_ignore"];
}

/// Releases that are published or changed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "described, never made")]
pub(crate) struct Release {
    /// What happened to them; absent: `published`.
    types: Option<shape::ReleaseTypes>,
}

impl Release {
    pub(crate) const KEYS: &'static [&'static str] = &["types"];
}

/// Requests of programs, through the forge.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "described, never made")]
pub(crate) struct Dispatch {
    /// Patterns of what the programs call it; absent: all.
    types: Option<shape::Texts>,
}

impl Dispatch {
    pub(crate) const KEYS: &'static [&'static str] = &["types"];
}

/// A run of another pipeline of the repository that ends.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// The other pipelines' names.
    #[schemars(with = "shape::Texts")]
    pub names: Vec<Spanned<String>>,
    /// How the run ended; absent: `succeeded`.
    #[schemars(with = "Option<shape::RunEndings>")]
    pub statuses: Vec<&'static str>,
    /// Patterns of the branches that the run was about; absent: all.
    #[schemars(with = "Option<shape::Texts>")]
    pub branches: Vec<Spanned<String>>,
}

impl Upstream {
    pub(crate) const KEYS: &'static [&'static str] = &["names", "statuses", "branches"];
}

/// A time at which the pipeline starts on the default branch, again and again.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Schedule {
    /// Minute, hour, day of month, month, day of week.
    pub cron: Spanned<String>,
    /// A name such as `Europe/Berlin`; absent: `UTC`.
    pub time_zone: Option<Spanned<String>>,
}

impl Schedule {
    pub(crate) const KEYS: &'static [&'static str] = &["cron", "time_zone"];
}

/// A run that a person asks for.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Manual {
    /// What the person is asked, by name.
    #[schemars(with = "Option<shape::Inputs>")]
    pub inputs: Vec<Input>,
}

impl Manual {
    pub(crate) const KEYS: &'static [&'static str] = &["inputs"];
}

/// One thing that the person is asked.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Input {
    #[schemars(skip)]
    pub name: Spanned<String>,
    /// What values it takes; absent: `choice` when there are `choices`, else `string`.
    #[schemars(rename = "type", with = "Option<shape::InputType>")]
    pub kind: InputKind,
    /// The value when none is given.
    #[schemars(with = "Option<shape::Scalar>")]
    pub default: Option<Spanned<Value>>,
    /// A run cannot start without it.
    #[schemars(with = "Option<bool>")]
    pub required: bool,
    /// The values of a choice.
    #[schemars(with = "Option<Vec<String>>")]
    pub choices: Vec<Spanned<String>>,
    /// For the form.
    pub description: Option<Spanned<String>>,
}

impl Input {
    pub(crate) const KEYS: &'static [&'static str] =
        &["type", "default", "required", "choices", "description"];
}

/// Runs of one group never overlap.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Concurrency {
    /// The group's name; may hold expressions over `git`, `event` and `inputs`.
    pub group: Spanned<String>,
    /// A newer run stops the older one, rather than waiting for it.
    #[schemars(with = "Option<bool>")]
    pub cancel_superseded: bool,
}

impl Concurrency {
    pub(crate) const KEYS: &'static [&'static str] = &["group", "cancel_superseded"];
}

/// What stages that do not say otherwise have.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Defaults {
    /// The image that commands run in.
    pub image: Option<Spanned<String>>,
    /// The time a stage may take.
    pub timeout: Option<Spanned<Duration>>,
    /// Labels that a runner must carry.
    #[schemars(with = "Option<shape::Texts>")]
    pub runs_on: Option<Vec<Spanned<String>>>,
    /// The shell of all scripts.
    #[schemars(with = "Option<shape::Shell>")]
    pub shell: Option<Vec<String>>,
    /// The folder of the workspace that scripts run in.
    pub working_directory: Option<Spanned<String>>,
    /// Limits of the sandboxes.
    pub resources: Option<super::Resources>,
    /// What the sandboxes can reach.
    #[schemars(with = "Option<shape::Network>")]
    pub network: Option<Spanned<Network>>,
    /// When and how often a failed attempt is tried again. Not for `deploy`.
    #[schemars(with = "Option<shape::RetryForm>")]
    pub retry: Option<super::Retry>,
}

impl Defaults {
    pub(crate) const KEYS: &'static [&'static str] =
        &["image", "timeout", "runs_on", "shell", "working_directory", "resources", "network", "retry"];
}
