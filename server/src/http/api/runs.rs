//! Runs: looking, starting, stopping, running again.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_protocol::{
    ids::{RepositoryId, RunId, StageId},
    status::RunStatus,
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    super::{
        access::AuthedUser,
        error::{ApiError, ErrorBody},
        extract::{Body, Path, Query},
    },
    Made, no_status,
};
use crate::{
    app::App,
    runs::{self, Manual, Scope},
    store::views::{PipelineSummary, RunDetail, RunFilter, RunSummary},
};

/// Which runs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only of this repository.
    repository: Option<Uuid>,
    /// Only of this pipeline file.
    pipeline: Option<String>,
    /// Only in this state.
    status: Option<String>,
    /// How many, 1 to 200; 50 when absent.
    limit: Option<i64>,
    /// Only those made before this run.
    before: Option<Uuid>,
}

/// A page of runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunPage {
    /// Newest first.
    runs: Vec<RunSummary>,
    /// What to give as `before` for the next page, when there may be one.
    next: Option<Uuid>,
}

/// Runs, newest first.
#[utoipa::path(get, operation_id = "runs_list", path = "/api/v1/runs", params(ListQuery),
    responses((status = 200, body = RunPage), (status = 400, body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<RunPage>, ApiError> {
    let limit = query.limit.unwrap_or(50).clamp(1, 200);
    let filter = RunFilter {
        repository: query.repository.map(RepositoryId),
        path: query.pipeline.filter(|path| !path.is_empty()),
        status: query
            .status
            .filter(|status| !status.is_empty())
            .map(|status| status.parse())
            .transpose()
            .map_err(|_| no_status("a run", RunStatus::ALL))?,
        before: query.before.map(RunId),
        limit,
    };
    let runs = runs::list(&app, &filter).await?;
    let full = i64::try_from(runs.len()).is_ok_and(|count| count >= limit);
    let next = runs.last().filter(|_| full).map(|run| run.id.0);
    Ok(Json(RunPage { runs, next }))
}

/// A run's page.
#[utoipa::path(get, operation_id = "runs_detail", path = "/api/v1/runs/{id}", params(("id" = Uuid, Path, description = "The run")),
    responses((status = 200, body = RunDetail), (status = 404, body = ErrorBody)))]
pub(super) async fn detail(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<RunId>,
) -> Result<Json<RunDetail>, ApiError> {
    Ok(Json(runs::detail(&app, id, &actor).await?))
}

/// Stops a run.
#[utoipa::path(post, operation_id = "runs_cancel", path = "/api/v1/runs/{id}/cancel", params(("id" = Uuid, Path, description = "The run")),
    responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn cancel(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<RunId>,
) -> Result<StatusCode, ApiError> {
    runs::cancel(&app, id, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What to run again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rerun {
    /// `all`: a new run; `failed`: what failed and what depends on it, in place.
    scope: Scope,
}

/// Runs it again; answers the run that does.
#[utoipa::path(post, operation_id = "runs_rerun", path = "/api/v1/runs/{id}/rerun", params(("id" = Uuid, Path, description = "The run")),
    request_body = Rerun, responses((status = 200, body = Made), (status = 409, body = ErrorBody)))]
pub(super) async fn rerun(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<RunId>,
    Body(rerun): Body<Rerun>,
) -> Result<Json<Made>, ApiError> {
    Ok(Json(Made { id: runs::rerun(&app, id, rerun.scope, &actor).await?.0 }))
}

/// A run to start by hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    /// A branch, a tag, a commit, or a full ref.
    reference: String,
    /// Path of the pipeline file; absent: the repository's own, or the only one that a person may start.
    pipeline: Option<String>,
    /// Inputs that the pipeline file declares.
    #[serde(default)]
    #[schema(value_type = Object)]
    inputs: BTreeMap<String, Value>,
}

/// Starts a run by hand.
#[utoipa::path(post, operation_id = "runs_start", path = "/api/v1/repositories/{id}/runs", params(("id" = Uuid, Path, description = "The repository")),
    request_body = Start,
    responses((status = 200, body = Made), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn start(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<RepositoryId>,
    Body(start): Body<Start>,
) -> Result<Json<Made>, ApiError> {
    let Start { reference, pipeline, inputs } = start;
    let run = runs::start(&app, id, Manual { reference, pipeline, inputs }, &actor).await?;
    Ok(Json(Made { id: run.0 }))
}

/// Where to look for pipeline files.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PipelinesQuery {
    /// A branch, a tag, a commit, or a full ref; absent: the default branch.
    reference: Option<String>,
}

/// Pipeline files.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pipelines {
    /// By path.
    pipelines: Vec<PipelineSummary>,
}

/// The pipeline files of a repository, and what a person gives who starts them.
#[utoipa::path(get, operation_id = "runs_pipelines", path = "/api/v1/repositories/{id}/pipelines",
    params(("id" = Uuid, Path, description = "The repository"), PipelinesQuery),
    responses((status = 200, body = Pipelines), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn pipelines(
    State(app): State<App>,
    Path(id): Path<RepositoryId>,
    Query(query): Query<PipelinesQuery>,
) -> Result<Json<Pipelines>, ApiError> {
    let reference = query.reference.filter(|reference| !reference.is_empty());
    Ok(Json(Pipelines { pipelines: runs::pipelines(&app, id, reference.as_deref()).await? }))
}

/// How a deploy stage really ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settle {
    /// Whether the environment runs what was deployed.
    succeeded: bool,
}

/// A person says how an `unknown` deploy stage ended.
#[utoipa::path(post, operation_id = "runs_settle", path = "/api/v1/stages/{id}/settle", params(("id" = Uuid, Path, description = "The stage")),
    request_body = Settle, responses((status = 204), (status = 409, body = ErrorBody)))]
pub(super) async fn settle(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<StageId>,
    Body(settle): Body<Settle>,
) -> Result<StatusCode, ApiError> {
    runs::settle_unknown(&app, id, settle.succeeded, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
