//! Actions that post to Slack: its own, and two that tell how a job ended. A run that is begun again after a restart may
//! post twice.

mod action_slack;
mod github_action;
mod notify;

pub use action_slack::ActionSlack;
pub use github_action::GithubAction;
pub use notify::Notify;
use serde_json::{Map, Value};

use super::{
    Use,
    web::{Trouble, Web},
};
use crate::stage::Failure;

/// The webhook that a variable of the step gives.
fn webhook(step: &Use<'_>, variable: &str) -> Result<String, Failure> {
    let given = step.env.get(variable).map(|url| url.trim()).unwrap_or_default();
    match url::Url::parse(given) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(given.to_owned()),
        _ if given.is_empty() => Err(Failure::failed(format!(
            "the variable `{variable}` is missing: set it under `env` of the step, from a secret"
        ))),
        // What it says may be the secret.
        _ => Err(Failure::failed(format!("the variable `{variable}` is no URL: is the secret set?"))),
    }
}

/// Posts a message to a webhook.
async fn post(step: &mut Use<'_>, webhook: &str, message: &Value) -> Result<(), Failure> {
    // The place is a secret: whoever knows it may post there.
    step.ctx.log.hide(webhook);
    let web = Web::of(step)?;
    match web.ask(web.http.post(webhook).json(message), "the webhook of Slack").await {
        Ok(_) => {
            step.say("the webhook of Slack took the message");
            Ok(())
        }
        Err(Trouble::Away(reason) | Trouble::Refused(_, reason)) => Err(Failure::failed(reason)),
    }
}

/// A message without what is not said.
fn without_empty(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    let said = |value: &Value| !value.is_null() && value.as_str() != Some("");
    fields
        .into_iter()
        .filter(|(_, value)| said(value))
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What messages say of a run, with links to the forge.
struct Facts {
    repository: String,
    repository_url: String,
    sha: String,
    run_url: String,
    event: String,
    reference: String,
    workflow: String,
    actor: String,
    server: String,
    /// The commit's first line, and its author, where the event says so.
    message: String,
    author: String,
    pull_request: Option<(String, String)>,
}

impl Facts {
    fn of(step: &Use<'_>) -> Self {
        let github = |key: &str| step.github(key).to_owned();
        let event = |pointer: &str| {
            let event = step.contexts.get("github").and_then(|github| github.get("event"));
            let value = event.and_then(|event| event.pointer(pointer));
            value
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .unwrap_or_default()
        };
        let (server, repository) = (github("server_url"), github("repository"));
        let repository_url = format!("{server}/{repository}");
        let email = match event("/head_commit/author/email") {
            email if email.is_empty() => email,
            email => format!("<{email}>"),
        };
        let author = format!("{}{email}", event("/head_commit/author/name"));
        let pull = event("/pull_request/number");
        Self {
            run_url: format!("{repository_url}/actions/runs/{}", github("run_id")),
            sha: github("sha"),
            event: github("event_name"),
            reference: github("ref"),
            workflow: github("workflow"),
            actor: github("actor"),
            message: event("/head_commit/message").lines().next().unwrap_or_default().to_owned(),
            author,
            pull_request: (!pull.is_empty()).then(|| (pull, event("/pull_request/title"))),
            repository,
            repository_url,
            server,
        }
    }

    fn short_sha(&self) -> &str {
        self.sha.get(..8).unwrap_or(&self.sha)
    }

    fn commit_url(&self) -> String {
        format!("{}/commit/{}", self.repository_url, self.sha)
    }
}

/// A link as Slack writes it.
fn link(url: &str, text: &str) -> String {
    format!("<{url}|{text}>")
}

#[cfg(test)]
impl Facts {
    /// A push, for tests.
    fn of_a_test() -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            repository: text("team/app"),
            repository_url: text("https://forge/team/app"),
            sha: text("0123456789abcdef"),
            run_url: text("https://forge/team/app/actions/runs/7"),
            event: text("push"),
            reference: text("refs/heads/main"),
            workflow: text("CI"),
            actor: text("ann"),
            server: text("https://forge"),
            message: text("mend it"),
            author: text("Ann<a@b>"),
            pull_request: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_is_left_out() {
        let message =
            without_empty([("a", json!("")), ("b", Value::Null), ("c", json!("x")), ("d", json!(false))]);
        assert_eq!(Value::Object(message), json!({ "c": "x", "d": false }));
    }
}
