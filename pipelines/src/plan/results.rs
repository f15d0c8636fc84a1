//! What a stage leaves behind, and what it takes from others.

use serde::{Deserialize, Serialize};

use super::{StageKey, Template};

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
    /// What steps said of places in files; the runner writes it by itself, no file asks for it.
    Annotations,
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
