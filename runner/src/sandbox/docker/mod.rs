//! The Docker engine, through its API. The other files of this folder hold its parts.
//!
//! dockerd can hang for good (it has done so on `top`, and when its log plumbing deadlocks), so no call is made
//! without a time limit. The version is negotiated: the client's own is newer than many daemons'.

mod build;
mod images;
mod networks;
mod progress;
mod services;
mod session;
mod spec;
mod start;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bollard::{
    errors::Error,
    query_parameters::{InspectContainerOptions, KillContainerOptions, WaitContainerOptions},
};
use futures_util::StreamExt as _;
use tidegate_pipelines::plan::Service;
use tidegate_protocol::{ids::AttemptId, messages::RegistryLogin};

use self::networks::NetworkBook;
use crate::sandbox::{
    Engine, EngineError, Images, LABEL_ATTEMPT, NetworkId, Owner, Probed, Sandbox, SandboxEnd, SandboxSpec,
    ServiceId,
};

/// The limit of calls that only ask.
const QUICK: Duration = Duration::from_secs(20);
/// The limit of calls that make, start or remove something.
const SLOW: Duration = Duration::from_secs(90);
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// A Docker engine.
pub struct Docker {
    client: bollard::Docker,
    host: String,
    /// Processors and bytes of memory of the engine's machine.
    machine: (f64, u64),
    networks: Mutex<NetworkBook>,
}

