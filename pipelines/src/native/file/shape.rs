//! The forms that people may write, where they are more than one. Only the schema knows these types; lowering
//! turns every form into the full one.
#![allow(dead_code, reason = "these types are described, never made")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::{
    Commands, Dispatch, Manual, On, PullRequest, Push, Release, Retry, Schedule, Secret, Step, Upstream,
};

/// Text, or a number or boolean taken as it is written.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Scalar {
    Text(String),
    Number(f64),
    Boolean(bool),
}

/// Environment values by name.
pub(crate) type Env = BTreeMap<String, Scalar>;

/// One text or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Texts {
    One(String),
    Many(Vec<String>),
}

/// The name of one trigger, a list of names, or triggers with their settings.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Triggers {
    One(TriggerName),
    Many(Vec<TriggerName>),
    Full(Box<On>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum TriggerName {
    Push,
    Tag,
    PullRequest,
    Release,
    RepositoryDispatch,
    Manual,
}

/// What happens to a pull request.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum PullRequestType {
    Opened,
    Reopened,
    Synchronize,
    Closed,
    Edited,
    Labeled,
    Unlabeled,
    Assigned,
    Unassigned,
    ReadyForReview,
    ConvertedToDraft,
    ReviewRequested,
    ReviewRequestRemoved,
    Locked,
    Unlocked,
    Milestoned,
    Demilestoned,
    Enqueued,
    Dequeued,
    AutoMergeEnabled,
    AutoMergeDisabled,
}

/// What happens to a release.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum ReleaseType {
    Published,
    Unpublished,
    Created,
    Edited,
    Deleted,
    Prereleased,
    Released,
}

/// How a run ends.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum RunEnding {
    Succeeded,
    Failed,
    Cancelled,
}

/// One word or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Words<T> {
    One(T),
    Many(Vec<T>),
}

pub(crate) type PullRequestTypes = Words<PullRequestType>;
pub(crate) type ReleaseTypes = Words<ReleaseType>;
pub(crate) type RunEndings = Words<RunEnding>;

/// Nothing (always), or settings.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum OrNothing<T> {
    Always(()),
    Some(T),
}

pub(crate) type OnPush = OrNothing<Push>;
pub(crate) type OnTag = OrNothing<Texts>;
pub(crate) type OnPullRequest = OrNothing<PullRequest>;
pub(crate) type OnManual = OrNothing<Manual>;
pub(crate) type OnRelease = OrNothing<Release>;
pub(crate) type OnDispatch = OrNothing<Dispatch>;

/// One upstream or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Upstreams {
    One(Upstream),
    Many(Vec<Upstream>),
}

/// One schedule or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Schedules {
    One(Schedule),
    Many(Vec<Schedule>),
}

/// Names of stages, or a mapping from names to how they must have ended.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Needs {
    One(String),
    Many(Vec<String>),
    States(BTreeMap<String, NeedState>),
}

/// How a stage must have ended: `succeeded` (also with warnings), `failed`, or `finished` in any way.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum NeedState {
    Succeeded,
    Failed,
    Finished,
}

/// A secret's name, or a secret with the variable that carries it.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum SecretUse {
    Name(String),
    Full(Secret),
}

/// A script, or a list of scripts and steps.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Steps {
    Script(String),
    List(Vec<StepOrScript>),
}

/// A script, or a step with its settings.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum StepOrScript {
    Script(String),
    Step(Box<Step>),
}

/// `sh`, `bash`, `python`, or a program and its arguments; the script's path is added.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Shell {
    Known(KnownShell),
    Program(Vec<String>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum KnownShell {
    Sh,
    Bash,
    Python,
}

/// Attempts in all, or how to try again.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum RetryForm {
    Max(u32),
    Full(Retry),
}

/// An ending that is tried again.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum RetryWhen {
    Word(RetryWord),
    Codes(ExitCodes),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum RetryWord {
    Infrastructure,
    Timeout,
    Failure,
}

/// A step ended with one of these codes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ExitCodes {
    pub exit_codes: Vec<i32>,
}

impl ExitCodes {
    pub(crate) const KEYS: &'static [&'static str] = &["exit_codes"];
}

/// The file, or the file with what its stages may have.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum EmitsForm {
    File(String),
    Full(Box<super::Emits>),
}

/// Lists of values by name, or one expression (`${{ fromJSON(…) }}`) that tells all of it.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum MatrixForm {
    Told(String),
    Lists(Box<Matrix>),
}

/// Values, or an expression that tells them.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum ToldList<T> {
    Told(String),
    Values(Vec<T>),
}

/// Lists of values by name, beside `include` and `exclude`.
#[derive(JsonSchema)]
pub(crate) struct Matrix {
    /// Combinations to add, or values to add to combinations.
    pub include: Option<ToldList<BTreeMap<String, Scalar>>>,
    /// Combinations to leave out.
    pub exclude: Option<ToldList<BTreeMap<String, Scalar>>>,
    #[schemars(flatten)]
    pub values: BTreeMap<String, ToldList<Scalar>>,
}

/// When a step runs, or an artifact is kept: after `success`, after `failure`, or `always`.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum When {
    Success,
    Failure,
    Always,
}

/// `GET` on this port and path must answer 2xx or 3xx. A port alone means the path `/`.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum HttpReadyForm {
    Port(u16),
    Full(HttpReady),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct HttpReady {
    /// TCP port inside the service.
    pub port: u16,
    /// Path, beginning with `/`.
    pub path: Option<String>,
}

impl HttpReady {
    pub(crate) const KEYS: &'static [&'static str] = &["port", "path"];
}

/// The level of a finding.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Level {
    Note,
    Warning,
    Error,
}

/// How bad a finding is for security.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

/// Whose entries a cache reads and writes: those of the `branch`, those of the branch by the same `pipeline`, or
/// those of all trusted runs of the `repository`.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum CacheScope {
    Branch,
    Pipeline,
    Repository,
}

/// What a sandbox can reach: nothing (`none`), its own `services`, or the `internet` too.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum Network {
    None,
    Services,
    Internet,
}

/// What values an input takes.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(crate) enum InputType {
    String,
    Boolean,
    Number,
    Choice,
    Environment,
}

/// One status or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Statuses {
    One(u16),
    Many(Vec<u16>),
}

/// Commands in a sandbox, or `.`: the folder to build.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum BuildForm {
    Context(String),
    Full(Box<super::Build>),
}

/// For the schema of services: by name.
pub(crate) type Services = BTreeMap<String, super::Service>;
/// For the schema of inputs: by name.
pub(crate) type Inputs = BTreeMap<String, super::Input>;
/// For the schema of stages: by name.
pub(crate) type Stages = BTreeMap<String, super::Stage>;
/// For the schema of `commands`.
pub(crate) type SmokeCommands = Commands;
