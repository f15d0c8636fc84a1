//! What the verbs `build` and `push` ask of an engine.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use async_trait::async_trait;
use tidegate_protocol::messages::RegistryLogin;

use super::EngineError;

/// The longest secret that BuildKit takes, in bytes.
pub const LONGEST_SECRET: u64 = 500 << 10;

/// How long is waited before what failed by the registry's own fault is tried again. What has arrived there stays there, and
/// to push it again changes nothing.
pub(crate) const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Takes raw bytes for a step's log.
pub type LogBytes<'a> = dyn FnMut(&[u8]) + Send + 'a;

/// Secrets that a Dockerfile may mount, by their ids. Their values are never shown.
#[derive(Clone, Default)]
pub struct BuildSecrets(BTreeMap<String, Vec<u8>>);

impl BuildSecrets {
    /// Adds one. An error is a sentence without its value.
    pub fn add(&mut self, id: String, value: Vec<u8>) -> Result<(), String> {
        if id.is_empty() {
            return Err("a secret of the build has no id".to_owned());
        }
        if value.len() as u64 > LONGEST_SECRET {
            return Err(format!(
                "the secret `{id}` is longer than {LONGEST_SECRET} bytes, the most that builds take"
            ));
        }
        self.0.insert(id, value);
        Ok(())
    }

    /// The value of one.
    pub fn get(&self, id: &str) -> Option<&[u8]> {
        self.0.get(id).map(Vec::as_slice)
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for BuildSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

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
    /// What its instructions may mount as secrets.
    pub secrets: BuildSecrets,
    /// The platform that it is for, as `linux/arm64`; absent: the engine's own.
    pub platform: Option<String>,
    /// Images with the results of instructions that need not be carried out again.
    pub cache_from: Vec<String>,
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

/// Images of several platforms in one repository that become one, an index of them.
#[derive(Debug, Clone)]
pub struct IndexRequest {
    /// Registry and path without a tag. The images are there already.
    pub repository: String,
    /// Platforms, as `linux/arm64`, and the digests of their images.
    pub images: Vec<(String, String)>,
    /// Tags that point at it; none: it is known by its digest.
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

    /// Puts an index of images into a registry and gives its digest, `sha256:…`.
    async fn push_index(&self, request: &IndexRequest, log: &mut LogBytes<'_>)
    -> Result<String, EngineError>;
}
