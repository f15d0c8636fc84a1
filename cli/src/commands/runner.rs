//! `tidegate runner`: the agent alone.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use tidegate_runner::config::RunnerConfig;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    failure::{Doing, Failure, Outcome},
    logging,
    settings::{
        self,
        file::{self, File},
        runner::{RunnerArgs, enrolment_token},
    },
};

/// How long a file with an enrolment token may take to appear.
const TOKEN_PATIENCE: Duration = Duration::from_secs(120);

/// Start a runner alone
///
/// The first start needs an enrolment token (`tidegate runners enrol`) in TIDEGATE_ENROLMENT_TOKEN, or in the file
/// that TIDEGATE_ENROLMENT_TOKEN_FILE names. Afterwards the runner's own key in its data folder is what counts.
#[derive(Args)]
pub struct Runner {
    /// The server to work for [default: http://127.0.0.1:7300]
    #[arg(long, env = "TIDEGATE_SERVER_URL", value_name = "URL")]
    server_url: Option<Url>,
    /// Folder for its key, journal, mirrors and workspaces; the engine must see it under the same path
    /// [default: /var/lib/tidegate/runner for root, else ~/.local/share/tidegate/runner]
    #[arg(long, env = "TIDEGATE_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Allow repositories on this machine's disk (file:// clone URLs)
    #[arg(long, env = "TIDEGATE_ALLOW_FILE_CLONE", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "true|false")]
    allow_file_clone: Option<bool>,
    #[command(flatten)]
    runner: RunnerArgs,
}

impl Runner {
    /// Starts it and waits for a signal.
    pub async fn run(self, file: File) -> Outcome {
        logging::install("info");
        let mut config = self.resolve(&file.runner)?;
        let stop = super::until_signal()?;
        if !config.key_file().exists() {
            config.enrolment_token = Some(wait_for_token(&file.runner, &stop).await?);
        }
        tracing::info!(name = %config.name, server = %config.server_url, slots = config.slots, "the runner starts");
        tidegate_runner::run(config, stop).await.doing("the runner ended")
    }

    fn resolve(&self, file: &file::Runner) -> Outcome<RunnerConfig> {
        let url = match self.server_url.clone().or_else(|| file.server_url.clone()) {
            Some(url) => url,
            None => Url::parse("http://127.0.0.1:7300").doing("cannot read the default server URL")?,
        };
        let data_dir = match self.data_dir.clone().or_else(|| file.data_dir.clone()) {
            Some(folder) => folder,
            None => settings::default_data_dir()?.join("runner"),
        };
        let allow_file_clone = self.allow_file_clone.or(file.allow_file_clone).unwrap_or(false);
        self.runner.resolve(file, url, data_dir, allow_file_clone)
    }
}

/// The token; when it is to come from a file that a server just starting is about to write, waits for that.
async fn wait_for_token(file: &file::Runner, stop: &CancellationToken) -> Outcome<secrecy::SecretString> {
    let expected = std::env::var_os("TIDEGATE_ENROLMENT_TOKEN_FILE")
        .map(PathBuf::from)
        .or_else(|| file.enrolment_token_file.clone());
    if let Some(path) = expected.filter(|_| std::env::var_os("TIDEGATE_ENROLMENT_TOKEN").is_none()) {
        let begun = std::time::Instant::now();
        while !path.exists() && begun.elapsed() < TOKEN_PATIENCE {
            tokio::select! {
                () = stop.cancelled() => return Err(Failure::new("told to stop before the runner was enrolled")),
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }
    enrolment_token(file)?.ok_or_else(|| {
        Failure::usage("this runner is not enrolled yet, and has no token to enrol with")
            .mend("make one with `tidegate runners enrol`, and set TIDEGATE_ENROLMENT_TOKEN to it")
    })
}
