//! Reports of stages: read into a [`Summary`], judged by thresholds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a report says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Summary {
    /// Test results.
    Tests {
        /// All tests.
        total: u64,
        /// Those that failed or had an error.
        failed: u64,
        /// Those not run.
        skipped: u64,
        /// Milliseconds they took together.
        duration_ms: u64,
        /// The first failures.
        failures: Vec<TestFailure>,
    },
    /// Line coverage.
    Coverage {
        /// Lines that could be covered.
        lines: u64,
        /// Lines that were.
        covered: u64,
        /// The ratio in percent.
        percent: f64,
    },
    /// Findings of a scanner.
    Findings {
        /// Findings of level error.
        error: u64,
        /// Findings of level warning.
        warning: u64,
        /// Findings of level note.
        note: u64,
        /// The first findings, worst first.
        items: Vec<Finding>,
    },
}

/// A failed test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestFailure {
    /// Its suite or class.
    pub suite: String,
    /// Its name.
    pub name: String,
    /// What it said.
    pub message: String,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// `error`, `warning` or `note`.
    pub level: String,
    /// What it says.
    pub message: String,
    /// The file.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u64>,
}
