//! Whether what the reports say fails their stage.

mod findings;

use tidegate_pipelines::{
    Patterns,
    plan::{ReportKind, ReportRule},
};

use super::{Summary, findings::Known};

/// Names that a sentence lists.
const NAMED: usize = 3;

/// A report to judge.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Its format.
    pub kind: ReportKind,
    /// Its path in the workspace.
    pub path: String,
    /// What it says.
    pub summary: Summary,
    /// Its findings, in the order of the summary's; empty where nobody compares them.
    pub findings: Vec<Known>,
}

/// What findings are compared with.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// The branch.
    pub branch: String,
    /// The number of its last run with a report of the same stage; none: there is none.
    pub run: Option<i64>,
    /// The reports of that run.
    pub reports: Vec<Judged>,
}

/// Judges the reports of an attempt; some: what fails the stage, in one sentence. Reports of one rule count
/// together. A rule with thresholds and without a report fails too: nobody could tell whether they hold.
pub fn judge(rules: &[ReportRule], reports: &[Judged], against: &Against) -> Option<String> {
    let mut said: Vec<String> = Vec::new();
    for rule in rules {
        let wanted = &rule.fail_on;
        if !wanted.failed_tests
            && wanted.coverage_below.is_none()
            && wanted.findings_at.is_none()
            && wanted.new_findings.is_none()
        {
            continue;
        }
        let judged: Vec<&Judged> = of_rule(rules, rule, reports).collect();
        let mine: Vec<&Summary> = judged.iter().map(|report| &report.summary).collect();
        let said_of_rule = [
            mine.is_empty().then(|| {
                format!(
                    "no {} report came from {}, so its thresholds cannot be judged",
                    name(rule.kind),
                    rule.paths.join(", ")
                )
            }),
            wanted.failed_tests.then(|| tests(&mine)).flatten(),
            wanted.coverage_below.and_then(|least| coverage(&mine, least)),
            wanted.findings_at.and_then(|level| findings::all(&mine, level)),
            wanted.new_findings.and_then(|risk| {
                let before: Vec<&Judged> = of_rule(rules, rule, &against.reports).collect();
                findings::new(&judged, &before, risk, against)
            }),
        ];
        said.extend(said_of_rule.into_iter().flatten());
    }
    // Two rules may say the same.
    said.dedup();
    if said.is_empty() { None } else { Some(said.join("; ")) }
}

/// The reports that a rule is about. Where several rules have the same format, the paths say whose they are; one
/// that fits none of them belongs to all, so that no report goes unjudged.
fn of_rule<'a>(
    rules: &'a [ReportRule],
    rule: &'a ReportRule,
    reports: &'a [Judged],
) -> impl Iterator<Item = &'a Judged> {
    let fits = |rule: &ReportRule, report: &Judged| {
        Patterns::new(rule.paths.iter().map(|path| path.trim_start_matches("./"))).matches(&report.path)
    };
    reports.iter().filter(|report| report.kind == rule.kind).filter(move |report| {
        let mut alike = rules.iter().filter(|other| other.kind == rule.kind);
        fits(rule, report) || !alike.any(|other| fits(other, report))
    })
}

fn name(kind: ReportKind) -> &'static str {
    match kind {
        ReportKind::Junit => "JUnit",
        ReportKind::Cobertura => "Cobertura",
        ReportKind::Lcov => "LCOV",
        ReportKind::Sarif => "SARIF",
        ReportKind::Tap => "TAP",
        ReportKind::Annotations => "annotations",
    }
}

/// The first names, and that there are more.
fn listed(names: Vec<String>, all: u64) -> String {
    let mut names: Vec<String> = names.into_iter().take(NAMED).collect();
    if all > names.len() as u64 {
        names.push("…".to_owned());
    }
    names.join(", ")
}

fn tests(reports: &[&Summary]) -> Option<String> {
    let (mut all, mut bad, mut names) = (0u64, 0u64, Vec::new());
    for report in reports {
        if let Summary::Tests { total, failed, failures, .. } = report {
            all += total;
            bad += failed;
            names.extend(failures.iter().take(NAMED).map(|failure| match failure.suite.as_str() {
                "" => failure.name.clone(),
                suite => format!("{suite}.{}", failure.name),
            }));
        }
    }
    let word = if all == 1 { "test" } else { "tests" };
    (bad > 0).then(|| format!("{bad} of {all} {word} failed: {}", listed(names, bad)))
}

