//! Logging in and out, and who a session or a token belongs to.
//!
//! A person's role is read at each request, not kept in the session: taking it away works at once.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{fingerprint, fresh, passwords};
use crate::{
    actor::{Actor, Role, Via},
    app::App,
    error::Error,
    store::views::User,
};

/// How long a session lasts, whatever happens.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Who is logged in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The person.
    pub user: User,
}

/// A session that was made now.
#[derive(Debug)]
pub struct Session {
    /// The cookie's value.
    pub key: SecretString,
    /// Whose it is.
    pub user: User,
}

/// Checks a password and makes a session. None: name or password is wrong, or the person is disabled; which
/// of these is not told.
pub async fn log_in(
    app: &App,
    username: &str,
    password: SecretString,
    user_agent: &str,
) -> Result<Option<Session>, Error> {
    let found = app.db.user_for_login(username).await?;
    let hash = found.as_ref().and_then(|(_, hash)| hash.clone());
    if !passwords::verify(password, hash).await? {
        return Ok(None);
    }
    let Some((user, _)) = found else { return Ok(None) };
    let fresh = fresh("");
    let user_agent: String = user_agent.chars().filter(|c| !c.is_control()).take(200).collect();
    let mut tx = app.db.begin().await?;
    tx.insert_session(&fresh.hash, user.id, SESSION_LIFETIME, &user_agent).await?;
    tx.commit().await?;
    Ok(Some(Session { key: fresh.key, user }))
}

/// Ends a session; one that is not there is ended already.
pub async fn log_out(app: &App, key: &SecretString) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    tx.delete_session(&fingerprint(key.expose_secret())).await?;
    tx.commit().await
}

/// Whose session this is, if it is one.
pub async fn of_session(app: &App, key: &str) -> Result<Option<(Actor, User)>, Error> {
    let user = app.db.user_of_session(&fingerprint(key)).await?;
    user.map(|user| Ok((actor(&user, Via::Session)?, user))).transpose()
}

/// Whose token this is, if it is one.
pub async fn of_token(app: &App, key: &str) -> Result<Option<(Actor, User)>, Error> {
    let hash = fingerprint(key);
    let Some((user, stale)) = app.db.user_of_token(&hash).await? else { return Ok(None) };
    if stale {
        let mut tx = app.db.begin().await?;
        tx.touch_token(&hash).await?;
        tx.commit().await?;
    }
    Ok(Some((actor(&user, Via::Token)?, user)))
}

fn actor(user: &User, via: Via) -> Result<Actor, Error> {
    let role: Role = user.role;
    Ok(Actor { user: user.id, username: user.username.clone(), role, via })
}

/// Changes a person's own password; `keep` is the session that goes on.
pub async fn change_password(
    app: &App,
    actor: &Actor,
    current: SecretString,
    new: SecretString,
    keep: Option<&str>,
) -> Result<(), Error> {
    let hash = app.db.user_for_login(&actor.username).await?.and_then(|(_, hash)| hash);
    if !passwords::verify(current, hash).await? {
        return Err(Error::Forbidden("the current password is another one".to_owned()));
    }
    let hash = passwords::hash(new).await?;
    let mut tx = app.db.begin().await?;
    let user = tx.lock_user(actor.user).await?;
    tx.update_user(&user, Some(&hash)).await?;
    tx.delete_sessions_of(user.id, keep.map(fingerprint)).await?;
    tx.audit(&user.username, "user.change_password", &user.username, serde_json::json!({})).await?;
    tx.commit().await
}
