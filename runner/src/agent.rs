//! The runner process: claim, execute, re-attach, shut down.
//!
//! Three lifetimes. The process: until `shutdown`; then nothing is claimed any more and the process ends soon,
//! leaving live sandboxes to the next process, which goes on with them while their leases last (an upgrade costs no
//! stage). An attempt: until its result is reported or its lease is lost. Its cleaning: afterwards, and no cancel
//! reaches it.

use std::{
    collections::BTreeSet, fs, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc, time::Duration,
};

use tidegate_protocol::{
    ids::AttemptId,
    messages::{Claim, Lease, PROTOCOL_VERSION},
};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    client::{AttemptClient, Backoff, Client, ClientError},
    clock,
    config::RunnerConfig,
    enrol,
    error::RunnerError,
    http_results::HttpResults,
    journal::{Journal, Phase},
    lease::{Keeper, fence_at},
    logs::{MaskedLog, ship, spool::LogSpool},
    sandbox::{Engine, docker::Docker, shim},
    stage::{self, Executed, RunnerFacts, StageContext, StageDirs, StepBook, WorkspaceFrom},
};

/// How long a claim waits at the server.
const CLAIM_WAIT_MS: u64 = 25_000;
/// The label of a runner whose engine answers.
const LABEL_DOCKER: &str = "docker";
/// How often things without an attempt are looked for.
const SWEEP: Duration = Duration::from_secs(60);

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
}

/// An attempt to execute, new or found.
struct Held {
    journal: Arc<Journal>,
    lease: Lease,
    /// When the call that granted or renewed the lease was sent.
    sent: Duration,
    expires_in_ms: u64,
    deadline: Instant,
}

impl Agent {
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

