//! A Postgres cluster of a test's own, durable settings on, so that it can be killed in the middle.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process::{Process, free_port};

/// A private cluster that listens on 127.0.0.1.
pub struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
    server: Option<Process>,
}

impl Cluster {
    /// Makes and starts one.
    pub fn start() -> Result<Self> {
        let bin = newest_binaries()?;
        let folder = tempfile::Builder::new().prefix("tidegate-pg-").tempdir()?;
        let mut cluster = Self { port: free_port()?, folder, bin, server: None };
        own(cluster.folder.path())?;
        let data = cluster.data();
        let made = as_database_user(&cluster.bin.join("initdb"))
            .args(["--no-sync", "-A", "trust", "-U", "postgres", "-D"])
            .arg(&data)
            .output()?;
        if !made.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&made.stderr));
        }
        cluster.resume()?;
        Ok(cluster)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the server process again, on the same port and data.
    pub fn resume(&mut self) -> Result<()> {
        // A killed postmaster leaves its pid file; it is dead for sure, since we waited for it.
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
        let mut command = as_database_user(&self.bin.join("postgres"));
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-k"])
            .arg(self.folder.path())
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=120"]);
        let log = self.folder.path().join("log");
        self.server = Some(Process::spawn("postgres", command, &log)?);
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let ready = Command::new(self.bin.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()?;
            if ready.success() {
                return Ok(());
            }
            if let Some(server) = &mut self.server {
                server.check_alive()?;
            }
            if Instant::now() > end {
                bail!("postgres is not ready after a minute");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// `kill -9` of the postmaster; its children notice and end.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
        }
        // The backends hold the shared memory until they noticed.
        std::thread::sleep(Duration::from_millis(500));
        Ok(())
    }

    /// Connection URL of its `postgres` database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

/// The newest Postgres binaries on this machine.
fn newest_binaries() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .context("no Postgres binaries: run scripts/setup")?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let major = path.file_name()?.to_str()?.parse().ok()?;
            let bin = path.join("bin");
            bin.join("postgres").is_file().then_some((major, bin))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin).context("no Postgres binaries: run scripts/setup")
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// Postgres refuses to run as root, so a root test hands it to the `postgres` user.
fn as_database_user(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL", "--"]);
        command.arg(program);
        command.current_dir("/");
        command
    } else {
        Command::new(program)
    }
}

fn own(folder: &Path) -> Result<()> {
    if is_root() && !Command::new("chown").arg("postgres").arg(folder).status()?.success() {
        bail!("cannot hand {} to the postgres user", folder.display());
    }
    Ok(())
}
