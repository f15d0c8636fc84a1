//! Typed ids. All are UUIDs of version 7, so they sort by the time they were made.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, made now.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// A person who may log in.
    UserId,
    /// A repository that the server builds.
    RepositoryId,
    /// A webhook delivery in the inbox.
    DeliveryId,
    /// One execution of a pipeline.
    RunId,
    /// One node of a run's graph.
    StageId,
    /// One try at a stage by one runner.
    AttemptId,
    /// A runner.
    RunnerId,
    /// A place that things are deployed to.
    EnvironmentId,
    /// A decision point before a stage.
    GateId,
    /// One change of what an environment runs.
    DeploymentId,
    /// Files kept as a result.
    ArtifactId,
}
