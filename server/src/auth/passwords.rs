//! Passwords: argon2id, off the async threads, and as slow for a user who does not exist.

use std::sync::OnceLock;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::Error;

/// The shortest password that is taken.
pub const MIN_PASSWORD: usize = 10;
/// The longest, so that nobody makes the server hash a novel.
const MAX_PASSWORD: usize = 1024;
/// Each hash takes 19 MiB and a core: so many at a time.
static AT_A_TIME: Semaphore = Semaphore::const_new(4);

/// Hashes a new password; refuses one that is too short.
pub async fn hash(password: SecretString) -> Result<String, Error> {
    let length = password.expose_secret().chars().count();
    if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&length) {
        return Err(Error::Invalid(format!(
            "a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; this one has {length}"
        )));
    }
    off_thread(move || hash_now(password.expose_secret())).await?
}

/// Whether the password is the one that was hashed. `hash` none (nobody, or nobody who may): never, after the
/// same work, so that the time an answer takes does not say who exists.
pub(super) async fn verify(password: SecretString, hash: Option<String>) -> Result<bool, Error> {
    if password.expose_secret().len() > MAX_PASSWORD * 4 {
        return Ok(false);
    }
    off_thread(move || {
        let real = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => nobody()?.to_owned(),
        };
        let hash = PasswordHash::new(&hash)
            .map_err(|error| Error::internal(format!("a stored password hash cannot be read: {error}")))?;
        let right = Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok();
        Ok(real && right)
    })
    .await?
}

fn hash_now(password: &str) -> Result<String, Error> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Error::internal(format!("a password could not be hashed: {error}")))
}

/// A hash of nobody's password.
fn nobody() -> Result<&'static str, Error> {
    static HASH: OnceLock<String> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return Ok(hash);
    }
    let hash = hash_now("nobody's password")?;
    Ok(HASH.get_or_init(|| hash))
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let _permit = AT_A_TIME.acquire().await.map_err(|_| Error::internal("the server is stopping"))?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal(format!("hashing a password did not end: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_opens_only_its_own_hash() {
        let hash = hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!verify("correct horsf".into(), Some(hash)).await.unwrap());
        assert!(!verify("nobody's password".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn short_passwords_are_refused() {
        assert!(matches!(hash("short".into()).await, Err(Error::Invalid(_))));
    }
}
