//! An attempt's tokens, and signatures of the URLs that its libraries are given.
//!
//! Libraries read the runtime token's claims, so it is a JWT; nobody but this attempt's own services ever checks it, and
//! they compare it whole. A URL for a file carries a signature of its path, since storage libraries send no token. All
//! of it comes from one random key in the attempt's scratch folder, which no sandbox sees, so that it stays the same
//! when the runner is restarted in the middle of the stage.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tidegate_protocol::messages::Lease;

/// Tokens and the key that signs.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Keys {
    /// For caches and artifacts: `ACTIONS_RUNTIME_TOKEN`.
    pub(super) runtime: String,
    /// For identity tokens: `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    pub(super) identity: String,
    key: [u8; 32],
}

impl Keys {
    /// Those of the attempt: made now, or by an earlier process.
    pub(super) fn open(state: &Path, lease: &Lease) -> io::Result<Self> {
        let path = state.join("keys.json");
        match fs::read(&path) {
            Ok(bytes) => return serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let keys = Self::new(lease, jiff::Timestamp::now().as_second());
        let fresh = state.join("keys.json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(&keys)?)?;
        fs::rename(&fresh, &path)?;
        Ok(keys)
    }

    fn new(lease: &Lease, now: i64) -> Self {
        let key: [u8; 32] = rand::random();
        let until = now.saturating_add(i64::try_from(lease.stage.timeout_seconds).unwrap_or(i64::MAX));
        let token = |scope: String| {
            let claims = json!({
                "iss": "tidegate-runner",
                "scp": scope,
                "jti": uuid::Uuid::new_v4().to_string(),
                "iat": now,
                "nbf": now,
                "exp": until,
            });
            signed(&key, &claims)
        };
        Self {
            runtime: token(format!("Actions.Results:{}:{}", lease.run, lease.attempt)),
            identity: token("Actions.IdToken".to_owned()),
            key,
        }
    }

    /// What logs must not show.
    pub(super) fn secrets(&self) -> [&str; 2] {
        [&self.runtime, &self.identity]
    }

    /// The signature of a path.
    pub(super) fn sign(&self, path: &str) -> String {
        hex::encode(mac(&self.key, path))
    }

    /// Whether this is the path's signature.
    pub(super) fn signed(&self, path: &str, signature: &str) -> bool {
        equal(self.sign(path).as_bytes(), signature.as_bytes())
    }
}

/// Whether two secrets are one, in a time that does not tell where they differ.
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

fn mac(key: &[u8; 32], text: &str) -> Vec<u8> {
    // A key of a whole block: a shorter one is filled up with zeros anyway.
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// A JWT (HS256).
fn signed(key: &[u8; 32], claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "HS256" })), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(mac(key, &text));
    format!("{text}.{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        serde_json::from_value(json!({
            "attempt": uuid::Uuid::nil(), "epoch": 1, "expires_in_ms": 0, "stage_id": uuid::Uuid::nil(),
            "run": uuid::Uuid::max(), "run_number": 1, "number": 1,
            "source": { "repository": "a/b", "clone_url": "", "login": null, "reference": "", "sha": "" },
            "stage": {
                "key": "a", "name": "a", "timeout_seconds": 60, "checkout": false,
                "verb": { "kind": "run", "image": "d", "steps": [] },
            },
            "env": {}, "secrets": [], "registry_login": null, "deployment": null, "trusted": true,
        }))
        .unwrap()
    }

    #[test]
    fn the_runtime_token_says_whose_it_is_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let lease = lease();
        let keys = Keys::open(folder.path(), &lease).unwrap();
        let again = Keys::open(folder.path(), &lease).unwrap();
        assert_eq!((&keys.runtime, &keys.identity, keys.key), (&again.runtime, &again.identity, again.key));
        let parts: Vec<&str> = keys.runtime.split('.').collect();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!(claims["scp"], format!("Actions.Results:{}:{}", lease.run, lease.attempt));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Keys::open(other.path(), &lease).unwrap().runtime, keys.runtime);
    }

    #[test]
    fn a_signature_is_of_one_path() {
        let keys = Keys::new(&lease(), 0);
        let signature = keys.sign("/blobs/up/1");
        assert!(keys.signed("/blobs/up/1", &signature));
        assert!(!keys.signed("/blobs/up/2", &signature));
        assert!(!keys.signed("/blobs/up/1", &signature[1..]) && !keys.signed("/blobs/up/1", ""));
        assert!(!Keys::new(&lease(), 0).signed("/blobs/up/1", &signature));
    }
}
