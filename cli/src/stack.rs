//! Everything in one process: embedded database (or another), server, and a runner. Used by `up` and `demo`.
//!
//! Start order: lock on the data folder, database, server, first administrator, runner. Stop order is the reverse:
//! the runner hands in what it has while the server still answers, the server ends while the database still does.

use std::{
    fs,
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use secrecy::SecretString;
use tidegate_runner::config::RunnerConfig;
use tidegate_server::{Server, bootstrap, config::ServerConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    failure::{Doing, Failure, Outcome},
    postgres::Embedded,
    settings::server::make_data_dir,
};

/// How long a runner may take to end by itself.
const RUNNER_DRAIN: Duration = Duration::from_secs(60);

/// What to start.
pub struct Plan {
    /// The server, all but its database when that is embedded.
    pub server: ServerConfig,
    /// The runner; its server URL is filled in.
    pub runner: RunnerConfig,
    /// Bring a database of our own.
    pub embedded: bool,
    /// The first administrator's password; a random one is made otherwise.
    pub admin_password: Option<SecretString>,
}

/// All parts, running.
pub struct Stack {
    /// Where the server answers on this machine.
    pub url: Url,
    /// The first administrator, when this start made one.
    pub new_admin: Option<bootstrap::NewAdmin>,
    database: Option<Embedded>,
    server: JoinHandle<anyhow::Result<()>>,
    server_stop: CancellationToken,
    runner: JoinHandle<Result<(), tidegate_runner::RunnerError>>,
    runner_stop: CancellationToken,
    database_died: CancellationToken,
    _lock: Lock,
}

impl Stack {
    /// Starts everything.
    pub async fn start(plan: Plan) -> Outcome<Self> {
        make_data_dir(&plan.server.data_dir)?;
        let lock = Lock::take(&plan.server.data_dir)?;
        let database_died = CancellationToken::new();
        let mut config = plan.server;
        let database = if plan.embedded {
            let database = Embedded::start(&config.data_dir.join("postgres"), database_died.clone()).await?;
            config.database_url = database.url().to_owned().into();
            Some(database)
        } else {
            None
        };
        let server_stop = CancellationToken::new();
        let started = start_server(config, plan.admin_password, server_stop.clone()).await;
        let (server, url, new_admin) = match started {
            Ok(started) => started,
            Err(failure) => {
                if let Some(database) = database {
                    database.stop().await?;
                }
                return Err(failure);
            }
        };
        let runner_stop = CancellationToken::new();
        let runner =
            start_runner(plan.runner, &server, &url, new_admin.is_some(), runner_stop.clone()).await?;
        let server = tokio::spawn(server.join());
        Ok(Self {
            url,
            new_admin,
            database,
            server,
            server_stop,
            runner,
            runner_stop,
            database_died,
            _lock: lock,
        })
    }

    /// Runs until `stop` is cancelled or a part ends by itself, then stops all parts in order.
    pub async fn run(mut self, stop: CancellationToken) -> Outcome {
        let early = tokio::select! {
            () = stop.cancelled() => None,
            () = self.database_died.cancelled() => Some(Failure::new("the embedded database cannot be kept alive")),
            ended = &mut self.server => {
                let failure = Failure::new("the server ended by itself");
                return self.end_after(Some(match ended {
                    Ok(Ok(())) => failure,
                    Ok(Err(error)) => failure.because(format!("{error:#}")),
                    Err(error) => failure.because(error),
                }), true, false).await;
            }
            ended = &mut self.runner => {
                let failure = Failure::new("the runner ended by itself");
                return self.end_after(Some(match ended {
                    Ok(Ok(())) => failure,
                    Ok(Err(error)) => failure.because(error),
                    Err(error) => failure.because(error),
                }), false, true).await;
            }
        };
        self.end_after(early, false, false).await
    }

    async fn end_after(self, early: Option<Failure>, server_ended: bool, runner_ended: bool) -> Outcome {
        self.runner_stop.cancel();
        if !runner_ended {
            match tokio::time::timeout(RUNNER_DRAIN, self.runner).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => tracing::error!(%error, "the runner did not stop well"),
                Ok(Err(error)) => tracing::error!(%error, "the runner broke"),
                Err(_) => tracing::warn!(
                    "the runner did not end within a minute; its stages are taken up at the next start"
                ),
            }
        }
        self.server_stop.cancel();
        if !server_ended {
            match self.server.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("the server did not stop well: {error:#}"),
                Err(error) => tracing::error!(%error, "the server broke"),
            }
        }
        if let Some(database) = self.database {
            database.stop().await?;
        }
        early.map_or(Ok(()), Err)
    }
}

