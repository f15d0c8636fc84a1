//! Repositories: what the server builds.

use secrecy::SecretString;
use serde::Deserialize;
use tidegate_protocol::ids::RepositoryId;
use utoipa::ToSchema;

use crate::{actor::Actor, app::App, error::Error, store::views::Repository};

fn later<T>() -> Result<T, Error> {
    Err(Error::internal("not built yet"))
}

/// A repository to add.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRepository {
    /// `owner/name`.
    pub full_name: String,
    /// `github`, or `git` for one that is told of nothing.
    pub forge: String,
    /// `https://`, `ssh://`, or `file://` where the server allows it.
    pub clone_url: String,
    /// Absent: `main`.
    pub default_branch: Option<String>,
    /// Absent: `.tidegate/pipeline.yml`.
    pub pipeline_path: Option<String>,
    /// `user:token` for clones.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>)]
    pub clone_token: Option<SecretString>,
}

/// What of a repository is to change; absent: stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryChange {
    /// As in [`NewRepository`].
    pub clone_url: Option<String>,
    /// As in [`NewRepository`].
    pub default_branch: Option<String>,
    /// As in [`NewRepository`].
    pub pipeline_path: Option<String>,
    /// As in [`NewRepository`]; empty: no token any more.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>)]
    pub clone_token: Option<SecretString>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

/// A repository that was added. The webhook secret is shown only here.
#[derive(Debug)]
pub struct NewlyAdded {
    /// Its id.
    pub id: RepositoryId,
    /// The secret that its webhooks are signed with.
    pub webhook_secret: SecretString,
}

/// Adds a repository.
pub async fn create(_app: &App, _new: NewRepository, _actor: &Actor) -> Result<NewlyAdded, Error> {
    later()
}

/// Changes a repository.
pub async fn update(
    _app: &App,
    _id: RepositoryId,
    _change: RepositoryChange,
    _actor: &Actor,
) -> Result<Repository, Error> {
    later()
}

/// Deletes a repository with all its runs, environments and secrets.
pub async fn delete(_app: &App, _id: RepositoryId, _actor: &Actor) -> Result<(), Error> {
    later()
}

/// All repositories, by name.
pub async fn list(_app: &App) -> Result<Vec<Repository>, Error> {
    later()
}

/// One repository.
pub async fn get(_app: &App, _id: RepositoryId) -> Result<Repository, Error> {
    later()
}

/// One repository by `owner/name`, if there is one.
pub async fn find(_app: &App, _full_name: &str) -> Result<Option<Repository>, Error> {
    later()
}

/// The secret that a repository's webhooks are signed with.
pub async fn webhook_secret(_app: &App, _id: RepositoryId) -> Result<SecretString, Error> {
    later()
}

/// User name and token for clones, if the repository has them.
pub async fn clone_login(_app: &App, _id: RepositoryId) -> Result<Option<(String, SecretString)>, Error> {
    later()
}

/// Sets the schedules of a repository's default branch, as its pipeline file there has them.
pub async fn set_schedules(
    _app: &App,
    _id: RepositoryId,
    _schedules: &[(String, String)],
) -> Result<(), Error> {
    later()
}
