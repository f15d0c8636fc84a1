//! `rtCamp/action-slack-notify`: a message about a run, said by variables of the step.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    super::{Builtin, Use},
    Facts, post, webhook, without_empty,
};
use crate::stage::Failure;

/// Variables that have no effect here.
const NOTED: [&str; 4] = ["SLACK_FILE_UPLOAD", "SLACK_TOKEN", "SLACK_THREAD_TS", "VAULT_ADDR"];

/// The action.
pub struct Notify;

#[async_trait]
impl Builtin for Notify {
    fn name(&self) -> &'static str {
        "rtcamp/action-slack-notify"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let webhook = webhook(step, "SLACK_WEBHOOK")?;
        for name in NOTED {
            if step.env.get(name).is_some_and(|value| !value.is_empty()) {
                step.say(format!("`{name}` is left out of account"));
            }
        }
        let variable = |name: &str| step.env.get(name).map(|value| value.trim()).unwrap_or_default();
        let message = message(&variable, &Facts::of(step));
        post(step, &webhook, &message).await
    }
}

/// The message, as the variables say.
fn message<'v>(variable: &dyn Fn(&str) -> &'v str, facts: &Facts) -> Value {
    let or = |name: &str, otherwise: &'v str| match variable(name) {
        "" => otherwise,
        given => given,
    };
    // A status is a colour, and may have a text of its own.
    let (colour, of_status) = match or("SLACK_COLOR", "good") {
        "success" => ("good", variable("SLACK_ON_SUCCESS")),
        "failure" => ("#dc3545", variable("SLACK_ON_FAILURE")),
        "cancelled" => ("#808080", variable("SLACK_ON_CANCEL")),
        "skipped" => ("#4a4a4a", ""),
        colour => (colour, ""),
    };
    let text = match (of_status, variable("SLACK_MESSAGE")) {
        ("", "") => facts.message.as_str(),
        ("", text) => text,
        (text, _) => text,
    };
    let text = if variable("ENABLE_ESCAPES") == "true" { text.replace("\\n", "\n") } else { text.to_owned() };
    let attachment = without_empty([
        ("fallback", text.clone().into()),
        ("color", colour.into()),
        ("author_name", facts.actor.clone().into()),
        ("author_link", format!("{}/{}", facts.server, facts.actor).into()),
        ("author_icon", format!("{}/{}.png?size=32", facts.server, facts.actor).into()),
        ("footer", variable("SLACK_FOOTER").into()),
        ("fields", fields(variable, facts, &text).into()),
    ]);
    Value::Object(without_empty([
        ("username", or("SLACK_USERNAME", "rtBot").into()),
        ("icon_url", variable("SLACK_ICON").into()),
        ("icon_emoji", variable("SLACK_ICON_EMOJI").into()),
        ("channel", variable("SLACK_CHANNEL").into()),
        ("link_names", if variable("SLACK_LINK_NAMES") == "true" { json!("1") } else { Value::Null }),
        ("attachments", json!([attachment])),
    ]))
}

/// The fields: all that is known of the run, or what `MSG_MINIMAL` leaves of it, and the text.
fn fields<'v>(variable: &dyn Fn(&str) -> &'v str, facts: &Facts, text: &str) -> Vec<Value> {
    let kept: Option<Vec<String>> = match variable("MSG_MINIMAL") {
        "" | "false" => None,
        "true" => Some(Vec::new()),
        list => Some(list.split(',').map(|name| name.trim().to_lowercase()).collect()),
    };
    let known = [
        ("ref", "Ref", facts.reference.clone()),
        ("event", "Event", facts.event.clone()),
        ("actions url", "Actions URL", super::link(&facts.run_url, &facts.workflow)),
        ("commit", "Commit", super::link(&facts.commit_url(), facts.sha.get(..6).unwrap_or(&facts.sha))),
    ];
    let mut fields = Vec::new();
    for (key, title, value) in known {
        if kept.as_ref().is_none_or(|kept| kept.iter().any(|name| name == key)) && !value.is_empty() {
            fields.push(json!({ "title": title, "value": value, "short": true }));
        }
    }
    for (title, name) in [("Site", "SITE_NAME"), ("Host", "HOST_NAME")] {
        if !variable(name).is_empty() {
            fields.push(json!({ "title": title, "value": variable(name), "short": true }));
        }
    }
    let title = match variable("SLACK_TITLE") {
        "" => "Message",
        title => title,
    };
    fields.push(json!({ "title": title, "value": text, "short": false }));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &'static str)]) -> Value {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value);
        message(&variable, &Facts::of_a_test())
    }

    #[test]
    fn a_message_says_what_is_known_of_the_run() {
        let plain = said(&[]);
        assert_eq!((&plain["username"], &plain["channel"]), (&json!("rtBot"), &Value::Null));
        let attachment = &plain["attachments"][0];
        assert_eq!((&attachment["color"], &attachment["author_name"]), (&json!("good"), &json!("ann")));
        let titles: Vec<&str> =
            attachment["fields"].as_array().unwrap().iter().filter_map(|one| one["title"].as_str()).collect();
        assert_eq!(titles, ["Ref", "Event", "Actions URL", "Commit", "Message"]);
        assert_eq!(attachment["fields"][4]["value"], "mend it");
    }

    #[test]
    fn a_status_has_its_colour_and_text() {
        let failed = said(&[
            ("SLACK_COLOR", "failure"),
            ("SLACK_ON_FAILURE", "it broke\\nbadly"),
            ("SLACK_MESSAGE", "never"),
            ("ENABLE_ESCAPES", "true"),
            ("MSG_MINIMAL", "ref,Commit"),
            ("SLACK_TITLE", "Build"),
        ]);
        let attachment = &failed["attachments"][0];
        assert_eq!(attachment["color"], "#dc3545");
        let fields = attachment["fields"].as_array().unwrap();
        assert_eq!(fields.len(), 3);
        assert_eq!((&fields[2]["title"], &fields[2]["value"]), (&json!("Build"), &json!("it broke\nbadly")));
        assert_eq!(said(&[("MSG_MINIMAL", "true")])["attachments"][0]["fields"].as_array().unwrap().len(), 1);
    }
}
