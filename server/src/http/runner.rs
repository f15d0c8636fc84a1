//! The calls of runners. What they mean is in [`tidegate_protocol::messages`].

use axum::{
    Json, Router,
    body::{Body as RawBody, Bytes},
    extract::{DefaultBodyLimit, RawQuery, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use tidegate_pipelines::plan::{CacheScope, ReportKind, StageKey};
use tidegate_protocol::{
    ids::AttemptId,
    messages::{
        AskIdToken, Claim, Enrol, Enrolled, Finish, IdToken, ListedArtifact, LogAccepted, MAX_LOG_CHUNK,
        PREFIX, PROTOCOL_VERSION, Renew, Renewed, StepReport, Stored,
    },
};

use super::{
    Shared,
    error::RunnerError,
    extract::{AuthedRunner, Epoch},
};
use crate::{app::App, auth, error::Error, identity, leases, results, results::BlobReader};

/// Messages; a lease's answer is not among them, only what runners send.
const MESSAGE: usize = 4 << 20;
/// A chunk of log as zstd may be a little larger than its bytes.
const LOG_FRAME: usize = MAX_LOG_CHUNK + (64 << 10);
/// A report file.
const REPORT: usize = 32 << 20;

type Answer<T> = Result<T, RunnerError>;
type Path<T> = axum::extract::Path<T>;

/// The routes.
pub fn router() -> Router<Shared> {
    let attempts = Router::new()
        .route("/renew", post(renew))
        .route("/steps", post(step))
        .route("/finish", post(finish))
        .route("/id-token", post(id_token))
        .route("/cache-entry", get(has_cache))
        .layer(DefaultBodyLimit::max(MESSAGE))
        .merge(Router::new().route("/log", post(log)).layer(DefaultBodyLimit::max(LOG_FRAME)))
        .merge(Router::new().route("/reports/{kind}", put(report)).layer(DefaultBodyLimit::max(REPORT)))
        // Streams to the store, which has its own cap.
        .merge(
            Router::new()
                .route("/artifacts", get(list_artifacts))
                .route("/artifacts/{name}", put(put_artifact).delete(delete_artifact))
                .route("/artifacts/{stage}/{name}", get(get_artifact))
                .route("/caches", get(get_cache).put(put_cache))
                .layer(DefaultBodyLimit::disable()),
        );
    let all = Router::new()
        .route("/enrol", post(enrol))
        .route("/claim", post(claim))
        .layer(DefaultBodyLimit::max(MESSAGE))
        .nest("/attempts/{id}", attempts);
    Router::new().nest(PREFIX, all)
}

/// A body of JSON, whatever its content type says.
fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Invalid(format!("the message cannot be read: {error}")))
}

fn check_protocol(version: u32) -> Result<(), Error> {
    if version == PROTOCOL_VERSION || version + 1 == PROTOCOL_VERSION {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "the runner speaks protocol {version}, the server {PROTOCOL_VERSION}: install the server's version of the runner"
    )))
}

async fn enrol(State(app): State<App>, body: Bytes) -> Answer<Json<Enrolled>> {
    let enrol: Enrol = read(&body)?;
    check_protocol(enrol.protocol)?;
    let name = enrol.name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Error::Invalid("a runner's name has 1 to 100 printable characters".to_owned()).into());
    }
    let fresh = auth::fresh("tgr_");
    let mut tx = app.db.begin().await?;
    let Some(token_by) = tx.use_enrolment_token(&auth::fingerprint(&enrol.token)).await? else {
        return Err(super::error::ApiError::Unauthorized(
            "the enrolment token is unknown, used or older than a day; make a new one on the page of runners",
        )
        .into());
    };
    let runner = tx.enrol_runner(name, &fresh.hash).await?;
    let detail = serde_json::json!({ "name": name, "token_by": token_by });
    tx.audit("runner", "runner.enrol", &runner.to_string(), detail).await?;
    tx.commit().await?;
    tracing::info!(%runner, name, "a runner enrolled");
    Ok(Json(Enrolled { runner, key: secrecy::ExposeSecret::expose_secret(&fresh.key).to_owned() }))
}

