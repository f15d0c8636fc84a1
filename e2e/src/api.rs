//! A client for the HTTP API as a script would write it, with a personal token.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

/// One person's access.
#[derive(Clone)]
pub struct Api {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Api {
    /// Access to nothing, until somebody logged in.
    pub(crate) fn nobody() -> Self {
        Self { base: String::new(), token: String::new(), http: reqwest::Client::new() }
    }

    /// Logs in with a password and makes a token, which is what all later calls use.
    pub async fn log_in(base: &str, username: &str, password: &str) -> Result<Self> {
        let http = reqwest::Client::new();
        let answer = http
            .post(format!("{base}/api/v1/session"))
            .header("origin", base)
            .json(&json!({"username": username, "password": password}))
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!("log-in of {username}: {} {}", answer.status(), answer.text().await?);
        }
        let cookie = answer
            .headers()
            .get("set-cookie")
            .and_then(|value| value.to_str().ok()?.split(';').next())
            .context("the log-in set no cookie")?
            .to_owned();
        let made = http
            .post(format!("{base}/api/v1/tokens"))
            .header("origin", base)
            .header("cookie", cookie)
            .json(&json!({"name": format!("e2e-{}", uuid::Uuid::new_v4())}))
            .send()
            .await?
            .error_for_status()?
            .json::<Value>()
            .await?;
        let token = made["token"].as_str().context("the answer holds the token")?.to_owned();
        Ok(Self { base: base.to_owned(), token, http })
    }

    /// One call; an error names the call and what the server said.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request =
            self.http.request(method.clone(), format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{method} {path}: {status} {text}");
        }
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// `PUT`.
    pub async fn put(&self, path: &str, body: Value) -> Result<Value> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// The whole log of a step, raw.
    pub async fn log(&self, attempt: &str, step: u64) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let answer = self
                .http
                .get(format!(
                    "{}/api/v1/attempts/{attempt}/steps/{step}/log?offset={}&limit=8388608",
                    self.base,
                    all.len()
                ))
                .bearer_auth(&self.token)
                .send()
                .await?
                .error_for_status()?;
            let bytes = answer.bytes().await?;
            if bytes.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&bytes);
        }
    }

    /// The newest runs.
    pub async fn runs(&self) -> Result<Vec<Value>> {
        let answer = self.get("/runs?limit=100").await?;
        Ok(answer["runs"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until there is a run of this commit, and gives its id.
    pub async fn run_of(&self, sha: &str) -> Result<String> {
        let what = format!("a run of {sha}");
        let run = self
            .until(Duration::from_secs(60), &what, async |api| {
                let runs = api.runs().await?;
                Ok(runs.into_iter().find(|run| run["sha"] == sha))
            })
            .await?;
        Ok(run["id"].as_str().context("a run has an id")?.to_owned())
    }

    /// Waits until the run is in one of these states, and gives it.
    pub async fn run_until(&self, id: &str, states: &[&str], limit: Duration) -> Result<Value> {
        let what = format!("run {id} in {states:?}");
        let outcome = self
            .until(limit, &what, async |api| {
                let run = api.get(&format!("/runs/{id}")).await?;
                Ok(states.contains(&run["status"].as_str().unwrap_or_default()).then_some(run))
            })
            .await;
        match outcome {
            Ok(run) => Ok(run),
            Err(error) => {
                let run = self.get(&format!("/runs/{id}")).await?;
                bail!("{error:#}\n{}", describe(&run))
            }
        }
    }

    /// Waits until `question` answers with something. Transport errors count as "not yet": servers are killed here.
    pub async fn until<T>(
        &self,
        limit: Duration,
        what: &str,
        mut question: impl AsyncFnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        let mut last = None;
        loop {
            match question(self).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(error) => last = Some(error),
            }
            if Instant::now() > end {
                bail!("not within {limit:?}: {what}; last error: {last:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A run's stages with their reasons, a line each, for failure messages.
pub fn describe(run: &Value) -> String {
    let mut text = format!("run {} {}: {}\n", run["number"], run["status"], run["reason"]);
    for stage in run["stages"].as_array().into_iter().flatten() {
        text.push_str(&format!("  {} {}: {}\n", stage["key"], stage["status"], stage["reason"]));
        for attempt in stage["attempts"].as_array().into_iter().flatten() {
            text.push_str(&format!(
                "    attempt {} {}: {} exit {}\n",
                attempt["number"], attempt["status"], attempt["reason"], attempt["exit_code"]
            ));
        }
    }
    text
}

/// The stage of a run with this key.
pub fn stage<'a>(run: &'a Value, key: &str) -> Result<&'a Value> {
    run["stages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|stage| stage["key"] == key)
        .with_context(|| format!("no stage `{key}` in\n{}", describe(run)))
}

/// The steps of an attempt by their names, with their logs; a name that was there already is counted.
pub async fn stage_steps(api: &Api, attempt: &Value) -> Result<serde_json::Map<String, Value>> {
    let id = attempt["id"].as_str().context("an attempt has an id")?;
    let mut steps = serde_json::Map::new();
    for step in attempt["steps"].as_array().into_iter().flatten() {
        let index = step["index"].as_u64().context("a step has an index")?;
        let log = match step["log_bytes"].as_u64() {
            Some(0) => Vec::new(),
            _ => api.log(id, index).await?,
        };
        let given = step["name"].as_str().unwrap_or_default();
        let mut name = given.to_owned();
        let mut count = 1;
        while steps.contains_key(&name) {
            count += 1;
            name = format!("{given} #{count}");
        }
        let log = String::from_utf8_lossy(&log);
        steps.insert(name, json!({"status": step["status"], "exit_code": step["exit_code"], "log": log}));
    }
    Ok(steps)
}
