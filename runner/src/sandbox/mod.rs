//! Where a stage runs. The traits' documentation is the contract; `tests/it/contract.rs` runs one suite over
//! every engine.
//!
//! An engine only creates, starts, finds and destroys. Steps, environment files, outputs, timeouts and log
//! framing are the business of the shim (`runner/shim`), which is process 1 of every sandbox, and of the code
//! here that talks with it through two append-only files. So a new engine needs none of that.

pub mod docker;
mod image_index;
pub mod images;
pub mod session;
pub mod shim;
pub mod spool;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tidegate_pipelines::plan::{Resources, Service};
use tidegate_protocol::{
    ids::{AttemptId, RunId},
    messages::RegistryLogin,
};

pub use images::{BuildRequest, BuildSecrets, Entry, Images, IndexRequest, LogBytes, PushRequest};

/// The label that names the runner.
pub const LABEL_RUNNER: &str = "tidegate.runner";
/// The label that names the run.
pub const LABEL_RUN: &str = "tidegate.run";
/// The label that names the stage.
pub const LABEL_STAGE: &str = "tidegate.stage";
/// The label that names the attempt.
pub const LABEL_ATTEMPT: &str = "tidegate.attempt";
/// Where the channel folder is inside a sandbox.
pub const CHANNEL: &str = "/.tidegate";
/// Where the workspace is inside a sandbox.
pub const WORKSPACE: &str = "/workspace";

/// Why an engine could not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The engine does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// An image cannot be had. One sentence, with the engine's own reason.
    #[error("{0}")]
    Image(String),
    /// The engine answered within no sensible time.
    #[error("the container engine did not finish to {what} within {} s", .limit.as_secs())]
    TimedOut {
        /// What was asked, as a verb phrase.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// The engine refused.
    #[error("the container engine could not {what}: {reason}")]
    Refused {
        /// What was asked, as a verb phrase.
        what: String,
        /// The engine's own words.
        reason: String,
    },
}

/// Whose a thing in the engine is. Every container, network and volume carries it as labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The runner's id.
    pub runner: String,
    /// The run.
    pub run: RunId,
    /// The stage's key.
    pub stage: String,
    /// The attempt.
    pub attempt: AttemptId,
}

impl Owner {
    /// The labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (LABEL_RUNNER.to_owned(), self.runner.clone()),
            (LABEL_RUN.to_owned(), self.run.to_string()),
            (LABEL_STAGE.to_owned(), self.stage.clone()),
            (LABEL_ATTEMPT.to_owned(), self.attempt.to_string()),
        ])
    }
}

/// A sandbox to start.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// Whose it is.
    pub owner: Owner,
    /// A further container of the attempt, by its number; none: the sandbox of its stage.
    pub part: Option<u32>,
    /// The image; it is present.
    pub image: String,
    /// The stage's network, from [`Engine::network`].
    pub network: NetworkId,
    /// As that was asked for: it leads nowhere else, so no name is asked of anybody outside.
    pub closed: bool,
    /// Host folder, seen read-only at [`CHANNEL`]: `shim`, `commands`, `scripts/`.
    pub channel: PathBuf,
    /// Host file, seen writable at `CHANNEL/spool`.
    pub spool: PathBuf,
    /// Host folder, seen writable at [`WORKSPACE`].
    pub workspace: PathBuf,
    /// Further host folders and where the sandbox sees them, writable: absolute cache paths.
    pub mounts: Vec<(PathBuf, String)>,
    /// Host folders that the sandbox may only read: what the runner lends.
    pub read_only: Vec<(PathBuf, String)>,
    /// Limits.
    pub resources: Resources,
    /// A fork's run: the stricter sandbox.
    pub untrusted: bool,
    /// Environment values of the container itself; those of its image and of its steps' commands are apart.
    pub env: BTreeMap<String, String>,
    /// The user inside it, `name`, `id` or with a group behind a colon; absent: root.
    pub user: Option<String>,
    /// Ports of the attempt's services that are reached at `localhost` inside. The services were started.
    pub forwards: Vec<Forward>,
}

/// A port of a service at `localhost` of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The port at `localhost`.
    pub local: u16,
    /// The service's name.
    pub service: String,
    /// The service's own port.
    pub port: u16,
    /// For datagrams; else for connections.
    pub udp: bool,
}

