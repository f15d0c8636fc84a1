//! What goes out to the forge: the payloads of the outbox. Written in the transaction that caused them, read by
//! [`crate::tasks`] when they are sent.
//!
//! A payload holds all that is said, so that what is sent later is what was true then. The database reads
//! `environment`, or `sha` and `pipeline`, out of it: messages about the same of those are sent in order.

use serde::{Deserialize, Serialize};
use tidegate_pipelines::Diagnostic;
use tidegate_protocol::{
    ids::{DeploymentId, RunId},
    status::{DeploymentStatus, RunStatus},
};

use crate::reports::Remark;

/// One thing to tell the forge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// Where a run is.
    Run(RunMessage),
    /// Where a deployment is.
    Deployment(DeploymentMessage),
    /// A pipeline was not started, on purpose: whoever waits for its mark is not to wait for good.
    Skipped(SkippedMessage),
}

impl Message {
    /// The outbox's word for it: messages of one word, commit and pipeline are sent in the order they were written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Run(_) | Self::Skipped(_) => "run",
            Self::Deployment(_) => "deployment",
        }
    }

    /// Whether something later is sure to follow, so that it may be left out once that is known.
    pub fn is_interim(&self) -> bool {
        match self {
            Self::Run(run) => !run.status.is_final(),
            Self::Deployment(deployment) => {
                matches!(deployment.status, DeploymentStatus::Deploying | DeploymentStatus::Verifying)
            }
            Self::Skipped(_) => false,
        }
    }
}

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMessage {
    /// The run.
    pub run: RunId,
    /// Its number in its repository.
    pub number: i64,
    /// The pipeline's name; `tidegate/<pipeline>` is the context that required checks name.
    pub pipeline: String,
    /// The commit that is marked.
    pub sha: String,
    /// Where it is.
    pub status: RunStatus,
    /// Why, in one sentence.
    pub reason: Option<String>,
    /// The pipeline file's mistakes and warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// What its steps said of places in files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Remark>,
}

/// A pipeline that was not started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SkippedMessage {
    /// What tells this one from all others.
    pub id: String,
    /// The pipeline's name, as in [`RunMessage`].
    pub pipeline: String,
    /// The commit that is marked.
    pub sha: String,
    /// Why it was not started, in one sentence.
    pub reason: String,
}

/// Where a deployment is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentMessage {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The run it belongs to.
    pub run: RunId,
    /// That run's number in its repository.
    pub number: i64,
    /// The environment's name.
    pub environment: String,
    /// Where people find what is deployed there.
    pub environment_url: Option<String>,
    /// The commit that is deployed.
    pub sha: String,
    /// The branch or tag that it was pushed to.
    pub reference: String,
    /// The image, with its digest.
    pub image: String,
    /// Where it is.
    pub status: DeploymentStatus,
    /// Why, in one sentence.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_and_say_their_kind() {
        let run = Message::Run(RunMessage {
            run: RunId::new(),
            number: 7,
            pipeline: "delivery".to_owned(),
            sha: "a".repeat(40),
            status: RunStatus::Waiting,
            reason: Some("waits at a gate".to_owned()),
            diagnostics: Vec::new(),
            remarks: Vec::new(),
        });
        let deployment = Message::Deployment(DeploymentMessage {
            deployment: DeploymentId::new(),
            run: RunId::new(),
            number: 7,
            environment: "production".to_owned(),
            environment_url: None,
            sha: "a".repeat(40),
            reference: "refs/heads/main".to_owned(),
            image: "registry.example/app@sha256:0".to_owned(),
            status: DeploymentStatus::RolledBack,
            reason: None,
        });
        let skipped = Message::Skipped(SkippedMessage {
            id: "one".to_owned(),
            pipeline: "delivery".to_owned(),
            sha: "a".repeat(40),
            reason: "none of the changed paths is its".to_owned(),
        });
        for (message, kind, lane) in
            [(run, "run", "run"), (deployment, "deployment", "deployment"), (skipped, "skipped", "run")]
        {
            let json = serde_json::to_value(&message).unwrap();
            assert_eq!((json["kind"].as_str(), message.kind()), (Some(kind), lane));
            assert_eq!(serde_json::from_value::<Message>(json).unwrap(), message);
        }
    }
}
