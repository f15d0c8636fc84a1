//! Check runs and what they show beside lines: mistakes of the pipeline file, and what steps said of places in files.

use serde_json::{Value, json};
use tidegate_pipelines::Diagnostic;
use url::Url;

use super::{Call, FullName, Method, commit, context, encode, run_page, runs_page};
use crate::{
    forge::{
        messages::{RunMessage, SkippedMessage},
        words::{self, DESCRIPTION, cut, head},
    },
    reports::Remark,
};

/// GitHub takes no more annotations in one request.
pub const ANNOTATIONS: usize = 50;
/// Bytes of a check run's summary; GitHub takes 65535 characters.
const SUMMARY: usize = 60_000;
/// Bytes of an annotation's message; GitHub takes 64 KB.
const ANNOTATION: usize = 8_000;

/// The check run of a pipeline that was not started.
pub fn skipped_check(
    repository: &FullName,
    public_url: &Url,
    skipped: &SkippedMessage,
) -> Result<Call, String> {
    let line = words::skipped_line(skipped);
    let body = json!({
        "name": context(&skipped.pipeline),
        "head_sha": commit(&skipped.sha)?,
        "external_id": skipped.id,
        "details_url": runs_page(public_url, repository),
        "status": "completed",
        "conclusion": "success",
        "output": { "title": cut(&line, DESCRIPTION), "summary": head(&line, SUMMARY) },
    });
    Ok(repository.call(Method::Post, "check-runs", Some(body)))
}

/// A new check run, with its first annotations.
pub fn new_check(repository: &FullName, public_url: &Url, run: &RunMessage) -> Result<Call, String> {
    let mut body = check(public_url, run);
    body["head_sha"] = json!(commit(&run.sha)?);
    body["external_id"] = json!(run.run);
    if let Some(first) = annotations(run, 0) {
        body["output"]["annotations"] = first;
    }
    Ok(repository.call(Method::Post, "check-runs", Some(body)))
}

/// The same check run, further on.
pub fn move_check(repository: &FullName, public_url: &Url, run: &RunMessage, id: u64) -> Call {
    repository.call(Method::Patch, &format!("check-runs/{id}"), Some(check(public_url, run)))
}

/// The annotations of a check run that has so many of them already; None when it has all.
pub fn more_annotations(repository: &FullName, run: &RunMessage, id: u64, there: usize) -> Option<Call> {
    let next = annotations(run, there)?;
    let mut output = output(run);
    output["annotations"] = next;
    Some(repository.call(Method::Patch, &format!("check-runs/{id}"), Some(json!({ "output": output }))))
}

/// Looks for a check run that an earlier try may have made: see [`is_check_of`].
pub fn find_check(repository: &FullName, pipeline: &str, sha: &str) -> Result<Call, String> {
    let name = encode(&context(pipeline));
    let rest = format!("commits/{}/check-runs?check_name={name}&filter=all&per_page=100", commit(sha)?);
    Ok(repository.call(Method::Get, &rest, None))
}

/// Whether a check run is this run's and may go on with this message.
pub fn is_check_of(check: &Value, run: &RunMessage) -> bool {
    check["external_id"] == json!(run.run) && (run.status.is_final() || check["status"] != "completed")
}

/// What a check run says, whether new or not.
fn check(public_url: &Url, run: &RunMessage) -> Value {
    let (status, conclusion) = words::check_state(run.status);
    let mut body = json!({
        "name": context(&run.pipeline),
        "details_url": run_page(public_url, run.run),
        "status": status,
        "output": output(run),
    });
    if let Some(conclusion) = conclusion {
        body["conclusion"] = json!(conclusion);
    }
    body
}

fn output(run: &RunMessage) -> Value {
    let line = words::run_line(run);
    let mut summary = format!("Run {}: {line}", run.number);
    for diagnostic in &run.diagnostics {
        let word = if diagnostic.is_error() { "mistake" } else { "warning" };
        let at = &diagnostic.span;
        summary
            .push_str(&format!("\n- {word}, line {}, column {}: {}", at.line, at.column, diagnostic.message));
        if let Some(help) = &diagnostic.help {
            summary.push_str(&format!(" ({help})"));
        }
    }
    json!({ "title": cut(&line, DESCRIPTION), "summary": head(&summary, SUMMARY) })
}

fn annotations(run: &RunMessage, from: usize) -> Option<Value> {
    let remarks = run.remarks.iter().filter_map(remark);
    let all = run.diagnostics.iter().map(annotation).chain(remarks);
    let batch: Vec<Value> = all.skip(from).take(ANNOTATIONS).collect();
    if batch.is_empty() { None } else { Some(Value::Array(batch)) }
}

fn annotation(diagnostic: &Diagnostic) -> Value {
    let span = &diagnostic.span;
    let (line, end_line) = (span.line.max(1), span.end_line.max(span.line).max(1));
    let message = match &diagnostic.help {
        Some(help) => format!("{}\n{help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let mut annotation = json!({
        "path": diagnostic.file,
        "start_line": line,
        "end_line": end_line,
        "annotation_level": if diagnostic.is_error() { "failure" } else { "warning" },
        "message": head(&message, ANNOTATION),
        "title": cut(&diagnostic.code, 255),
    });
    // GitHub takes columns only within one line.
    if line == end_line {
        annotation["start_column"] = json!(span.column.max(1));
        annotation["end_column"] = json!(span.end_column.max(span.column).max(1));
    }
    annotation
}

/// What a step said of a place; none, where it named no file of the repository.
fn remark(remark: &Remark) -> Option<Value> {
    let file = remark.file.as_deref()?.trim_start_matches("./");
    if file.is_empty() || file.starts_with('/') || file.split('/').any(|part| part == "..") {
        return None;
    }
    let line = remark.line.unwrap_or(1);
    let end_line = remark.end_line.unwrap_or(line).max(line);
    let level = match remark.level.as_str() {
        "error" => "failure",
        "warning" => "warning",
        _ => "notice",
    };
    let mut annotation = json!({
        "path": file,
        "start_line": line,
        "end_line": end_line,
        "annotation_level": level,
        "message": head(&remark.message, ANNOTATION),
    });
    if let Some(title) = &remark.title {
        annotation["title"] = json!(cut(title, 255));
    }
    if let (true, Some(column)) = (line == end_line, remark.column) {
        annotation["start_column"] = json!(column);
        annotation["end_column"] = json!(remark.end_column.unwrap_or(column).max(column));
    }
    Some(annotation)
}
