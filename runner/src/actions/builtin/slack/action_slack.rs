//! `8398a7/action-slack`: how a job stands, as a message with a coloured bar and fields. Its `custom_payload` is
//! JavaScript at the original; here it is an object in JSON or YAML, as most are, with `${process.env.AS_…}` in texts.

use async_trait::async_trait;
use serde_json::{Value, json};
use tidegate_pipelines::{SourceFile, plain_yaml};

use super::{
    super::{Builtin, Use},
    Facts, link, post, webhook, without_empty,
};
use crate::stage::Failure;

/// How deep texts are filled in.
const DEEPEST: usize = 32;

/// The action.
pub struct ActionSlack;

#[async_trait]
impl Builtin for ActionSlack {
    fn name(&self) -> &'static str {
        "8398a7/action-slack"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("status", ""),
            ("fields", "repo,commit"),
            ("custom_payload", ""),
            ("mention", ""),
            ("if_mention", ""),
            ("author_name", "8398a7@action-slack"),
            ("text", ""),
            ("username", ""),
            ("icon_emoji", ""),
            ("icon_url", ""),
            ("channel", ""),
            ("job_name", ""),
            ("github_token", ""),
            ("github_base_url", ""),
            ("matrix", ""),
        ]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let webhook = webhook(step, "SLACK_WEBHOOK_URL")?;
        let facts = Facts::of(step);
        let (status, job) = (step.required("status")?.to_lowercase(), job(step));
        let message = match (status.as_str(), step.input("custom_payload")) {
            ("custom", "") => {
                return Err(Failure::failed("`status: custom` goes with the input `custom_payload`"));
            }
            ("custom", payload) => custom(payload, &facts, &job).map_err(Failure::failed)?,
            (status, _) => {
                let (fields, unknown) = fields(step.input("fields"), &facts, &job);
                for name in unknown {
                    step.say(format!("the field `{name}` is not known here"));
                }
                ready(step, status, fields).map_err(Failure::failed)?
            }
        };
        post(step, &webhook, &message).await
    }
}

/// The job's name.
fn job(step: &Use<'_>) -> String {
    match step.input("job_name") {
        "" => step.github("job").to_owned(),
        name => name.to_owned(),
    }
}

/// The message of a status.
fn ready(step: &Use<'_>, status: &str, fields: Vec<Value>) -> Result<Value, String> {
    let (colour, text) = match status {
        "success" => ("good", ":white_check_mark: Succeeded GitHub Actions"),
        "failure" => ("danger", ":no_entry: Failed GitHub Actions"),
        "cancelled" => ("warning", ":warning: Canceled GitHub Actions"),
        "skipped" => ("#808080", ":fast_forward: Skipped GitHub Actions"),
        other => {
            return Err(format!(
                "the input `status` is `{other}`; expected success, failure, cancelled, skipped or custom, usually by \
                 `${{{{ job.status }}}}`"
            ));
        }
    };
    let text = if step.input("text").is_empty() { text } else { step.input("text") };
    let text = format!("{}{text}\n", mention(step.input("mention"), step.input("if_mention"), status));
    let attachment = json!({ "author_name": step.input("author_name"), "color": colour, "fields": fields });
    let given = |name: &str| Value::from(step.input(name));
    Ok(Value::Object(without_empty([
        ("text", text.into()),
        ("username", given("username")),
        ("icon_emoji", given("icon_emoji")),
        ("icon_url", given("icon_url")),
        ("channel", given("channel")),
        ("attachments", json!([attachment])),
    ])))
}

/// Who is called, if the status is one of those that they are called for.
fn mention(whom: &str, when: &str, status: &str) -> String {
    let mut when = when.split(',').map(str::trim);
    if whom.is_empty() || !when.any(|one| one == status || one == "always") {
        return String::new();
    }
    let one = |name: &str| match name {
        "here" | "channel" => format!("<!{name}>"),
        group if group.starts_with("subteam^") => format!("<!{group}>"),
        user => format!("<@{user}>"),
    };
    let all: Vec<String> = whom.split(',').map(str::trim).filter(|name| !name.is_empty()).map(one).collect();
    format!("{} ", all.join(" "))
}

/// All fields that are known, in the order of the original.
const FIELDS: [&str; 10] =
    ["repo", "message", "commit", "author", "action", "job", "eventName", "ref", "workflow", "pullRequest"];

