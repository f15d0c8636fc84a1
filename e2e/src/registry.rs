//! A real container registry on 127.0.0.1, Debian's `docker-registry`.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::process::{Process, free_port};

/// A registry process with its own storage.
pub struct Registry {
    /// `127.0.0.1:PORT`.
    pub host: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Starts one and waits until it answers.
    pub async fn start() -> Result<Self> {
        Self::start_at("127.0.0.1").await
    }

    /// As [`Registry::start`], and sandboxes reach it too: at their gateway, because 127.0.0.1 is themselves there. Its
    /// name stays, because engines trust only 127.0.0.1 without TLS.
    pub async fn start_open() -> Result<Self> {
        Self::start_at("0.0.0.0").await
    }

    async fn start_at(address: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let host = format!("127.0.0.1:{port}");
        let config = folder.path().join("config.yml");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: '{address}:{port}'}}\n",
                folder.path().join("data").display()
            ),
        )?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config);
        let mut process = Process::spawn("docker-registry", command, &folder.path().join("log"))?;
        let end = Instant::now() + Duration::from_secs(30);
        while reqwest::get(format!("http://{host}/v2/")).await.is_err() {
            process.check_alive()?;
            if Instant::now() > end {
                bail!("the registry does not answer");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { host, _process: process, _folder: folder })
    }

    /// The tags of a repository, as the registry itself tells.
    pub async fn tags(&self, repository: &str) -> Result<Vec<String>> {
        let answer: serde_json::Value =
            reqwest::get(format!("http://{}/v2/{repository}/tags/list", self.host)).await?.json().await?;
        Ok(answer["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|tag| Some(tag.as_str()?.to_owned()))
            .collect())
    }
}
