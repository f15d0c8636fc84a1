//! Sends what is in a [`LogSpool`] to the server, in order, until it is all accepted.
//!
//! A step's first bytes, and the first after a silence, go at once; then chunks are filled for a while, so that a chatty step costs
//! twenty calls a second and no more. A server that cannot be reached stops nothing: the spool grows.

use std::{sync::Arc, time::Duration};

use tidegate_protocol::messages::MAX_LOG_CHUNK;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::spool::{LogSpool, Next};
use crate::client::{AttemptClient, Backoff, ClientError};

/// How long chunks are filled after the last one was sent.
const FILL: Duration = Duration::from_millis(50);
/// A chunk with this much in it goes at once.
const ENOUGH: u64 = 256 << 10;

/// Sends one attempt's log.
pub struct Shipper {
    spool: Arc<LogSpool>,
    client: Arc<AttemptClient>,
    cancel: CancellationToken,
    fence: CancellationToken,
}

impl Shipper {
    /// `cancel` is triggered when an answer asks for it, `fence` when the server refuses the attempt.
    pub fn new(
        spool: Arc<LogSpool>,
        client: Arc<AttemptClient>,
        cancel: CancellationToken,
        fence: CancellationToken,
    ) -> Self {
        Self { spool, client, cancel, fence }
    }

    /// Sends until `fence` is triggered.
    pub async fn run(self) {
        let fence = self.fence.clone();
        tokio::select! {
            () = fence.cancelled() => {}
            () = self.send_all() => {}
        }
    }

    async fn send_all(&self) {
        let mut last = Instant::now() - FILL;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
        loop {
            // Interest is registered before the look, so nothing that comes between is slept through.
            let changed = self.spool.changed.notified();
            let next = self.spool.next();
            let sent = match next {
                Next::Nothing => {
                    changed.await;
                    continue;
                }
                Next::Report(report) => match self.client.report_step(&report).await {
                    Err(ClientError::Invalid(reason)) => {
                        tracing::warn!(%reason, step = report.index, "the server does not take this step");
                        self.spool.report_accepted();
                        Ok(())
                    }
                    sent => sent.map(|()| self.spool.report_accepted()),
                },
                Next::Bytes { step, offset, pending } => {
                    let age = last.elapsed();
                    if offset > 0 && pending < ENOUGH && age < FILL {
                        sleep(FILL - age).await;
                    }
                    last = Instant::now();
                    match self.send_bytes(step, offset).await {
                        // Sending it again would not help, and the stage would never end.
                        Err(ClientError::Invalid(reason)) => {
                            tracing::warn!(%reason, step, "the server does not take this log");
                            self.spool.bytes_refused(step, reason);
                            Ok(())
                        }
                        sent => sent,
                    }
                }
            };
            match sent {
                Ok(()) => backoff.reset(),
                Err(ClientError::Refused(reason)) => {
                    tracing::warn!(%reason, "the server no longer takes this attempt's log");
                    self.fence.cancel();
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "the log is kept and sent again");
                    backoff.wait().await;
                }
            }
        }
    }

    async fn send_bytes(&self, step: u32, offset: u64) -> Result<(), ClientError> {
        let spool = self.spool.clone();
        let frame = tokio::task::spawn_blocking(move || {
            let bytes = spool.read(step, offset, MAX_LOG_CHUNK)?;
            zstd::bulk::compress(&bytes, 1)
        })
        .await
        .map_err(|error| ClientError::Local(error.to_string()))?
        .map_err(|error| ClientError::Local(error.to_string()))?;
        let accepted = self.client.append_log(step, offset, frame).await?;
        if accepted.cancel {
            self.cancel.cancel();
        }
        self.spool.bytes_accepted(step, accepted.next_offset);
        Ok(())
    }
}

/// Waits until the server has every byte and report; false when the attempt was fenced before.
pub async fn flushed(spool: &LogSpool, fence: &CancellationToken) -> bool {
    loop {
        let changed = spool.changed.notified();
        if spool.is_empty() {
            return true;
        }
        tokio::select! {
            () = fence.cancelled() => return false,
            () = changed => {}
            // The floor below the hint.
            () = sleep(Duration::from_millis(200)) => {}
        }
    }
}