/// A field's title and what it says.
fn field(name: &str, facts: &Facts, job: &str) -> Option<(&'static str, String)> {
    let checks = |text: &str| link(&facts.run_url, text);
    Some(match name {
        "repo" => ("repo", link(&facts.repository_url, &facts.repository)),
        "message" => ("message", link(&facts.commit_url(), &facts.message)),
        "commit" => ("commit", link(&facts.commit_url(), facts.short_sha())),
        "author" => ("author", facts.author.clone()),
        "action" => ("action", checks("action")),
        "job" => ("job", checks(job)),
        "eventName" => ("eventName", facts.event.clone()),
        "ref" => ("ref", facts.reference.clone()),
        "workflow" => ("workflow", checks(&facts.workflow)),
        "pullRequest" => {
            let (number, title) = facts.pull_request.clone()?;
            let url = format!("{}/pull/{number}", facts.repository_url);
            ("pullRequest", link(&url, &format!("{title} #{number}")))
        }
        _ => return None,
    })
}

/// The fields that are asked for, and the names of unknown ones.
fn fields(asked: &str, facts: &Facts, job: &str) -> (Vec<Value>, Vec<String>) {
    let asked: Vec<&str> = asked.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let wants = |name: &str| asked.contains(&name) || asked.contains(&"all");
    let shown = FIELDS.iter().filter(|name| wants(name)).filter_map(|name| field(name, facts, job));
    let shown = shown.filter(|(_, text)| !text.is_empty());
    let fields =
        shown.map(|(title, value)| json!({ "title": title, "value": value, "short": true })).collect();
    let unknown = asked.iter().filter(|name| **name != "all" && !FIELDS.contains(name));
    (fields, unknown.map(|name| (*name).to_owned()).collect())
}

/// A message of the step's own.
fn custom(text: &str, facts: &Facts, job: &str) -> Result<Value, String> {
    let parsed =
        serde_json::from_str(text).or_else(|_| plain_yaml(&SourceFile { path: "custom_payload", text }));
    let mut payload: Value = parsed.map_err(|error| {
        format!(
            "`custom_payload` is JavaScript at the original action; here it is an object in JSON or YAML, and this is \
             neither: {error}"
        )
    })?;
    if !payload.is_object() {
        return Err("`custom_payload` is not an object of values".to_owned());
    }
    fill(&mut payload, facts, job, DEEPEST);
    Ok(payload)
}

/// Fills in what the original gives JavaScript: `${process.env.AS_REPO}` and the like.
fn fill(value: &mut Value, facts: &Facts, job: &str, depth: usize) {
    match value {
        Value::String(text) if text.contains("${process.env.AS_") => {
            *text = filled(text.trim_matches('`'), facts, job);
        }
        Value::Array(values) if depth > 0 => {
            values.iter_mut().for_each(|value| fill(value, facts, job, depth - 1));
        }
        Value::Object(fields) if depth > 0 => {
            fields.values_mut().for_each(|value| fill(value, facts, job, depth - 1));
        }
        _ => {}
    }
}

fn filled(text: &str, facts: &Facts, job: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${process.env.AS_") {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            // Nor is there an end later.
            out.push_str("${process.env.AS_");
            rest = after;
            break;
        };
        let of = |field: &&&str| field.to_uppercase() == name.replace('_', "");
        let known = FIELDS.iter().find(of).and_then(|name| field(name, facts, job));
        out.push_str(&known.map(|(_, text)| text).unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_that_are_asked_for() {
        let (shown, unknown) = fields("commit, repo,took", &Facts::of_a_test(), "test");
        let titles: Vec<&str> = shown.iter().filter_map(|field| field["title"].as_str()).collect();
        assert_eq!((titles, unknown), (vec!["repo", "commit"], vec!["took".to_owned()]));
        assert_eq!(shown[1]["value"], "<https://forge/team/app/commit/0123456789abcdef|01234567>");
        // Nobody opened a pull request.
        assert_eq!(fields("all", &Facts::of_a_test(), "test").0.len(), FIELDS.len() - 1);
    }

    #[test]
    fn people_are_called_when_they_asked_to_be() {
        assert_eq!(mention("here", "failure,cancelled", "failure"), "<!here> ");
        assert_eq!(mention("U1, subteam^S2", "always", "success"), "<@U1> <!subteam^S2> ");
        assert_eq!(mention("here", "failure", "success"), "");
        assert_eq!(mention("", "always", "success"), "");
    }

    #[test]
    fn custom_payloads_are_objects_with_values_filled_in() {
        let text = "{ text: '${process.env.AS_REPO} by ${process.env.AS_EVENT_NAME}${process.env.AS_NONE}', b: [1] }";
        let payload = custom(text, &Facts::of_a_test(), "test").unwrap();
        assert_eq!(payload["text"], "<https://forge/team/app|team/app> by push");
        assert!(custom("{ a: 'x' === 'y' ? [", &Facts::of_a_test(), "t").unwrap_err().contains("JavaScript"));
        assert!(custom("[1]", &Facts::of_a_test(), "t").is_err());
        assert_eq!(filled("${process.env.AS_", &Facts::of_a_test(), "t"), "${process.env.AS_");
    }
}
