//! `tidegate up`: all parts in one process.

use clap::Args;
use owo_colors::OwoColorize;

use crate::{
    failure::Outcome,
    logging,
    settings::{
        file::File,
        runner::RunnerArgs,
        server::{ServerArgs, admin_password, database_url, own_url},
    },
    stack::{Plan, Stack},
};

/// Start server, embedded database and runner in one process
///
/// With DATABASE_URL set that database is used; otherwise a private Postgres cluster is kept in the data folder,
/// from the Postgres installed on this machine (or in TIDEGATE_PG_BIN). TIDEGATE_ADMIN_PASSWORD chooses the first
/// administrator's password. GitHub is told of results when TIDEGATE_GITHUB_TOKEN, or TIDEGATE_GITHUB_APP_ID and
/// TIDEGATE_GITHUB_APP_KEY, are set. Each secret may stand in a file that <variable>_FILE names.
#[derive(Args)]
pub struct Up {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    runner: RunnerArgs,
}

impl Up {
    /// Starts everything and waits for a signal.
    pub async fn run(self, file: File) -> Outcome {
        logging::install("info,sqlx=error");
        let database = database_url(&file.server)?;
        let embedded = database.is_none();
        let server = self.server.resolve(&file.server, database.unwrap_or_default())?;
        let allow_file_clone = server.allow_file_clone || file.runner.allow_file_clone.unwrap_or(false);
        let data_dir = file.runner.data_dir.clone().unwrap_or_else(|| server.data_dir.join("runner"));
        let runner =
            self.runner.resolve(&file.runner, own_url(server.listen)?, data_dir, allow_file_clone)?;
        let (mut public_url, data_dir) = (server.public_url.clone(), server.data_dir.clone());
        let stop = super::until_signal()?;
        let stack =
            Stack::start(Plan { server, runner, embedded, admin_password: admin_password()? }).await?;
        if public_url.port() == Some(0) {
            // The system chose the port.
            public_url = stack.url.clone();
        }
        anstream::println!("{} is up", format!("Tidegate {}", env!("CARGO_PKG_VERSION")).bold());
        anstream::println!("  Page    {public_url}");
        if let Some(admin) = &stack.new_admin {
            anstream::println!("  Log in  {}", super::server::log_in_words(admin));
        }
        anstream::println!("  Data    {}", data_dir.display());
        stack.run(stop).await
    }
}
