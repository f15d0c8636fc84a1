//! Gates, environments and deployments.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tidegate_protocol::{
    ids::{DeploymentId, EnvironmentId, GateId, RepositoryId},
    status::GateStatus,
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
    deploy, environments as core,
    environments::Rules,
    error::Error,
    gates::{self as gate_rules, Verdict},
    store::views::{Deployment, Environment, Gate},
};

/// Which gates.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct GatesQuery {
    /// Only in this state; absent: all.
    status: Option<String>,
}

/// Gates.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gates {
    /// Oldest first.
    gates: Vec<Gate>,
}

/// Gates, as the caller sees them.
#[utoipa::path(get, operation_id = "deployments_gates", path = "/api/v1/gates", params(GatesQuery),
    responses((status = 200, body = Gates), (status = 400, body = ErrorBody)))]
pub(super) async fn gates(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Query(query): Query<GatesQuery>,
) -> Result<Json<Gates>, ApiError> {
    let status = query
        .status
        .map(|status| status.parse())
        .transpose()
        .map_err(|_| no_status("a gate", GateStatus::ALL))?;
    Ok(Json(Gates { gates: gate_rules::list(&app, status, &actor).await? }))
}

/// A decision at a gate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    /// Yes or no.
    verdict: Verdict,
    /// For the record.
    #[serde(default)]
    comment: String,
}

/// Decides at a gate.
#[utoipa::path(post, operation_id = "deployments_decide", path = "/api/v1/gates/{id}/decision", params(("id" = Uuid, Path, description = "The gate")),
    request_body = DecisionBody,
    responses((status = 200, body = Gate), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn decide(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<GateId>,
    Body(decision): Body<DecisionBody>,
) -> Result<Json<Gate>, ApiError> {
    if decision.comment.chars().count() > 2000 {
        return Err(Error::Invalid("a comment has at most 2000 characters".to_owned()).into());
    }
    gate_rules::decide(&app, id, decision.verdict, &decision.comment, &actor).await?;
    Ok(Json(gate_rules::get(&app, id, &actor).await?))
}

/// Environments.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Environments {
    /// By repository and name.
    environments: Vec<Environment>,
}

/// All environments, with what they run.
#[utoipa::path(get, operation_id = "deployments_environments", path = "/api/v1/environments", responses((status = 200, body = Environments)))]
pub(super) async fn environments(State(app): State<App>) -> Result<Json<Environments>, ApiError> {
    Ok(Json(Environments { environments: core::list(&app).await? }))
}

/// Deployments.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deployments {
    /// Newest first.
    deployments: Vec<Deployment>,
}

/// The deployments of an environment.
#[utoipa::path(get, operation_id = "deployments_history", path = "/api/v1/environments/{id}/deployments", params(("id" = Uuid, Path, description = "The environment")),
    responses((status = 200, body = Deployments), (status = 404, body = ErrorBody)))]
pub(super) async fn history(
    State(app): State<App>,
    Path(id): Path<EnvironmentId>,
) -> Result<Json<Deployments>, ApiError> {
    Ok(Json(Deployments { deployments: core::deployments(&app, id).await? }))
}

/// Whether deployments are held.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Freeze {
    /// Why they are; null: they are not.
    #[serde(deserialize_with = "Option::deserialize")]
    reason: Option<String>,
}

/// Holds all deployments to an environment, or lets them go on.
#[utoipa::path(post, operation_id = "deployments_freeze", path = "/api/v1/environments/{id}/freeze", params(("id" = Uuid, Path, description = "The environment")),
    request_body = Freeze, responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn freeze(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<EnvironmentId>,
    Body(freeze): Body<Freeze>,
) -> Result<StatusCode, ApiError> {
    match freeze.reason {
        Some(reason) if reason.trim().is_empty() => {
            return Err(Error::Invalid("say why; null lets deployments go on".to_owned()).into());
        }
        Some(reason) => core::freeze(&app, id, &reason, &actor).await?,
        None => core::unfreeze(&app, id, &actor).await?,
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Where to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// An earlier deployment of the environment.
    deployment: Uuid,
}

/// Goes back to an earlier deployment, by a new run.
#[utoipa::path(post, operation_id = "deployments_rollback", path = "/api/v1/environments/{id}/rollback", params(("id" = Uuid, Path, description = "The environment")),
    request_body = Rollback, responses((status = 200, body = Made), (status = 409, body = ErrorBody)))]
pub(super) async fn rollback(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<EnvironmentId>,
    Body(rollback): Body<Rollback>,
) -> Result<Json<Made>, ApiError> {
    Ok(Json(Made { id: deploy::rollback(&app, id, DeploymentId(rollback.deployment), &actor).await?.0 }))
}

/// Deletes an environment with its history.
#[utoipa::path(delete, operation_id = "deployments_delete_environment", path = "/api/v1/environments/{id}", params(("id" = Uuid, Path, description = "The environment")),
    responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn delete_environment(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<EnvironmentId>,
) -> Result<StatusCode, ApiError> {
    core::delete(&app, id, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes an environment, or sets its rules.
#[utoipa::path(put, operation_id = "deployments_set_rules", path = "/api/v1/repositories/{id}/environments/{name}",
    params(("id" = Uuid, Path, description = "The repository"), ("name" = String, Path, description = "The environment's name")),
    request_body = Rules, responses((status = 200, body = Environment), (status = 400, body = ErrorBody)))]
pub(super) async fn set_rules(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path((id, name)): Path<(RepositoryId, String)>,
    Body(rules): Body<Rules>,
) -> Result<Json<Environment>, ApiError> {
    Ok(Json(core::upsert(&app, id, &name, rules, &actor).await?))
}