/// A network of an engine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NetworkId(pub String);

/// A service of an engine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ServiceId(pub String);

/// What a probe of a service came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// It is ready.
    Ready,
    /// Not yet, and why.
    NotYet(String),
    /// It ended or its health check gave up: it never will be.
    Gone(String),
}

/// How a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxEnd {
    /// Exit code of process 1.
    pub code: i64,
    /// The kernel killed process 1 for want of memory.
    pub out_of_memory: bool,
}

/// A container engine. Every call ends within a time limit of the engine's own, may be made from any task, and
/// returns an error that names what was asked.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Asks whether the engine answers; gives its name and version.
    async fn check(&self) -> Result<String, EngineError>;

    /// Makes what speeds up the first stages of a runner with so many slots, and takes over what an earlier process
    /// of the same runner left for that. Never fails: without it stages start, a little later.
    async fn prepare(&self, runner: &str, slots: usize);

    /// Removes what [`Engine::prepare`] made and no stage uses.
    async fn retire(&self);

    /// Makes the image present. `progress` gets lines for the set-up log. A tag that is present counts: it is
    /// not looked up again. `login` is for its registry, and for nobody else.
    async fn ensure_image(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
        progress: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), EngineError>;

    /// A network of this attempt's own, with name resolution. Nobody else is on it. A closed one leads nowhere else, the
    /// engine's own machine included.
    async fn network(&self, owner: &Owner, closed: bool) -> Result<NetworkId, EngineError>;

    /// Starts a service on the network under its name, and says whether that is closed. Its image is present. `shim` is
    /// the program's file.
    async fn start_service(
        &self,
        owner: &Owner,
        network: (&NetworkId, bool),
        shim: &Path,
        service: &Service,
    ) -> Result<ServiceId, EngineError>;

    /// Asks once whether a service is ready by its own `ready` rule, else by its image's health check, else by
    /// its being up.
    async fn probe(&self, service: &Service, id: &ServiceId) -> Result<Probed, EngineError>;

    /// The last lines of a service's output.
    async fn service_log(&self, id: &ServiceId, lines: usize) -> Result<String, EngineError>;

    /// Creates and starts a sandbox. When this fails, [`Engine::clean`] still finds what was created.
    async fn start(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, EngineError>;

    /// Finds the sandbox of an attempt that an earlier process started; none when it does not run any more.
    async fn find(&self, owner: &Owner) -> Result<Option<Arc<dyn Sandbox>>, EngineError>;

    /// The same for a further container of the attempt.
    async fn find_part(&self, owner: &Owner, part: u32) -> Result<Option<Arc<dyn Sandbox>>, EngineError>;

    /// Destroys everything of an attempt: sandbox, services, networks, volumes. May be called at any time, any
    /// number of times, after a failed start too. Touches nothing without the attempt's label.
    async fn clean(&self, runner: &str, attempt: AttemptId) -> Result<(), EngineError>;

    /// The attempts that have anything in the engine under this runner's label.
    async fn attempts(&self, runner: &str) -> Result<Vec<AttemptId>, EngineError>;

    /// Empties a host folder whose files may belong to any user, with the help of an image that is present.
    async fn empty_folder(
        &self,
        owner: &Owner,
        image: &str,
        shim: &Path,
        folder: &Path,
    ) -> Result<(), EngineError>;

    /// Gives all in a host folder that is not a user's of the image to it, with the help of that image, which is
    /// present. `user` is as in [`SandboxSpec::user`].
    async fn own_folder(
        &self,
        owner: &Owner,
        image: &str,
        shim: &Path,
        folder: &Path,
        user: &str,
    ) -> Result<(), EngineError>;

    /// The engine's images, for the verbs `build` and `push`.
    fn images(&self) -> &dyn Images;
}

/// A running sandbox. Dropping it does not end it.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// The engine's name for it.
    fn id(&self) -> &str;

    /// Waits until process 1 has ended. May be called again.
    async fn wait(&self) -> Result<SandboxEnd, EngineError>;

    /// Ends it at once. Not an error when it has ended.
    async fn kill(&self) -> Result<(), EngineError>;
}
