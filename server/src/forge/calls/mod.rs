//! What is asked of GitHub: messages in, requests out. Pure; [`super::github`] sends them.
//!
//! Whatever becomes part of a path is checked or encoded here. Texts are cut to what GitHub keeps, because a
//! status with a text too long would be refused as a whole.

mod checks;

pub use checks::{
    ANNOTATIONS, find_check, is_check_of, more_annotations, move_check, new_check, skipped_check,
};
use serde_json::{Value, json};
use tidegate_protocol::ids::RunId;
use url::{Url, form_urlencoded};

use super::{
    messages::{DeploymentMessage, RunMessage, SkippedMessage},
    words::{self, DESCRIPTION, cut, head},
};

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
