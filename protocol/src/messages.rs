//! The messages between a runner and the server.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `POST /enrol` | [`Enrol`] | [`Enrolled`]; no key needed, the token is used up |
//! | `POST /claim` | [`Claim`] | 200 [`Lease`], or 204 when nothing came within `wait_ms` |
//! | `POST /attempts/{id}/renew` | [`Renew`] | [`Renewed`] |
//! | `POST /attempts/{id}/steps` | [`StepReport`] | 204 |
//! | `POST /attempts/{id}/log?step=N&offset=N` | zstd frame of raw log bytes | [`LogAccepted`] |
//! | `PUT /attempts/{id}/artifacts/{name}` | `tar.zst` | [`Stored`] |
//! | `GET /attempts/{id}/artifacts/{stage}/{name}` | | `tar.zst` of a stage of the same run |
//! | `DELETE /attempts/{id}/artifacts/{name}` | | 204; an artifact of the attempt's own stage is gone |
//! | `PUT /attempts/{id}/reports/{kind}?path=P` | the report file; [`Annotations`] for `annotations` | 204 |
//! | `GET /attempts/{id}/caches?key=K&restore=P&restore=P` | | `tar.zst` and header `tidegate-cache-key`, or 204 |
//! | `PUT /attempts/{id}/caches?key=K` | `tar.zst` | [`Stored`]; 200 too when the key was there already |
//! | `GET /attempts/{id}/cache-entry?key=K` | | 200, or 204 when the attempt's own scope has no such entry |
//! | `POST /attempts/{id}/id-token` | [`AskIdToken`] | [`IdToken`] |
//! | `POST /attempts/{id}/finish` | [`Finish`] | 204; the same report again is 204 too |
//!
//! All paths are below [`PREFIX`]. Calls about an attempt need [`EPOCH_HEADER`]. 401: unknown key. 409: [`Refused`],
//! the attempt has ended, has another epoch or is another runner's; the runner stops its sandbox.
//! 503: the database is away; the runner keeps working, spools, and tries again until its lease ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_pipelines::plan::{StageKey, StagePlan};

use crate::{
    ids::{AttemptId, DeploymentId, RunId, RunnerId, StageId},
    status::StepStatus,
};

/// The version of this protocol. A server speaks this one and the one before it.
pub const PROTOCOL_VERSION: u32 = 1;
/// The path below which the server listens for runners.
pub const PREFIX: &str = "/runner/v1";
/// The header that carries an attempt's epoch, decimal.
pub const EPOCH_HEADER: &str = "tidegate-epoch";
/// The largest log chunk, in raw bytes. A runner splits what is larger.
pub const MAX_LOG_CHUNK: usize = 1 << 20;

/// A new runner introduces itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enrol {
    /// [`PROTOCOL_VERSION`] of the runner.
    pub protocol: u32,
    /// A single-use enrolment token.
    pub token: String,
    /// A name for people, for example the host's.
    pub name: String,
}

/// The server accepts a runner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enrolled {
    /// The runner's id.
    pub runner: RunnerId,
    /// The runner's own key, shown only here; the server keeps a hash.
    pub key: String,
}

/// A runner asks for a stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claim {
    /// [`PROTOCOL_VERSION`] of the runner.
    pub protocol: u32,
    /// The labels it serves. `docker` is one where its engine answers.
    pub labels: Vec<String>,
    /// How many stages it could take now, for the page; a claim leases one.
    pub free_slots: u32,
    /// Version of the runner's program, for the page.
    pub version: String,
    /// Milliseconds to wait for work before answering 204; at most 30,000.
    pub wait_ms: u64,
}

/// A stage, leased.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lease {
    /// This attempt.
    pub attempt: AttemptId,
    /// Its fence: every later call carries it.
    pub epoch: i64,
    /// Milliseconds until the lease ends unless it is renewed; renew at a third of it.
    pub expires_in_ms: u64,
    /// The stage that it belongs to.
    pub stage_id: StageId,
    /// The run that it belongs to.
    pub run: RunId,
    /// The run's number in its repository.
    pub run_number: i64,
    /// Which try at the stage this is, from 1.
    pub number: i32,
    /// Where the source is.
    pub source: Source,
    /// The stage; all templates literal where its expressions are strict.
    pub stage: StagePlan,
    /// Facts of run and event as environment values (`TIDEGATE_SHA`, `TIDEGATE_BRANCH`, …, and `CI=true`).
    pub env: BTreeMap<String, String>,
    /// What the expressions of a stage read that fills in its templates itself
    /// ([`Expressions::Lenient`](tidegate_pipelines::plan::Expressions)), by context: `github`, `needs`, ….
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contexts: BTreeMap<String, serde_json::Value>,
    /// Secrets of this stage. Given only after its gate.
    pub secrets: Vec<Secret>,
    /// For a push stage with credentials.
    pub registry_login: Option<RegistryLogin>,
    /// For a deploy stage.
    pub deployment: Option<DeploymentFacts>,
    /// False for a fork's run: the stricter sandbox.
    pub trusted: bool,
}

