//! Runners, and the audit trail.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tidegate_protocol::ids::RunnerId;
use utoipa::{IntoParams, ToSchema};

use super::super::{
    access::AuthedUser,
    error::{ApiError, ErrorBody},
    extract::{Body, Path, Query},
};
use crate::{
    app::App,
    bootstrap,
    store::views::{AuditEntry, Runner},
};

/// Runners.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Runners {
    /// By name.
    runners: Vec<Runner>,
}

/// All runners.
#[utoipa::path(get, operation_id = "runners_list", path = "/api/v1/runners", responses((status = 200, body = Runners)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Runners>, ApiError> {
    Ok(Json(Runners { runners: app.db.runners().await? }))
}

/// What of a runner is to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunnerChange {
    /// Gets no more work. What it works on, it may finish.
    disabled: bool,
}

/// Gives a runner no more work, or work again.
#[utoipa::path(patch, operation_id = "runners_change", path = "/api/v1/runners/{id}", params(("id" = Uuid, Path, description = "The runner")),
    request_body = RunnerChange, responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn change(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<RunnerId>,
    Body(change): Body<RunnerChange>,
) -> Result<StatusCode, ApiError> {
    let mut tx = app.db.begin().await?;
    tx.disable_runner(id, change.disabled).await?;
    let action = if change.disabled { "runner.disable" } else { "runner.enable" };
    tx.audit(&actor.username, action, &id.to_string(), serde_json::json!({})).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A token that a runner enrols with. Shown only here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EnrolmentToken {
    /// Good for one runner, for a day.
    token: String,
}

/// Makes an enrolment token.
#[utoipa::path(post, operation_id = "runners_enrolment_token", path = "/api/v1/runners/enrolment-tokens", responses((status = 200, body = EnrolmentToken)))]
pub(super) async fn enrolment_token(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
) -> Result<Json<EnrolmentToken>, ApiError> {
    Ok(Json(EnrolmentToken { token: bootstrap::enrolment_token_by(&app, &actor.username).await? }))
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Only those before this number.
    before: Option<i64>,
    /// How many, 1 to 1000; 100 when absent.
    limit: Option<i64>,
}

/// A page of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Audit {
    /// Newest first.
    entries: Vec<AuditEntry>,
}

/// The audit trail.
#[utoipa::path(get, operation_id = "runners_audit", path = "/api/v1/audit", params(AuditQuery), responses((status = 200, body = Audit)))]
pub(super) async fn audit(
    State(app): State<App>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Audit>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    Ok(Json(Audit { entries: app.db.audit_entries(query.before, limit).await? }))
}
