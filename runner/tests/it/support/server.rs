//! A small model of the server as runners see it. It holds to the protocol's rules (keys, epochs, offsets, one end to
//! an attempt) and can be told to be away, to be silent, or to refuse a call.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, RawQuery, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use sha2::Digest as _;
use tidegate_protocol::{
    ids::{AttemptId, RunnerId},
    messages::{
        AskIdToken, Claim, EPOCH_HEADER, Enrol, Enrolled, Finish, IdToken, Lease, LogAccepted, MAX_LOG_CHUNK,
        PREFIX, Refused, Renewed, StepReport, Stored,
    },
};
use url::Url;

pub const TOKEN: &str = "token-for-one-runner";

/// How the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Up,
    /// 503 to everything.
    Away,
    /// Takes calls and does not answer until it is up again: a cut cable.
    Silent,
}

/// A call about an attempt, by the last part of its path; `artifacts`, `reports` and `caches` by their first.
pub type Call = &'static str;

pub struct Model {
    pub url: Url,
    pub runner: RunnerId,
    state: Arc<Mutex<S>>,
}

struct S {
    runner: RunnerId,
    mode: Mode,
    token: Option<&'static str>,
    key: Option<String>,
    enrolments: usize,
    claims: Vec<Claim>,
    /// Cloned by every claim that waits.
    waits: Arc<()>,
    queue: VecDeque<Lease>,
    attempts: BTreeMap<AttemptId, Attempt>,
    /// By call: the status, and how many answers it lasts for.
    refusals: BTreeMap<Call, (StatusCode, usize)>,
}

/// What is known of an attempt.
#[derive(Clone)]
pub struct Attempt {
    pub epoch: i64,
    pub expires_in_ms: u64,
    /// When its lease was last granted or renewed.
    pub granted: Instant,
    pub cancel: bool,
    /// It was handed on: its epoch is an old one.
    pub lost: bool,
    pub log: BTreeMap<u32, Vec<u8>>,
    pub steps: Vec<StepReport>,
    pub finish: Option<Finish>,
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// Which of the blobs are artifacts.
    pub artifacts: BTreeSet<String>,
    pub calls: Vec<String>,
}

impl Attempt {
    pub fn text(&self, step: u32) -> String {
        String::from_utf8(self.log.get(&step).cloned().unwrap_or_default()).unwrap()
    }
}

impl Model {
    pub async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let runner = RunnerId::new();
        let state = Arc::new(Mutex::new(S {
            runner,
            mode: Mode::Up,
            token: Some(TOKEN),
            key: None,
            enrolments: 0,
            claims: Vec::new(),
            waits: Arc::default(),
            queue: VecDeque::new(),
            attempts: BTreeMap::new(),
            refusals: BTreeMap::new(),
        }));
        let app = router(state.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Arc::new(Self { url, runner, state })
    }

    fn state(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap()
    }

    pub fn mode(&self, mode: Mode) {
        self.state().mode = mode;
    }

    /// Queues a lease and gives its attempt.
    pub fn queue(&self, lease: Lease) -> AttemptId {
        let attempt = lease.attempt;
        self.state().queue.push_back(lease);
        attempt
    }

    /// Answers this call with this status from now on.
    pub fn refuse(&self, call: Call, status: StatusCode) {
        self.state().refusals.insert(call, (status, usize::MAX));
    }

    /// Answers this call with this status once.
    pub fn refuse_once(&self, call: Call, status: StatusCode) {
        self.state().refusals.insert(call, (status, 1));
    }

    pub fn relent(&self) {
        self.state().refusals.clear();
    }

    /// The runner is disabled: its key is unknown.
    pub fn disable(&self) {
        self.state().key = Some("nobody's".to_owned());
    }

    pub fn cancel(&self, attempt: AttemptId) {
        self.state().attempts.get_mut(&attempt).unwrap().cancel = true;
    }

    /// Hands the stage on: the attempt's epoch is an old one.
    pub fn lose(&self, attempt: AttemptId) {
        self.state().attempts.get_mut(&attempt).unwrap().lost = true;
    }

    /// An attempt that this server knows without a claim, as after a restart of the runner.
    pub fn know(&self, lease: &Lease) {
        let attempt = Attempt::of(lease);
        self.state().attempts.insert(lease.attempt, attempt);
    }

    pub fn enrolments(&self) -> usize {
        self.state().enrolments
    }

    pub fn claims(&self) -> Vec<Claim> {
        self.state().claims.clone()
    }

    /// Waits until no claim waits any more: that of a process that ended could take what is queued next.
    pub async fn unclaimed(&self) {
        super::until("no claim waits", || Arc::strong_count(&self.state().waits) == 1).await;
    }

    /// What is known of an attempt; none when it was not claimed.
    pub fn attempt(&self, attempt: AttemptId) -> Option<Attempt> {
        self.state().attempts.get(&attempt).cloned()
    }

    pub fn finish(&self, attempt: AttemptId) -> Option<Finish> {
        self.state().attempts.get(&attempt)?.finish.clone()
    }

