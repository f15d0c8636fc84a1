//! The key outside the database, and sealing with it.
//!
//! XChaCha20-Poly1305 with a random nonce before the ciphertext. The associated data names the place that a
//! value belongs to, every field with its length before it, so that a row copied to another place does not open.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

use anyhow::Context;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::Rng;
use zeroize::Zeroizing;

use crate::error::Error;

const NONCE: usize = 24;

/// Where a sealed value belongs. Two values never share a place.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A secret of a repository (none: of all), for an environment (none: for every stage).
    Secret {
        /// The repository's id.
        repository: Option<&'a str>,
        /// The environment's name.
        environment: Option<&'a str>,
        /// The secret's name.
        name: &'a str,
        /// The row's version.
        version: i32,
    },
    /// The webhook secret of this repository.
    WebhookSecret(&'a str),
    /// The clone token of this repository.
    CloneToken(&'a str),
    /// The signing key with this id.
    SigningKey(&'a str),
}

impl Place<'_> {
    /// The associated data: each field behind its length, absent ones told apart from empty ones.
    fn aad(&self) -> Vec<u8> {
        let version;
        let fields: Vec<Option<&str>> = match self {
            Self::Secret { repository, environment, name, version: number } => {
                version = number.to_string();
                vec![Some("secret"), *repository, *environment, Some(name), Some(&version)]
            }
            Self::WebhookSecret(repository) => vec![Some("webhook"), Some(repository)],
            Self::CloneToken(repository) => vec![Some("clone"), Some(repository)],
            Self::SigningKey(id) => vec![Some("signing"), Some(id)],
        };
        let mut aad = b"tidegate/1".to_vec();
        for field in fields {
            match field {
                None => aad.push(0),
                Some(text) => {
                    aad.push(1);
                    aad.extend_from_slice(&(text.len() as u64).to_be_bytes());
                    aad.extend_from_slice(text.as_bytes());
                }
            }
        }
        aad
    }
}

/// The master key. Cloning is cheap; the bytes are wiped with the last clone.
#[derive(Clone)]
pub struct Keys {
    master: Arc<Zeroizing<[u8; 32]>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// A key that was made now and is kept nowhere.
    pub fn generate() -> Self {
        let mut master = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(master.as_mut());
        Self { master: Arc::new(master) }
    }

    /// Reads `master.key` of the data folder; makes it (readable by nobody else) when there is none.
    pub fn load_or_create(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join("master.key");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                let mut master = Zeroizing::new([0; 32]);
                hex::decode_to_slice(text.trim(), master.as_mut()).with_context(|| {
                    format!("{} must hold 64 hex digits; restore it from your backup", path.display())
                })?;
                Ok(Self { master: Arc::new(master) })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::create_dir_all(data_dir)
                    .with_context(|| format!("cannot make {}", data_dir.display()))?;
                let keys = Self::generate();
                // create_new: of two servers that start at once, one makes the key and the other reads it.
                let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
                let mut file = match made {
                    Ok(file) => file,
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                        return Self::load_or_create(data_dir);
                    }
                    Err(error) => {
                        return Err(error).with_context(|| format!("cannot make {}", path.display()));
                    }
                };
                let text = Zeroizing::new(hex::encode(keys.master.as_ref().as_slice()));
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
                Ok(keys)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn cipher(&self) -> Result<XChaCha20Poly1305, Error> {
        XChaCha20Poly1305::new_from_slice(self.master.as_ref().as_slice())
            .map_err(|_| Error::internal("the master key has the wrong length"))
    }

    /// Seals a value for its place.
    pub fn seal(&self, place: Place<'_>, value: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = self
            .cipher()?
            .encrypt(&XNonce::from(nonce), Payload { msg: value, aad: &place.aad() })
            .map_err(|_| Error::internal("a value could not be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a value that was sealed for the same place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let broken = || {
            Error::internal(
                "a sealed value does not open: the master key is another one than it was sealed with, or the row was changed",
            )
        };
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>().ok_or_else(broken)?;
        let value = self
            .cipher()?
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &place.aad() })
            .map_err(|_| broken())?;
        Ok(Zeroizing::new(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret<'a>(
        repository: &'a str,
        environment: Option<&'a str>,
        name: &'a str,
        version: i32,
    ) -> Place<'a> {
        Place::Secret { repository: Some(repository), environment, name, version }
    }

    #[test]
    fn opens_only_in_its_own_place() {
        let keys = Keys::generate();
        let place = secret("a", Some("staging"), "TOKEN", 1);
        let sealed = keys.seal(place, b"value").unwrap();
        assert_eq!(keys.open(place, &sealed).unwrap().as_slice(), b"value");
        for other in [
            secret("b", Some("staging"), "TOKEN", 1),
            secret("a", Some("production"), "TOKEN", 1),
            secret("a", None, "TOKEN", 1),
            secret("a", Some("staging"), "OTHER", 1),
            secret("a", Some("staging"), "TOKEN", 2),
            Place::Secret { repository: None, environment: Some("staging"), name: "TOKEN", version: 1 },
            Place::WebhookSecret("a"),
        ] {
            assert!(keys.open(other, &sealed).is_err(), "opened at {other:?}");
        }
        assert!(Keys::generate().open(place, &sealed).is_err());
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(secret("ab", Some("c"), "N", 1).aad(), secret("a", Some("bc"), "N", 1).aad());
        assert_ne!(secret("a", Some(""), "N", 1).aad(), secret("a", None, "N", 1).aad());
    }

    #[test]
    fn the_key_file_is_made_once_and_for_the_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::load_or_create(folder.path()).unwrap();
        let sealed = first.seal(Place::CloneToken("r"), b"x").unwrap();
        let second = Keys::load_or_create(folder.path()).unwrap();
        assert_eq!(second.open(Place::CloneToken("r"), &sealed).unwrap().as_slice(), b"x");
        let mode = fs::metadata(folder.path().join("master.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
