//! The runner process: claim, execute, re-attach, shut down.
//!
//! Three lifetimes. The process: until `shutdown`; then nothing is claimed any more and the process ends soon,
//! leaving live sandboxes to the next process, which goes on with them while their leases last (an upgrade costs no
//! stage). An attempt: until its result is reported or its lease is lost. Its cleaning: afterwards, and no cancel
//! reaches it.

mod attempt;
mod leftovers;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tidegate_protocol::{
    ids::AttemptId,
    messages::{Claim, PROTOCOL_VERSION},
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    client::{Backoff, Client, ClientError},
    clock,
    config::RunnerConfig,
    enrol,
    error::RunnerError,
    sandbox::{Engine, docker::Docker, shim},
    stage::RunnerFacts,
    sync::lock,
};

/// How long a claim waits at the server.
const CLAIM_WAIT_MS: u64 = 25_000;
/// The label of a runner whose engine answers.
const LABEL_DOCKER: &str = "docker";

/// Runs the agent on Docker until `shutdown`.
pub async fn run(config: RunnerConfig, shutdown: CancellationToken) -> Result<(), RunnerError> {
    let engine = Docker::connect(config.docker_host.as_deref()).await?;
    run_with(config, Arc::new(engine), shutdown).await
}

/// Runs the agent on any engine.
pub async fn run_with(
    config: RunnerConfig,
    engine: Arc<dyn Engine>,
    shutdown: CancellationToken,
) -> Result<(), RunnerError> {
    let disk = |path: &PathBuf| {
        let path = path.clone();
        move |source| RunnerError::Disk { path, source }
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .map_err(disk(&config.data_dir))?;
    let data_dir = fs::canonicalize(&config.data_dir).map_err(disk(&config.data_dir))?;
    let stages = data_dir.join("stages");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&stages).map_err(disk(&stages))?;
    let _only = only_here(&data_dir)?;
    let Some(identity) = enrol::identity(&config, &shutdown).await? else { return Ok(()) };
    let program = data_dir.join("shim");
    let shim = shim::install(&program).map_err(disk(&program))?;
    let facts = Arc::new(RunnerFacts {
        id: identity.id.to_string(),
        name: config.name.clone(),
        mirrors: data_dir.join("mirrors"),
        shim,
        allow_file_clone: config.allow_file_clone,
        grace: config.grace,
        docker_host: config.docker_host.clone(),
        action_mirrors: data_dir.join("actions"),
        actions: config.actions.clone(),
    });
    let agent = Agent {
        client: Client::new(&config.server_url, Some(identity.key))?,
        config: Arc::new(config),
        engine,
        facts,
        stages,
        shutdown,
        slots: Arc::new(Semaphore::new(0)),
        tasks: TaskTracker::new(),
        actives: Actives::default(),
    };
    let agent = Arc::new(agent);
    agent.clone().serve().await
}

/// Holds the data folder's lock as long as the file is open.
fn only_here(data_dir: &std::path::Path) -> Result<nix::fcntl::Flock<fs::File>, RunnerError> {
    let path = data_dir.join("lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| RunnerError::Disk { path, source })?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|_| RunnerError::Locked(data_dir.to_owned()))
}

struct Agent {
    client: Client,
    config: Arc<RunnerConfig>,
    engine: Arc<dyn Engine>,
    facts: Arc<RunnerFacts>,
    stages: PathBuf,
    shutdown: CancellationToken,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    actives: Actives,
}

/// Attempts that go on in this process; everything else under this runner's label is left over.
type Actives = Arc<Mutex<BTreeSet<AttemptId>>>;

/// An attempt that goes on, as long as this lives.
struct Active(Actives, AttemptId);

impl Drop for Active {
    fn drop(&mut self) {
        lock(&self.0).remove(&self.1);
    }
}

impl Agent {
    fn activate(&self, attempt: AttemptId) -> Active {
        lock(&self.actives).insert(attempt);
        Active(self.actives.clone(), attempt)
    }

    fn is_active(&self, attempt: AttemptId) -> bool {
        lock(&self.actives).contains(&attempt)
    }

    async fn serve(self: Arc<Self>) -> Result<(), RunnerError> {
        let slots = self.config.slots.max(1);
        self.slots.add_permits(slots);
        self.recover().await;
        self.sweep().await;
        let prepared = self.clone();
        self.tasks.spawn(async move { prepared.engine.prepare(&prepared.facts.id, slots).await });
        tracing::info!(runner = %self.facts.id, name = %self.facts.name, slots, "ready for work");
        let result = tokio::select! {
            result = self.claim_all() => result,
            () = self.sweep_often() => Ok(()),
            () = self.shutdown.cancelled() => Ok(()),
        };
        self.tasks.close();
        // Attempts let go of their sandboxes by themselves at a shutdown; cleaning is waited for.
        let _ = tokio::time::timeout(Duration::from_secs(60), self.tasks.wait()).await;
        self.engine.retire().await;
        result
    }

    /// One loop for all slots: a claim goes out whenever one is free.
    async fn claim_all(self: &Arc<Self>) -> Result<(), RunnerError> {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        loop {
            let Ok(slot) = self.slots.clone().acquire_owned().await else { return Ok(()) };
            if let Err(error) = self.engine.check().await {
                tracing::warn!(%error, "nothing is claimed while the engine does not answer");
                backoff.wait().await;
                continue;
            }
            let mut labels = self.config.labels.clone();
            labels.push(LABEL_DOCKER.to_owned());
            let claim = Claim {
                protocol: PROTOCOL_VERSION,
                labels,
                free_slots: u32::try_from(self.slots.available_permits() + 1).unwrap_or(u32::MAX),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                wait_ms: CLAIM_WAIT_MS,
            };
            let sent = clock::now();
            match self.client.claim(&claim).await {
                Ok(Some(lease)) => {
                    backoff.reset();
                    // The claim may have waited long at the server, and the lease began when it was answered: not
                    // before `sent`, and not long before now. If it waited, the first renewal goes out at once
                    // and settles it.
                    let arrived = clock::now();
                    self.begin(lease, sent.max(arrived.saturating_sub(Duration::from_secs(2))), slot);
                }
                Ok(None) => backoff.reset(),
                Err(ClientError::Unauthorized(reason)) => {
                    return Err(RunnerError::Revoked { reason, key_file: self.config.key_file() });
                }
                Err(error) => {
                    tracing::warn!(%error, "no stage could be claimed");
                    backoff.wait().await;
                }
            }
        }
    }
}