async fn claim(
    State(shared): State<Shared>,
    AuthedRunner(runner): AuthedRunner,
    body: Bytes,
) -> Answer<Response> {
    let mut claim: Claim = read(&body)?;
    check_protocol(claim.protocol)?;
    claim.wait_ms = claim.wait_ms.min(30_000);
    Ok(match leases::claim(&shared.app, runner, &claim, &shared.shutdown).await? {
        Some(lease) => Json(lease).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn renew(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path(attempt): Path<AttemptId>,
    body: Bytes,
) -> Answer<Json<Renewed>> {
    let renew: Renew = read(&body)?;
    Ok(Json(leases::renew(&app, runner, attempt, epoch, &renew).await?))
}

async fn step(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path(attempt): Path<AttemptId>,
    body: Bytes,
) -> Answer<StatusCode> {
    let report: StepReport = read(&body)?;
    leases::report_step(&app, runner, attempt, epoch, &report).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn finish(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path(attempt): Path<AttemptId>,
    body: Bytes,
) -> Answer<StatusCode> {
    let finish: Finish = read(&body)?;
    leases::finish(&app, runner, attempt, epoch, finish).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
struct LogQuery {
    step: u32,
    offset: u64,
}

async fn log(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path(attempt): Path<AttemptId>,
    axum::extract::Query(at): axum::extract::Query<LogQuery>,
    frame: Bytes,
) -> Answer<Json<LogAccepted>> {
    Ok(Json(leases::append_log(&app, runner, attempt, epoch, at.step, at.offset, frame).await?))
}

#[derive(Debug, Deserialize)]
struct ReportQuery {
    path: String,
}

async fn report(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path((attempt, kind)): Path<(AttemptId, ReportKind)>,
    axum::extract::Query(query): axum::extract::Query<ReportQuery>,
    body: Bytes,
) -> Answer<StatusCode> {
    results::put_report(&app, runner, attempt, epoch, kind, &query.path, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put_artifact(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path((attempt, name)): Path<(AttemptId, String)>,
    body: RawBody,
) -> Answer<Json<Stored>> {
    Ok(Json(results::put_artifact(&app, runner, attempt, epoch, &name, body.into_data_stream()).await?))
}

async fn list_artifacts(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path(attempt): Path<AttemptId>,
) -> Answer<Json<Vec<ListedArtifact>>> {
    Ok(Json(results::list_artifacts(&app, runner, attempt, epoch).await?))
}

async fn delete_artifact(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path((attempt, name)): Path<(AttemptId, String)>,
) -> Answer<StatusCode> {
    results::delete_artifact(&app, runner, attempt, epoch, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn get_artifact(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path((attempt, stage, name)): Path<(AttemptId, String, String)>,
) -> Answer<Response> {
    let stage = StageKey(stage);
    Ok(blob(results::open_artifact_for_attempt(&app, runner, attempt, epoch, &stage, &name).await?))
}

/// The query of a cache call: `restore` may come many times, in the order of preference.
fn cache_query(query: Option<&str>) -> Result<(CacheScope, String, Vec<String>), Error> {
    let (mut scope, mut key, mut restore) = (CacheScope::default(), None, Vec::new());
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "key" => key = Some(value.into_owned()),
            "restore" => restore.push(value.into_owned()),
            "scope" => {
                scope = serde_json::from_value(value.as_ref().into()).map_err(|_| {
                    Error::Invalid(format!(
                        "`{value}` is no scope of a cache: use branch, pipeline or repository"
                    ))
                })?;
            }
            other => {
                return Err(Error::Invalid(format!(
                    "`{other}` is no parameter of a cache: use key, restore and scope"
                )));
            }
        }
    }
    let key = key
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Error::Invalid("the cache's key is missing".to_owned()))?;
    Ok((scope, key, restore))
}

async fn has_cache(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path(attempt): Path<AttemptId>,
    RawQuery(query): RawQuery,
) -> Answer<StatusCode> {
    let (scope, key, _) = cache_query(query.as_deref())?;
    let there = results::has_cache(&app, runner, attempt, epoch, scope, &key).await?;
    Ok(if there { StatusCode::OK } else { StatusCode::NO_CONTENT })
}

async fn id_token(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path(attempt): Path<AttemptId>,
    body: Bytes,
) -> Answer<Json<IdToken>> {
    let asked: AskIdToken = read(&body)?;
    Ok(Json(identity::token(&app, runner, attempt, epoch, asked.audience.as_deref()).await?))
}

async fn get_cache(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path(attempt): Path<AttemptId>,
    RawQuery(query): RawQuery,
) -> Answer<Response> {
    let (scope, key, restore) = cache_query(query.as_deref())?;
    match results::find_cache(&app, runner, attempt, epoch, scope, &key, &restore).await? {
        Some((key, reader)) => {
            let key = axum::http::HeaderValue::from_str(&key)
                .map_err(|_| Error::internal("a stored cache key does not fit into a header"))?;
            let mut response = blob(reader);
            response.headers_mut().insert(HeaderName::from_static("tidegate-cache-key"), key);
            Ok(response)
        }
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn put_cache(
    State(app): State<App>,
    AuthedRunner(runner): AuthedRunner,
    Epoch(epoch): Epoch,
    axum::extract::Path(attempt): Path<AttemptId>,
    RawQuery(query): RawQuery,
    body: RawBody,
) -> Answer<Json<Stored>> {
    let (scope, key, _) = cache_query(query.as_deref())?;
    let body = body.into_data_stream();
    Ok(Json(results::put_cache(&app, runner, attempt, epoch, scope, &key, body).await?))
}

/// A blob as a body. Errors in mid-stream break the connection off, so that half a blob is never taken for a
/// whole one.
pub(super) fn blob(reader: BlobReader) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/zstd".to_owned()),
        (header::CONTENT_LENGTH, reader.size.to_string()),
        (HeaderName::from_static("tidegate-sha256"), reader.sha256),
    ];
    (headers, RawBody::from_stream(BoxedErrors(reader.stream))).into_response()
}

/// The stream with errors of a type that the body takes.
struct BoxedErrors(std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<bytes::Bytes, Error>> + Send>>);

impl futures_util::Stream for BoxedErrors {
    type Item = Result<bytes::Bytes, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context).map(|item| {
            item.map(|piece| {
                piece.map_err(|error| {
                    tracing::error!(%error, "a blob broke off while it was read");
                    std::io::Error::other("the blob broke off")
                })
            })
        })
    }
}
