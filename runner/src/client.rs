//! The server's HTTP interface for runners.

use std::{path::Path, time::Duration};

use futures_util::StreamExt as _;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use tidegate_protocol::{
    ids::AttemptId,
    messages::{
        Claim, EPOCH_HEADER, Enrol, Enrolled, Finish, Lease, LogAccepted, PREFIX, Refused, Renew, Renewed,
        StepReport, Stored,
    },
};
use tokio::{io::AsyncWriteExt as _, time::timeout};
use url::Url;

/// The limit of a call that carries no file.
const CALL: Duration = Duration::from_secs(30);
/// Bytes a millisecond: a file that travels more slowly is given up, and tried again.
const SLOWEST: u64 = 64;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// 409, 403: the attempt is not this runner's any more. Everything of it must stop.
    #[error("{0}")]
    Refused(String),
    /// 401: the key is unknown or was revoked.
    #[error("the server does not know this runner's key ({0})")]
    Unauthorized(String),
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// Another 4xx: the server will never take this.
    #[error("{0}")]
    Invalid(String),
    /// No connection, 5xx, or an answer that is none: try again.
    #[error("{0}")]
    Unavailable(String),
    /// This machine's own trouble.
    #[error("{0}")]
    Local(String),
}

/// A growing, jittered pause between tries.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// From `first` to `most`, doubling.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// Waits between half of the pause and all of it.
    pub async fn wait(&mut self) {
        let pause = self.next.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        self.next = (self.next * 2).min(self.most);
        tokio::time::sleep(pause).await;
    }

    /// The next pause is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// The server, as one runner with its key sees it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
}

