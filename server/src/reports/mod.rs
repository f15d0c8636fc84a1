//! Reports of stages: read into a [`Summary`], judged by thresholds.
//!
//! A report was written by whatever ran in a sandbox. Readers are pure, go through it once, keep a bounded number
//! of items with bounded texts, and bound how deep it may nest. No entity of an XML document is ever expanded.

mod annotations;
mod coverage;
mod findings;
mod judge;
mod junit;
mod sarif;
mod tap;
mod xml;

pub use annotations::{Note, Remark, of_diagnostics, read as read_annotations};
pub use findings::{Known, decode as known_findings, encode as keep_findings};
pub use judge::{Against, Judged, judge};
pub use sarif::read as read_sarif;
use serde::{Deserialize, Serialize};
use tidegate_pipelines::plan::ReportKind;
use utoipa::ToSchema;

/// Failures and findings that a summary keeps; all are counted.
const ITEMS: usize = 50;
/// A message, in characters.
const MESSAGE: usize = 2000;
/// A name, in characters.
const NAME: usize = 300;

/// Reads a report. The error is one sentence.
pub fn parse(kind: ReportKind, bytes: &[u8]) -> Result<Summary, String> {
    match kind {
        ReportKind::Junit => junit::parse(bytes),
        ReportKind::Cobertura => coverage::cobertura(bytes),
        ReportKind::Lcov => coverage::lcov(bytes),
        ReportKind::Sarif => read_sarif(bytes).map(|(summary, _)| summary),
        ReportKind::Tap => tap::parse(bytes),
        ReportKind::Annotations => read_annotations(bytes).map(|(summary, _)| summary),
    }
}

/// Text that is short enough to keep, and that Postgres can keep.
fn cut(text: &str, longest: usize) -> String {
    let text = text.trim();
    let mut kept: String =
        text.chars().take(longest).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(longest).is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

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
    /// What steps said of places in files.
    Annotations {
        /// Errors.
        errors: u64,
        /// Warnings.
        warnings: u64,
        /// Notices.
        notices: u64,
        /// Steps that wrote something for the run's page.
        notes: u64,
        /// The first ones.
        items: Vec<Remark>,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [ReportKind; 6] = [
        ReportKind::Junit,
        ReportKind::Cobertura,
        ReportKind::Lcov,
        ReportKind::Sarif,
        ReportKind::Tap,
        ReportKind::Annotations,
    ];
    const PIECES: &[&str] = &[
        "<testsuites>",
        "</testsuites>",
        "<testsuite name=\"s\">",
        "</testsuite>",
        "<testcase name=\"n\" time=\"1\">",
        "</testcase>",
        "<failure message=\"m\">",
        "</failure>",
        "<error/>",
        "<skipped/>",
        "&amp;",
        "&x;",
        "&#0;",
        "<![CDATA[",
        "]]>",
        "<coverage lines-valid=\"5\" lines-covered=\"9\">",
        "</coverage>",
        "<line hits=\"1\"/>",
        "<method>",
        "</method>",
        "DA:1,1\n",
        "LF:3\n",
        "LH:-1\n",
        "end_of_record\n",
        "{\"runs\":[",
        "{\"results\":[",
        "{\"ruleId\":\"a\",\"message\":{}}",
        "]",
        "}",
        ",",
        "\0",
        "é",
        "\"",
        "<",
        ">",
        "a=",
        "ok 1 - a\n",
        "not ok 2 # x\n",
        "1..9\n",
        "Bail out!\n",
        "  ---\n",
        "  ...\n",
        "\"annotations\":[",
    ];

    /// What can be said of every summary.
    fn check(summary: &Summary) {
        match summary {
            Summary::Tests { total, failed, skipped, failures, .. } => {
                assert!(
                    failed + skipped <= *total && failures.len() <= ITEMS && failures.len() as u64 <= *failed
                );
                assert!(
                    failures
                        .iter()
                        .all(|one| one.message.chars().count() <= MESSAGE && !one.message.contains('\0'))
                );
            }
            Summary::Coverage { lines, covered, percent } => {
                assert!(covered <= lines && (0.0..=100.0).contains(percent));
            }
            Summary::Annotations { items, .. } => assert!(items.len() <= ITEMS),
            Summary::Findings { error, warning, note, items } => {
                assert!(items.len() <= ITEMS && items.len() as u64 <= error + warning + note);
                assert!(
                    items
                        .iter()
                        .all(|one| one.message.chars().count() <= MESSAGE && !one.message.contains('\0'))
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for kind in KINDS {
                if let Ok(summary) = parse(kind, &bytes) {
                    check(&summary);
                }
            }
        }

        #[test]
        fn pieces_of_reports_in_any_order_are_read_or_refused(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)
        ) {
            let text = pieces.concat();
            // In a root of its own more of it is looked at.
            for text in [text.clone(), format!("<testsuites>{text}</testsuites>"), format!("<coverage>{text}</coverage>")] {
                for kind in KINDS {
                    if let Ok(summary) = parse(kind, text.as_bytes()) {
                        check(&summary);
                    }
                }
            }
        }

        #[test]
        fn what_is_cut_is_no_longer_than_it_may_be(text in ".*", longest in 1usize..20) {
            prop_assert!(cut(&text, longest).chars().count() <= longest);
        }
    }
}
