//! `slackapi/slack-github-action`: messages to Slack, by a webhook or a method of its API; the inputs of version 2, and
//! those of version 1 with their variables. A run that is begun again after a restart may post twice.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tidegate_pipelines::{SourceFile, plain_yaml};

use super::super::{
    Builtin, Use,
    web::{Trouble, Web},
};
use crate::stage::Failure;

/// A payload is at most so long.
const LONGEST: u64 = 1 << 20;
/// How deep a payload is made flat.
const DEEPEST: usize = 32;

/// The action.
pub struct GithubAction;

/// Where a message goes.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Webhook { url: String, flat: Option<String> },
    Method { name: String, token: String },
}

#[async_trait]
impl Builtin for GithubAction {
    fn name(&self) -> &'static str {
        "slackapi/slack-github-action"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("method", ""),
            ("token", ""),
            ("webhook", ""),
            ("webhook-type", ""),
            ("payload", ""),
            ("payload-file-path", ""),
            ("payload-file-path-parsed", ""),
            ("payload-templated", "false"),
            ("payload-delimiter", ""),
            ("api", "https://slack.com/api/"),
            ("errors", "false"),
            ("retries", ""),
            ("proxy", ""),
            ("channel-id", ""),
            ("slack-message", ""),
            ("update-ts", ""),
        ]
    }

    fn hidden(&self) -> &'static [&'static str] {
        &["token", "webhook"]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        for name in ["retries", "proxy"] {
            if !step.input(name).is_empty() {
                step.say(format!("`{name}` is left out of account"));
            }
        }
        if step.flag("payload-templated")? {
            step.say(
                "`payload-templated` is left out of account: expressions in `payload` are filled in anyway",
            );
        }
        // Version 1 fails with Slack; version 2 does when it is asked to.
        let old = step.input("method").is_empty()
            && step.input("webhook").is_empty()
            && step.input("token").is_empty();
        let way = way(step)?;
        let web = Web::of(step)?;
        let mut payload = payload(step)?;
        let (request, whom) = match &way {
            Way::Webhook { url, flat } => {
                if let Some(delimiter) = flat {
                    let mut fields = Map::new();
                    flatten(&payload, String::new(), delimiter, DEEPEST, &mut fields);
                    payload = Value::Object(fields);
                }
                (web.http.post(url), "the webhook of Slack".to_owned())
            }
            Way::Method { name, token } => {
                let api = step.input("api").trim_end_matches('/').to_owned();
                (web.http.post(format!("{api}/{name}")).bearer_auth(token), format!("{api}/{name}"))
            }
        };
        let answer = web.ask(request.json(&payload), &whom).await;
        let (ok, response) = match answer {
            Ok(answer) => match &way {
                Way::Webhook { .. } => (true, json!({ "ok": true, "body": answer.text() })),
                Way::Method { .. } => {
                    let response = answer.json();
                    (response.get("ok") == Some(&Value::Bool(true)), response)
                }
            },
            Err(trouble) => {
                let (Trouble::Away(reason) | Trouble::Refused(_, reason)) = trouble;
                (false, json!({ "ok": false, "error": reason }))
            }
        };
        let text =
            |pointer: &str| response.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let outputs = [
            ("ok", ok.to_string()),
            ("response", response.to_string()),
            ("ts", text("/ts")),
            ("channel_id", text("/channel")),
            (
                "thread_ts",
                [text("/message/thread_ts"), text("/ts")]
                    .into_iter()
                    .find(|ts| !ts.is_empty())
                    .unwrap_or_default(),
            ),
        ];
        for (name, value) in outputs {
            step.set_output(name, value);
        }
        if ok {
            step.say(format!("{whom} took the message"));
            return Ok(());
        }
        let reason = format!("{whom} did not take the message: {}", text("/error"));
        if old || step.flag("errors")? {
            return Err(Failure::failed(reason));
        }
        step.warn(format!("{reason} (the step fails with `errors: true`)"));
        Ok(())
    }
}