    /// Waits for an attempt's end.
    pub async fn finished(&self, attempt: AttemptId) -> Finish {
        super::until("the attempt ends", || self.finish(attempt).is_some()).await;
        self.finish(attempt).unwrap()
    }

    /// Waits until the log of a step holds a text.
    pub async fn printed(&self, attempt: AttemptId, step: u32, text: &str) {
        super::until("the step prints", || {
            self.attempt(attempt).is_some_and(|attempt| attempt.text(step).contains(text))
        })
        .await;
    }
}

impl Attempt {
    fn of(lease: &Lease) -> Self {
        Self {
            epoch: lease.epoch,
            expires_in_ms: lease.expires_in_ms,
            granted: Instant::now(),
            cancel: false,
            lost: false,
            log: BTreeMap::new(),
            steps: Vec::new(),
            finish: None,
            blobs: BTreeMap::new(),
            artifacts: BTreeSet::new(),
            calls: Vec::new(),
        }
    }
}

type Shared = Arc<Mutex<S>>;

fn router(state: Shared) -> Router {
    let attempts = Router::new()
        .route("/renew", post(renew))
        .route("/steps", post(step))
        .route("/log", post(log))
        .route("/finish", post(finish))
        .route("/artifacts", get(list_artifacts))
        .route("/artifacts/{name}", put(put_blob).delete(delete_artifact))
        .route("/cache-entry", get(has_cache))
        .route("/id-token", post(id_token))
        .route("/artifacts/{stage}/{name}", get(get_artifact))
        .route("/reports/{kind}", put(put_blob))
        .route("/caches", get(get_cache).put(put_blob))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(state.clone(), fence));
    let all = Router::new()
        .route("/claim", post(claim))
        .nest("/attempts/{id}", attempts)
        .layer(middleware::from_fn_with_state(state.clone(), known))
        .route("/enrol", post(enrol))
        .layer(middleware::from_fn_with_state(state.clone(), present));
    Router::new().nest(PREFIX, all).with_state(state)
}

fn refused(status: StatusCode, reason: &str) -> Response {
    (status, Json(Refused { reason: reason.to_owned() })).into_response()
}

/// Whether the server is there at all, before and after its work: an answer may be held up too.
async fn present(State(state): State<Shared>, request: Request, next: Next) -> Response {
    connected(&state).await;
    if state.lock().unwrap().mode == Mode::Away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let answer = next.run(request).await;
    connected(&state).await;
    answer
}

