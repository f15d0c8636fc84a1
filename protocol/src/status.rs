//! The states of runs, stages, attempts, steps, gates and deployments.
//!
//! Which state may follow which is constrained in SQL too (`migrations/`, table `transitions`).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A word that is not a status of that kind.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no {1}")]
pub struct UnknownStatus(String, &'static str);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the database, in JSON and on the page.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownStatus;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(UnknownStatus(text.to_owned(), stringify!($name))),
                }
            }
        }
    )+};
}

statuses! {
    /// Where a run is.
    RunStatus {
        /// Waits for its concurrency group.
        Pending = "pending",
        /// Has stages that are queued, running or about to be.
        Running = "running",
        /// All that is left waits for a person at a gate.
        Waiting = "waiting",
        /// Every stage succeeded, or was skipped for a shown reason.
        Succeeded = "succeeded",
        /// As succeeded, with a stage that was allowed to fail and did.
        Warned = "warned",
        /// A stage failed, was rejected at its gate, or is unknown.
        Failed = "failed",
        /// A person, or a newer run of its concurrency group, stopped it.
        Cancelled = "cancelled",
        /// Its pipeline file has mistakes; nothing ran.
        Invalid = "invalid",
    }

    /// Where a stage is.
    StageStatus {
        /// Its needs have not ended yet.
        Blocked = "blocked",
        /// Waits for its gate.
        Gated = "gated",
        /// Ready for a runner.
        Queued = "queued",
        /// Leased by a runner.
        Running = "running",
        /// Done.
        Succeeded = "succeeded",
        /// Failed, and was allowed to.
        Warned = "warned",
        /// Failed.
        Failed = "failed",
        /// Not needed, for a shown reason.
        Skipped = "skipped",
        /// Stopped.
        Cancelled = "cancelled",
        /// A deployment whose runner was lost: nobody knows how far it came. A person decides.
        Unknown = "unknown",
    }

    /// Where an attempt is.
    AttemptStatus {
        /// Leased and, as far as is known, at work.
        Running = "running",
        /// Reported success.
        Succeeded = "succeeded",
        /// Reported failure.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
        /// Its lease ended without a report.
        Lost = "lost",
    }

    /// Where a step is.
    StepStatus {
        /// Not begun.
        Pending = "pending",
        /// Begun.
        Running = "running",
        /// Ended with 0.
        Succeeded = "succeeded",
        /// Ended otherwise.
        Failed = "failed",
        /// Not run, because of the steps before it.
        Skipped = "skipped",
        /// Stopped.
        Cancelled = "cancelled",
    }

    /// Where a gate is.
    GateStatus {
        /// Waits for decisions, a timer, or a freeze to end.
        Open = "open",
        /// Let through; single use.
        Approved = "approved",
        /// One person said no.
        Rejected = "rejected",
        /// Nobody decided in time.
        Expired = "expired",
        /// What it was about changed or ended.
        Voided = "voided",
    }

    /// Where a deployment is.
    DeploymentStatus {
        /// Leased to a runner.
        Deploying = "deploying",
        /// Deployed; its smoke test has not ended.
        Verifying = "verifying",
        /// What the environment runs, or ran until the next one.
        Succeeded = "succeeded",
        /// The deploy or smoke stage failed; a rollback follows where there is something to go back to.
        Failed = "failed",
        /// Failed, and the previous one is back.
        RolledBack = "rolled_back",
        /// Its runner was lost; nobody knows how far it came.
        Unknown = "unknown",
    }
}

impl RunStatus {
    /// Whether nothing more happens to it by itself.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running | Self::Waiting)
    }
}

impl StageStatus {
    /// Whether nothing more happens to it by itself.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Blocked | Self::Gated | Self::Queued | Self::Running)
    }

    /// Whether it is with a runner, or may be taken by one at any time.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

impl AttemptStatus {
    /// Whether it has ended.
    pub fn is_final(self) -> bool {
        self != Self::Running
    }
}
