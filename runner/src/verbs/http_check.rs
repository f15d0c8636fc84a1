//! One HTTP request of a smoke stage, and what its answer must be.

use std::time::Duration;

use futures_util::StreamExt as _;
use tidegate_pipelines::plan::HttpCheck;
use tokio::time::Instant;

/// As much of a body is searched.
const LARGEST_BODY: usize = 1 << 20;
/// One try may take so long, when the check itself does not say less.
const LONGEST_TRY: Duration = Duration::from_secs(10);

/// A client that reports redirects as what they are, and keeps no connection from one try to the next: a check is about
/// what answers now.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Asks once. `Ok` tells what came, `Err` what differed, both to be read after the URL.
pub(super) async fn ask(
    client: &reqwest::Client,
    check: &HttpCheck,
    deadline: Instant,
) -> Result<String, String> {
    let method = reqwest::Method::from_bytes(check.method.as_bytes())
        .map_err(|_| format!("cannot be asked: `{}` is no HTTP method", check.method))?;
    let started = Instant::now();
    let limit = LONGEST_TRY.min(deadline.saturating_duration_since(started)).max(Duration::from_millis(100));
    let answer = client
        .request(method, check.url.as_str())
        .timeout(limit)
        .send()
        .await
        .map_err(|error| why(&error))?;
    let latency = started.elapsed();
    let status = answer.status().as_u16();
    if !check.status.contains(&status) {
        let wanted: Vec<String> = check.status.iter().map(u16::to_string).collect();
        return Err(format!("answered {status} (wanted {})", wanted.join(" or ")));
    }
    if let Some(limit) = check.max_latency_ms
        && latency > Duration::from_millis(limit)
    {
        return Err(format!("took {} ms (wanted at most {limit} ms)", latency.as_millis()));
    }
    for (name, wanted) in &check.headers {
        let found =
            answer.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if found.as_deref() != Some(wanted.as_str()) {
            let found = found.map_or("no such header".to_owned(), |found| format!("`{found}`"));
            return Err(format!("answered with {name}: {found} (wanted `{}`)", wanted.as_str()));
        }
    }
    if let Some(wanted) = &check.body_contains {
        let body = body(answer).await?;
        if !body.contains(wanted.as_str()) {
            let begin: String = body.chars().take(80).collect();
            let begin = begin.split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(format!("answered without `{}` in its body (it begins `{begin}`)", wanted.as_str()));
        }
    }
    Ok(format!("{status} in {} ms", latency.as_millis()))
}

async fn body(answer: reqwest::Response) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| why(&error))?);
        if bytes.len() > LARGEST_BODY {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The innermost reason, which is the one that helps.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "did not answer in time".to_owned();
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    format!("cannot be reached: {inner}")
}

#[cfg(test)]
#[path = "http_check_tests.rs"]
mod tests;