/// Where the message goes, by inputs and variables.
fn way(step: &Use<'_>) -> Result<Way, Failure> {
    let variable = |name: &str| step.env.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();
    let or = |input: &str, name: &str| match step.input(input) {
        "" => variable(name),
        given => given.to_owned(),
    };
    let (webhook, token) = (or("webhook", "SLACK_WEBHOOK_URL"), or("token", "SLACK_BOT_TOKEN"));
    let method = step.input("method").to_owned();
    let delimiter = step.input("payload-delimiter").to_owned();
    if method.is_empty() && !webhook.is_empty() {
        let old = step.input("webhook").is_empty();
        let kind = match or("webhook-type", "SLACK_WEBHOOK_TYPE").to_lowercase().replace('_', "-").as_str() {
            "" if !old => {
                return Err(Failure::failed(
                    "the input `webhook-type` is missing: it is `incoming-webhook` or `webhook-trigger`",
                ));
            }
            "incoming-webhook" => None,
            "webhook-trigger" => Some(delimiter).filter(|delimiter| !delimiter.is_empty()),
            // Version 1 speaks to workflows, whose variables are flat, unless told otherwise.
            _ => Some(if delimiter.is_empty() { ".".to_owned() } else { delimiter }),
        };
        return match url::Url::parse(&webhook) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {
                Ok(Way::Webhook { url: webhook, flat: kind })
            }
            _ => Err(Failure::failed("the webhook is no URL: is the secret set?")),
        };
    }
    let method = match (method.as_str(), step.input("channel-id"), step.input("update-ts")) {
        ("", "", _) => {
            return Err(Failure::failed(
                "it is not said where the message goes: give `webhook` with `webhook-type`, or `method` with `token`",
            ));
        }
        ("", _, "") => "chat.postMessage".to_owned(),
        ("", ..) => "chat.update".to_owned(),
        (method, ..) => method.to_owned(),
    };
    if method.starts_with("files.")
        || !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
    {
        return Err(Failure::failed(format!(
            "the method `{method}` is not carried out: it is one that takes JSON"
        )));
    }
    if token.is_empty() {
        return Err(Failure::failed("the input `token` is missing: is the secret set?"));
    }
    Ok(Way::Method { name: method, token })
}

/// What is said.
fn payload(step: &Use<'_>) -> Result<Value, Failure> {
    let path = step.input("payload-file-path");
    let (name, text) = match (step.input("payload"), path) {
        ("", "") => ("payload", String::new()),
        ("", path) => (path, step.read_file(path, LONGEST)?),
        (text, _) => ("payload", text.to_owned()),
    };
    let mut payload = if text.trim().is_empty() { json!({}) } else { parse(name, &text)? };
    let Some(fields) = payload.as_object_mut() else {
        return Err(Failure::failed(format!("`{name}` is not an object of values")));
    };
    // Version 1 has them beside the payload.
    for (key, input) in [("channel", "channel-id"), ("text", "slack-message"), ("ts", "update-ts")] {
        if !step.input(input).is_empty() {
            fields.entry(key).or_insert_with(|| step.input(input).into());
        }
    }
    if fields.is_empty() {
        return Err(Failure::failed("there is no message: give the input `payload`"));
    }
    Ok(payload)
}

/// JSON, or YAML.
fn parse(name: &str, text: &str) -> Result<Value, Failure> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(json) => plain_yaml(&SourceFile { path: name, text })
            .map_err(|yaml| Failure::failed(format!("`{name}` is neither JSON ({json}) nor YAML ({yaml})"))),
    }
}

/// One level of texts, with the names of all levels above in each name.
fn flatten(value: &Value, name: String, delimiter: &str, depth: usize, out: &mut Map<String, Value>) {
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}{delimiter}{key}") };
    match value {
        Value::Object(fields) if depth > 0 => {
            for (key, value) in fields {
                flatten(value, inner(key), delimiter, depth - 1, out);
            }
        }
        Value::Array(values) if depth > 0 => {
            for (at, value) in values.iter().enumerate() {
                flatten(value, inner(&at.to_string()), delimiter, depth - 1, out);
            }
        }
        Value::String(text) => {
            out.insert(name, Value::String(text.clone()));
        }
        other => {
            out.insert(name, Value::String(other.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_or_yaml_and_flat_for_workflows() {
        assert_eq!(parse("p", "{\"text\": \"a\"}").unwrap(), json!({ "text": "a" }));
        assert_eq!(
            parse("p", "text: hello\nblocks:\n  - type: section\n").unwrap()["blocks"][0]["type"],
            "section"
        );
        assert!(parse("p", "a: [").is_err());
        let mut flat = Map::new();
        flatten(&json!({ "a": { "b": [1, { "c": "x" }] }, "d": true }), String::new(), ".", 9, &mut flat);
        assert_eq!(Value::Object(flat), json!({ "a.b.0": "1", "a.b.1.c": "x", "d": "true" }));
    }
}
