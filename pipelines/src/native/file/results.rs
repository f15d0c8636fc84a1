//! What a stage takes and leaves: artifacts, caches, and reports with their thresholds.

use schemars::JsonSchema;

use super::{Duration, shape};
use crate::{
    diagnostic::Spanned,
    plan::{ArtifactWhen, CacheScope, FindingLevel, ReportKind, RiskLevel},
};

/// Files to keep as a result.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Artifact {
    /// Its name, unique in the stage.
    pub name: Spanned<String>,
    /// Patterns of files in the workspace.
    #[schemars(with = "shape::Texts")]
    pub paths: Vec<Spanned<String>>,
    /// After which endings it is kept; absent: after success.
    #[schemars(with = "Option<shape::When>")]
    pub when: ArtifactWhen,
    /// Time until it may be deleted, in whole days.
    pub retention: Option<Spanned<Duration>>,
}

impl Artifact {
    pub(crate) const KEYS: &'static [&'static str] = &["name", "paths", "when", "retention"];
}

/// An artifact of an earlier stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fetch {
    pub stage: String,
    pub artifact: String,
}

/// Files to keep for speed.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Cache {
    /// The exact key; an entry is never written again.
    pub key: Spanned<String>,
    /// Beginnings of keys to try when there is no entry of that key.
    #[schemars(with = "Option<shape::Texts>")]
    pub restore_keys: Vec<Spanned<String>>,
    /// Folders and files: of the workspace, or below `/root` or `/tmp` of the sandbox.
    #[schemars(with = "shape::Texts")]
    pub paths: Vec<Spanned<String>>,
    /// Whose entries it reads and writes; absent: those of the branch.
    #[schemars(with = "Option<shape::CacheScope>")]
    pub scope: CacheScope,
}

impl Cache {
    pub(crate) const KEYS: &'static [&'static str] = &["key", "restore_keys", "paths", "scope"];
}

/// A machine-readable result.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub kind: ReportKind,
    pub paths: Vec<Spanned<String>>,
    pub fail_on: Thresholds,
}

impl Report {
    pub(crate) const KEYS: &'static [&'static str] =
        &["junit", "tap", "coverage", "cobertura", "lcov", "sarif", "fail_on"];
}

/// Only for the schema: one of `junit`, `tap`, `coverage`, `sarif` with patterns of files.
#[derive(JsonSchema)]
#[schemars(rename = "Report", deny_unknown_fields)]
#[allow(dead_code, reason = "described, never made")]
struct ReportShape {
    /// Patterns of JUnit XML files.
    junit: Option<shape::Texts>,
    /// Patterns of TAP files (Test Anything Protocol).
    tap: Option<shape::Texts>,
    /// Coverage, by its format.
    coverage: Option<Coverage>,
    /// Patterns of Cobertura XML files; short for `coverage: {cobertura: …}`.
    cobertura: Option<shape::Texts>,
    /// Patterns of LCOV trace files; short for `coverage: {lcov: …}`.
    lcov: Option<shape::Texts>,
    /// Patterns of SARIF 2.1.0 files.
    sarif: Option<shape::Texts>,
    /// What fails the stage.
    fail_on: Option<Thresholds>,
}

/// Coverage: one of `cobertura` and `lcov`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "described, never made")]
pub(crate) struct Coverage {
    /// Patterns of Cobertura XML files.
    cobertura: Option<shape::Texts>,
    /// Patterns of LCOV trace files.
    lcov: Option<shape::Texts>,
}

impl Coverage {
    pub(crate) const KEYS: &'static [&'static str] = &["cobertura", "lcov"];
}

impl JsonSchema for Report {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Report".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        ReportShape::json_schema(generator)
    }
}

/// What in a report fails its stage.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Thresholds {
    /// A failed test, even when the command ended with 0.
    pub failed_tests: Option<bool>,
    /// Line coverage under this percentage.
    pub coverage_below: Option<f64>,
    /// A finding at or above this level.
    #[schemars(with = "Option<shape::Level>")]
    pub findings_at: Option<FindingLevel>,
    /// A finding at or above this level that the branch it is compared with does not have.
    #[schemars(with = "Option<shape::Risk>")]
    pub new_findings: Option<RiskLevel>,
}

impl Thresholds {
    pub(crate) const KEYS: &'static [&'static str] =
        &["failed_tests", "coverage_below", "findings_at", "new_findings"];
}
