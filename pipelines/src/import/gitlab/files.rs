//! What a job leaves and what it finds again: artifacts, reports, caches.

use super::{Job, job};
use crate::{
    import::{
        draft::{Stage, Yaml, map},
        reading::{Notes, fields, get, get_text, get_texts, text, texts},
    },
    yaml::Node,
};

/// Artifacts and reports.
pub(super) fn results(job: &Job<'_>, stage: &mut Stage, notes: &mut Notes) {
    let Some(node) = job.get("artifacts") else { return };
    let paths = patterns(&get_texts(node, "paths"));
    if !paths.is_empty() {
        let when = match get_text(node, "when") {
            Some("always") => Some("always"),
            Some("on_failure") => Some("failure"),
            _ => None,
        };
        let days = get_text(node, "expire_in").and_then(job::span).map(|seconds| seconds.div_ceil(86_400));
        stage.artifacts.push(map([
            ("name", Some(Yaml::text("files"))),
            ("paths", Some(Yaml::texts(paths))),
            ("when", when.map(Yaml::text)),
            ("retention", days.map(|days| Yaml::text(format!("{days}d")))),
        ]));
    }
    for report in get(node, "reports").map(fields).unwrap_or_default() {
        let (kind, paths) = match report.key.value.as_str() {
            "junit" => ("junit", texts(&report.value)),
            "coverage_report" => ("cobertura", get_texts(&report.value, "path")),
            "dotenv" => {
                notes.add(
                    report.key.place,
                    "`dotenv` reports were not carried over",
                    "append `name=value` lines to \"$TIDEGATE_OUTPUT\" instead",
                );
                continue;
            }
            other => {
                notes.add(
                    report.key.place,
                    format!("the report `{other}` was not carried over"),
                    "there are `junit`, `cobertura`, `lcov` and `sarif`",
                );
                continue;
            }
        };
        stage.reports.push(map([(kind, Some(Yaml::texts(patterns(&paths))))]));
    }
}

/// Paths as patterns: a folder means all that is in it.
pub(super) fn patterns(paths: &[&str]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.trim_start_matches("./"))
        .filter(|path| !path.is_empty() && !path.contains('$'))
        .map(|path| {
            let last = path.rsplit('/').next().unwrap_or(path);
            let folder = path.ends_with('/') || !path.contains('*') && !last.contains('.');
            if folder { format!("{}/**", path.trim_end_matches('/')) } else { path.to_owned() }
        })
        .collect()
}

/// A cache of the job.
pub(super) fn cache(node: &Node, stage: &mut Stage, notes: &mut Notes) {
    let paths: Vec<String> = get_texts(node, "paths")
        .into_iter()
        .map(|path| path.trim_end_matches('/').to_owned())
        .filter(|path| !path.is_empty() && !path.contains(['*', '$']))
        .collect();
    if paths.is_empty() {
        return;
    }
    let key = get(node, "key");
    let plain = key.and_then(text).unwrap_or("default");
    let plain = plain
        .replace("$CI_COMMIT_REF_SLUG", "${{ git.branch }}")
        .replace("$CI_COMMIT_REF_NAME", "${{ git.branch }}")
        .replace("${CI_COMMIT_REF_SLUG}", "${{ git.branch }}");
    if let Some(files) = key.and_then(|key| get(key, "files")) {
        notes.add(
            files.place,
            "the cache's key was a hash of files",
            "name a version in the key; an entry is never written again",
        );
    }
    if plain.replace("${{", "").contains('$') {
        notes.add(
            node.place,
            format!("the cache's key `{plain}` reads variables"),
            "it may hold expressions over `git`, `inputs` and `matrix`",
        );
    }
    // An entry is never written again, so the commit is in the key, and the newest entry is taken.
    let begin = format!("{}-", plain.trim_end_matches('-'));
    stage.cache.push(map([
        ("key", Some(Yaml::text(format!("{begin}${{{{ git.short_sha }}}}")))),
        ("restore_keys", Some(Yaml::texts([begin]))),
        ("paths", Some(Yaml::texts(paths))),
    ]));
}
