//! Starts the cluster's server, starts it again when it dies, and stops it.
//!
//! Races and how they end:
//! - Tidegate was killed and its Postgres lives on: `postmaster.pid` names a live process that holds the data
//!   folder. It is stopped first (Postgres finishes its transactions), then a server of our own is started.
//! - Postgres was killed: `postmaster.pid` is stale. Postgres itself recognises that and recovers.
//! - Postgres dies while we run: it is started again, with a growing pause; the server's pool reconnects. Five
//!   deaths without a minute of life between them are given up, and Tidegate stops with the log's last lines.

use std::{
    fs,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use crate::failure::{Doing, Failure, Outcome};

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const SETTLED: Duration = Duration::from_secs(60);
const MAX_DEATHS: u32 = 5;

/// The running cluster.
pub struct Embedded {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<Outcome>,
}

impl Embedded {
    /// Opens (or makes) the cluster in `folder` and starts its server. `died` is cancelled when the server cannot
    /// be kept alive.
    pub async fn start(folder: &Path, died: CancellationToken) -> Outcome<Self> {
        let owned = folder.to_path_buf();
        let cluster = tokio::task::spawn_blocking(move || Cluster::open(&owned))
            .await
            .doing("opening the embedded database was interrupted")??;
        end_leftover(&cluster).await?;
        let child = launch(&cluster).await?;
        let url = cluster.url()?;
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move {
                let result = watch(cluster, child, stop).await;
                if result.is_err() {
                    died.cancel();
                }
                result
            }
        });
        Ok(Self { url, stop, task })
    }

    /// The URL of the cluster in `folder`, whose server another process runs.
    pub fn url_of(folder: &Path) -> Outcome<String> {
        Cluster::open(folder)?.url()
    }

    /// The URL to connect with.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server and waits for its end.
    pub async fn stop(self) -> Outcome {
        self.stop.cancel();
        self.task.await.doing("the embedded database's supervisor was interrupted")?
    }
}

/// Keeps the server alive until it is told to stop.
async fn watch(cluster: Cluster, mut child: Child, stop: CancellationToken) -> Outcome {
    let mut deaths = 0;
    let mut born = Instant::now();
    loop {
        let status = tokio::select! {
            () = stop.cancelled() => return end(&mut child).await,
            status = child.wait() => status,
        };
        if born.elapsed() >= SETTLED {
            deaths = 0;
        }
        deaths += 1;
        let ended = status.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
        if deaths >= MAX_DEATHS {
            tracing::error!(%ended, deaths, "the embedded database keeps dying; giving up");
            return Err(died(&cluster, &ended));
        }
        tracing::warn!(%ended, deaths, "the embedded database died; starting it again");
        let pause = Duration::from_millis(200) * 2_u32.pow(deaths);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(pause) => {}
        }
        born = Instant::now();
        match launch(&cluster).await {
            Ok(next) => child = next,
            // Counts as a death; `true` stands in for the child that ended at once.
            Err(failure) => {
                tracing::warn!(%failure, "the embedded database did not start");
                child = Command::new("true").spawn().doing("cannot start a process")?;
            }
        }
    }
}

/// Starts the server and waits until it takes connections.
async fn launch(cluster: &Cluster) -> Outcome<Child> {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&cluster.log)
        .doing(format!("cannot open {}", cluster.log.display()))?;
    let errors = log.try_clone().doing("cannot share the database's log")?;
    let mut command = cluster.command("postgres");
    command.arg("-D").arg(&cluster.data).arg("-k").arg(&cluster.socket);
    // Nobody reaches it but through the socket. What makes commits durable stays as Postgres has it.
    for setting in
        ["listen_addresses=", "port=5432", "max_connections=200", "shared_buffers=128MB", "max_wal_size=1GB"]
    {
        command.arg("-c").arg(setting);
    }
    command.stdout(Stdio::from(log)).stderr(Stdio::from(errors));
    let mut child = Command::from(command).spawn().doing("cannot start the embedded database")?;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().doing("cannot look after the embedded database")? {
            return Err(died(cluster, &status.to_string()));
        }
        if is_ready(&cluster.data, child.id()) {
            return Ok(child);
        }
        if begun.elapsed() > START_LIMIT {
            end(&mut child).await?;
            return Err(Failure::new("the embedded database did not get ready within two minutes")
                .mend(format!("its log is {}", cluster.log.display())));
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Postgres writes `ready` into the eighth line of its pid file once it takes connections.
fn is_ready(data: &Path, pid: Option<u32>) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.first().and_then(|line| line.parse().ok()) == pid && lines.get(7) == Some(&"ready")
}

