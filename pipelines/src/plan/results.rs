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
    /// Whose entries it reads and writes.
    #[serde(default, skip_serializing_if = "CacheScope::is_default")]
    pub scope: CacheScope,
}

/// Whose entries a cache reads and writes. An untrusted run writes to a scope of its own, whatever is said here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheScope {
    /// Those of its branch or tag; reads those of the default branch too.
    #[default]
    Branch,
    /// As `branch`, and only runs of the same pipeline.
    Pipeline,
    /// All trusted runs of the repository.
    Repository,
}

impl CacheScope {
    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The places of entries that a run reads, in order. It writes to the first of them. What an untrusted run writes is
    /// in no place that another run reads.
    pub fn places(self, run: &CacheUser<'_>) -> Vec<String> {
        let place = |reference: &str| match self {
            Self::Branch => reference.to_owned(),
            // No ref holds a space, so the last word is the ref.
            Self::Pipeline => format!("pipeline {} {reference}", run.pipeline),
            Self::Repository => "repository".to_owned(),
        };
        if !run.trusted {
            let kind = if self == Self::Repository { "repository " } else { "" };
            let own = if self == Self::Pipeline { place(run.reference) } else { run.reference.to_owned() };
            return vec![format!("untrusted {kind}{own}")];
        }
        let mut places = vec![place(run.reference)];
        let default = place(&format!("refs/heads/{}", run.default_branch));
        if !places.contains(&default) {
            places.push(default);
        }
        places
    }
}

/// What decides which entries a run may have.
#[derive(Debug, Clone, Copy)]
pub struct CacheUser<'a> {
    /// Its full ref.
    pub reference: &'a str,
    /// The repository's default branch.
    pub default_branch: &'a str,
    /// The path of its pipeline file.
    pub pipeline: &'a str,
    /// False for a fork's run.
    pub trusted: bool,
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
    /// Test Anything Protocol.
    Tap,
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
    /// A finding at or above this level that the branch it is compared with does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_findings: Option<RiskLevel>,
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

/// How bad a finding is for security.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Worth a look.
    Low,
    /// To be mended some time.
    Medium,
    /// To be mended soon.
    High,
    /// To be mended now.
    Critical,
}

impl RiskLevel {
    /// The level of a finding with this `security-severity` (0 to 10, as in CVSS), as SARIF's readers have it.
    pub fn of_score(score: f64) -> Self {
        match score {
            score if score >= 9.0 => Self::Critical,
            score if score >= 7.0 => Self::High,
            score if score >= 4.0 => Self::Medium,
            _ => Self::Low,
        }
    }

    /// The level of a finding that has only a level in SARIF's terms.
    pub fn of_level(level: FindingLevel) -> Self {
        match level {
            FindingLevel::Note => Self::Low,
            FindingLevel::Warning => Self::Medium,
            FindingLevel::Error => Self::High,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_that_others_read_is_written_by_an_untrusted_run() {
        let run = |reference, trusted| CacheUser {
            reference,
            default_branch: "main",
            pipeline: "a b.yml",
            trusted,
        };
        let (main, topic) = (run("refs/heads/main", true), run("refs/heads/topic", true));
        use CacheScope::{Branch, Pipeline, Repository};
        assert_eq!(Branch.places(&main), ["refs/heads/main"]);
        assert_eq!(Branch.places(&topic), ["refs/heads/topic", "refs/heads/main"]);
        assert_eq!(
            Pipeline.places(&topic),
            ["pipeline a b.yml refs/heads/topic", "pipeline a b.yml refs/heads/main"]
        );
        assert_eq!(Repository.places(&topic), ["repository"]);
        let fork = run("refs/heads/main", false);
        for scope in [Branch, Pipeline, Repository] {
            let places = scope.places(&fork);
            assert!(places.len() == 1 && places[0].starts_with("untrusted "), "{places:?}");
            for other in [Branch, Pipeline, Repository] {
                assert!(
                    !other.places(&main).contains(&places[0]) && !other.places(&topic).contains(&places[0])
                );
                assert!(other == scope || !other.places(&fork).contains(&places[0]));
            }
        }
    }

    #[test]
    fn levels_of_scores() {
        let levels = [0.0, 3.9, 4.0, 6.9, 7.0, 8.9, 9.0, 10.0].map(RiskLevel::of_score);
        use RiskLevel::{Critical, High, Low, Medium};
        assert_eq!(levels, [Low, Low, Medium, Medium, High, High, Critical, Critical]);
        assert!(Low < Critical && RiskLevel::of_level(FindingLevel::Error) == High);
        assert_eq!(RiskLevel::of_score(f64::NAN), Low);
    }
}
