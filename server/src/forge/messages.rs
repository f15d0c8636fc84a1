use serde::{Deserialize, Serialize};
use tidegate_pipelines::Diagnostic;
use tidegate_protocol::{ids::*, status::*};
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    Run(RunMessage),
    Deployment(DeploymentMessage),
}
impl Message {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Deployment(_) => "deployment",
        }
    }
}
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunMessage {
    pub run: RunId,
    pub number: i64,
    pub pipeline: String,
    pub sha: String,
    pub status: RunStatus,
    pub reason: Option<String>,
    pub diagnostics: Vec<Diagnostic>,
}
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeploymentMessage {
    pub deployment: DeploymentId,
    pub run: RunId,
    pub number: i64,
    pub environment: String,
    pub environment_url: Option<String>,
    pub sha: String,
    pub reference: String,
    pub image: String,
    pub status: DeploymentStatus,
    pub reason: Option<String>,
}