fn coverage(reports: &[&Summary], least: f64) -> Option<String> {
    let (mut all, mut hit) = (0u64, 0u64);
    for report in reports {
        if let Summary::Coverage { lines, covered, .. } = report {
            all = all.saturating_add(*lines);
            hit = hit.saturating_add(*covered);
        }
    }
    if reports.is_empty() || least <= 0.0 {
        return None;
    }
    if all == 0 {
        return Some(format!("the coverage report names no lines, and {least} % is wanted"));
    }
    let percent = hit as f64 * 100.0 / all as f64;
    // Rounded down: 79.96 % is not to read as 80.0.
    (percent < least).then(|| {
        format!("line coverage is {:.1} %, and {least} % is wanted", (percent * 10.0).floor() / 10.0)
    })
}

#[cfg(test)]
mod tests {
    use tidegate_pipelines::plan::{FindingLevel, RiskLevel, Thresholds};

    use super::*;
    use crate::reports::{Finding, TestFailure};

    fn rule(kind: ReportKind, paths: &[&str], fail_on: Thresholds) -> ReportRule {
        ReportRule { kind, paths: paths.iter().map(|path| (*path).to_owned()).collect(), fail_on }
    }

    fn report(kind: ReportKind, path: &str, summary: Summary) -> Judged {
        Judged { kind, path: path.to_owned(), summary, findings: Vec::new() }
    }

    /// Where nothing is compared.
    fn judge(rules: &[ReportRule], reports: &[Judged]) -> Option<String> {
        super::judge(rules, reports, &Against::default())
    }

    #[test]
    fn only_what_the_branch_does_not_have_counts() {
        let found = |names: &[(u8, RiskLevel)]| {
            let items = names.iter().map(|(name, _)| Finding {
                rule: format!("R{name}"),
                level: "error".into(),
                message: String::new(),
                file: Some("a.py".into()),
                line: Some(u64::from(*name)),
            });
            Judged {
                findings: names.iter().map(|(name, risk)| Known { id: [*name; 16], risk: *risk }).collect(),
                ..report(
                    ReportKind::Sarif,
                    "x.sarif",
                    Summary::Findings {
                        error: names.len() as u64,
                        warning: 0,
                        note: 0,
                        items: items.collect(),
                    },
                )
            }
        };
        use RiskLevel::{Critical, High, Low};
        let wanted = Thresholds { new_findings: Some(High), ..Thresholds::default() };
        let rules = [rule(ReportKind::Sarif, &["*.sarif"], wanted)];
        let against = |reports: Vec<Judged>| Against { branch: "main".into(), run: Some(7), reports };
        let now = [found(&[(1, High), (2, Critical), (2, Critical), (3, Low)])];
        // One of the two is an old one.
        let before = against(vec![found(&[(1, High), (2, Critical), (4, High)])]);
        assert_eq!(
            super::judge(&rules, &now, &before).unwrap(),
            "1 finding at or above high that run 7 of `main` does not have: R2 at a.py:2"
        );
        assert_eq!(super::judge(&rules, &now, &against(now.to_vec())), None);
        let nothing = Against { branch: "main".into(), run: None, reports: Vec::new() };
        assert_eq!(
            super::judge(&rules, &now, &nothing).unwrap(),
            "3 findings at or above high, all of them new, because `main` has no report of this stage to compare with: \
             R1 at a.py:1, R2 at a.py:2, R2 at a.py:2"
        );
        assert_eq!(super::judge(&rules, &[found(&[(3, Low)])], &nothing), None);
        let cut_off = [Judged { findings: Vec::new(), ..now[0].clone() }];
        assert!(
            super::judge(&rules, &cut_off, &before).unwrap().contains("more findings than can be compared")
        );
    }

    fn covered(lines: u64, covered: u64) -> Summary {
        Summary::Coverage { lines, covered, percent: 0.0 }
    }

