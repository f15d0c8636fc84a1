//! `tidegate admin`: for the operator of the server's machine, straight on the database.

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use tidegate_server::bootstrap;
use tokio_util::sync::CancellationToken;

use crate::{
    failure::{Doing, Failure, Outcome},
    logging,
    postgres::Embedded,
    settings::{
        file::File,
        server::{ServerArgs, database_url},
    },
    stack,
};

/// What only the operator of the server's machine may do
#[derive(Subcommand)]
pub enum Admin {
    /// Give a user a new random password, and end the user's sessions
    ResetPassword(ResetPassword),
    /// Check that no entry of the audit trail was changed or taken away
    VerifyAudit(VerifyAudit),
}

/// Give a user a new random password, and end the user's sessions
#[derive(Args)]
pub struct ResetPassword {
    /// The user
    #[arg(default_value = "admin")]
    username: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Check that no entry of the audit trail was changed or taken away
#[derive(Args)]
pub struct VerifyAudit {
    #[command(flatten)]
    server: ServerArgs,
}

impl Admin {
    /// Does it.
    pub async fn run(self, file: File) -> Outcome {
        logging::install("warn");
        match self {
            Self::ResetPassword(command) => command.run(file).await,
            Self::VerifyAudit(command) => command.run(file).await,
        }
    }
}

impl ResetPassword {
    async fn run(self, file: File) -> Outcome {
        let result = with_database(&self.server, &file, async |url| {
            bootstrap::reset_password(url, &self.username).await
        });
        let password = result.await?.doing(format!("cannot reset the password of {}", self.username))?;
        anstream::println!("{} / {}", self.username, password.expose_secret());
        Ok(())
    }
}

impl VerifyAudit {
    async fn run(self, file: File) -> Outcome {
        let result = with_database(&self.server, &file, async |url| bootstrap::verify_audit(url).await);
        let trail = result.await?.doing("cannot read the audit trail")?;
        match trail.broken {
            Some(entry) => Err(Failure::new(format!(
                "entry {entry} of the audit trail is not as it was written, or an entry before it is missing"
            ))),
            None => {
                anstream::println!(
                    "the audit trail is whole: {} entries, the last one's hash is {}",
                    trail.entries,
                    trail.last
                );
                Ok(())
            }
        }
    }
}

/// Calls this with the database's URL. The embedded database runs with `tidegate up`; it is used as it is then, and
/// started for a moment otherwise.
async fn with_database<T>(
    server: &ServerArgs,
    file: &File,
    work: impl AsyncFnOnce(&SecretString) -> T,
) -> Outcome<T> {
    let named = database_url(&file.server)?;
    let data_dir = server.data_dir(&file.server)?;
    let cluster = data_dir.join("postgres");
    let (url, started) = match named {
        Some(url) => (url, None),
        None if stack::lock_holder(&data_dir).is_some() => (Embedded::url_of(&cluster)?.into(), None),
        None => {
            let started = Embedded::start(&cluster, CancellationToken::new()).await?;
            (started.url().to_owned().into(), Some(started))
        }
    };
    let result = work(&url).await;
    if let Some(started) = started {
        started.stop().await?;
    }
    Ok(result)
}
