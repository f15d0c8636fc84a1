//! A model of GitHub: an HTTP server that keeps what it is told, checks every call against [`crate::github_rules`]
//! and against its own state, and can be told to fail. A call that GitHub would not accept is kept in `mistakes`,
//! which [`Model::assert_clean`] wants empty.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use url::{Url, form_urlencoded};

use crate::github_rules;

/// Where the API begins, as on an Enterprise Server.
const PREFIX: &str = "/api/v3";
/// The App's id.
pub const APP: u64 = 4711;
/// Its installation's, at first.
pub const INSTALLATION: u64 = 815;

/// How the next call fails.
pub enum Fault {
    /// Not at all: the one after it is meant.
    Fine,
    /// 500.
    Broken,
    /// 403 with `Retry-After`.
    Limited(u64),
    /// 403 with a reset so many seconds from now.
    Exhausted(i64),
    /// 401.
    Unauthorized,
    /// 403 for good.
    Forbidden,
    /// 422.
    Unprocessable,
    /// The connection breaks in the middle of the answer; nothing was done.
    Dropped,
    /// The same, but what was asked was done.
    DroppedAfter,
}

/// Who may call.
pub enum Callers {
    /// Whoever has this token.
    Token(&'static str),
    /// The App with this public key (PKCS #1).
    App(Vec<u8>),
}

/// What GitHub knows.
#[derive(Default)]
pub struct Known {
    /// Calls in order: method and path, without those for tokens.
    pub calls: Vec<String>,
    /// Commit statuses in order, with their `sha`.
    pub statuses: Vec<Value>,
    /// Check runs, with all their annotations.
    pub checks: BTreeMap<u64, Value>,
    /// Deployments.
    pub deployments: BTreeMap<u64, Value>,
    /// Their statuses in order, with their `deployment`.
    pub deployment_statuses: Vec<Value>,
    /// Installation tokens that were given out, and until when each is good.
    pub tokens: Vec<(String, Timestamp)>,
    /// How the next calls fail, in order.
    pub faults: VecDeque<Fault>,
    /// What was wrong with calls.
    pub mistakes: Vec<String>,
    /// Where the App is installed; None: nowhere.
    pub installation: Option<u64>,
    /// How long a token is good, in seconds.
    pub token_life: i64,
    next_id: u64,
}

impl Known {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

struct Inner {
    callers: Callers,
    known: Mutex<Known>,
}

/// The running model.
pub struct Model {
    /// Its API's URL.
    pub api_url: Url,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

impl Drop for Model {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Model {
    pub async fn start(callers: Callers) -> Self {
        let known = Mutex::new(Known {
            installation: Some(INSTALLATION),
            token_life: 3600,
            next_id: 1000,
            ..Known::default()
        });
        let inner = Arc::new(Inner { callers, known });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api_url = format!("http://{}{PREFIX}", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { api_url, inner, task }
    }

    /// What it knows now. Do not hold it over an await.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.known.lock().unwrap()
    }

    /// The next call fails like this.
    pub fn fail(&self, fault: Fault) {
        self.known().faults.push_back(fault);
    }