/// Where a stage's source comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Source {
    /// `owner/name`, also the name of the runner's mirror.
    pub repository: String,
    /// Clone URL: `https://`, `ssh://`, or `file://` where the runner allows it.
    pub clone_url: String,
    /// User name and token for the clone, bound to the URL's host.
    pub login: Option<(String, String)>,
    /// Full ref that holds the commit.
    pub reference: String,
    /// The commit.
    pub sha: String,
}

/// A secret's value for a stage.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secret {
    /// The secret's name.
    pub name: String,
    /// The environment variable; absent: only expressions read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The value.
    pub value: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).field("env", &self.env).finish_non_exhaustive()
    }
}

/// Credentials for a registry.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryLogin").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What a deploy stage is told of its deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeploymentFacts {
    /// Its id.
    pub id: DeploymentId,
    /// What the environment ran before, by digest.
    pub previous_image: Option<String>,
    /// Whether this puts a previous image back.
    pub rollback: bool,
}

/// A runner is still at work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renew {
    /// Bytes of log spooled but not yet accepted, for the page.
    pub backlog_bytes: u64,
}

/// The lease goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renewed {
    /// Milliseconds until the lease ends, from when the server answered.
    pub expires_in_ms: u64,
    /// Stop the stage: TERM, grace, KILL, then report it cancelled.
    pub cancel: bool,
}

/// A step began or ended. A step's place in the list is fixed by its first report; its name may be told more exactly
/// later, when it begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepReport {
    /// Its index in the attempt, from 0. Index 0 is the runner's own set-up.
    pub index: u32,
    /// What the page shows.
    pub name: String,
    /// Where it is.
    pub status: StepStatus,
    /// Exit code, once it ended by itself.
    pub exit_code: Option<i32>,
    /// Milliseconds it took, once it ended.
    pub duration_ms: Option<u64>,
}

/// Log bytes were stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogAccepted {
    /// The offset the server expects next for this step. Smaller than sent: send again from here.
    pub next_offset: u64,
    /// As in [`Renewed`].
    pub cancel: bool,
}

/// A blob was stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stored {
    /// SHA-256 of the stored bytes, lower-case hex.
    pub sha256: String,
    /// Their number.
    pub size: u64,
}

/// An artifact of the run, as `GET /attempts/{id}/artifacts` lists those of the stages before the attempt's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedArtifact {
    /// The stage that kept it.
    pub stage: StageKey,
    /// Its name.
    pub name: String,
    /// The bytes of its archive.
    pub size: u64,
}

/// An action or a script wants to prove to somebody else which job it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskIdToken {
    /// For whom; absent: the server's usual audience.
    pub audience: Option<String>,
}

/// A signed token.
#[derive(Clone, Serialize, Deserialize)]
pub struct IdToken {
    /// A JWT, signed by the server's key.
    pub token: String,
}

impl std::fmt::Debug for IdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdToken").finish_non_exhaustive()
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All went well.
    Succeeded,
    /// A step failed.
    Failed,
    /// The stage or a step ran out of time.
    TimedOut,
    /// The runner, its engine or the network failed; the steps are not to blame.
    Infrastructure,
    /// Stopped on request.
    Cancelled,
}

/// An attempt's end. All its log bytes were accepted before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// How it ended.
    pub outcome: Outcome,
    /// One sentence for people, when it did not succeed.
    pub reason: Option<String>,
    /// Exit code of the step that failed.
    pub exit_code: Option<i32>,
    /// The stage's outputs.
    pub outputs: BTreeMap<String, String>,
    /// The file with further stages that it wrote, where it succeeded and may add some
    /// ([`Emits`](tidegate_pipelines::plan::Emits)); secrets in it are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitted: Option<String>,
}

/// The body of a 409.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refused {
    /// Why, in one sentence.
    pub reason: String,
}

/// The body of a report of kind `annotations`: what steps said of places in files, and what they wrote for the run's
/// page. The runner masks it and keeps it small; all is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotations {
    /// The first ones: at most [`Self::PER_STEP`] of a level in a step, and [`Self::MOST`] in all.
    #[serde(default)]
    pub annotations: Vec<Annotation>,
    /// How many errors there were.
    #[serde(default)]
    pub errors: u64,
    /// How many warnings there were.
    #[serde(default)]
    pub warnings: u64,
    /// How many notices there were.
    #[serde(default)]
    pub notices: u64,
    /// What steps wrote to `GITHUB_STEP_SUMMARY`, Markdown, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub summaries: Vec<StepSummary>,
}

impl Annotations {
    /// Annotations of a level that are kept of a step.
    pub const PER_STEP: usize = 10;
    /// Annotations that are kept of an attempt.
    pub const MOST: usize = 50;
    /// Bytes of summaries that are kept of an attempt.
    pub const SUMMARY_BYTES: usize = 1 << 20;
}

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// The step's index in the attempt.
    pub step: u32,
    /// How bad it is.
    pub level: AnnotationLevel,
    /// What it says.
    pub message: String,
    /// Its heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The file, as the step said it: usually relative to the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The first line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
    /// The first column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The last column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u32>,
}

/// How bad an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationLevel {
    /// Something is wrong.
    Error,
    /// Something may be wrong.
    Warning,
    /// For the reader.
    Notice,
}

/// What one step wrote for the run's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSummary {
    /// The step's index in the attempt.
    pub step: u32,
    /// Markdown.
    pub text: String,
}