/// Stops a server that an earlier Tidegate left behind when it was killed.
async fn end_leftover(cluster: &Cluster) -> Outcome {
    let file = cluster.data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
    let Some(number) = text.lines().next().and_then(|line| line.trim().parse().ok()) else { return Ok(()) };
    // The number may belong to another program by now: only a process that runs in this data folder is ours.
    let home = fs::read_link(format!("/proc/{number}/cwd")).ok();
    if home.as_deref() != Some(cluster.data.as_path()) {
        return Ok(());
    }
    tracing::warn!(pid = number, "a database of an earlier Tidegate still runs; stopping it");
    let pid = Pid::from_raw(number);
    let begun = Instant::now();
    let mut signal = Signal::SIGINT;
    loop {
        match kill(pid, signal) {
            Err(Errno::ESRCH) => return Ok(()),
            Err(error) => {
                return Err(Failure::new(format!(
                    "cannot stop the database of an earlier Tidegate (pid {number})"
                ))
                .because(error));
            }
            Ok(()) => {}
        }
        if begun.elapsed() > STOP_LIMIT {
            return Err(Failure::new(format!(
                "the database of an earlier Tidegate (pid {number}) does not stop"
            ))
            .mend(format!("its log is {}", cluster.log.display())));
        }
        if begun.elapsed() > STOP_LIMIT / 2 {
            signal = Signal::SIGQUIT;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Fast shutdown; after half a minute, an immediate one (Postgres recovers at its next start).
async fn end(child: &mut Child) -> Outcome {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return Ok(()) };
        let _ = kill(Pid::from_raw(pid), signal);
        if timeout(STOP_LIMIT / 2, child.wait()).await.is_ok() {
            return Ok(());
        }
    }
    child.kill().await.doing("cannot stop the embedded database")
}

fn died(cluster: &Cluster, ended: &str) -> Failure {
    let text = fs::read_to_string(&cluster.log).unwrap_or_default();
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    Failure::new(format!("the embedded database ended ({ended})"))
        .because(last.into_iter().rev().collect::<Vec<_>>().join("\n       "))
        .mend(format!("its whole log is {}", cluster.log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somewhere that an unprivileged user may enter too.
    fn open_folder() -> tempfile::TempDir {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    fn pid_of(folder: &Path) -> i32 {
        let text = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    fn is_alive(pid: i32) -> bool {
        // A killed child of this very process may still wait to be collected.
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn until(mut holds: impl FnMut() -> bool) {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_made_started_stopped_and_started_again() {
        let folder = open_folder();
        let first = Embedded::start(folder.path(), CancellationToken::new()).await.unwrap();
        assert!(first.url().contains("host="), "{}", first.url());
        let pid = pid_of(folder.path());
        assert!(is_alive(pid));
        first.stop().await.unwrap();
        assert!(!is_alive(pid));
        let second = Embedded::start(folder.path(), CancellationToken::new()).await.unwrap();
        assert_ne!(pid_of(folder.path()), pid);
        second.stop().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_started_again_after_kill_9() {
        let folder = open_folder();
        let embedded = Embedded::start(folder.path(), CancellationToken::new()).await.unwrap();
        let pid = pid_of(folder.path());
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        let data = folder.path().join("data");
        until(|| {
            let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            text.lines().next().and_then(|line| line.parse::<i32>().ok()).is_some_and(|next| next != pid)
        })
        .await;
        embedded.stop().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_leftover_server_is_stopped_first() {
        let folder = open_folder();
        let cluster = Cluster::open(folder.path()).unwrap();
        let mut leftover = launch(&cluster).await.unwrap();
        let pid = pid_of(folder.path());
        let collect = tokio::spawn(async move { leftover.wait().await });
        let embedded = Embedded::start(folder.path(), CancellationToken::new()).await.unwrap();
        collect.await.unwrap().unwrap();
        assert!(!is_alive(pid));
        assert_ne!(pid_of(folder.path()), pid);
        embedded.stop().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn data_of_another_version_is_refused_with_a_way_out() {
        let folder = open_folder();
        drop(Cluster::open(folder.path()).unwrap());
        fs::write(folder.path().join("data/PG_VERSION"), "9\n").unwrap();
        let failure = Cluster::open(folder.path()).unwrap_err();
        assert!(failure.to_string().contains("made by Postgres 9"), "{failure}");
    }
}
