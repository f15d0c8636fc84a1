//! Starting and stopping the server.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{app::App, config::ServerConfig, error::Error, http, identity, secrets::Keys, store::Db, tasks};

/// How long the database may take to answer at the start.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long tasks may take to end.
const DRAIN: Duration = Duration::from_secs(20);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database does not answer.
    #[error("the database does not answer ({0}); is it running, and is the URL right?")]
    Database(String),
    /// The schema could not be brought up to date, or something in the data is from a newer server.
    #[error("the database cannot be used: {0:#}")]
    Schema(anyhow::Error),
    /// The key file.
    #[error("the master key: {0:#}")]
    Key(anyhow::Error),
    /// The address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// A running server.
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its parts.
    pub app: App,
    http: JoinHandle<std::io::Result<()>>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Server {
    /// Waits until the server has been told to stop and has done so. An early end of HTTP is an error.
    pub async fn join(self) -> anyhow::Result<()> {
        let served = self.http.await;
        self.shutdown.cancel();
        self.tracker.close();
        if tokio::time::timeout(DRAIN, self.tracker.wait()).await.is_err() {
            tracing::warn!("some tasks did not end within {} s and are dropped", DRAIN.as_secs());
        }
        self.app.db.close().await;
        Ok(served??)
    }
}

/// Connects, brings the schema up to date, listens and starts all tasks.
pub async fn start(config: ServerConfig, shutdown: CancellationToken) -> Result<Server, StartError> {
    let keys = Keys::load_or_create(&config.data_dir).map_err(StartError::Key)?;
    let db = connect(&config, &shutdown).await?;
    db.migrate().await.map_err(|error| match error {
        Error::Internal(inner) => StartError::Schema(inner),
        other => StartError::Database(other.to_string()),
    })?;
    let listen = config.listen;
    let app = App::new(db, config, keys);
    if let Err(error) = identity::keep(&app).await {
        // Whoever asks for a token is told; nobody else needs one.
        tracing::error!(%error, "there is no key for identity tokens");
    }
    let listener = TcpListener::bind(listen).await.map_err(|error| StartError::Listen(listen, error))?;
    let addr = listener.local_addr().map_err(|error| StartError::Listen(listen, error))?;
    let tracker = TaskTracker::new();
    tasks::spawn(&app, &tracker, &shutdown);
    let http = tokio::spawn(http::serve(app.clone(), listener, shutdown.clone()));
    tracing::info!(%addr, "the server listens");
    Ok(Server { addr, app, http, tracker, shutdown })
}

/// The database may still be starting: tries until it answers or patience ends.
async fn connect(config: &ServerConfig, shutdown: &CancellationToken) -> Result<Db, StartError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match Db::connect(&config.database_url, config.max_connections).await {
            Ok(db) => return Ok(db),
            Err(Error::Unavailable(reason)) if tokio::time::Instant::now() < deadline => {
                tracing::warn!(%reason, "the database does not answer yet");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = shutdown.cancelled() => return Err(StartError::Database("told to stop".to_owned())),
                }
            }
            Err(Error::Unavailable(reason)) => return Err(StartError::Database(reason)),
            Err(Error::Internal(inner)) => return Err(StartError::Database(format!("{inner:#}"))),
            Err(other) => return Err(StartError::Database(other.to_string())),
        }
    }
}
