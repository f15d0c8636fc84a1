//! One attempt of this process: executed, reported, and every trace of it removed.

use std::{collections::BTreeMap, fs, io, os::unix::fs::DirBuilderExt as _, sync::Arc, time::Duration};

use tidegate_protocol::messages::{Finish, Lease, Outcome};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Active, Agent};
use crate::{
    client::{AttemptClient, Backoff, ClientError},
    clock,
    http_results::HttpResults,
    journal::{Journal, Phase},
    lease::{Keeper, fence_at},
    logs::{MaskedLog, ship, spool::LogSpool},
    stage::{self, Executed, StageContext, StageDirs, StepBook, WorkspaceFrom},
};

/// An attempt to execute, new or found.
pub(super) struct Held {
    pub(super) journal: Arc<Journal>,
    pub(super) lease: Lease,
    /// When the call that granted or renewed the lease was sent.
    pub(super) sent: Duration,
    pub(super) expires_in_ms: u64,
    pub(super) deadline: Instant,
    /// Keeps the sweep away.
    pub(super) active: Active,
}

impl Agent {
    /// Begins the attempt of a fresh lease, in a task of its own.
    pub(super) fn begin(self: &Arc<Self>, lease: Lease, sent: Duration, slot: OwnedSemaphorePermit) {
        let agent = self.clone();
        let active = self.activate(lease.attempt);
        let span = tracing::info_span!(
            "attempt", run = %lease.run, stage = %lease.stage.key, attempt = %lease.attempt, epoch = lease.epoch
        );
        let work = async move {
            tracing::info!("claimed");
            let dirs = StageDirs { root: agent.stages.join(lease.attempt.to_string()) };
            let timeout = Duration::from_secs(lease.stage.timeout_seconds);
            let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let expires_ms = ms(sent).saturating_add(lease.expires_in_ms);
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
                        active,
                    };
                    agent.attempt(held, dirs).await;
                }
                Err(error) => {
                    let client = AttemptClient::new(agent.client.clone(), lease.attempt, lease.epoch);
                    agent.cannot_keep(&client, &dirs, &error).await;
                }
            }
            drop(slot);
        };
        self.tasks.spawn(work.instrument(span));
    }

    /// Executes an attempt, reports what it came to, and removes every trace of it.
    pub(super) async fn attempt(&self, held: Held, dirs: StageDirs) {
        let Held { journal, lease, sent, expires_in_ms, deadline, active: _active } = held;
        let client = Arc::new(AttemptClient::new(self.client.clone(), lease.attempt, lease.epoch));
        let log_spool = match LogSpool::open(&dirs.logs()) {
            Ok(spool) => Arc::new(spool),
            Err(error) => return self.cannot_keep(&client, &dirs, &error).await,
        };
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
            toolkit: None,
        };
        let executed = tokio::select! {
            biased;
            // Whatever the stage is doing, it is dropped, and what it had in the engine goes at once.
            () = fence.cancelled() => Some(Executed::Abandon("the lease was lost".to_owned())),
            executed = stage::execute(&ctx) => Some(executed),
            () = self.left_to_the_next(&ctx) => None,
        };
        match executed {
            Some(Executed::Finish(finish)) => {
                // The sandbox goes while the last lines travel.
                let report = self.report(&client, &log_spool, finish, &fence);
                let ((), removed) = tokio::join!(report, stage::clean_engine(&ctx));
                if removed {
                    stage::clean_disk(&ctx).await;
                }
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
        mut finish: Finish,
        fence: &CancellationToken,
    ) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
        let mut refused = false;
        while ship::flushed(spool, fence).await {
            if let Some(broken) = spool.broken() {
                finish.reason.get_or_insert(format!("the log is not whole: {broken}"));
            }
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
                // The server will never take it (its outputs may be too large). The stage must end all the same.
                Err(ClientError::Invalid(reason)) if !refused => {
                    refused = true;
                    finish = ended_early(Outcome::Failed, format!("the server refused the result: {reason}"));
                }
                Err(error) => {
                    tracing::warn!(%error, "the result was refused");
                    return;
                }
            }
        }
    }

    /// Gives an attempt back for which this machine has no room, so that nobody waits for its lease's end.
    async fn cannot_keep(&self, client: &AttemptClient, dirs: &StageDirs, error: &io::Error) {
        tracing::error!(%error, folder = %dirs.root.display(), "the attempt cannot be kept on this machine");
        let reason = format!("the runner cannot write {}: {error}", dirs.root.display());
        if let Err(error) = client.finish(&ended_early(Outcome::Infrastructure, reason)).await {
            tracing::warn!(%error, "the server was not told; the lease runs out");
        }
        let _ = fs::remove_dir_all(&dirs.root);
    }
}

fn ended_early(outcome: Outcome, reason: String) -> Finish {
    Finish { outcome, reason: Some(reason), exit_code: None, outputs: BTreeMap::new(), emitted: None }
}
