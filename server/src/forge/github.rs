//! The connection to GitHub: who the server is there, one request at a time, and what a refusal means.
//!
//! With an App, octocrab keeps an installation's token until shortly before it expires, and asks for a new one
//! when GitHub says 401. The tokens are limited to the one repository they are used for. octocrab's own
//! retries are off: messages are retried from the outbox, where that survives a restart.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use octocrab::{Octocrab, OctocrabBuilder, models::AppId, service::middleware::retry::RetryConfig};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    calls::{self, Call, FullName, Method},
    words::cut,
};
use crate::config::{GithubAuth, GithubConfig};

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// How long GitHub asks to wait when it limits and does not say how long.
const LIMITED: Duration = Duration::from_secs(60);
/// Longer waits are not believed.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// Characters of GitHub's own words that are kept.
const QUOTE: usize = 300;

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may go through later.
    Later {
        /// Why, in one sentence.
        reason: String,
        /// Not before so long, if GitHub said so.
        wait: Option<Duration>,
        /// Whether GitHub limits the rate, so that other requests would be refused too.
        limited: bool,
    },
    /// It never will, unless somebody changes something.
    Never(String),
}

impl Failure {
    /// To be tried again, whenever.
    pub fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), wait: None, limited: false }
    }
}

/// A connection to GitHub.
pub struct Github {
    crab: Octocrab,
    is_app: bool,
    /// By repository, an App's connection for it. Shared, because a clone of it would not share the token.
    installed: Mutex<HashMap<FullName, Arc<Octocrab>>>,
}

impl Github {
    /// Prepares the connection. The error is a sentence about the configuration.
    pub fn new(config: &GithubConfig) -> Result<Self, String> {
        let builder = OctocrabBuilder::default()
            .add_retry_config(RetryConfig::None)
            .set_connect_timeout(Some(CONNECT))
            .set_read_timeout(Some(ANSWER))
            .base_uri(config.api_url.as_str())
            .map_err(|_| format!("{} cannot be the URL of GitHub's API", config.api_url))?;
        let (builder, is_app) = match &config.auth {
            GithubAuth::Token(token) => {
                (builder.personal_token(token.expose_secret().trim().to_owned()), false)
            }
            GithubAuth::App { id, private_key_pem } => {
                let key = private_key_pem.expose_secret().trim();
                let built = builder
                    .app_from_rsa_pem(AppId(*id), key.as_bytes())
                    .map_err(|_| "the GitHub App's private key is no RSA key in PEM form".to_owned())?;
                (built, true)
            }
        };
        let crab = builder.build().map_err(|error| {
            // Nothing of a key or a token is in it: these errors are about certificates and headers.
            format!("the connection to GitHub cannot be prepared: {}", chain(&error))
        })?;
        Ok(Self { crab, is_app, installed: Mutex::default() })
    }

    /// Whether the server is an App there: only Apps may make check runs.
    pub fn is_app(&self) -> bool {
        self.is_app
    }

    /// Makes a request and reads its answer.
    pub async fn send(&self, repository: &FullName, call: &Call) -> Result<Value, Failure> {
        if !self.is_app {
            return exchange(&self.crab, call).await;
        }
        let crab = self.installed(repository).await?;
        let answer = exchange(&crab, call).await;
        if answer.is_err() {
            // The App may have been taken off the repository or put on it anew.
            self.installed.lock().await.remove(repository);
        }
        answer
    }

    async fn installed(&self, repository: &FullName) -> Result<Arc<Octocrab>, Failure> {
        if let Some(crab) = self.installed.lock().await.get(repository) {
            return Ok(crab.clone());
        }
        let found = exchange(&self.crab, &calls::installation(repository)).await?;
        let id =
            found["id"].as_u64().ok_or_else(|| Failure::later("GitHub named no installation of the App"))?;
        let crab = self
            .crab
            .installation_builder(id.into())
            .repositories(vec![repository.name().to_owned()])
            .build()
            .map_err(|error| Failure::later(chain(&error)))?;
        let crab = Arc::new(crab);
        self.installed.lock().await.insert(repository.clone(), crab.clone());
        Ok(crab)
    }
}

async fn exchange(crab: &Octocrab, call: &Call) -> Result<Value, Failure> {
    let what = format!("{} {}", call.method.as_str(), call.path);
    let path = call.path.as_str();
    let sent = match call.method {
        Method::Get => crab._get(path).await,
        Method::Post => crab._post(path, call.body.as_ref()).await,
        Method::Patch => crab._patch(path, call.body.as_ref()).await,
    };
    let response = match sent {
        Ok(response) => response,
        // Only the App's request for a token is judged by octocrab itself.
        Err(octocrab::Error::GitHub { source, .. }) => {
            let headers = source.headers.clone().unwrap_or_default();
            let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
            let failure = refusal(
                "the request for the App's token",
                source.status_code.as_u16(),
                header,
                &source.message,
            );
            return Err(match failure {
                Failure::Never(reason) => Failure::later(reason),
                later => later,
            });
        }
        Err(error) => {
            return Err(Failure::later(format!("GitHub could not be reached for {what}: {}", chain(&error))));
        }
    };
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = crab
        .body_to_string(response)
        .await
        .map_err(|error| Failure::later(format!("GitHub's answer to {what} broke off: {}", chain(&error))))?;
    if (200..300).contains(&status) {
        return serde_json::from_str(&text)
            .map_err(|_| Failure::later(format!("GitHub's answer to {what} ({status}) is no JSON")));
    }
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    Err(refusal(&what, status, header, &message_of(&text)))
}

