//! `tidegate admin`: for the operator of the server's machine, straight on the database.

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use tidegate_server::bootstrap;
use tokio_util::sync::CancellationToken;

use crate::{
    failure::{Doing, Outcome},
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

impl Admin {
    /// Does it.
    pub async fn run(self, file: File) -> Outcome {
        logging::install("warn");
        let Self::ResetPassword(command) = self;
        command.run(file).await
    }
}

impl ResetPassword {
    async fn run(self, file: File) -> Outcome {
        let named = database_url(&file.server)?;
        let data_dir = self.server.data_dir(&file.server)?;
        // The embedded database runs with `tidegate up`; it is used as it is then, and started for a moment otherwise.
        let cluster = data_dir.join("postgres");
        let (url, started) = match named {
            Some(url) => (url, None),
            None if stack::lock_holder(&data_dir).is_some() => (Embedded::url_of(&cluster)?.into(), None),
            None => {
                let started = Embedded::start(&cluster, CancellationToken::new()).await?;
                (started.url().to_owned().into(), Some(started))
            }
        };
        let result = bootstrap::reset_password(&url, &self.username).await;
        if let Some(started) = started {
            started.stop().await?;
        }
        let password = result.doing(format!("cannot reset the password of {}", self.username))?;
        anstream::println!("{} / {}", self.username, password.expose_secret());
        Ok(())
    }
}
