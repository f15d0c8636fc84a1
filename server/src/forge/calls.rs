//! What is asked of GitHub: messages in, requests out. Pure; [`super::github`] sends them.
//!
//! Whatever becomes part of a path is checked or encoded here. Texts are cut to what GitHub keeps, because a
//! status with a text too long would be refused as a whole.

use serde_json::{Value, json};
use tidegate_pipelines::Diagnostic;
use tidegate_protocol::ids::RunId;
use url::{Url, form_urlencoded};

use super::{
    messages::{DeploymentMessage, RunMessage, SkippedMessage},
    words::{self, DESCRIPTION, cut, head},
};
use crate::reports::Remark;

/// GitHub takes no more annotations in one request.
pub const ANNOTATIONS: usize = 50;
/// Bytes of a check run's summary; GitHub takes 65535 characters.
const SUMMARY: usize = 60_000;
/// Bytes of an annotation's message; GitHub takes 64 KB.
const ANNOTATION: usize = 8_000;

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PATCH`
    Patch,
}

impl Method {
    /// The word in HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
        }
    }
}

/// A request, relative to the API's URL.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// How.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body, unless it is a GET.
    pub body: Option<Value>,
}

/// `owner/name`, checked: safe as a part of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FullName {
    owner: String,
    name: String,
}

impl FullName {
    /// Checks it. The error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                && part.bytes().any(|byte| byte != b'.')
        };
        match text.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("`{text}` is no repository of GitHub: it would read OWNER/NAME")),
        }
    }

    /// Who owns it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its name without the owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, method: Method, rest: &str, body: Option<Value>) -> Call {
        Call { method, path: format!("/repos/{}/{}/{rest}", self.owner, self.name), body }
    }
}

/// What the names of all marks begin with.
pub const CONTEXT: &str = "tidegate/";

/// The name that required checks are given on GitHub.
pub fn context(pipeline: &str) -> String {
    cut(&format!("{CONTEXT}{pipeline}"), 200)
}

/// Finds the App's installation for a repository.
pub fn installation(repository: &FullName) -> Call {
    repository.call(Method::Get, "installation", None)
}

/// A commit status.
pub fn commit_status(repository: &FullName, public_url: &Url, run: &RunMessage) -> Result<Call, String> {
    let body = json!({
        "state": words::commit_state(run.status),
        "target_url": run_page(public_url, run.run),
        "description": cut(&words::run_line(run), DESCRIPTION),
        "context": context(&run.pipeline),
    });
    Ok(repository.call(Method::Post, &format!("statuses/{}", commit(&run.sha)?), Some(body)))
}

/// The commit status of a pipeline that was not started.
pub fn skipped_status(
    repository: &FullName,
    public_url: &Url,
    skipped: &SkippedMessage,
) -> Result<Call, String> {
    let body = json!({
        "state": "success",
        "target_url": runs_page(public_url, repository),
        "description": cut(&words::skipped_line(skipped), DESCRIPTION),
        "context": context(&skipped.pipeline),
    });
    Ok(repository.call(Method::Post, &format!("statuses/{}", commit(&skipped.sha)?), Some(body)))
}

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

/// A new deployment. Its checks are Tidegate's own affair, so GitHub is to verify and merge nothing.
pub fn new_deployment(repository: &FullName, deployment: &DeploymentMessage) -> Result<Call, String> {
    let body = json!({
        "ref": commit(&deployment.sha)?,
        "task": "deploy",
        "auto_merge": false,
        "required_contexts": [],
        "environment": deployment.environment,
        "description": cut(
            format!("run {}: {}", deployment.number, deployment.image).trim_end_matches(": "),
            DESCRIPTION,
        ),
        "payload": { "tidegate": {
            "deployment": deployment.deployment,
            "run": deployment.number,
            "reference": deployment.reference,
            "image": deployment.image,
        } },
    });
    Ok(repository.call(Method::Post, "deployments", Some(body)))
}

/// Looks for a deployment that an earlier try may have made: see [`is_deployment_of`].
pub fn find_deployment(repository: &FullName, deployment: &DeploymentMessage) -> Result<Call, String> {
    let environment = encode(&deployment.environment);
    let sha = commit(&deployment.sha)?;
    let rest = format!("deployments?sha={sha}&task=deploy&environment={environment}&per_page=100");
    Ok(repository.call(Method::Get, &rest, None))
}

/// Whether a deployment at GitHub is this one.
pub fn is_deployment_of(there: &Value, deployment: &DeploymentMessage) -> bool {
    there["payload"]["tidegate"]["deployment"] == json!(deployment.deployment)
}

/// Where a deployment is.
pub fn deployment_status(
    repository: &FullName,
    public_url: &Url,
    deployment: &DeploymentMessage,
    id: u64,
) -> Call {
    let mut body = json!({
        "state": words::deployment_state(deployment.status),
        "log_url": run_page(public_url, deployment.run),
        "description": cut(&words::deployment_line(deployment), DESCRIPTION),
        "environment": deployment.environment,
        "auto_inactive": true,
    });
    // An URL that is none would have the whole status refused.
    let url = deployment.environment_url.as_deref().and_then(|url| Url::parse(url).ok());
    if let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) {
        body["environment_url"] = json!(url);
    }
    repository.call(Method::Post, &format!("deployments/{id}/statuses"), Some(body))
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

/// The page of a run.
fn run_page(public_url: &Url, run: RunId) -> Url {
    let mut url = public_url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("runs").push(&run.to_string());
    }
    url
}

/// The page of a repository's runs.
fn runs_page(public_url: &Url, repository: &FullName) -> Url {
    let mut url = public_url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("runs");
    }
    url.query_pairs_mut().append_pair("repository", &format!("{}/{}", repository.owner, repository.name));
    url
}

fn commit(sha: &str) -> Result<&str, String> {
    if sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(sha)
    } else {
        Err(format!("`{}` is no commit: it would be 40 hexadecimal digits", head(sha, 80)))
    }
}

fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_path_are_refused() {
        for good in ["octo/app", "octo-org/app.rs", "o/.github", "a_b/c_d"] {
            assert!(FullName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "app",
            "/app",
            "octo/",
            "octo/..",
            "../app",
            "octo/a/b",
            "octo/a?b",
            "octo/a%2e",
            "ö/a",
            "octo/a b",
        ] {
            assert!(FullName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_commit_is_forty_hexadecimal_digits() {
        assert!(commit(&"0f".repeat(20)).is_ok());
        assert!(commit("HEAD").is_err());
        assert!(commit(&"0g".repeat(20)).is_err());
    }

    #[test]
    fn the_page_of_a_run_is_under_the_public_url() {
        let run = RunId::new();
        for (public, expected) in [
            ("https://ci.example", format!("https://ci.example/runs/{run}")),
            ("https://ci.example/", format!("https://ci.example/runs/{run}")),
            ("https://example.org/ci/", format!("https://example.org/ci/runs/{run}")),
        ] {
            assert_eq!(run_page(&public.parse().unwrap(), run).as_str(), expected);
        }
    }
}
