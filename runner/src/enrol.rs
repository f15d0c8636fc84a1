//! Who this runner is: its id and key, on disk since it enrolled.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tidegate_protocol::{
    ids::RunnerId,
    messages::{Enrol, PROTOCOL_VERSION},
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Backoff, Client, ClientError},
    config::RunnerConfig,
    error::RunnerError,
};

/// A runner's identity.
pub(crate) struct Identity {
    pub(crate) id: RunnerId,
    pub(crate) key: SecretString,
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    runner: RunnerId,
    key: String,
}

/// Reads the key file, else enrols with the token. Waits for a server that is not up yet.
pub(crate) async fn identity(
    config: &RunnerConfig,
    shutdown: &CancellationToken,
) -> Result<Option<Identity>, RunnerError> {
    let path = config.key_file();
    let disk = |source| RunnerError::Disk { path: path.clone(), source };
    match fs::read(&path) {
        Ok(bytes) => {
            let file: KeyFile = serde_json::from_slice(&bytes).map_err(|error| disk(error.into()))?;
            return Ok(Some(Identity { id: file.runner, key: file.key.into() }));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(disk(error)),
    }
    let Some(token) = &config.enrolment_token else { return Err(RunnerError::NotEnrolled(path)) };
    let client = Client::new(&config.server_url, None)?;
    let enrol = Enrol {
        protocol: PROTOCOL_VERSION,
        token: token.expose_secret().to_owned(),
        name: config.name.clone(),
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let enrolled = loop {
        match client.enrol(&enrol).await {
            Ok(enrolled) => break enrolled,
            Err(ClientError::Unavailable(reason)) => tracing::info!(%reason, "the server is not up yet"),
            Err(error) => return Err(RunnerError::Enrolment(error.to_string())),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = backoff.wait() => {}
        }
    };
    // The token is used up by now: the key must be on the disk before anything else happens.
    let bytes = serde_json::to_vec(&KeyFile { runner: enrolled.runner, key: enrolled.key.clone() })
        .map_err(|error| disk(error.into()))?;
    let fresh = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(disk)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(disk)?;
    fs::rename(&fresh, &path).map_err(disk)?;
    tracing::info!(runner = %enrolled.runner, name = %config.name, "enrolled");
    Ok(Some(Identity { id: enrolled.runner, key: enrolled.key.into() }))
}