/// What a refusal means. Pure but for the clock that a reset is counted from.
fn refusal(what: &str, status: u16, header: impl Fn(&str) -> Option<String>, message: &str) -> Failure {
    let said = format!("GitHub refused {what} ({status}): {}", cut(message, QUOTE));
    let number = |name: &str| header(name)?.trim().parse::<u64>().ok();
    let asked = number("retry-after").map(Duration::from_secs);
    let exhausted = number("x-ratelimit-remaining") == Some(0);
    let limited = status == 429
        || (status == 403
            && (asked.is_some() || exhausted || message.to_ascii_lowercase().contains("rate limit")));
    if limited {
        let reset = number("x-ratelimit-reset").filter(|_| exhausted).map(|at| {
            let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
            // Its clock and ours differ a little.
            Duration::from_secs(at.saturating_sub(now) + 1)
        });
        let wait = asked.or(reset).unwrap_or(LIMITED).min(LONGEST);
        return Failure::Later { reason: said, wait: Some(wait), limited: true };
    }
    match status {
        401 => Failure::later(format!("{said}; is the token or the App's key still valid?")),
        408 | 500..=599 => {
            Failure::Later { reason: said, wait: asked.map(|wait| wait.min(LONGEST)), limited: false }
        }
        301 | 302 | 307 | 308 => {
            Failure::Never(format!("{said}; was the repository renamed? Add it again under its new name"))
        }
        403 => Failure::Never(format!("{said}; the token or the App lacks a permission, see docs/github.md")),
        404 => Failure::Never(format!(
            "{said}; the repository does not exist, or the token or the App has no access to it"
        )),
        _ => Failure::Never(said),
    }
}

/// GitHub's message with what it says about single fields, in one line.
fn message_of(text: &str) -> String {
    let Ok(body) = serde_json::from_str::<Value>(text) else {
        return if text.trim().is_empty() { "no reason given".to_owned() } else { text.trim().to_owned() };
    };
    let mut line = body["message"].as_str().unwrap_or("no reason given").to_owned();
    for error in body["errors"].as_array().into_iter().flatten() {
        let detail = error.as_str().map(str::to_owned).or_else(|| {
            let part = |name: &str| error[name].as_str();
            Some(match (part("field"), part("message").or_else(|| part("code"))) {
                (Some(field), Some(why)) => format!("{field}: {why}"),
                (None, Some(why)) => why.to_owned(),
                _ => return None,
            })
        });
        if let Some(detail) = detail {
            line.push_str("; ");
            line.push_str(&detail);
        }
    }
    line
}

/// An error with its causes. octocrab's own text would carry a backtrace.
fn chain(error: &octocrab::Error) -> String {
    let mut causes = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.dedup();
    if causes.is_empty() { "no reason given".to_owned() } else { causes.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(status: u16, headers: &[(&str, &str)], message: &str) -> Failure {
        let header =
            |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        refusal("POST /x", status, header, message)
    }

    fn wait(failure: Failure) -> Option<(Option<u64>, bool)> {
        match failure {
            Failure::Later { wait, limited, .. } => Some((wait.map(|wait| wait.as_secs()), limited)),
            Failure::Never(_) => None,
        }
    }

    #[test]
    fn a_limit_is_told_from_a_missing_permission() {
        assert_eq!(wait(refuse(403, &[("retry-after", "7")], "")), Some((Some(7), true)));
        assert_eq!(wait(refuse(429, &[], "")), Some((Some(60), true)));
        assert_eq!(
            wait(refuse(403, &[], "You have exceeded a secondary rate limit")),
            Some((Some(60), true))
        );
        assert_eq!(wait(refuse(403, &[("x-ratelimit-remaining", "12")], "Resource not accessible")), None);
        assert_eq!(wait(refuse(403, &[("retry-after", "999999")], "")), Some((Some(7200), true)));
    }

    #[test]
    fn a_reset_is_waited_for() {
        let at = (Timestamp::now().as_second() + 100).to_string();
        let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", at.as_str())];
        let (seconds, limited) = wait(refuse(403, &headers, "API rate limit exceeded")).unwrap();
        assert!(limited);
        assert!((90..=101).contains(&seconds.unwrap()), "{seconds:?}");
        // A reset that is past is no reason to hurry.
        let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "5")];
        assert_eq!(wait(refuse(403, &headers, "")), Some((Some(1), true)));
    }

    #[test]
    fn what_cannot_be_mended_is_not_tried_again() {
        for status in [400, 404, 409, 410, 422, 301] {
            assert_eq!(wait(refuse(status, &[], "")), None, "{status}");
        }
        for status in [401, 408, 500, 502, 503] {
            assert_eq!(wait(refuse(status, &[], "")), Some((None, false)), "{status}");
        }
        assert_eq!(wait(refuse(503, &[("retry-after", "3")], "")), Some((Some(3), false)));
    }

    #[test]
    fn a_key_that_is_none_is_named_without_being_shown() {
        let config = GithubConfig {
            api_url: "https://api.github.com".parse().unwrap(),
            auth: GithubAuth::App { id: 1, private_key_pem: "hush".into() },
            webhook_secret: None,
        };
        let reason = Github::new(&config).err().unwrap();
        assert!(reason.contains("private key") && !reason.contains("hush"), "{reason}");
    }

    #[test]
    fn what_github_says_about_fields_is_kept() {
        let text = r#"{"message":"Validation Failed","errors":[{"resource":"Status","code":"custom","field":"sha","message":"No commit found"},"and this"]}"#;
        assert_eq!(message_of(text), "Validation Failed; sha: No commit found; and this");
        assert_eq!(message_of("<html>"), "<html>");
        assert_eq!(message_of(""), "no reason given");
    }
}