impl Docker {
    /// Connects to `host`, else to `DOCKER_HOST`, else to the local socket, and asks whether it answers.
    pub async fn connect(host: Option<&str>) -> Result<Self, EngineError> {
        let host = host
            .map(str::to_owned)
            .or_else(|| std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()))
            .unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let no_answer = |reason: String| {
            EngineError::Unreachable(format!(
                "no container engine answers at {host}: {reason}. Start Docker (`systemctl start docker`), check \
                 that this user may use it, or name another engine by DOCKER_HOST"
            ))
        };
        let version = bollard::API_DEFAULT_VERSION;
        let client = match host.split_once("://") {
            Some(("unix", _)) => bollard::Docker::connect_with_unix(&host, 600, version),
            Some(("tcp" | "http", _)) => bollard::Docker::connect_with_http(&host, 600, version),
            _ => {
                return Err(EngineError::Unreachable(format!(
                    "`{host}` is no address of a container engine; expected unix:///path/to/docker.sock or \
                     tcp://host:port"
                )));
            }
        }
        .map_err(|error| no_answer(words(&error)))?;
        let client = tokio::time::timeout(QUICK, client.negotiate_version())
            .await
            .map_err(|_| no_answer("it took too long".to_owned()))?
            .map_err(|error| no_answer(words(&error)))?;
        let info = tokio::time::timeout(QUICK, client.info())
            .await
            .map_err(|_| no_answer("it took too long".to_owned()))?
            .map_err(|error| no_answer(words(&error)))?;
        let cpus = info.ncpu.unwrap_or(1).max(1) as f64;
        let memory = u64::try_from(info.mem_total.unwrap_or_default()).unwrap_or_default();
        Ok(Self { client, host, machine: (cpus, memory), networks: Mutex::new(NetworkBook::new()) })
    }

    /// Makes a call with a limit, and turns its error into one that names what was asked.
    pub(super) async fn call<T>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.error(what, &error)),
            Err(_) => Err(EngineError::TimedOut { what: what.to_owned(), limit }),
        }
    }

    /// As [`Self::call`], and `None` when there is no such thing.
    pub(super) async fn find_by<T>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<Option<T>, EngineError> {
        let call = async {
            match call.await {
                Ok(value) => Ok(Some(value)),
                Err(error) if status(&error) == Some(404) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.call(what, limit, call).await
    }

    /// Turns the client's error into ours.
    pub(super) fn error(&self, what: &str, error: &Error) -> EngineError {
        match error {
            Error::DockerResponseServerError { message, .. } => {
                EngineError::Refused { what: what.to_owned(), reason: message.trim().to_owned() }
            }
            Error::DockerStreamError { error } => {
                EngineError::Refused { what: what.to_owned(), reason: error.trim().to_owned() }
            }
            other => EngineError::Unreachable(format!(
                "the container engine at {} stopped answering when asked to {what}: {}",
                self.host,
                words(other)
            )),
        }
    }

    /// The name of an attempt's sandbox; that it is unique keeps an attempt from being started twice.
    pub(super) fn sandbox_name(attempt: AttemptId, part: Option<u32>) -> String {
        part.map_or_else(|| format!("tidegate-{attempt}"), |part| format!("tidegate-{attempt}-part{part}"))
    }

    async fn find_named(
        &self,
        owner: &Owner,
        part: Option<u32>,
    ) -> Result<Option<Arc<dyn Sandbox>>, EngineError> {
        let name = Self::sandbox_name(owner.attempt, part);
        let call = self.client.inspect_container(&name, None::<InspectContainerOptions>);
        let Some(found) = self.find_by("look for a sandbox", QUICK, call).await? else { return Ok(None) };
        let ours = found
            .config
            .and_then(|config| config.labels)
            .is_some_and(|labels| labels.get(LABEL_ATTEMPT) == Some(&owner.attempt.to_string()));
        let running = found.state.and_then(|state| state.running).unwrap_or(false);
        Ok(found.id.filter(|_| ours && running).map(|id| -> Arc<dyn Sandbox> {
            Arc::new(DockerSandbox { client: self.client.clone(), host: self.host.clone(), id })
        }))
    }
}

/// The HTTP status of an engine's answer.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// An error with its causes, in one line.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// Labels as the client wants them.
pub(super) fn label_map(labels: BTreeMap<String, String>) -> HashMap<String, String> {
    labels.into_iter().collect()
}

#[async_trait]
impl Engine for Docker {
    async fn check(&self) -> Result<String, EngineError> {
        let version = self.call("tell its version", QUICK, self.client.version()).await?;
        Ok(format!("docker {}", version.version.unwrap_or_default()))
    }

    async fn prepare(&self, runner: &str, slots: usize) {
        self.prepare_networks(runner, slots).await;
    }

    async fn retire(&self) {
        self.remove_idle_networks().await;
    }

    async fn ensure_image(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
        progress: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), EngineError> {
        self.pull_if_missing(image, login, progress).await
    }

    async fn network(&self, owner: &Owner, closed: bool) -> Result<NetworkId, EngineError> {
        self.take_network(owner, closed).await
    }

    async fn start_service(
        &self,
        owner: &Owner,
        network: (&NetworkId, bool),
        shim: &Path,
        service: &Service,
    ) -> Result<ServiceId, EngineError> {
        self.create_service(owner, network, shim, service).await
    }

    async fn probe(&self, service: &Service, id: &ServiceId) -> Result<Probed, EngineError> {
        self.probe_service(service, id).await
    }

    async fn service_log(&self, id: &ServiceId, lines: usize) -> Result<String, EngineError> {
        self.read_service_log(id, &lines.to_string()).await
    }

    async fn start(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, EngineError> {
        let id = self.create_sandbox(spec).await?;
        Ok(Arc::new(DockerSandbox { client: self.client.clone(), host: self.host.clone(), id }))
    }

    async fn find(&self, owner: &Owner) -> Result<Option<Arc<dyn Sandbox>>, EngineError> {
        self.find_named(owner, None).await
    }

    async fn find_part(&self, owner: &Owner, part: u32) -> Result<Option<Arc<dyn Sandbox>>, EngineError> {
        self.find_named(owner, Some(part)).await
    }

    async fn clean(&self, runner: &str, attempt: AttemptId) -> Result<(), EngineError> {
        self.remove_attempt(runner, attempt).await
    }

    async fn attempts(&self, runner: &str) -> Result<Vec<AttemptId>, EngineError> {
        self.list_attempts(runner).await
    }

    async fn empty_folder(
        &self,
        owner: &Owner,
        image: &str,
        shim: &Path,
        folder: &Path,
    ) -> Result<(), EngineError> {
        self.help_with_shim("empty a workspace", owner, image, (shim, folder), &["empty", spec::FOLDER]).await
    }

    async fn own_folder(
        &self,
        owner: &Owner,
        image: &str,
        shim: &Path,
        folder: &Path,
        user: &str,
    ) -> Result<(), EngineError> {
        let words = ["own", spec::FOLDER, user];
        self.help_with_shim("hand the workspace to the stage's user", owner, image, (shim, folder), &words)
            .await
    }

    fn images(&self) -> &dyn Images {
        self
    }
}

struct DockerSandbox {
    client: bollard::Docker,
    host: String,
    id: String,
}

impl DockerSandbox {
    /// How it ended; `None` while it runs.
    async fn ended(&self) -> Result<Option<SandboxEnd>, Error> {
        match self.client.inspect_container(&self.id, None::<InspectContainerOptions>).await {
            Ok(found) => {
                Ok(found.state.filter(|state| !state.running.unwrap_or(false)).map(|state| SandboxEnd {
                    code: state.exit_code.unwrap_or(-1),
                    out_of_memory: state.oom_killed.unwrap_or(false),
                }))
            }
            Err(error) if status(&error) == Some(404) => {
                Ok(Some(SandboxEnd { code: -1, out_of_memory: false }))
            }
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Sandbox for DockerSandbox {
    fn id(&self) -> &str {
        &self.id
    }

    /// The engine may be restarted meanwhile: the sandbox may outlive that, so it is asked for again for a minute.
    async fn wait(&self) -> Result<SandboxEnd, EngineError> {
        let mut silent_since = None;
        loop {
            let mut stream =
                std::pin::pin!(self.client.wait_container(&self.id, None::<WaitContainerOptions>));
            // Whatever the stream says, the container's own state is the truth.
            let _ = stream.next().await;
            match tokio::time::timeout(QUICK, self.ended()).await {
                Ok(Ok(Some(end))) => return Ok(end),
                Ok(Ok(None)) => silent_since = None,
                _ => {
                    let since = *silent_since.get_or_insert_with(tokio::time::Instant::now);
                    if since.elapsed() > Duration::from_secs(60) {
                        return Err(EngineError::Unreachable(format!(
                            "the container engine at {} has not answered for a minute",
                            self.host
                        )));
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn kill(&self) -> Result<(), EngineError> {
        let call = self.client.kill_container(&self.id, None::<KillContainerOptions>);
        match tokio::time::timeout(SLOW, call).await {
            Ok(Ok(())) => Ok(()),
            // 404: gone. 409: not running.
            Ok(Err(error)) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            Ok(Err(error)) => {
                Err(EngineError::Refused { what: "kill a sandbox".to_owned(), reason: words(&error) })
            }
            Err(_) => Err(EngineError::TimedOut { what: "kill a sandbox".to_owned(), limit: SLOW }),
        }
    }
}
