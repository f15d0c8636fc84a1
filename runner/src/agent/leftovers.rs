//! What an earlier process, or a failed removal, left: gone on with where its lease still holds, destroyed otherwise.

use std::{collections::BTreeSet, fs, io, sync::Arc, time::Duration};

use tidegate_protocol::{ids::AttemptId, messages::Renew};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{Agent, attempt::Held};
use crate::{
    client::{AttemptClient, ClientError},
    clock,
    journal::{Journal, Phase},
    stage::StageDirs,
};

/// How often things without an attempt are looked for.
const SWEEP: Duration = Duration::from_secs(20);

impl Agent {
    /// Takes up what an earlier process left: goes on where the lease still holds, destroys the rest.
    pub(super) async fn recover(self: &Arc<Self>) {
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
            let renew = Renew { backlog_bytes: 0 };
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
            if matches!(noted.phase, Phase::Preparing | Phase::Verb) {
                // What was half done begins anew, from nothing; what it logged stays.
                let _ = self.engine.clean(&self.facts.id, lease.attempt).await;
                for folder in [dirs.files(), dirs.channel(), dirs.scratch()] {
                    let _ = fs::remove_dir_all(folder);
                }
                for file in [dirs.spool(), dirs.tape()] {
                    let _ = fs::remove_file(file);
                }
            }
            let since_boot = clock::now();
            let deadline =
                Instant::now() + Duration::from_millis(noted.deadline_ms).saturating_sub(since_boot);
            let active = self.activate(lease.attempt);
            let held = Held { journal: Arc::new(journal), sent, expires_in_ms, deadline, lease, active };
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
        if let Err(error) = fs::remove_dir_all(&dirs.root)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %dirs.root.display(), "not all could be removed");
        }
    }

    pub(super) async fn sweep_often(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep().await;
        }
    }

    /// Destroys what carries this runner's label, or lies in its folder, and is of no attempt that goes on here.
    /// Things of others are never looked at.
    pub(super) async fn sweep(&self) {
        let mut left: BTreeSet<AttemptId> = fs::read_dir(&self.stages)
            .map(|entries| {
                entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
            })
            .unwrap_or_default();
        match self.engine.attempts(&self.facts.id).await {
            Ok(attempts) => left.extend(attempts),
            Err(error) => return tracing::warn!(%error, "leftovers could not be looked for"),
        }
        // Asked last: an attempt is active before anything of it can be found.
        for attempt in left.into_iter().filter(|attempt| !self.is_active(*attempt)) {
            tracing::info!(%attempt, "removing what an earlier attempt left");
            self.remove(&StageDirs { root: self.stages.join(attempt.to_string()) }, Some(attempt)).await;
        }
    }
}
