//! What a runner is told at its start.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use url::Url;

use crate::actions::ActionSettings;

/// Settings of one runner process.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// The server, for example `http://127.0.0.1:7300`.
    pub server_url: Url,
    /// A name for people.
    pub name: String,
    /// The labels it serves, beside `docker`.
    pub labels: Vec<String>,
    /// Where its key, its journal, its mirrors and its workspaces are. The engine must see the same path.
    pub data_dir: PathBuf,
    /// How many stages it executes at once, at least 1.
    pub slots: usize,
    /// Used once, when there is no `runner.key` in the data folder.
    pub enrolment_token: Option<SecretString>,
    /// `unix:///…` or `tcp://…`; absent: `DOCKER_HOST`, else the local socket.
    pub docker_host: Option<String>,
    /// Whether `file://` clone URLs are allowed.
    pub allow_file_clone: bool,
    /// How long a step may take to end after TERM.
    pub grace: Duration,
    /// Settings for actions.
    pub actions: ActionSettings,
}

impl RunnerConfig {
    /// The file that holds this runner's id and key.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir.join("runner.key")
    }
}
