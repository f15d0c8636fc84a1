//! Hints between tasks: "look again". The database is the truth and polling is what makes it right; a hint
//! only saves the wait. One connection listens on the channel `tidegate`, so a hint reaches every server.

use tidegate_protocol::ids::{AttemptId, RunId};
use tokio::sync::broadcast;

/// What to look at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hint {
    /// A stage may be ready for a runner.
    StageQueued,
    /// Something of this run changed.
    Run(RunId),
    /// This attempt has more log.
    Log(AttemptId),
    /// The inbox has something.
    Delivery,
    /// The outbox has something.
    Outbox,
    /// Hints may have been missed: look at everything.
    Resync,
}

impl Hint {
    /// The payload of the notification.
    pub fn payload(self) -> String {
        match self {
            Self::StageQueued => "stage".to_owned(),
            Self::Run(id) => format!("run:{id}"),
            Self::Log(id) => format!("log:{id}"),
            Self::Delivery => "delivery".to_owned(),
            Self::Outbox => "outbox".to_owned(),
            Self::Resync => "resync".to_owned(),
        }
    }

    /// Reads a payload; what a newer server may send and this one does not know means [`Hint::Resync`].
    pub fn parse(payload: &str) -> Self {
        match payload.split_once(':') {
            Some(("run", id)) => id.parse().map_or(Self::Resync, Self::Run),
            Some(("log", id)) => id.parse().map_or(Self::Resync, Self::Log),
            _ => match payload {
                "stage" => Self::StageQueued,
                "delivery" => Self::Delivery,
                "outbox" => Self::Outbox,
                _ => Self::Resync,
            },
        }
    }
}

/// Where hints are heard.
#[derive(Debug, Clone)]
pub struct Hub {
    sender: broadcast::Sender<Hint>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sender: broadcast::channel(1024).0 }
    }
}

impl Hub {
    /// Hears every hint from now on. A receiver that lags treats the error as [`Hint::Resync`]. Subscribe
    /// before reading the database, or what changes in between goes unnoticed until the next poll.
    pub fn subscribe(&self) -> broadcast::Receiver<Hint> {
        self.sender.subscribe()
    }

    /// Passes a hint on; nobody listening is fine.
    pub fn send(&self, hint: Hint) {
        let _ = self.sender.send(hint);
    }
}

/// Waits for one of the wanted hints, or [`Hint::Resync`], or a lag, or the end of `patience`.
pub async fn wait_for(
    receiver: &mut broadcast::Receiver<Hint>,
    patience: std::time::Duration,
    wanted: impl Fn(Hint) -> bool,
) {
    let heard = async {
        loop {
            match receiver.recv().await {
                Ok(hint) if hint == Hint::Resync || wanted(hint) => return,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let _ = tokio::time::timeout(patience, heard).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_read_back() {
        let hints = [
            Hint::StageQueued,
            Hint::Run(RunId::new()),
            Hint::Log(AttemptId::new()),
            Hint::Delivery,
            Hint::Outbox,
        ];
        for hint in hints {
            assert_eq!(Hint::parse(&hint.payload()), hint);
        }
        assert_eq!(Hint::parse("from the future:1"), Hint::Resync);
    }
}
