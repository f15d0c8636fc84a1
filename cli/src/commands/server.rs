//! `tidegate server`: the coordinator alone.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use clap::Args;
use secrecy::ExposeSecret;
use tidegate_server::bootstrap;

use crate::{
    failure::{Doing, Outcome},
    logging,
    settings::{
        file::File,
        server::{ServerArgs, admin_password, database_url, make_data_dir, no_database},
    },
    stack,
};

/// Start a server alone, on the database in DATABASE_URL
///
/// The first start makes the user `admin`, with the password in TIDEGATE_ADMIN_PASSWORD or a random one that is
/// printed. GitHub is told of results when TIDEGATE_GITHUB_TOKEN, or TIDEGATE_GITHUB_APP_ID and
/// TIDEGATE_GITHUB_APP_KEY, are set. Each secret may stand in a file that <variable>_FILE names.
#[derive(Args)]
pub struct Server {
    #[command(flatten)]
    server: ServerArgs,
    /// At each start, write a fresh single-use token for a runner into this file
    #[arg(long, env = "TIDEGATE_WRITE_ENROLMENT_TOKEN", value_name = "FILE")]
    write_enrolment_token: Option<PathBuf>,
}

impl Server {
    /// Starts it and waits for a signal.
    pub async fn run(self, file: File) -> Outcome {
        logging::install("info,sqlx=error");
        let database = database_url(&file.server)?.ok_or_else(no_database)?;
        let config = self.server.resolve(&file.server, database)?;
        make_data_dir(&config.data_dir)?;
        let public_url = config.public_url.clone();
        let stop = super::until_signal()?;
        let (server, _, new_admin) = stack::start_server(config, admin_password()?, stop).await?;
        if let Some(path) = &self.write_enrolment_token {
            let token =
                bootstrap::enrolment_token(&server.app).await.doing("cannot make an enrolment token")?;
            write_private(path, &token)?;
        }
        anstream::println!("Tidegate server {} on {public_url}", env!("CARGO_PKG_VERSION"));
        if let Some(admin) = new_admin {
            anstream::println!("Log in as {}", log_in_words(&admin));
        }
        Ok(server.join().await?)
    }
}

/// How the first administrator logs in. A chosen password is known already, and has no place in a log.
pub fn log_in_words(admin: &bootstrap::NewAdmin) -> String {
    let chosen = ["TIDEGATE_ADMIN_PASSWORD", "TIDEGATE_ADMIN_PASSWORD_FILE"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if chosen {
        format!("{} with the password that was chosen", admin.username)
    } else {
        format!("{} / {} (shown only now)", admin.username, admin.password.expose_secret())
    }
}

/// Puts a token in place whole: a runner that waits for the file never reads half of it.
fn write_private(path: &std::path::Path, token: &str) -> Outcome {
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .doing(format!("cannot write {}", new.display()))?;
    file.write_all(token.as_bytes()).doing(format!("cannot write {}", new.display()))?;
    fs::rename(&new, path).doing(format!("cannot put {} in place", path.display()))
}
