//! Secrets: sealed at rest, scoped to repository and environment, opened only for a lease.

mod keys;

pub use keys::{Keys, Place};
use secrecy::SecretString;
use tidegate_protocol::ids::RepositoryId;

use crate::{actor::Actor, app::App, error::Error, store::views::SecretName};

fn later<T>() -> Result<T, Error> {
    Err(Error::internal("not built yet"))
}

/// Stores a secret, or a new version of it. `environment` none: for every stage of the repository.
pub async fn put(
    _app: &App,
    _repository: RepositoryId,
    _environment: Option<&str>,
    _name: &str,
    _value: SecretString,
    _actor: &Actor,
) -> Result<(), Error> {
    later()
}

/// Deletes a secret.
pub async fn delete(
    _app: &App,
    _repository: RepositoryId,
    _environment: Option<&str>,
    _name: &str,
    _actor: &Actor,
) -> Result<(), Error> {
    later()
}

/// The names of a repository's secrets; nothing gives out their values.
pub async fn list(_app: &App, _repository: RepositoryId) -> Result<Vec<SecretName>, Error> {
    later()
}
