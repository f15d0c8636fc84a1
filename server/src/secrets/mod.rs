//! Secrets: sealed at rest, scoped to repository and environment, opened only for a lease.

mod keys;

use std::collections::BTreeMap;

pub use keys::{Keys, Place};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tidegate_protocol::ids::RepositoryId;

use crate::{
    actor::Actor,
    app::App,
    environments,
    error::Error,
    store::{SealedSecret, Tx, views::SecretName},
};

/// The longest secret, in bytes.
const LARGEST: usize = 64 << 10;

/// Stores a secret, or a new version of it. `environment` none: for every stage of the repository.
pub async fn put(
    app: &App,
    repository: RepositoryId,
    environment: Option<&str>,
    name: &str,
    value: SecretString,
    actor: &Actor,
) -> Result<(), Error> {
    check_name(name)?;
    if let Some(environment) = environment {
        environments::check_name(environment)?;
    }
    let value = value.expose_secret();
    // A NUL could not become an environment value.
    if value.is_empty() || value.len() > LARGEST || value.contains('\0') {
        return Err(Error::Invalid(format!("a secret has 1 to {LARGEST} bytes of text, without NUL")));
    }
    let mut tx = app.db.begin().await?;
    // Two who write at once do so one after the other: the version is part of what is sealed.
    let owner = tx.lock_repository(repository).await?;
    let version = tx.secret_version(repository, environment, name).await? + 1;
    let mut row = SealedSecret {
        repository_id: Some(repository.0),
        environment: environment.map(str::to_owned),
        name: name.to_owned(),
        sealed: Vec::new(),
        version,
    };
    row.sealed = with_place(&row, |place| app.keys.seal(place, value.as_bytes()))?;
    tx.put_secret(repository, &row, &actor.username).await?;
    let detail = json!({ "name": name, "environment": environment, "version": version });
    tx.audit(&actor.username, "secret.put", &owner.full_name, detail).await?;
    tx.commit().await
}

/// Deletes a secret.
pub async fn delete(
    app: &App,
    repository: RepositoryId,
    environment: Option<&str>,
    name: &str,
    actor: &Actor,
) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let owner = tx.lock_repository(repository).await?;
    tx.delete_secret(repository, environment, name).await?;
    let detail = json!({ "name": name, "environment": environment });
    tx.audit(&actor.username, "secret.delete", &owner.full_name, detail).await?;
    tx.commit().await
}

/// The names of a repository's secrets; nothing gives out their values.
pub async fn list(app: &App, repository: RepositoryId) -> Result<Vec<SecretName>, Error> {
    app.db.secret_names(repository).await
}

/// The secrets that a stage names.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Those that it cannot begin without.
    pub required: Vec<String>,
    /// Those that it does without where there are none.
    pub optional: Vec<String>,
}

/// Opens the secrets that a stage names, for its lease: the environment's own before the repository's, those
/// before everybody's. Refused with one sentence that names all that are missing or do not open.
pub async fn open_for_stage(
    app: &App,
    tx: &mut Tx,
    repository: RepositoryId,
    environment: Option<&str>,
    wanted: &Wanted,
) -> Result<BTreeMap<String, SecretString>, Error> {
    let names: Vec<String> = wanted.required.iter().chain(&wanted.optional).cloned().collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut opened = BTreeMap::new();
    let mut broken = Vec::new();
    for row in tx.secrets_in_reach(repository, environment, &names).await? {
        let value = with_place(&row, |place| app.keys.open(place, &row.sealed));
        match value.as_ref().map(|value| std::str::from_utf8(value)) {
            Ok(Ok(value)) => drop(opened.insert(row.name, SecretString::from(value))),
            _ => broken.push(row.name),
        }
    }
    let mut missing: Vec<&str> = wanted
        .required
        .iter()
        .map(String::as_str)
        .filter(|name| !opened.contains_key(*name) && !broken.iter().any(|row| row == name))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        let place = environment.map_or_else(String::new, |name| format!(", nor for the environment {name}"));
        let (word, verb) = if missing.len() == 1 { ("secret", "is") } else { ("secrets", "are") };
        return Err(Error::Refused(format!(
            "the {word} {} {verb} not set for this repository{place}",
            missing.join(", ")
        )));
    }
    if !broken.is_empty() {
        return Err(Error::Refused(format!(
            "{} cannot be opened: the server's master key is not the one they were sealed with, or the rows were \
             changed; set them again",
            broken.join(", ")
        )));
    }
    Ok(opened)
}

/// The place of a row, as the row itself says.
fn with_place<T>(row: &SealedSecret, work: impl FnOnce(Place<'_>) -> T) -> T {
    let repository = row.repository_id.map(|id| id.to_string());
    work(Place::Secret {
        repository: repository.as_deref(),
        environment: row.environment.as_deref(),
        name: &row.name,
        version: row.version,
    })
}

/// Refuses names that the database would refuse, with a sentence.
fn check_name(name: &str) -> Result<(), Error> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
    let rest = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if first && rest && name.len() <= 100 {
        return Ok(());
    }
    Err(Error::Invalid(
        "a secret's name has 1 to 100 of A-Z, 0-9 and `_`, and begins with a letter".to_owned(),
    ))
}
