//! What a stage leaves behind: artifacts, caches, reports.

use crate::{
    codes,
    diagnostic::Spanned,
    native::{
        file::{Artifact, Cache, Coverage, Fetch, Report, Thresholds},
        reader::{Fields, Reader},
    },
    plan::{ArtifactWhen, CacheScope, FindingLevel, ReportKind, RiskLevel},
    yaml::Node,
};

pub(super) fn artifact(r: &mut Reader<'_, '_>, node: &Node) -> Option<Artifact> {
    let fields = r.fields(node, "an artifact", Artifact::KEYS)?;
    let name = fields.require("name", r, Reader::text);
    let name = name.filter(|name| r.name(name, "an artifact"));
    let paths = fields.require("paths", r, |r, node| Some(r.one_or_many(node, Reader::path_pattern)));
    let words = [
        ("success", ArtifactWhen::Success),
        ("failure", ArtifactWhen::Failure),
        ("always", ArtifactWhen::Always),
    ];
    let when = fields.read("when", r, |r, node| r.word(node, &words)).unwrap_or_default();
    let retention = fields.read("retention", r, |r, node| r.positive_duration(node, 24 * 3660));
    Some(Artifact { name: name?, paths: paths?, when, retention })
}

/// `stage.artifact`
pub(super) fn fetch(r: &mut Reader<'_, '_>, node: &Node) -> Option<Spanned<Fetch>> {
    let text = r.text(node)?;
    match text.value.split_once('.') {
        Some((stage, artifact)) if !stage.is_empty() && !artifact.is_empty() => {
            let fetch = Fetch { stage: stage.to_owned(), artifact: artifact.to_owned() };
            Some(Spanned::new(fetch, text.place))
        }
        _ => {
            let message = format!("`{}` names no artifact", text.value);
            let report = r.problems.report(codes::BAD_FETCH, text.place, message);
            report
                .help("write the stage and the artifact's name with a dot between them, as in `build.dist`");
            None
        }
    }
}

pub(super) fn cache(r: &mut Reader<'_, '_>, node: &Node) -> Option<Cache> {
    let fields = r.fields(node, "a cache", Cache::KEYS)?;
    let key = fields.require("key", r, Reader::template);
    let restore_keys =
        fields.get("restore_keys").map(|node| r.one_or_many(node, Reader::template)).unwrap_or_default();
    let paths = fields.require("paths", r, |r, node| Some(r.one_or_many(node, cache_path)));
    let scopes = [
        ("branch", CacheScope::Branch),
        ("pipeline", CacheScope::Pipeline),
        ("repository", CacheScope::Repository),
    ];
    let scope = fields.read("scope", r, |r, node| r.word(node, &scopes)).unwrap_or_default();
    Some(Cache { key: key?, restore_keys, paths: paths?, scope })
}

/// Below the workspace, or where tools keep their caches in a sandbox.
fn cache_path(r: &mut Reader<'_, '_>, node: &Node) -> Option<Spanned<String>> {
    let text = r.text(node)?;
    let below =
        |root: &str| text.value.strip_prefix(root).is_some_and(|rest| !rest.trim_matches('/').is_empty());
    if !below("/root/") && !below("/tmp/") {
        return r.path(node);
    }
    if text.value.split('/').any(|part| part == "..") {
        let message = format!("the path `{}` leads out of its folder by `..`", text.value);
        r.problems.report(codes::UNSAFE_PATH, text.place, message);
        return None;
    }
    Some(text)
}

pub(super) fn report(r: &mut Reader<'_, '_>, node: &Node) -> Option<Report> {
    const COVERAGE: [(&str, ReportKind); 2] =
        [("cobertura", ReportKind::Cobertura), ("lcov", ReportKind::Lcov)];
    const OTHERS: [(&str, ReportKind); 3] =
        [("junit", ReportKind::Junit), ("tap", ReportKind::Tap), ("sarif", ReportKind::Sarif)];
    let fields = r.fields(node, "a report", Report::KEYS)?;
    let mut given = formats(r, &fields, &OTHERS);
    given.extend(formats(r, &fields, &COVERAGE));
    let coverage = fields.get("coverage").and_then(|node| r.fields(node, "`coverage`", Coverage::KEYS));
    given.extend(coverage.iter().flat_map(|fields| formats(r, fields, &COVERAGE)).collect::<Vec<_>>());
    let fail_on = fields.entry("fail_on");
    let thresholds = fail_on.and_then(|entry| thresholds(r, &entry.value)).unwrap_or_default();
    if given.len() != 1 {
        let message = format!("a report has exactly one format, here are {}", given.len());
        let report = r.problems.report(codes::BAD_VALUE, fields.place, message);
        report.help("use one of `junit`, `tap`, `cobertura`, `lcov` and `sarif`; make a report of each");
        return None;
    }
    let (kind, paths) = given.pop()?;
    if let Some(entry) = fail_on {
        let tests = matches!(kind, ReportKind::Junit | ReportKind::Tap);
        let findings = kind == ReportKind::Sarif;
        let misplaced = [
            (thresholds.failed_tests.is_some() && !tests, "failed_tests", "`junit` and `tap`"),
            (
                thresholds.coverage_below.is_some() && (tests || findings),
                "coverage_below",
                "`cobertura` and `lcov`",
            ),
            (thresholds.findings_at.is_some() && !findings, "findings_at", "`sarif`"),
            (thresholds.new_findings.is_some() && !findings, "new_findings", "`sarif`"),
        ];
        for (_, key, kinds) in misplaced.into_iter().filter(|(wrong, ..)| *wrong) {
            let message = format!("`{key}` is about reports of {kinds}");
            r.problems.report(codes::BAD_VALUE, entry.value.place, message);
        }
    }
    Some(Report { kind, paths, fail_on: thresholds })
}

/// The formats of a report that are there, with their patterns of files.
fn formats(
    r: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    known: &[(&'static str, ReportKind)],
) -> Vec<(ReportKind, Vec<Spanned<String>>)> {
    let mut given = Vec::new();
    for (key, kind) in known {
        if let Some(node) = fields.get(key) {
            given.push((*kind, r.one_or_many(node, Reader::path_pattern)));
        }
    }
    given
}

fn thresholds(r: &mut Reader<'_, '_>, node: &Node) -> Option<Thresholds> {
    let fields = r.fields(node, "`fail_on`", Thresholds::KEYS)?;
    let levels =
        [("note", FindingLevel::Note), ("warning", FindingLevel::Warning), ("error", FindingLevel::Error)];
    let risks = [
        ("low", RiskLevel::Low),
        ("medium", RiskLevel::Medium),
        ("high", RiskLevel::High),
        ("critical", RiskLevel::Critical),
    ];
    Some(Thresholds {
        failed_tests: fields.read("failed_tests", r, Reader::flag),
        coverage_below: fields.read("coverage_below", r, |r, node| r.number(node, 0.0, 100.0)),
        findings_at: fields.read("findings_at", r, |r, node| r.word(node, &levels)),
        new_findings: fields.read("new_findings", r, |r, node| r.word(node, &risks)),
    })
}
