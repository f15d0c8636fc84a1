//! `tidegate variables`: values that pipelines read as `vars`; nothing about them is secret.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api::{Api, raw},
    failure::Outcome,
    terminal::Table,
};

/// Variables of repositories and environments
#[derive(Subcommand)]
pub enum Variables {
    /// The variables of a repository
    List {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set one
    Set {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// Its name, for example LOG_LEVEL
        name: String,
        /// Its value
        value: String,
        /// Only for stages of this environment
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

impl Variables {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        match self {
            Self::List { repository, json } => {
                let id = super::repository_id(&api, &repository).await?;
                let path = format!("repositories/{id}/variables");
                if json { super::print_json(&raw(&api, &path).await?) } else { list(&api, &path).await }
            }
            Self::Set { repository, name, value, environment } => {
                let id = super::repository_id(&api, &repository).await?;
                let body = json!({"value": value, "environment": environment});
                api.call(Method::PUT, &format!("repositories/{id}/variables/{name}"), &body).await?;
                anstream::println!("{name} is set.");
                Ok(())
            }
            Self::Remove { repository, name, environment } => {
                let id = super::repository_id(&api, &repository).await?;
                let mut path = format!("repositories/{id}/variables/{name}");
                if let Some(environment) = environment {
                    path.push_str(&format!("?environment={}", super::encoded(&environment)));
                }
                api.delete(&path).await?;
                anstream::println!("{name} is removed.");
                Ok(())
            }
        }
    }
}

async fn list(api: &Api, path: &str) -> Outcome {
    let page: Value = api.get(path).await?;
    let mut table = Table::new(&["name", "environment", "value", "changed", "by"]).prose(&["value"]);
    for one in page["variables"].as_array().into_iter().flatten() {
        let text = |key: &str| crate::terminal::harmless(one[key].as_str().unwrap_or_default()).to_string();
        table.row([text("name"), text("environment"), text("value"), text("updated_at"), text("updated_by")]);
    }
    table.print("No variables.");
    Ok(())
}