    /// Every call was one that GitHub accepts.
    pub fn assert_clean(&self) {
        assert_eq!(self.known().mistakes, Vec::<String>::new());
    }
}

fn refuse(status: u16, message: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(json!({ "message": message }))).into_response()
}

/// An answer that breaks off.
fn broken() -> Response {
    let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("the line broke"))];
    Response::new(Body::from_stream(futures_util::stream::iter(pieces)))
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut known = inner.known.lock().unwrap();
    let Some(path) = parts.uri.path().strip_prefix(PREFIX) else {
        known.mistakes.push(format!("{} is not below {PREFIX}", parts.uri));
        return refuse(404, "Not Found");
    };
    let (method, query) = (parts.method.as_str(), parts.uri.query().unwrap_or_default());
    let body: Value = match bytes.as_ref() {
        b"" => Value::Null,
        bytes => serde_json::from_slice(bytes).unwrap_or(json!("no JSON")),
    };
    let about_tokens = path.ends_with("/installation") || path.ends_with("/access_tokens");
    if !about_tokens {
        known.calls.push(format!("{method} {path}"));
    }
    if !parts.headers.contains_key("user-agent") {
        known.mistakes.push("a call without a user agent".to_owned());
    }
    let mistakes = github_rules::check(method, path, query, &body);
    if !mistakes.is_empty() {
        let call = format!("{method} {path}: {}", mistakes.join("; "));
        known.mistakes.push(call);
        return refuse(422, "Validation Failed");
    }
    if let Err((status, message)) = admitted(&inner.callers, &mut known, &parts.headers, path, about_tokens) {
        return refuse(status, message);
    }
    let fault = if about_tokens { None } else { known.faults.pop_front() };
    match fault {
        None | Some(Fault::Fine) => {}
        Some(Fault::Broken) => return refuse(500, "Server Error"),
        Some(Fault::Unauthorized) => return refuse(401, "Bad credentials"),
        Some(Fault::Forbidden) => return refuse(403, "Resource not accessible by integration"),
        Some(Fault::Unprocessable) => {
            let body =
                json!({ "message": "Validation Failed", "errors": [{ "field": "sha", "code": "invalid" }] });
            return (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(body)).into_response();
        }
        Some(Fault::Limited(seconds)) => {
            let mut response = refuse(403, "You have exceeded a secondary rate limit");
            response.headers_mut().insert("retry-after", seconds.into());
            return response;
        }
        Some(Fault::Exhausted(seconds)) => {
            let mut response = refuse(403, "API rate limit exceeded");
            let reset = Timestamp::now().as_second() + seconds;
            response.headers_mut().insert("x-ratelimit-remaining", 0.into());
            response.headers_mut().insert("x-ratelimit-reset", reset.into());
            return response;
        }
        Some(Fault::Dropped) => return broken(),
        Some(Fault::DroppedAfter) => {
            perform(&mut known, method, path, query, body);
            return broken();
        }
    }
    perform(&mut known, method, path, query, body)
}

/// Whether the caller is who may make this call.
fn admitted(
    callers: &Callers,
    known: &mut Known,
    headers: &HeaderMap,
    path: &str,
    about_tokens: bool,
) -> Result<(), (u16, &'static str)> {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let bearer = bearer.ok_or((401, "Requires authentication"))?;
    match callers {
        Callers::Token(token) if bearer != *token => Err((401, "Bad credentials")),
        Callers::Token(_) if about_tokens || path.contains("/check-runs") => {
            known.mistakes.push(format!("{path} is for Apps only"));
            Err((403, "You must authenticate via a GitHub App."))
        }
        Callers::Token(_) => Ok(()),
        Callers::App(key) if about_tokens => {
            let mut validation = Validation::new(Algorithm::RS256);
            validation.set_required_spec_claims(&["exp"]);
            match jsonwebtoken::decode::<Value>(bearer, &DecodingKey::from_rsa_der(key), &validation) {
                Ok(token)
                    if token.claims["iss"] == APP
                        && token.claims["exp"].as_i64().unwrap() <= Timestamp::now().as_second() + 600 =>
                {
                    Ok(())
                }
                _ => Err((401, "A JSON web token could not be decoded")),
            }
        }
        Callers::App(_) => {
            let now = Timestamp::now();
            if known.tokens.iter().any(|(token, until)| token == bearer && *until > now) {
                Ok(())
            } else {
                Err((401, "Bad credentials"))
            }
        }
    }
}

/// What the call does.
fn perform(known: &mut Known, method: &str, path: &str, query: &str, mut body: Value) -> Response {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let created = |body: Value| (StatusCode::CREATED, axum::Json(body)).into_response();
    let query = |name: &str| {
        let pair = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        pair.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    match (method, parts.as_slice()) {
        ("GET", [.., "installation"]) => match known.installation {
            Some(id) => axum::Json(json!({ "id": id })).into_response(),
            None => refuse(404, "Not Found"),
        },
        ("POST", ["app", "installations", id, "access_tokens"]) => {
            if id.parse().ok() != known.installation {
                return refuse(404, "Not Found");
            }
            let token = format!("ghs_{}", known.id());
            let until = Timestamp::now() + SignedDuration::from_secs(known.token_life);
            known.tokens.push((token.clone(), until));
            created(json!({ "token": token, "expires_at": until.to_string(), "permissions": {} }))
        }
        ("POST", [_, _, _, "statuses", sha]) => {
            body["sha"] = json!(sha);
            known.statuses.push(body.clone());
            created(body)
        }
        ("POST", [_, _, _, "check-runs"]) => {
            let id = known.id();
            body["id"] = json!(id);
            count_annotations(&mut body);
            known.checks.insert(id, body.clone());
            created(body)
        }
        ("PATCH", [_, _, _, "check-runs", id]) => {
            let Some(check) = id.parse().ok().and_then(|id: u64| known.checks.get_mut(&id)) else {
                known.mistakes.push(format!("there is no check run {id} to update"));
                return refuse(404, "Not Found");
            };
            if check["status"] == "completed" && !body["status"].is_null() && body["status"] != "completed" {
                let mistake = format!("check run {id} ended and is opened again");
                known.mistakes.push(mistake);
                return refuse(422, "Validation Failed");
            }
            let mut annotations = check["output"]["annotations"].as_array().cloned().unwrap_or_default();
            annotations.extend(body["output"]["annotations"].as_array().cloned().unwrap_or_default());
            for (name, value) in body.as_object().unwrap() {
                check[name] = value.clone();
            }
            check["output"]["annotations"] = Value::Array(annotations);
            count_annotations(check);
            axum::Json(check.clone()).into_response()
        }
        ("GET", [_, _, _, "commits", sha, "check-runs"]) => {
            let name = query("check_name");
            let matching = |check: &&Value| check["head_sha"] == **sha && check["name"] == *name;
            let checks: Vec<_> = known.checks.values().filter(matching).collect();
            axum::Json(json!({ "total_count": checks.len(), "check_runs": checks })).into_response()
        }
        ("POST", [_, _, _, "deployments"]) => {
            let id = known.id();
            body["id"] = json!(id);
            body["sha"] = body["ref"].clone();
            known.deployments.insert(id, body.clone());
            created(body)
        }
        ("GET", [_, _, _, "deployments"]) => {
            let (sha, environment) = (query("sha"), query("environment"));
            let matching = |there: &&Value| there["sha"] == *sha && there["environment"] == *environment;
            axum::Json(known.deployments.values().filter(matching).collect::<Vec<_>>()).into_response()
        }
        ("POST", [_, _, _, "deployments", id, "statuses"]) => {
            let Some(deployment) = id.parse().ok().filter(|id: &u64| known.deployments.contains_key(id))
            else {
                known.mistakes.push(format!("there is no deployment {id} to tell about"));
                return refuse(404, "Not Found");
            };
            body["id"] = json!(known.id());
            body["deployment"] = json!(deployment);
            known.deployment_statuses.push(body.clone());
            created(body)
        }
        _ => refuse(404, "Not Found"),
    }
}

fn count_annotations(check: &mut Value) {
    let count = check["output"]["annotations"].as_array().map_or(0, Vec::len);
    check["output"]["annotations_count"] = json!(count);
}
