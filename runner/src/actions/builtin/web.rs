//! What built-in actions ask of servers. The runner itself speaks to them, so a stage that may not reach the network
//! may not by this way either.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tidegate_pipelines::plan::Network;

use super::Use;
use crate::stage::Failure;

/// As much of an answer is read.
const LARGEST: usize = 4 << 20;
/// A request without files may take so long.
const LIMIT: Duration = Duration::from_secs(60);
/// As much of an error's text is shown.
const SHOWN: usize = 300;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server is not there, or does not speak.
    Away(String),
    /// It answered no.
    Refused(StatusCode, String),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(reason) | Trouble::Refused(_, reason) => Self::failed(reason),
        }
    }
}

/// An answer that is a success.
#[derive(Debug)]
pub(super) struct Answer {
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The answer as JSON, where it is some.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A client of one step.
pub(super) struct Web {
    pub(super) http: reqwest::Client,
}

impl Web {
    /// A client, if the stage may reach the network.
    pub(super) fn of(step: &Use<'_>) -> Result<Self, Failure> {
        let lease = &step.ctx.lease;
        if !lease.trusted || lease.stage.network != Network::Internet {
            let why = if lease.trusted {
                "its network is closed"
            } else {
                "it is of a change by somebody who may not write to the repository"
            };
            return Err(Failure::failed(format!(
                "this stage cannot reach the network ({why}), and neither can the actions that the runner carries out \
                 for it"
            )));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tidegate-runner/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::infrastructure(format!("there is no HTTP client: {error}")))?;
        Ok(Self { http })
    }

    /// Sends a small request and reads the answer. `whom` is who is asked, in the words of errors.
    pub(super) async fn ask(&self, request: RequestBuilder, whom: &str) -> Result<Answer, Trouble> {
        self.send(request.timeout(LIMIT), whom).await
    }

    /// The same with a limit of the caller's own.
    pub(super) async fn send(&self, request: RequestBuilder, whom: &str) -> Result<Answer, Trouble> {
        let answer = request
            .send()
            .await
            .map_err(|error| Trouble::Away(format!("{whom} cannot be reached: {}", innermost(&error))))?;
        let status = answer.status();
        let (mut body, mut chunks) = (Vec::new(), answer.bytes_stream());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| {
                Trouble::Away(format!("{whom} broke off its answer: {}", innermost(&error)))
            })?;
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(Trouble::Away(format!("{whom} answers with more than {LARGEST} bytes")));
            }
        }
        if status.is_success() {
            return Ok(Answer { body });
        }
        Err(Trouble::Refused(status, format!("{whom} answered {status}: {}", complaint(&body))))
    }
}

/// What an error's body says: the message of the usual JSON and XML shapes, else its beginning.
fn complaint(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = ["message", "Message", "error", "error_description"]
        .iter()
        .find_map(|key| json.get(key).and_then(Value::as_str).map(str::to_owned));
    let details: Vec<String> = json
        .get("errors")
        .and_then(Value::as_array)
        .map(|errors| errors.iter().map(detail).collect())
        .unwrap_or_default();
    let message = match (message, details.is_empty()) {
        (Some(message), true) => message,
        (Some(message), false) => format!("{message} ({})", details.join(", ")),
        (None, _) => match (element(&text, "Code"), element(&text, "Message")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            _ => text.into_owned(),
        },
    };
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { "nothing more".to_owned() } else { line.chars().take(SHOWN).collect() }
}

fn detail(error: &Value) -> String {
    match (error.get("field").and_then(Value::as_str), error.get("code").and_then(Value::as_str)) {
        (Some(field), Some(code)) => format!("{field}: {code}"),
        _ => error.get("message").and_then(Value::as_str).map_or_else(|| error.to_string(), str::to_owned),
    }
}

/// The text of the first element of this name. For answers whose values need no unescaping: ids and tokens.
pub(super) fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_one_line() {
        let github = br#"{"message":"Validation Failed","errors":[{"resource":"Release","code":"already_exists","field":"tag_name"}]}"#;
        assert_eq!(complaint(github), "Validation Failed (tag_name: already_exists)");
        let aws = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no\n such role</Message></Error></ErrorResponse>";
        assert_eq!(complaint(aws), "AccessDenied: no such role");
        assert_eq!(complaint(br#"{"__type":"X","Message":"bad"}"#), "bad");
        assert_eq!(
            (complaint(b""), complaint(b"no_team")),
            ("nothing more".to_owned(), "no_team".to_owned())
        );
        assert_eq!(complaint("x".repeat(9000).as_bytes()).len(), SHOWN);
    }
}