    fn begin(self: &Arc<Self>, lease: Lease, sent: Duration, slot: tokio::sync::OwnedSemaphorePermit) {
        let agent = self.clone();
        let span = tracing::info_span!(
            "attempt", run = %lease.run, stage = %lease.stage.key, attempt = %lease.attempt, epoch = lease.epoch
        );
        let work = async move {
            tracing::info!("claimed");
            let dirs = StageDirs { root: agent.stages.join(lease.attempt.to_string()) };
            let timeout = Duration::from_secs(lease.stage.timeout_seconds);
            let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let expires_ms = ms(sent) + lease.expires_in_ms;
            let begun = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dirs.root).and_then(|()| {
                Journal::begin(&dirs.journal(), &lease, expires_ms, ms(clock::now() + timeout))
            });
            match begun {
                Ok(journal) => {
                    let held = Held {
                        journal: Arc::new(journal),
                        sent,
                        expires_in_ms: lease.expires_in_ms,
                        deadline: Instant::now() + timeout,
                        lease,
                    };
                    agent.attempt(held, dirs).await;
                }
                Err(error) => {
                    tracing::error!(%error, folder = %dirs.root.display(), "the stage cannot be begun")
                }
            }
            drop(slot);
        };
        self.tasks.spawn(work.instrument(span));
    }

    /// Executes an attempt, reports what it came to, and removes every trace of it.
    async fn attempt(&self, held: Held, dirs: StageDirs) {
        let Held { journal, lease, sent, expires_in_ms, deadline } = held;
        let log_spool = match LogSpool::open(&dirs.logs()) {
            Ok(spool) => Arc::new(spool),
            Err(error) => {
                tracing::error!(%error, folder = %dirs.root.display(), "the log cannot be kept");
                return;
            }
        };
        let client = Arc::new(AttemptClient::new(self.client.clone(), lease.attempt, lease.epoch));
        let fence = CancellationToken::new();
        let cancel = fence.child_token();
        let done = CancellationToken::new();
        let (ends, lease_ends) = watch::channel(Some(fence_at(sent, expires_in_ms)));
        let keeper = Keeper {
            client: client.clone(),
            spool: log_spool.clone(),
            journal: journal.clone(),
            ends,
            cancel: cancel.clone(),
            fence: fence.clone(),
        };
        let keeping = tokio::spawn(keeper.keep(sent, expires_in_ms, done.clone()).in_current_span());
        let shipper = ship::Shipper::new(log_spool.clone(), client.clone(), cancel.clone(), fence.clone());
        let shipping = tokio::spawn(shipper.run().in_current_span());

        let mut secrets: Vec<String> = lease.secrets.iter().map(|secret| secret.value.clone()).collect();
        secrets.extend(lease.registry_login.iter().map(|login| login.password.clone()));
        secrets.extend(lease.source.login.iter().map(|(_, token)| token.clone()));
        let ctx = StageContext {
            lease: Arc::new(lease),
            runner: self.facts.clone(),
            dirs,
            workspace_from: WorkspaceFrom::Source,
            engine: self.engine.clone(),
            log: Arc::new(MaskedLog::new(&secrets, log_spool.clone())),
            steps: Arc::new(StepBook::new(log_spool.clone())),
            results: Arc::new(HttpResults::new(client.clone(), fence.clone())),
            journal,
            cancel,
            fence: fence.clone(),
            lease_ends,
            deadline,
        };
        let executed = tokio::select! {
            executed = stage::execute(&ctx) => Some(executed),
            () = self.left_to_the_next(&ctx) => None,
        };
        match executed {
            Some(Executed::Finish(finish)) => {
                // The sandbox goes while the last lines travel.
                let report = self.report(&client, &log_spool, &finish, &fence);
                tokio::join!(report, self.engine_clean(&ctx));
                stage::clean(&ctx).await;
            }
            Some(Executed::Abandon(reason)) => {
                tracing::warn!(%reason, "nothing is reported");
                stage::clean(&ctx).await;
            }
            None => tracing::info!("left to the next process"),
        }
        done.cancel();
        shipping.abort();
        let _ = keeping.await;
    }

    async fn engine_clean(&self, ctx: &StageContext) {
        if let Err(error) = self.engine.clean(&self.facts.id, ctx.lease.attempt).await {
            tracing::warn!(%error, "the sandbox could not be removed; it is tried again");
        }
    }

    /// Ready when the process is to end and the attempt can be gone on with by another: its steps run under a shim.
    async fn left_to_the_next(&self, ctx: &StageContext) {
        self.shutdown.cancelled().await;
        while ctx.journal.phase() != Phase::Steps {
            // Setting up is short; what the runner does itself is finished, as nobody could go on with it.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reports the end once the server has every byte of the log.
    async fn report(
        &self,
        client: &AttemptClient,
        spool: &LogSpool,
        finish: &tidegate_protocol::messages::Finish,
        fence: &CancellationToken,
    ) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
        let mut finish = finish.clone();
        if let Some(broken) = spool.broken() {
            finish.reason.get_or_insert(format!("the log is not whole: {broken}"));
        }
        while ship::flushed(spool, fence).await {
            match client.finish(&finish).await {
                Ok(()) => {
                    tracing::info!(outcome = ?finish.outcome, reason = finish.reason.as_deref(), "reported");
                    return;
                }
                Err(ClientError::Unavailable(reason)) => {
                    tracing::warn!(%reason, "the result is reported again");
                    tokio::select! {
                        () = fence.cancelled() => return,
                        () = backoff.wait() => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the result was refused");
                    return;
                }
            }
        }
    }

    /// Takes up what an earlier process left: goes on where the lease still holds, destroys the rest.
    async fn recover(self: &Arc<Self>) {
        let found = fs::read_dir(&self.stages).map(|entries| entries.flatten().collect::<Vec<_>>());
        for entry in found.unwrap_or_default() {
            let dirs = StageDirs { root: entry.path() };
            let Some(journal) = Journal::read(&dirs.journal()) else {
                self.remove(&dirs, entry.file_name().to_string_lossy().parse().ok()).await;
                continue;
            };
            let noted = journal.entry();
            let lease = noted.lease;
            let client = AttemptClient::new(self.client.clone(), lease.attempt, lease.epoch);
            let sent = clock::now();
            let same_boot = noted.boot_id == clock::boot_id() && !noted.boot_id.is_empty();
            let left = Duration::from_millis(noted.expires_ms).saturating_sub(sent);
            // After another boot no sandbox runs any more, but a result may wait to be reported.
            if !same_boot && !matches!(noted.phase, Phase::Finished(_)) {
                self.remove(&dirs, Some(lease.attempt)).await;
                continue;
            }
            let limit = left.clamp(Duration::from_secs(1), Duration::from_secs(10));
            let renew = tidegate_protocol::messages::Renew { backlog_bytes: 0 };
            let expires_in_ms = match client.renew(&renew, limit).await {
                Ok(renewed) => renewed.expires_in_ms,
                // The server is away; the lease as noted still counts.
                Err(ClientError::Unavailable(_)) if same_boot && !left.is_zero() => {
                    u64::try_from(left.as_millis()).unwrap_or_default()
                }
                Err(error) => {
                    tracing::info!(attempt = %lease.attempt, %error, "an earlier attempt is not gone on with");
                    self.remove(&dirs, Some(lease.attempt)).await;
                    continue;
                }
            };
            tracing::info!(attempt = %lease.attempt, stage = %lease.stage.key, phase = ?noted.phase, "going on");
            if noted.phase == Phase::Preparing {
                // Half of a set-up is worth nothing; what it logged stays.
                let _ = self.engine.clean(&self.facts.id, lease.attempt).await;
                for folder in [dirs.files(), dirs.channel(), dirs.scratch()] {
                    let _ = fs::remove_dir_all(folder);
                }
                let _ = fs::remove_file(dirs.spool());
            }
            let since_boot = clock::now();
            let deadline =
                Instant::now() + Duration::from_millis(noted.deadline_ms).saturating_sub(since_boot);
            let held = Held { journal: Arc::new(journal), sent, expires_in_ms, deadline, lease };
            let slot = self.slots.clone().try_acquire_owned().ok();
            let agent = self.clone();
            let span = tracing::info_span!(
                "attempt", run = %held.lease.run, stage = %held.lease.stage.key, attempt = %held.lease.attempt
            );
            self.tasks.spawn(
                async move {
                    agent.attempt(held, dirs).await;
                    drop(slot);
                }
                .instrument(span),
            );
        }
    }

    async fn remove(&self, dirs: &StageDirs, attempt: Option<AttemptId>) {
        if let Some(attempt) = attempt
            && let Err(error) = self.engine.clean(&self.facts.id, attempt).await
        {
            tracing::warn!(%error, %attempt, "not all could be removed");
        }
        if let Err(error) = fs::remove_dir_all(&dirs.root) {
            tracing::warn!(%error, folder = %dirs.root.display(), "not all could be removed");
        }
    }

    async fn sweep_often(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep().await;
        }
    }

    /// Destroys what carries this runner's label and has no attempt here. Things of others are never looked at.
    async fn sweep(&self) {
        let known: BTreeSet<AttemptId> = fs::read_dir(&self.stages)
            .map(|entries| {
                entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
            })
            .unwrap_or_default();
        match self.engine.attempts(&self.facts.id).await {
            Ok(attempts) => {
                for attempt in attempts.into_iter().filter(|attempt| !known.contains(attempt)) {
                    tracing::info!(%attempt, "removing what an earlier attempt left");
                    if let Err(error) = self.engine.clean(&self.facts.id, attempt).await {
                        tracing::warn!(%error, %attempt, "not all could be removed");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "leftovers could not be looked for"),
        }
    }
}