impl Client {
    /// A client of the server at `base`. Without a key it can only enrol.
    pub fn new(base: &Url, key: Option<SecretString>) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tidegate-runner/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Local(words(&error)))?;
        let mut base = base.clone();
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self { http, base, key })
    }

    /// Introduces a new runner.
    pub async fn enrol(&self, enrol: &Enrol) -> Result<Enrolled, ClientError> {
        self.json(self.request(Method::POST, "enrol")?.json(enrol).timeout(CALL)).await
    }

    /// Asks for a stage and waits for one as long as the claim says.
    pub async fn claim(&self, claim: &Claim) -> Result<Option<Lease>, ClientError> {
        let limit = Duration::from_millis(claim.wait_ms) + Duration::from_secs(15);
        let answer = self.send(self.request(Method::POST, "claim")?.json(claim).timeout(limit)).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        decode(answer).await.map(Some)
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, ClientError> {
        let path = format!("{}/{path}", PREFIX.trim_start_matches('/'));
        let url = self.base.join(&path).map_err(|error| ClientError::Local(error.to_string()))?;
        let request = self.http.request(method, url);
        Ok(match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = request.send().await.map_err(|error| {
            ClientError::Unavailable(format!("{} cannot be reached: {}", self.base, words(&error)))
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        let reason = reason(&text).unwrap_or_else(|| format!("the server answered {status}"));
        Err(match status {
            StatusCode::CONFLICT | StatusCode::FORBIDDEN => ClientError::Refused(reason),
            StatusCode::UNAUTHORIZED => ClientError::Unauthorized(reason),
            StatusCode::NOT_FOUND => ClientError::NotFound(reason),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => ClientError::Unavailable(reason),
            status if status.is_client_error() => ClientError::Invalid(reason),
            _ => ClientError::Unavailable(reason),
        })
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        decode(self.send(request).await?).await
    }
}

/// The reason in an error's body: [`Refused`], or the API's own shape.
fn reason(text: &str) -> Option<String> {
    if let Ok(refused) = serde_json::from_str::<Refused>(text) {
        return Some(refused.reason);
    }
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(value.get("error")?.get("message")?.as_str()?.to_owned())
}

async fn decode<T: DeserializeOwned>(answer: Response) -> Result<T, ClientError> {
    let bytes = answer.bytes().await.map_err(|error| ClientError::Unavailable(words(&error)))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ClientError::Unavailable(format!("the server's answer cannot be read: {error}")))
}

fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// The calls about one attempt; each carries its epoch.
pub struct AttemptClient {
    client: Client,
    attempt: AttemptId,
    epoch: i64,
}

impl AttemptClient {
    /// Calls about this attempt.
    pub fn new(client: Client, attempt: AttemptId, epoch: i64) -> Self {
        Self { client, attempt, epoch }
    }

    /// Goes on with the lease.
    pub async fn renew(&self, renew: &Renew, limit: Duration) -> Result<Renewed, ClientError> {
        self.client.json(self.post("renew", renew)?.timeout(limit)).await
    }

    /// A step began or ended.
    pub async fn report_step(&self, report: &StepReport) -> Result<(), ClientError> {
        self.client.send(self.post("steps", report)?.timeout(CALL)).await.map(|_| ())
    }

    /// Hands in log bytes, as a zstd frame.
    pub async fn append_log(
        &self,
        step: u32,
        offset: u64,
        frame: Vec<u8>,
    ) -> Result<LogAccepted, ClientError> {
        let (step, offset) = (step.to_string(), offset.to_string());
        let request = self
            .request(Method::POST, &["log"], &[("step", &step), ("offset", &offset)])?
            .body(frame)
            .timeout(CALL);
        self.client.json(request).await
    }

    /// The attempt's end.
    pub async fn finish(&self, finish: &Finish) -> Result<(), ClientError> {
        self.client.send(self.post("finish", finish)?.timeout(CALL)).await.map(|_| ())
    }

    /// Sends a file and reads what was stored.
    pub async fn put_file(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        file: &Path,
    ) -> Result<Stored, ClientError> {
        let local = |error: std::io::Error| ClientError::Local(format!("{}: {error}", file.display()));
        let open = tokio::fs::File::open(file).await.map_err(local)?;
        let size = open.metadata().await.map_err(local)?.len();
        let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::with_capacity(open, 256 << 10));
        let request = self
            .request(Method::PUT, path, query)?
            .timeout(CALL * 2 + Duration::from_millis(size / SLOWEST))
            .header(CONTENT_LENGTH, size)
            .header(CONTENT_TYPE, "application/zstd")
            .body(body);
        self.client.json(request).await
    }

    /// Sends bytes.
    pub async fn put_bytes(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        bytes: Vec<u8>,
    ) -> Result<(), ClientError> {
        let request = self.request(Method::PUT, path, query)?.body(bytes).timeout(CALL * 4);
        self.client.send(request).await.map(|_| ())
    }

    /// Gets what the server says about something.
    pub async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.client.json(self.request(Method::GET, path, &[])?.timeout(CALL)).await
    }

    /// Asks for something that the body describes.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.client.json(self.request(Method::POST, path, &[])?.json(body).timeout(CALL)).await
    }

    /// Whether the server has something: 200 if so, 204 if not.
    pub async fn has(&self, path: &[&str], query: &[(&str, &str)]) -> Result<bool, ClientError> {
        let answer = self.client.send(self.request(Method::GET, path, query)?.timeout(CALL)).await?;
        Ok(answer.status() != StatusCode::NO_CONTENT)
    }

    /// Removes something.
    pub async fn delete(&self, path: &[&str]) -> Result<(), ClientError> {
        self.client.send(self.request(Method::DELETE, path, &[])?.timeout(CALL)).await.map(|_| ())
    }

    /// Gets a file; `None` when the server has none. The answer's header of this name comes with it.
    pub async fn get_file(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        header: &str,
        to: &Path,
    ) -> Result<Option<String>, ClientError> {
        let slow = || ClientError::Unavailable(format!("{} said nothing for too long", self.client.base));
        let asked = self.client.send(self.request(Method::GET, path, query)?);
        let answer = timeout(CALL, asked).await.map_err(|_| slow())??;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let value =
            answer.headers().get(header).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let local = |error: std::io::Error| ClientError::Local(format!("{}: {error}", to.display()));
        let mut file = tokio::fs::File::create(to).await.map_err(local)?;
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = timeout(CALL, stream.next()).await.map_err(|_| slow())? {
            let chunk = chunk.map_err(|error| ClientError::Unavailable(words(&error)))?;
            file.write_all(&chunk).await.map_err(local)?;
        }
        file.flush().await.map_err(local)?;
        Ok(Some(value))
    }

    fn post(&self, path: &str, body: &impl Serialize) -> Result<RequestBuilder, ClientError> {
        Ok(self.request(Method::POST, &[path], &[])?.json(body))
    }

    /// Names in the path may hold any character, so they are put in as segments.
    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<RequestBuilder, ClientError> {
        let mut url = self
            .client
            .base
            .join(&format!("{}/attempts/{}", PREFIX.trim_start_matches('/'), self.attempt))
            .map_err(|error| ClientError::Local(error.to_string()))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.http.request(method, url).header(EPOCH_HEADER, self.epoch);
        Ok(match &self.client.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        })
    }
}