    fn tests_of(total: u64, names: &[&str]) -> Summary {
        let failures = names
            .iter()
            .map(|name| TestFailure { suite: "s".into(), name: (*name).into(), message: String::new() })
            .collect();
        Summary::Tests { total, failed: names.len() as u64, skipped: 0, duration_ms: 0, failures }
    }

    #[test]
    fn tests_count_together() {
        let rules =
            [rule(ReportKind::Junit, &["*.xml"], Thresholds { failed_tests: true, ..Thresholds::default() })];
        let reports = [
            report(ReportKind::Junit, "a.xml", tests_of(100, &["one", "two"])),
            report(ReportKind::Junit, "b.xml", tests_of(20, &["three", "four"])),
        ];
        assert_eq!(judge(&rules, &reports).unwrap(), "4 of 120 tests failed: s.one, s.two, s.three, …");
        assert_eq!(judge(&rules, &[report(ReportKind::Junit, "a.xml", tests_of(5, &[]))]), None);
        assert_eq!(judge(&[rule(ReportKind::Junit, &["*.xml"], Thresholds::default())], &reports), None);
        assert!(judge(&rules, &[]).unwrap().starts_with("no JUnit report came from *.xml"));
    }

    #[test]
    fn coverage_is_rounded_down_and_summed() {
        let wanted = Thresholds { coverage_below: Some(80.0), ..Thresholds::default() };
        let rules = [rule(ReportKind::Lcov, &["**/lcov.info"], wanted)];
        let two = [
            report(ReportKind::Lcov, "a/lcov.info", covered(1000, 700)),
            report(ReportKind::Lcov, "b/lcov.info", covered(9000, 7298)),
        ];
        assert_eq!(judge(&rules, &two).unwrap(), "line coverage is 79.9 %, and 80 % is wanted");
        assert_eq!(judge(&rules, &[report(ReportKind::Lcov, "lcov.info", covered(10, 8))]), None);
        assert!(
            judge(&rules, &[report(ReportKind::Lcov, "lcov.info", covered(0, 0))])
                .unwrap()
                .contains("no lines")
        );
    }

    #[test]
    fn findings_count_from_their_level_on() {
        let item = |rule: &str, level: &str, file: Option<&str>| Finding {
            rule: rule.into(),
            level: level.into(),
            message: String::new(),
            file: file.map(str::to_owned),
            line: Some(3),
        };
        let items =
            vec![item("E1", "error", Some("a.py")), item("W1", "warning", None), item("N1", "note", None)];
        let reports = [report(
            ReportKind::Sarif,
            "x.sarif",
            Summary::Findings { error: 1, warning: 1, note: 1, items },
        )];
        let at = |level| {
            let wanted = Thresholds { findings_at: Some(level), ..Thresholds::default() };
            judge(&[rule(ReportKind::Sarif, &["x.sarif"], wanted)], &reports).unwrap()
        };
        assert_eq!(at(FindingLevel::Error), "1 finding at or above error: E1 at a.py:3");
        assert_eq!(at(FindingLevel::Warning), "2 findings at or above warning: E1 at a.py:3, W1");
        assert_eq!(at(FindingLevel::Note), "3 findings at or above note: E1 at a.py:3, W1, N1");
    }

    #[test]
    fn rules_of_one_format_judge_what_is_theirs() {
        let least = |percent| Thresholds { coverage_below: Some(percent), ..Thresholds::default() };
        let rules = [
            rule(ReportKind::Cobertura, &["unit/*.xml"], least(80.0)),
            rule(ReportKind::Cobertura, &["./e2e/*.xml"], least(20.0)),
        ];
        let fine = [
            report(ReportKind::Cobertura, "unit/c.xml", covered(100, 90)),
            report(ReportKind::Cobertura, "e2e/c.xml", covered(100, 30)),
        ];
        assert_eq!(judge(&rules, &fine), None);
        let stray =
            [fine[0].clone(), fine[1].clone(), report(ReportKind::Cobertura, "x.xml", covered(1000, 100))];
        assert_eq!(
            judge(&rules, &stray).unwrap(),
            "line coverage is 17.2 %, and 80 % is wanted; line coverage is 11.8 %, and 20 % is wanted"
        );
    }
}
