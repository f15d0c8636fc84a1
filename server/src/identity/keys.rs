//! The keys that sign: made here, sealed by the master key, kept in the database, so that all servers sign with the same
//! one.
//!
//! The newest signs, as long as it is younger than [`DAYS`]; then whoever asks next makes another. A key whose successor
//! has been there for a day is let go of: what it signed has long ended. To change keys at once, delete the rows
//! (docs/operations.md).

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, PublicKeyUse},
};
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{app::App, error::Error, secrets::Place, store::SigningKey};

/// How long a key signs, in days.
const DAYS: i32 = 90;
/// Rows of one batch.
const BATCH: i64 = 20;

/// Sees to it that there is a key that signs, and lets old ones go.
pub async fn keep(app: &App) -> Result<(), Error> {
    current(app).await?;
    let mut tx = app.db.begin().await?;
    let gone = tx.purge_signing_keys(BATCH).await?;
    tx.commit().await?;
    if gone > 0 {
        tracing::info!(gone, "signing keys that were replaced are gone");
    }
    Ok(())
}

/// The key that signs now.
pub(super) async fn current(app: &App) -> Result<(Uuid, EncodingKey), Error> {
    let mut tx = app.db.begin().await?;
    let mut found = tx.signing_key(DAYS).await?;
    if found.is_none() {
        tx.lock_signing_keys().await?;
        found = tx.signing_key(DAYS).await?;
    }
    let key = match found {
        Some(key) => {
            let opened = app.keys.open(Place::SigningKey(&key.id.to_string()), &key.sealed)?;
            (key.id, usable(&opened)?)
        }
        None => {
            let id = Uuid::now_v7();
            let private = tokio::task::spawn_blocking(generate)
                .await
                .map_err(|error| Error::internal(format!("a signing key cannot be made: {error}")))??;
            let key = usable(&private)?;
            let sealed = app.keys.seal(Place::SigningKey(&id.to_string()), &private)?;
            tx.insert_signing_key(&SigningKey { id, sealed }, &public(id, &key)?).await?;
            tracing::info!(%id, "a key for identity tokens was made");
            (id, key)
        }
    };
    tx.commit().await?;
    Ok(key)
}

/// A private key, PKCS#8.
fn generate() -> Result<Zeroizing<Vec<u8>>, Error> {
    let broken = |_| Error::internal("a signing key cannot be made");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(broken)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(broken)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

fn usable(private: &[u8]) -> Result<EncodingKey, Error> {
    let base64 = Zeroizing::new(STANDARD.encode(private));
    let pem =
        Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", *base64));
    EncodingKey::from_rsa_pem(pem.as_bytes())
        .map_err(|error| Error::internal(format!("a signing key cannot be used: {error}")))
}

/// The public half, as it is published.
fn public(id: Uuid, key: &EncodingKey) -> Result<Value, Error> {
    let mut jwk = Jwk::from_encoding_key(key, Algorithm::RS256)
        .map_err(|error| Error::internal(format!("a signing key has no public half: {error}")))?;
    jwk.common.key_id = Some(id.to_string());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    serde_json::to_value(jwk).map_err(|error| Error::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Header, Validation};
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_key_signs_its_public_half_checks() {
        let id = Uuid::nil();
        let (one, other) = (usable(&generate().unwrap()).unwrap(), usable(&generate().unwrap()).unwrap());
        let claims = json!({ "aud": "a", "exp": 4_000_000_000_u64, "sub": "s" });
        let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &one).unwrap();
        let check = |key: &EncodingKey| {
            let published = public(id, key).unwrap();
            for (name, value) in [("kty", "RSA"), ("alg", "RS256"), ("use", "sig"), ("e", "AQAB")] {
                assert_eq!(published[name], value);
            }
            assert!(published.get("d").is_none(), "nothing of the private half");
            let jwk: Jwk = serde_json::from_value(published).unwrap();
            let mut validation = Validation::new(Algorithm::RS256);
            validation.set_audience(&["a"]);
            jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation)
        };
        assert_eq!(check(&one).unwrap().claims, claims);
        assert!(check(&other).is_err());
    }
}
