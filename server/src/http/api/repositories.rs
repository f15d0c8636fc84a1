//! Repositories, their secrets and their variables.

use axum::{Json, body::Body as RawBody, extract::State, http::StatusCode};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tidegate_protocol::ids::RepositoryId;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::super::{
    access::AuthedUser,
    error::{ApiError, ErrorBody},
    extract::{Body, Path, Query, Secret},
};
use crate::{
    app::App,
    error::Error,
    repositories::{self as core, NewRepository, RepositoryChange},
    secrets as vault,
    store::views::{Repository, SecretName, Variable},
    variables as settings,
};

/// Repositories.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Repositories {
    /// By name.
    repositories: Vec<Repository>,
}

/// All repositories.
#[utoipa::path(get, operation_id = "repositories_list", path = "/api/v1/repositories", responses((status = 200, body = Repositories)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Repositories>, ApiError> {
    Ok(Json(Repositories { repositories: core::list(&app).await? }))
}

/// What to enter at the forge. Shown only now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Added {
    /// The repository's id.
    id: Uuid,
    /// Where its webhooks go.
    webhook_url: String,
    /// What they are signed with.
    webhook_secret: String,
}

/// Adds a repository.
#[utoipa::path(post, operation_id = "repositories_add", path = "/api/v1/repositories", request_body = NewRepository,
    responses((status = 200, body = Added), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn add(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Body(new): Body<NewRepository>,
) -> Result<Json<Added>, ApiError> {
    let added = core::create(&app, new, &actor).await?;
    let base = app.config.public_url.as_str().trim_end_matches('/');
    Ok(Json(Added {
        id: added.id.0,
        webhook_url: format!("{base}/webhooks/github/{}", added.id),
        webhook_secret: added.webhook_secret.expose_secret().to_owned(),
    }))
}

/// Changes a repository.
#[utoipa::path(patch, operation_id = "repositories_change", path = "/api/v1/repositories/{id}", params(("id" = Uuid, Path, description = "The repository")),
    request_body = RepositoryChange, responses((status = 200, body = Repository), (status = 400, body = ErrorBody)))]
pub(super) async fn change(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<RepositoryId>,
    Body(change): Body<RepositoryChange>,
) -> Result<Json<Repository>, ApiError> {
    Ok(Json(core::update(&app, id, change, &actor).await?))
}

/// Deletes a repository with all its runs, environments and secrets.
#[utoipa::path(delete, operation_id = "repositories_delete", path = "/api/v1/repositories/{id}", params(("id" = Uuid, Path, description = "The repository")),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn delete(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<RepositoryId>,
) -> Result<StatusCode, ApiError> {
    core::delete(&app, id, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Secrets, without their values.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Secrets {
    /// By name.
    secrets: Vec<SecretName>,
}

/// The names of a repository's secrets; nothing gives out their values.
#[utoipa::path(get, operation_id = "repositories_secrets", path = "/api/v1/repositories/{id}/secrets", params(("id" = Uuid, Path, description = "The repository")),
    responses((status = 200, body = Secrets), (status = 404, body = ErrorBody)))]
pub(super) async fn secrets(
    State(app): State<App>,
    Path(id): Path<RepositoryId>,
) -> Result<Json<Secrets>, ApiError> {
    core::get(&app, id).await?;
    Ok(Json(Secrets { secrets: vault::list(&app, id).await? }))
}

/// A secret's value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretValue {
    /// The value.
    #[schema(value_type = String)]
    value: Secret,
    /// Only for stages of this environment; absent: for every stage.
    environment: Option<String>,
}

/// Stores a secret, or a new version of it.
#[utoipa::path(put, operation_id = "repositories_put_secret", path = "/api/v1/repositories/{id}/secrets/{name}",
    params(("id" = Uuid, Path, description = "The repository"), ("name" = String, Path, description = "The secret's name")),
    request_body = SecretValue, responses((status = 204), (status = 400, body = ErrorBody)))]
pub(super) async fn put_secret(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path((id, name)): Path<(RepositoryId, String)>,
    Body(secret): Body<SecretValue>,
) -> Result<StatusCode, ApiError> {
    vault::put(&app, id, secret.environment.as_deref(), &name, secret.value.0, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which of the secrets (or variables) with a name.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SecretQuery {
    /// That of this environment; absent: that of every stage.
    environment: Option<String>,
}

/// The same in a body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretScope {
    environment: Option<String>,
}

/// Deletes a secret.
#[utoipa::path(delete, operation_id = "repositories_delete_secret", path = "/api/v1/repositories/{id}/secrets/{name}",
    params(("id" = Uuid, Path, description = "The repository"), ("name" = String, Path, description = "The secret's name"), SecretQuery),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn delete_secret(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path((id, name)): Path<(RepositoryId, String)>,
    Query(query): Query<SecretQuery>,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    // Some clients say it in a body, as for the call that stores it.
    let body = axum::body::to_bytes(body, 4096).await.map_err(|_| ApiError::TooLarge)?;
    let scope: SecretScope = if body.is_empty() {
        SecretScope::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Error::Invalid(format!("the body cannot be read: {error}")))?
    };
    let environment = query.environment.or(scope.environment).filter(|name| !name.is_empty());
    vault::delete(&app, id, environment.as_deref(), &name, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Variables.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Variables {
    /// By name.
    variables: Vec<Variable>,
}

/// The variables of a repository and its environments, with their values.
#[utoipa::path(get, operation_id = "repositories_variables", path = "/api/v1/repositories/{id}/variables", params(("id" = Uuid, Path, description = "The repository")),
    responses((status = 200, body = Variables), (status = 404, body = ErrorBody)))]
pub(super) async fn variables(
    State(app): State<App>,
    Path(id): Path<RepositoryId>,
) -> Result<Json<Variables>, ApiError> {
    core::get(&app, id).await?;
    Ok(Json(Variables { variables: settings::list(&app, id).await? }))
}

/// A variable's value.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VariableValue {
    /// The value.
    value: String,
    /// Only for stages of this environment; absent: for every stage.
    environment: Option<String>,
}

/// Sets a variable.
#[utoipa::path(put, operation_id = "repositories_put_variable", path = "/api/v1/repositories/{id}/variables/{name}",
    params(("id" = Uuid, Path, description = "The repository"), ("name" = String, Path, description = "The variable's name")),
    request_body = VariableValue, responses((status = 204), (status = 400, body = ErrorBody)))]
pub(super) async fn put_variable(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path((id, name)): Path<(RepositoryId, String)>,
    Body(variable): Body<VariableValue>,
) -> Result<StatusCode, ApiError> {
    let environment = variable.environment.as_deref().filter(|name| !name.is_empty());
    settings::put(&app, id, environment, &name, &variable.value, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a variable.
#[utoipa::path(delete, operation_id = "repositories_delete_variable", path = "/api/v1/repositories/{id}/variables/{name}",
    params(("id" = Uuid, Path, description = "The repository"), ("name" = String, Path, description = "The variable's name"), SecretQuery),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn delete_variable(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path((id, name)): Path<(RepositoryId, String)>,
    Query(query): Query<SecretQuery>,
) -> Result<StatusCode, ApiError> {
    let environment = query.environment.filter(|name| !name.is_empty());
    settings::delete(&app, id, environment.as_deref(), &name, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
