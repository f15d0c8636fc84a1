//! A client of the server's HTTP API, for the commands that people and scripts give.
//!
//! `views` holds the parts of the answers that commands show, `stored` the log-in that `tidegate login` keeps.

pub mod stored;
pub mod views;

use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use crate::failure::{Doing, Failure, Outcome};

/// A connection to one server, as one person.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: Url,
    access: Access,
}

#[derive(Clone)]
enum Access {
    Nobody,
    Token(SecretString),
    /// A session: `name=value`. Used only to make a token.
    Cookie(SecretString),
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    message: String,
}

/// A part of a log, and where the next one begins.
pub struct LogPart {
    /// Raw bytes.
    pub bytes: Vec<u8>,
    /// The offset to ask for next.
    pub next: u64,
}

impl Api {
    /// A client without a log-in.
    pub fn nobody(base: Url) -> Outcome<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .doing("cannot set up an HTTP client")?;
        Ok(Self { http, base, access: Access::Nobody })
    }

    /// A client with an API token.
    pub fn with_token(base: Url, token: SecretString) -> Outcome<Self> {
        Ok(Self { access: Access::Token(token), ..Self::nobody(base)? })
    }

    /// Logs in with a password. The session is good for making a token and for ending.
    pub async fn log_in(base: Url, username: &str, password: &SecretString) -> Outcome<Self> {
        let api = Self::nobody(base)?;
        let body = serde_json::json!({"username": username, "password": password.expose_secret()});
        let answer = api.send(Method::POST, "session", Some(&body)).await?;
        let cookie = answer
            .headers()
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok()?.split(';').next())
            .collect::<Vec<_>>()
            .join("; ");
        Ok(Self { access: Access::Cookie(cookie.into()), ..api })
    }

    /// From `TIDEGATE_URL` and `TIDEGATE_TOKEN`, or what `tidegate login` stored.
    pub fn from_surroundings() -> Outcome<Self> {
        let (base, token) = stored::find()?;
        Self::with_token(base, token)
    }

    /// The server's base URL.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.read(self.send(Method::GET, path, None::<&()>).await?).await
    }

    /// Makes or does something.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Outcome<T> {
        self.read(self.send(Method::POST, path, Some(body)).await?).await
    }

    /// Makes or does something whose answer is of no interest.
    pub async fn call(&self, method: Method, path: &str, body: &impl Serialize) -> Outcome {
        self.send(method, path, Some(body)).await.map(drop)
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> Outcome {
        self.send(Method::DELETE, path, None::<&()>).await.map(drop)
    }

    /// Bytes of a step's log from an offset on.
    pub async fn log(&self, attempt: &str, step: u32, offset: u64) -> Outcome<LogPart> {
        let path = format!("attempts/{attempt}/steps/{step}/log?offset={offset}&limit=1000000");
        let answer = self.send(Method::GET, &path, None::<&()>).await?;
        let told =
            answer.headers().get("tidegate-next-offset").and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = answer.bytes().await.doing("the log broke off")?.to_vec();
        let next = told.unwrap_or(offset + bytes.len() as u64);
        Ok(LogPart { bytes, next })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Outcome<reqwest::Response> {
        let url = self
            .base
            .join(&format!("/api/v1/{path}"))
            .doing(format!("{} is no base for `{path}`", self.base))?;
        let mut request = self.http.request(method, url);
        request = match &self.access {
            Access::Nobody => request,
            Access::Token(token) => request.bearer_auth(token.expose_secret()),
            Access::Cookie(cookie) => request
                .header(header::COOKIE, cookie.expose_secret())
                .header(header::ORIGIN, self.base.origin().ascii_serialization())
                .header("sec-fetch-site", "same-origin"),
        };
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| {
            Failure::new(format!("no answer from {}", self.base))
                .because(root_cause(&error))
                .mend("is the server up? TIDEGATE_URL names it; `tidegate up` starts one")
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refusal(answer).await)
    }

    /// What the server said, as a failure.
    async fn refusal(&self, answer: reqwest::Response) -> Failure {
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        let message = serde_json::from_str::<ErrorBody>(&text)
            .map(|body| body.error.message)
            .unwrap_or_else(|_| format!("{} answered {status}", self.base));
        let failure = Failure::new(message);
        match status {
            StatusCode::UNAUTHORIZED => {
                failure.mend("log in with `tidegate login`, or set TIDEGATE_TOKEN to a valid token")
            }
            StatusCode::SERVICE_UNAVAILABLE => failure.mend("try again in a moment"),
            _ => failure,
        }
    }

    async fn read<T: DeserializeOwned>(&self, answer: reqwest::Response) -> Outcome<T> {
        let bytes = answer.bytes().await.doing("the answer broke off")?;
        // 204 and the like read as null.
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|error| {
            Failure::new(format!("{} answered something that this version does not understand", self.base))
                .because(error)
                .mend("use the same version of `tidegate` as the server's")
        })
    }
}

/// The innermost reason: `connection refused` says more than `error sending request`.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// Reads something once as JSON, for `--json`.
pub async fn raw(api: &Api, path: &str) -> Outcome<Value> {
    api.get(path).await
}
