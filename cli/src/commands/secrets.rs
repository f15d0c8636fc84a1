//! `tidegate secrets`: names are shown, values are only ever set.

use clap::Subcommand;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::{api::Api, failure::Outcome, terminal::Table};

/// Secrets of repositories and environments
#[derive(Subcommand)]
pub enum Secrets {
    /// The names of a repository's secrets
    List {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
    },
    /// Set one; its value is asked for, or read from standard input
    Set {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// Its name, for example NPM_TOKEN
        name: String,
        /// Only for stages that deploy to or test this environment
        #[arg(long)]
        environment: Option<String>,
    },
    /// Remove one
    Remove {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// Its name
        name: String,
        /// The one of this environment
        #[arg(long)]
        environment: Option<String>,
    },
}

impl Secrets {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        match self {
            Self::List { repository } => {
                let id = super::repository_id(&api, &repository).await?;
                let page: Value = api.get(&format!("repositories/{id}/secrets")).await?;
                let mut table = Table::new(&["name", "environment", "changed", "by"]);
                for one in page["secrets"].as_array().into_iter().flatten() {
                    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
                    table.row([text("name"), text("environment"), text("updated_at"), text("updated_by")]);
                }
                table.print("No secrets.");
                Ok(())
            }
            Self::Set { repository, name, environment } => {
                let id = super::repository_id(&api, &repository).await?;
                let value = super::read_secret(&name)?;
                let body = json!({"value": value.expose_secret(), "environment": environment});
                api.call(Method::PUT, &format!("repositories/{id}/secrets/{name}"), &body).await?;
                anstream::println!("{name} is set.");
                Ok(())
            }
            Self::Remove { repository, name, environment } => {
                let id = super::repository_id(&api, &repository).await?;
                let body = json!({"environment": environment});
                api.call(Method::DELETE, &format!("repositories/{id}/secrets/{name}"), &body).await?;
                anstream::println!("{name} is removed.");
                Ok(())
            }
        }
    }
}
