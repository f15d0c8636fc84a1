//! A container engine of a test's own, so that it can be stopped without touching the machine's.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::process::Process;

/// The image that every scenario's stages run in.
pub const IMAGE: &str = "tidegate-test/busybox:1";

/// A private `dockerd` with its own storage, containerd and address pool. Needs root.
pub struct Engine {
    folder: tempfile::TempDir,
    daemon: Option<Process>,
}

impl Engine {
    /// Starts one and gives it the test image.
    pub fn start() -> Result<Self> {
        let mut engine =
            Self { folder: tempfile::Builder::new().prefix("tidegate-engine-").tempdir()?, daemon: None };
        engine.resume()?;
        let mut save = Command::new("docker").args(["save", IMAGE]).stdout(Stdio::piped()).spawn()?;
        let Some(image) = save.stdout.take() else { bail!("docker save gave no output") };
        let load = Command::new("docker").args(["-H", &engine.host(), "load"]).stdin(image).output()?;
        if !save.wait()?.success() || !load.status.success() {
            bail!(
                "the test image did not reach the private engine: {}",
                String::from_utf8_lossy(&load.stderr)
            );
        }
        Ok(engine)
    }

    /// Its address, as in `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}/sock", self.folder.path().display())
    }

    /// Starts the daemon (again) on the same storage.
    pub fn resume(&mut self) -> Result<()> {
        let at = |name: &str| self.folder.path().join(name);
        let _ = std::fs::remove_file(at("pid"));
        // In a network namespace of its own: two engines in one would remove each other's bridge.
        let mut command = Command::new("unshare");
        command.args(["--net", "dockerd", "--iptables=false", "--ip6tables=false", "-H", &self.host()]);
        command
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"));
        self.daemon = Some(Process::spawn("dockerd", command, &at("log"))?);
        let end = Instant::now() + Duration::from_secs(60);
        while !self.docker(&["version"])?.status.success() {
            if let Some(daemon) = &mut self.daemon {
                daemon.check_alive()?;
            }
            if Instant::now() > end {
                bail!("the private engine does not answer");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Stops the daemon as an operator would; without live-restore its containers stop too.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal("TERM")?;
            daemon.wait(Duration::from_secs(60))?;
        }
        Ok(())
    }

    /// Runs the `docker` command against it.
    pub fn docker(&self, arguments: &[&str]) -> Result<std::process::Output> {
        Ok(Command::new("docker").args(["-H", &self.host()]).args(arguments).output()?)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A clean stop unmounts what the storage driver mounted, so that the folder can go.
        let _ = self.stop();
    }
}

/// Removes containers and networks with this label. Best effort: it cleans up after processes that were killed.
pub fn remove_labelled(label: &str, host: Option<&str>) {
    let docker = |arguments: &[&str]| {
        let mut command = std::process::Command::new("docker");
        if let Some(host) = host {
            command.env("DOCKER_HOST", host);
        }
        command.args(arguments).output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let filter = format!("label={label}");
    for (list, remove) in [
        (["ps", "-aq", "--no-trunc", "--filter"], ["rm", "-fv"].as_slice()),
        (["network", "ls", "-q", "--filter"], ["network", "rm"].as_slice()),
    ] {
        let Ok(ids) = docker(&[list.as_slice(), &[&filter]].concat()) else { return };
        for id in ids.split_whitespace() {
            let _ = docker(&[remove, &[id]].concat());
        }
    }
}
