//! People and their tokens.

use axum::{Json, extract::State, http::StatusCode};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_protocol::ids::UserId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::{
    access::AuthedUser,
    error::{ApiError, ErrorBody},
    extract::{Body, Path, Secret},
};
use crate::{
    actor::Role,
    app::App,
    auth, bootstrap,
    error::Error,
    store::views::{Token, User},
};

/// People.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Users {
    /// By name.
    users: Vec<User>,
}

/// Everybody.
#[utoipa::path(get, operation_id = "people_users", path = "/api/v1/users", responses((status = 200, body = Users)))]
pub(super) async fn users(State(app): State<App>) -> Result<Json<Users>, ApiError> {
    Ok(Json(Users { users: app.db.users().await? }))
}

/// A person to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// The name to log in with.
    username: String,
    /// The name for people; absent: the same.
    display_name: Option<String>,
    /// What they may do.
    role: Role,
    /// Absent: cannot log in until one is set.
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
}

/// Adds a person.
#[utoipa::path(post, operation_id = "people_add_user", path = "/api/v1/users", request_body = NewUser,
    responses((status = 200, body = User), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn add_user(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Body(new): Body<NewUser>,
) -> Result<Json<User>, ApiError> {
    bootstrap::check_username(&new.username)?;
    let display_name = display_name(new.display_name.as_deref().unwrap_or(&new.username))?;
    let hash = match new.password {
        Some(password) => Some(auth::hash_password(password.0).await?),
        None => None,
    };
    let mut tx = app.db.begin().await?;
    let user = tx.insert_user(&new.username, &display_name, hash.as_deref(), new.role).await?;
    tx.audit(&actor.username, "user.add", &user.username, json!({ "role": user.role })).await?;
    tx.commit().await?;
    Ok(Json(user))
}

fn display_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Error::Invalid("a name for people has 1 to 100 printable characters".to_owned()));
    }
    Ok(name.to_owned())
}

/// What of a person is to change; absent: stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    /// The name for people.
    display_name: Option<String>,
    /// What they may do.
    role: Option<Role>,
    /// May not log in, nor use tokens.
    disabled: Option<bool>,
    /// A new password; all sessions end.
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
}

/// Changes a person.
#[utoipa::path(patch, operation_id = "people_change_user", path = "/api/v1/users/{id}", params(("id" = Uuid, Path, description = "The person")),
    request_body = UserChange, responses((status = 200, body = User), (status = 409, body = ErrorBody)))]
pub(super) async fn change_user(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<UserId>,
    Body(change): Body<UserChange>,
) -> Result<Json<User>, ApiError> {
    let new_password = change.password.is_some();
    let hash = match change.password {
        Some(password) => Some(auth::hash_password(password.0).await?),
        None => None,
    };
    let mut tx = app.db.begin().await?;
    let before = tx.lock_user(id).await?;
    let mut user = before.clone();
    if let Some(name) = &change.display_name {
        user.display_name = display_name(name)?;
    }
    user.role = change.role.unwrap_or(user.role);
    user.disabled = change.disabled.unwrap_or(user.disabled);
    tx.update_user(&user, hash.as_deref()).await?;
    let was_admin = before.role == Role::Admin && !before.disabled;
    if was_admin && tx.count_admins().await? == 0 {
        return Err(
            Error::Refused("this is the last administrator; make another one first".to_owned()).into()
        );
    }
    if user.disabled || new_password {
        tx.delete_sessions_of(user.id, None).await?;
    }
    let detail = json!({ "role": user.role, "disabled": user.disabled, "password": new_password });
    tx.audit(&actor.username, "user.change", &user.username, detail).await?;
    tx.commit().await?;
    Ok(Json(user))
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tokens {
    /// Newest first.
    tokens: Vec<Token>,
}

/// One's own tokens.
#[utoipa::path(get, operation_id = "people_tokens", path = "/api/v1/tokens", responses((status = 200, body = Tokens)))]
pub(super) async fn tokens(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
) -> Result<Json<Tokens>, ApiError> {
    Ok(Json(Tokens { tokens: app.db.tokens_of(actor.user).await? }))
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What it is for.
    name: String,
    /// Days until it ends; absent: it does not.
    expires_in_days: Option<u16>,
}

/// A token that was made now. Shown only here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeToken {
    /// Its id.
    id: Uuid,
    /// What scripts send as `Authorization: Bearer …`.
    token: String,
}

/// Makes a token that acts in one's own name.
#[utoipa::path(post, operation_id = "people_add_token", path = "/api/v1/tokens", request_body = NewToken,
    responses((status = 200, body = MadeToken), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn add_token(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Body(new): Body<NewToken>,
) -> Result<Json<MadeToken>, ApiError> {
    let name = display_name(&new.name)?;
    let expires_at = match new.expires_in_days {
        Some(0) => return Err(Error::Invalid("a token lasts at least a day".to_owned()).into()),
        Some(days) => Some(
            Timestamp::now()
                .checked_add(SignedDuration::from_hours(i64::from(days) * 24))
                .map_err(|error| Error::internal(error.to_string()))?,
        ),
        None => None,
    };
    let fresh = auth::fresh("tg_");
    let mut tx = app.db.begin().await?;
    let token = tx.insert_token(actor.user, &name, &fresh.hash, expires_at).await?;
    tx.audit(&actor.username, "token.add", &actor.username, json!({ "name": name, "id": token.id })).await?;
    tx.commit().await?;
    Ok(Json(MadeToken { id: token.id, token: fresh.key.expose_secret().to_owned() }))
}

/// Deletes one of one's own tokens.
#[utoipa::path(delete, operation_id = "people_delete_token", path = "/api/v1/tokens/{id}", params(("id" = Uuid, Path, description = "The token")),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn delete_token(
    State(app): State<App>,
    AuthedUser(actor): AuthedUser,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    let mut tx = app.db.begin().await?;
    tx.delete_token(actor.user, id).await?;
    tx.audit(&actor.username, "token.delete", &actor.username, json!({ "id": id })).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