/// Starts a server and makes its first administrator.
pub async fn start_server(
    config: ServerConfig,
    admin_password: Option<SecretString>,
    stop: CancellationToken,
) -> Outcome<(Server, Url, Option<bootstrap::NewAdmin>)> {
    let server = tidegate_server::start(config, stop.clone()).await.map_err(|error| {
        let failure = Failure::new(&error);
        match error {
            tidegate_server::StartError::Listen(..) => failure
                .mend("another program listens there: stop it, or choose another address with --listen (TIDEGATE_LISTEN)"),
            tidegate_server::StartError::Database(_) => failure.mend("DATABASE_URL names it"),
            _ => failure,
        }
    })?;
    let url = crate::settings::server::own_url(server.addr)?;
    let made = bootstrap::ensure_admin(&server.app, "admin", admin_password).await;
    let new_admin = match made {
        Ok(new_admin) => new_admin,
        Err(error) => {
            stop.cancel();
            server.join().await?;
            return Err(error).doing("cannot make the first administrator");
        }
    };
    Ok((server, url, new_admin))
}

/// Enrols the runner where it is not yet, and starts it.
async fn start_runner(
    mut config: RunnerConfig,
    server: &Server,
    url: &Url,
    fresh_database: bool,
    stop: CancellationToken,
) -> Outcome<JoinHandle<Result<(), tidegate_runner::RunnerError>>> {
    config.server_url = url.clone();
    let key = config.key_file();
    // A key that an earlier database knew opens nothing in a new one.
    if fresh_database && key.exists() {
        fs::remove_file(&key).doing(format!("cannot remove the stale key {}", key.display()))?;
    }
    if !key.exists() {
        let token =
            bootstrap::enrolment_token(&server.app).await.doing("cannot make a token for the runner")?;
        config.enrolment_token = Some(token.into());
    }
    Ok(tokio::spawn(tidegate_runner::run(config, stop)))
}

/// A lock on a data folder: two processes on one would share a database's files and a runner's workspaces.
struct Lock {
    _file: Flock<fs::File>,
}

impl Lock {
    fn take(folder: &Path) -> Outcome<Self> {
        let path: PathBuf = folder.join("lock");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .doing(format!("cannot open {}", path.display()))?;
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
            Failure::new(format!("another tidegate uses the data folder {}", folder.display()))
                .because(format!("process {} holds its lock ({error})", holder.trim()))
                .mend("stop that one, or choose another folder with --data-dir")
        })?;
        file.rewind().doing("cannot write the lock")?;
        file.set_len(0).doing("cannot write the lock")?;
        write!(file, "{}", std::process::id()).doing("cannot write the lock")?;
        Ok(Self { _file: file })
    }
}

/// The process that holds the lock of a data folder, if one does.
pub fn lock_holder(folder: &Path) -> Option<i32> {
    let file = fs::OpenOptions::new().read(true).write(true).open(folder.join("lock")).ok()?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_) => None,
        Err(_) => fs::read_to_string(folder.join("lock")).ok()?.trim().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_is_used_by_one_process() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(lock_holder(folder.path()), None);
        let lock = Lock::take(folder.path()).unwrap();
        let failure = Lock::take(folder.path()).err().unwrap();
        assert!(failure.to_string().contains("another tidegate"), "{failure}");
        assert_eq!(lock_holder(folder.path()), i32::try_from(std::process::id()).ok());
        drop(lock);
        Lock::take(folder.path()).unwrap();
    }
}
