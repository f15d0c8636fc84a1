//! The first steps of a new server: an administrator, and a token for its first runner.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::{actor::Role, app::App, auth, error::Error, store::Db};

/// How long an enrolment token can be used.
pub const ENROLMENT_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// What enrolment tokens begin with.
const ENROLMENT_PREFIX: &str = "tge_";

/// An administrator who was made now. The password is shown only here.
#[derive(Debug)]
pub struct NewAdmin {
    /// The name to log in with.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

/// Makes an administrator when there is none; without a password, one is made up.
pub async fn ensure_admin(
    app: &App,
    username: &str,
    password: Option<SecretString>,
) -> Result<Option<NewAdmin>, Error> {
    check_username(username)?;
    let mut tx = app.db.begin().await?;
    if tx.has_admin().await? {
        return Ok(None);
    }
    let password = password.unwrap_or_else(|| auth::fresh("").key);
    let hash = auth::hash_password(password.clone()).await?;
    tx.insert_user(username, username, Some(&hash), Role::Admin).await?;
    tx.audit("system", "user.add", username, json!({ "role": Role::Admin })).await?;
    tx.commit().await?;
    Ok(Some(NewAdmin { username: username.to_owned(), password }))
}

/// Makes a single-use token that a runner enrols with.
pub async fn enrolment_token(app: &App) -> Result<String, Error> {
    enrolment_token_by(app, "system").await
}

/// For the operator of the server's machine, straight on the database: gives a person a new random password, ends
/// the person's sessions, and lets the person in again if that was shut out.
pub async fn reset_password(database_url: &SecretString, username: &str) -> Result<SecretString, Error> {
    let password = auth::fresh("").key;
    let hash = auth::hash_password(password.clone()).await?;
    let db = Db::connect(database_url, 2).await?;
    let mut tx = db.begin().await?;
    if !tx.replace_password(username, &hash).await? {
        return Err(Error::NotFound("user"));
    }
    tx.audit("operator", "user.reset_password", username, json!({})).await?;
    tx.commit().await?;
    db.close().await;
    Ok(password)
}

/// For the operator of the server's machine, straight on the database: whether the audit trail is as it was written.
/// The hash of the last entry, kept elsewhere, also tells whether entries were cut off at the end.
pub async fn verify_audit(database_url: &SecretString) -> Result<AuditTrail, Error> {
    let db = Db::connect(database_url, 2).await?;
    let broken = db.broken_audit_entry().await?;
    let last = db.audit_entries(None, 1).await?.pop();
    db.close().await;
    Ok(match last {
        Some(last) => AuditTrail { broken, entries: last.seq, last: last.hash },
        None => AuditTrail { broken, entries: 0, last: "none".to_owned() },
    })
}

/// What [`verify_audit`] found.
#[derive(Debug)]
pub struct AuditTrail {
    /// The first entry that is not as it was written, or before which one is missing.
    pub broken: Option<i64>,
    /// The number of the last entry.
    pub entries: i64,
    /// Its hash, hex.
    pub last: String,
}

/// As [`enrolment_token`], in a person's name.
pub(crate) async fn enrolment_token_by(app: &App, created_by: &str) -> Result<String, Error> {
    let fresh = auth::fresh(ENROLMENT_PREFIX);
    let mut tx = app.db.begin().await?;
    tx.insert_enrolment_token(&fresh.hash, created_by, ENROLMENT_LIFETIME).await?;
    tx.audit(created_by, "runner.enrolment_token", "runners", json!({})).await?;
    tx.commit().await?;
    Ok(fresh.key.expose_secret().to_owned())
}

/// Refuses names that the database would refuse, with a sentence.
pub(crate) fn check_username(username: &str) -> Result<(), Error> {
    let mut bytes = username.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if first && rest && username.len() <= 64 {
        return Ok(());
    }
    Err(Error::Invalid(
        "a username has 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit".to_owned(),
    ))
}
