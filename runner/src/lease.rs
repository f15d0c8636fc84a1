//! Keeping a lease, and letting go of it in time.
//!
//! The server hands a stage on when its lease has ended by the database's clock. By then nothing of the attempt may
//! run here. So the end is counted from before the renewal was sent (the server's answer is about a later moment), a
//! margin is taken off, and the time is boot time, which goes on while the machine sleeps and cannot be set. When it
//! comes without a renewal, everything is ended at once. The shim has the same time and ends its sandbox by itself:
//! a runner that is stopped, killed or starved keeps nobody's lease for them.

use std::{sync::Arc, time::Duration};

use tidegate_protocol::messages::Renew;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{AttemptClient, ClientError},
    clock,
    journal::Journal,
    logs::spool::LogSpool,
};

/// How often the clock is looked at; a timer alone would sleep with the machine.
const TICK: Duration = Duration::from_millis(200);

/// The time by which everything must have ended, for a lease that was granted or renewed by a call sent at `sent`.
pub(crate) fn fence_at(sent: Duration, expires_in_ms: u64) -> Duration {
    let lease = Duration::from_millis(expires_in_ms);
    sent + lease - margin(lease)
}

/// What ending a sandbox may take.
fn margin(lease: Duration) -> Duration {
    (lease / 6).clamp(Duration::from_millis(100), Duration::from_secs(10)).min(lease)
}

/// Keeps one attempt's lease.
pub(crate) struct Keeper {
    pub(crate) client: Arc<AttemptClient>,
    pub(crate) spool: Arc<LogSpool>,
    pub(crate) journal: Arc<Journal>,
    /// The fence's time, for the shim.
    pub(crate) ends: watch::Sender<Option<Duration>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) fence: CancellationToken,
}

impl Keeper {
    /// Renews until `done`, and triggers `fence` when the lease is lost. `sent` is when the claim was sent.
    pub(crate) async fn keep(self, sent: Duration, expires_in_ms: u64, done: CancellationToken) {
        let mut sent = sent;
        let mut expires_in = expires_in_ms;
        // A claim that waited at the server says only roughly when its lease began.
        let mut settled = clock::now().saturating_sub(sent) < Duration::from_secs(1);
        loop {
            let fence_at = fence_at(sent, expires_in);
            self.ends.send_replace(Some(fence_at));
            let third = Duration::from_millis(expires_in / 3);
            let next = if settled { sent + third } else { sent };
            match self.renew_before(next, third, fence_at, &done).await {
                Some((at, renewed)) => {
                    settled = true;
                    sent = at;
                    expires_in = renewed;
                }
                None => return,
            }
        }
    }

    /// Waits for its time, then tries until it is renewed; none when it is over either way.
    async fn renew_before(
        &self,
        mut next: Duration,
        third: Duration,
        fence_at: Duration,
        done: &CancellationToken,
    ) -> Option<(Duration, u64)> {
        loop {
            let now = clock::now();
            if now >= fence_at {
                tracing::warn!("the lease could not be renewed in time; everything of the attempt is ended");
                self.fence.cancel();
                return None;
            }
            if now < next {
                tokio::select! {
                    () = done.cancelled() => return None,
                    () = self.fence.cancelled() => return None,
                    () = sleep((next - now).min(TICK)) => continue,
                }
            }
            let renew = Renew { backlog_bytes: self.spool.backlog() };
            let limit = third.max(Duration::from_millis(200)).min(fence_at - now);
            let renewed = tokio::select! {
                () = done.cancelled() => return None,
                () = self.fence.cancelled() => return None,
                renewed = self.client.renew(&renew, limit) => renewed,
            };
            match renewed {
                Ok(renewed) => {
                    if renewed.cancel {
                        self.cancel.cancel();
                    }
                    let expires = (now + Duration::from_millis(renewed.expires_in_ms)).as_millis();
                    let expires = u64::try_from(expires).unwrap_or(u64::MAX);
                    if let Err(error) = self.journal.update(|entry| entry.expires_ms = expires) {
                        tracing::warn!(%error, "the renewal could not be journalled");
                    }
                    return Some((now, renewed.expires_in_ms));
                }
                Err(ClientError::Refused(reason)) => {
                    tracing::warn!(%reason, "the server gave the attempt up; everything of it is ended");
                    self.fence.cancel();
                    return None;
                }
                Err(error) => {
                    tracing::debug!(%error, "the lease is not renewed yet");
                    next =
                        clock::now() + (third / 6).clamp(Duration::from_millis(50), Duration::from_secs(1));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fence_comes_before_the_lease_ends() {
        for ms in [1, 50, 1_000, 30_000, 600_000] {
            let sent = Duration::from_secs(1000);
            let at = fence_at(sent, ms);
            assert!(at >= sent && at < sent + Duration::from_millis(ms), "{ms}");
        }
        assert_eq!(fence_at(Duration::ZERO, 30_000), Duration::from_secs(25));
    }
}
