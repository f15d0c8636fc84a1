//! What a stage does: its verb.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Run, StageKey, Template};

/// What a stage does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verb {
    /// Commands in a sandbox.
    Run(Run),
    /// An image, built by the runner through the engine.
    Build(Build),
    /// A built image, sent to a registry.
    Push(Push),
    /// A change of what an environment runs.
    Deploy(Deploy),
    /// A check of what an environment runs.
    Smoke(Smoke),
}

impl Verb {
    /// The verb's name, as in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Build(_) => "build",
            Self::Push(_) => "push",
            Self::Deploy(_) => "deploy",
            Self::Smoke(_) => "smoke",
        }
    }

    /// The commands that it has in a sandbox, if it has any.
    pub fn commands(&self) -> Option<&Run> {
        match self {
            Self::Run(run) => Some(run),
            Self::Deploy(deploy) => match &deploy.driver {
                Driver::Command(run) => Some(run),
                Driver::Compose { .. } => None,
            },
            Self::Smoke(smoke) => smoke.commands.as_ref(),
            Self::Build(_) | Self::Push(_) => None,
        }
    }
}

/// An image to build. Output: `image_id` (`sha256:…`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Folder below the workspace that is sent to the engine.
    pub context: String,
    /// Path of the Dockerfile below the context.
    pub dockerfile: String,
    /// The Dockerfile's stage to stop at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    #[serde(default)]
    pub args: BTreeMap<String, Template>,
    /// Labels of the image, beside the ones that name run and commit.
    #[serde(default)]
    pub labels: BTreeMap<String, Template>,
}

/// An image to send to a registry. Outputs: `digest` (`sha256:…`) and `image` (`repository@digest`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The image's id, usually `${{ stages.build.outputs.image_id }}`, filled in by the compiler.
    pub image_id: Template,
    /// Registry and path without a tag, for example `registry.example.org/team/api`.
    pub repository: Template,
    /// Tags to point at it; at least one.
    pub tags: Vec<Template>,
    /// The secret that holds `user:password` for the registry. It reaches the runner's push, never a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

/// A change of what an environment runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// The environment's name.
    pub environment: Template,
    /// What is deployed, by digest (`repository@sha256:…`). A rollback puts the previous one here.
    pub image: Template,
    /// How.
    pub driver: Driver,
}

/// How a deployment is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "snake_case")]
pub enum Driver {
    /// `docker compose up` of a file in the repository; the image is in `TIDEGATE_IMAGE`.
    Compose {
        /// Compose file below the workspace.
        file: String,
        /// Compose project name.
        project: Template,
        /// `ssh://user@host[:port]`; absent: the runner's own engine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<Template>,
        /// Seconds until its services must be up.
        wait_seconds: u64,
    },
    /// Commands in a sandbox, with `TIDEGATE_IMAGE`, `TIDEGATE_PREVIOUS_IMAGE`, `TIDEGATE_ENVIRONMENT` and
    /// `TIDEGATE_ROLLBACK` (`true` or `false`) in their environment.
    Command(Run),
}

/// A check of what an environment runs. Its failure rolls the deployment back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Smoke {
    /// The environment's name.
    pub environment: Template,
    /// The deploy stage whose work is checked.
    pub deploy: StageKey,
    /// HTTP checks, made by the runner.
    #[serde(default)]
    pub checks: Vec<HttpCheck>,
    /// Commands in a sandbox, after the checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Run>,
}

/// One HTTP request and what its answer must be. It is repeated until all holds or the deadline passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// What the page shows.
    pub name: String,
    /// Absolute URL.
    pub url: Template,
    /// Request method.
    pub method: String,
    /// Accepted status codes.
    pub status: Vec<u16>,
    /// Text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<Template>,
    /// Headers that must be there with these values; names in lower case.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// Milliseconds the answer may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<u64>,
    /// Milliseconds until the check is given up.
    pub deadline_ms: u64,
    /// Milliseconds between two tries.
    pub interval_ms: u64,
}