async fn connected(state: &Shared) {
    while state.lock().unwrap().mode == Mode::Silent {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn known(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let wanted = state.lock().unwrap().key.clone().map(|key| format!("Bearer {key}"));
    if wanted.is_none() || given != wanted.as_deref() {
        return refused(StatusCode::UNAUTHORIZED, "the runner was disabled");
    }
    next.run(request).await
}

/// What holds for every call about an attempt.
async fn fence(
    State(state): State<Shared>,
    Path(path): Path<BTreeMap<String, String>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let id: AttemptId = path["id"].parse().unwrap();
    let call = request.uri().path().trim_start_matches('/').to_owned();
    let first = call.split('/').next().unwrap().to_owned();
    let epoch: Option<i64> = headers.get(EPOCH_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    {
        let mut state = state.lock().unwrap();
        if let Some((status, times)) = state.refusals.get_mut(first.as_str()).filter(|(_, times)| *times > 0)
        {
            *times -= 1;
            let status = *status;
            return refused(status, &format!("{first} is refused by the test"));
        }
        let Some(attempt) = state.attempts.get_mut(&id) else {
            return refused(StatusCode::NOT_FOUND, "there is no such attempt");
        };
        attempt.calls.push(call);
        if attempt.lost || epoch != Some(attempt.epoch) {
            return refused(StatusCode::CONFLICT, "the attempt is no longer the stage's");
        }
        if attempt.finish.is_some() && first != "finish" {
            return refused(StatusCode::CONFLICT, "the attempt has ended");
        }
    }
    next.run(request).await
}

async fn enrol(State(state): State<Shared>, Json(enrol): Json<Enrol>) -> Response {
    let mut state = state.lock().unwrap();
    if state.token.take_if(|token| *token == enrol.token).is_none() {
        return refused(StatusCode::UNAUTHORIZED, "the enrolment token is unknown or used");
    }
    state.enrolments += 1;
    let key = format!("key-{}", state.runner);
    state.key = Some(key.clone());
    Json(Enrolled { runner: state.runner, key }).into_response()
}

async fn claim(State(state): State<Shared>, Json(claim): Json<Claim>) -> Response {
    let _waits = {
        let mut state = state.lock().unwrap();
        state.claims.push(claim.clone());
        state.waits.clone()
    };
    for _ in 0..claim.wait_ms.min(2_000) / 10 {
        {
            let mut state = state.lock().unwrap();
            if let Some(lease) = state.queue.pop_front() {
                state.attempts.insert(lease.attempt, Attempt::of(&lease));
                return Json(lease).into_response();
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Changes the attempt of a call.
fn with<T>(state: &Shared, path: &BTreeMap<String, String>, change: impl FnOnce(&mut Attempt) -> T) -> T {
    change(state.lock().unwrap().attempts.get_mut(&path["id"].parse().unwrap()).unwrap())
}

type PathParts = Path<BTreeMap<String, String>>;

async fn renew(State(state): State<Shared>, Path(path): PathParts) -> Json<Renewed> {
    Json(with(&state, &path, |attempt| {
        attempt.granted = Instant::now();
        Renewed { expires_in_ms: attempt.expires_in_ms, cancel: attempt.cancel }
    }))
}

async fn step(
    State(state): State<Shared>,
    Path(path): PathParts,
    Json(report): Json<StepReport>,
) -> StatusCode {
    with(&state, &path, |attempt| attempt.steps.push(report));
    StatusCode::NO_CONTENT
}

#[derive(serde::Deserialize)]
struct Place {
    step: u32,
    offset: u64,
}

async fn log(
    State(state): State<Shared>,
    Path(path): PathParts,
    Query(at): Query<Place>,
    frame: Bytes,
) -> Response {
    let Ok(bytes) = zstd::bulk::decompress(&frame, MAX_LOG_CHUNK) else {
        return refused(StatusCode::BAD_REQUEST, "the chunk is no zstd frame, or too large");
    };
    with(&state, &path, |attempt| {
        let cancel = attempt.cancel;
        let stored = attempt.log.entry(at.step).or_default();
        let offset = usize::try_from(at.offset).unwrap();
        if offset <= stored.len() {
            // What is stored never changes, so what comes again must be the same.
            let again = (stored.len() - offset).min(bytes.len());
            assert!(stored[offset..offset + again] == bytes[..again], "other bytes came for the same place");
            stored.extend_from_slice(&bytes[again..]);
        }
        Json(LogAccepted { next_offset: stored.len() as u64, cancel }).into_response()
    })
}

async fn finish(State(state): State<Shared>, Path(path): PathParts, Json(finish): Json<Finish>) -> Response {
    with(&state, &path, |attempt| match &attempt.finish {
        Some(before) if *before != finish => refused(StatusCode::CONFLICT, "the attempt ended otherwise"),
        _ => {
            attempt.finish = Some(finish);
            StatusCode::NO_CONTENT.into_response()
        }
    })
}

async fn put_blob(
    State(state): State<Shared>,
    Path(path): PathParts,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Json<Stored> {
    let name = path.get("name").or(path.get("kind")).or(query.get("key")).unwrap().clone();
    let stored = Stored { sha256: hex::encode(sha2::Sha256::digest(&body)), size: body.len() as u64 };
    with(&state, &path, |attempt| {
        attempt.artifacts.extend(path.get("name").cloned());
        attempt.blobs.insert(name, body.to_vec());
    });
    Json(stored)
}

async fn delete_artifact(State(state): State<Shared>, Path(path): PathParts) -> StatusCode {
    with(&state, &path, |attempt| {
        attempt.artifacts.remove(&path["name"]);
        attempt.blobs.remove(&path["name"]);
    });
    StatusCode::NO_CONTENT
}

async fn has_cache(State(state): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> StatusCode {
    let state = state.lock().unwrap();
    let there = state.attempts.values().any(|attempt| attempt.blobs.contains_key(&query["key"]));
    if there { StatusCode::OK } else { StatusCode::NO_CONTENT }
}

/// A token of sorts: it says what was asked for.
async fn id_token(Json(asked): Json<AskIdToken>) -> Json<IdToken> {
    use base64::Engine as _;
    let part =
        |value: serde_json::Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = serde_json::json!({ "aud": asked.audience.unwrap_or_else(|| "usual".to_owned()) });
    Json(IdToken {
        token: format!("{}.{}.signature", part(serde_json::json!({ "alg": "RS256" })), part(claims)),
    })
}

/// From any attempt: the model has one run.
async fn get_artifact(State(state): State<Shared>, Path(path): PathParts) -> Response {
    let state = state.lock().unwrap();
    let found = state.attempts.values().find_map(|attempt| attempt.blobs.get(&path["name"]).cloned());
    found.map_or_else(
        || refused(StatusCode::NOT_FOUND, "there is no such artifact"),
        |bytes| bytes.into_response(),
    )
}

/// Those of all attempts, as of stages called `made`.
async fn list_artifacts(State(state): State<Shared>) -> Response {
    let state = state.lock().unwrap();
    let names = state.attempts.values().flat_map(|attempt| attempt.artifacts.iter());
    let listed: Vec<_> =
        names.map(|name| serde_json::json!({ "stage": "made", "name": name, "size": 1 })).collect();
    Json(listed).into_response()
}

/// The best entry of any attempt: by its key, else by the first prefix that one begins with.
async fn get_cache(State(state): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let asked: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let state = state.lock().unwrap();
    let entries = || state.attempts.values().flat_map(|attempt| &attempt.blobs);
    let found = asked.iter().find_map(|(kind, wanted)| {
        entries().find(|(key, _)| if kind == "key" { *key == wanted } else { key.starts_with(wanted) })
    });
    found.map_or_else(
        || StatusCode::NO_CONTENT.into_response(),
        |(key, bytes)| ([("tidegate-cache-key", key.clone())], bytes.clone()).into_response(),
    )
}
