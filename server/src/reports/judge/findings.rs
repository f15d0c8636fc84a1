//! Findings: how many there are from a level on, and how many of them the branch does not have.

use tidegate_pipelines::plan::{FindingLevel, RiskLevel};

use super::{Against, Judged, NAMED, listed};
use crate::reports::{
    Finding, Summary,
    findings::{Before, MOST},
};

/// Those at or above a level.
pub(super) fn all(reports: &[&Summary], level: FindingLevel) -> Option<String> {
    let (mut count, mut names) = (0u64, Vec::new());
    for report in reports {
        if let Summary::Findings { error, warning, note, items } = report {
            let counted: &[u64] = match level {
                FindingLevel::Error => &[*error],
                FindingLevel::Warning => &[*error, *warning],
                FindingLevel::Note => &[*error, *warning, *note],
            };
            let mine: u64 = counted.iter().sum();
            count += mine;
            let shown = items.iter().take(usize::try_from(mine).unwrap_or(usize::MAX).min(NAMED));
            names.extend(shown.map(place));
        }
    }
    let (word, least) = (if count == 1 { "finding" } else { "findings" }, level_name(level));
    (count > 0).then(|| format!("{count} {word} at or above {least}: {}", listed(names, count)))
}

/// A finding's rule and place.
fn place(item: &Finding) -> String {
    match (&item.file, item.line) {
        (Some(file), Some(line)) => format!("{} at {file}:{line}", item.rule),
        (Some(file), None) => format!("{} at {file}", item.rule),
        (None, _) => item.rule.clone(),
    }
}

/// Those as bad as that, which the reports of before do not have.
pub(super) fn new(
    reports: &[&Judged],
    before: &[&Judged],
    least: RiskLevel,
    against: &Against,
) -> Option<String> {
    let mut known = Before::default();
    before.iter().for_each(|report| known.add(&report.findings));
    let (mut count, mut names) = (0u64, Vec::new());
    for report in reports.iter().chain(before) {
        if let Summary::Findings { error, warning, note, .. } = &report.summary
            && error.saturating_add(*warning).saturating_add(*note) > report.findings.len() as u64
        {
            return Some(format!(
                "{} has more findings than can be compared ({}), so nobody can tell which are new",
                report.path, MOST
            ));
        }
    }
    for report in reports {
        let Summary::Findings { items, .. } = &report.summary else { continue };
        for (at, finding) in report.findings.iter().enumerate() {
            if known.is_new(finding) && finding.risk >= least {
                count += 1;
                // The summary holds the first findings only.
                if let Some(item) = items.get(at).filter(|_| names.len() < NAMED) {
                    names.push(place(item));
                }
            }
        }
    }
    if count == 0 {
        return None;
    }
    let (word, least) = (if count == 1 { "finding" } else { "findings" }, risk_name(least));
    let named = match listed(names, count) {
        names if names == "…" => String::new(),
        names => format!(": {names}"),
    };
    let branch = &against.branch;
    Some(match against.run {
        Some(run) => {
            format!("{count} {word} at or above {least} that run {run} of `{branch}` does not have{named}")
        }
        None => format!(
            "{count} {word} at or above {least}, all of them new, because `{branch}` has no report of this stage to \
             compare with{named}"
        ),
    })
}

fn risk_name(level: RiskLevel) -> &'static str {
    match level {
        RiskLevel::Low => "low",
        RiskLevel::Medium => "medium",
        RiskLevel::High => "high",
        RiskLevel::Critical => "critical",
    }
}

fn level_name(level: FindingLevel) -> &'static str {
    match level {
        FindingLevel::Note => "note",
        FindingLevel::Warning => "warning",
        FindingLevel::Error => "error",
    }
}
