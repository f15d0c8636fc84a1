//! What the verbs `build` and `push` ask of an engine.

use std::{collections::BTreeMap, path::PathBuf};

use async_trait::async_trait;
use tidegate_protocol::messages::RegistryLogin;

use super::EngineError;

/// Takes raw bytes for a step's log.
pub type LogBytes<'a> = dyn FnMut(&[u8]) + Send + 'a;

/// An image to build.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// A tar file of the build's context.
    pub context: PathBuf,
    /// Path of the Dockerfile in it.
    pub dockerfile: String,
    /// The Dockerfile's stage to stop at.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Every instruction is carried out anew.
    pub no_cache: bool,
    /// The images that it starts from are asked for anew.
    pub pull: bool,
    /// Credentials for the registries that it starts from, by host.
    pub logins: BTreeMap<String, RegistryLogin>,
}

/// An image to send to a registry.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The image's id, `sha256:…`.
    pub image_id: String,
    /// Registry and path without a tag.
    pub repository: String,
    /// At least one.
    pub tags: Vec<String>,
    /// Credentials, if the registry wants some.
    pub login: Option<RegistryLogin>,
}

/// What an image runs when nobody says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its entry point.
    pub entrypoint: Vec<String>,
    /// Its command: the entry point's arguments, or a program where there is no entry point.
    pub command: Vec<String>,
}

/// Images of an engine. `log` gets raw bytes for the step's log.
#[async_trait]
pub trait Images: Send + Sync {
    /// Builds an image and gives its id, `sha256:…`.
    async fn build(&self, request: &BuildRequest, log: &mut LogBytes<'_>) -> Result<String, EngineError>;

    /// What an image that is present runs.
    async fn entry(&self, image: &str) -> Result<Entry, EngineError>;

    /// Gives an image a name that this engine knows it by.
    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineError>;

    /// Sends an image under every tag and gives its digest in the registry, `sha256:…`.
    async fn push(&self, request: &PushRequest, log: &mut LogBytes<'_>) -> Result<String, EngineError>;
}
