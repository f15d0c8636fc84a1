//! `tidegate users`: people and their roles.

use clap::Subcommand;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use crate::{
    api::{Api, raw},
    failure::{Failure, Outcome},
    terminal::Table,
};

/// The roles, weakest first.
const ROLES: [&str; 4] = ["viewer", "developer", "release_manager", "admin"];

/// People
#[derive(Subcommand)]
pub enum Users {
    /// Everybody
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a person; the password is asked for, or read from standard input
    Add {
        /// The name to log in with
        username: String,
        /// What the person may do
        #[arg(long, default_value = "developer", value_parser = ROLES)]
        role: String,
        /// The name that others see
        #[arg(long)]
        display_name: Option<String>,
    },
    /// Change a person's role or password, or shut the person out
    Set {
        /// The name to log in with
        username: String,
        /// A new role
        #[arg(long, value_parser = ROLES)]
        role: Option<String>,
        /// Ask for a new password
        #[arg(long)]
        password: bool,
        /// Shut out (true) or let in again (false)
        #[arg(long)]
        disabled: Option<bool>,
    },
}

impl Users {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        match self {
            Self::List { json: true } => super::print_json(&raw(&api, "users").await?),
            Self::List { json: false } => {
                let page: Value = api.get("users").await?;
                let mut table = Table::new(&["user", "name", "role", "state"]);
                for one in page["users"].as_array().into_iter().flatten() {
                    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
                    let state = if one["disabled"] == true { "disabled" } else { "" };
                    table.row([text("username"), text("display_name"), text("role"), state.to_owned()]);
                }
                table.print("Nobody.");
                Ok(())
            }
            Self::Add { username, role, display_name } => {
                let password = super::read_secret(&format!("Password for {username}"))?;
                let body = json!({
                    "username": username,
                    "display_name": display_name.as_ref().unwrap_or(&username),
                    "role": role,
                    "password": password.expose_secret(),
                });
                api.call(Method::POST, "users", &body).await?;
                anstream::println!("{username} is a {role} now.");
                Ok(())
            }
            Self::Set { username, role, password, disabled } => {
                set(&api, &username, role, password, disabled).await
            }
        }
    }
}

async fn set(
    api: &Api,
    username: &str,
    role: Option<String>,
    password: bool,
    disabled: Option<bool>,
) -> Outcome {
    let mut body = Map::new();
    if let Some(role) = role {
        body.insert("role".to_owned(), json!(role));
    }
    if password {
        let password = super::read_secret(&format!("New password for {username}"))?;
        body.insert("password".to_owned(), json!(password.expose_secret()));
    }
    if let Some(disabled) = disabled {
        body.insert("disabled".to_owned(), json!(disabled));
    }
    if body.is_empty() {
        return Err(Failure::usage("nothing to change").mend("give --role, --password or --disabled"));
    }
    let page: Value = api.get("users").await?;
    let id = page["users"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["username"] == username)
        .and_then(|one| one["id"].as_str())
        .ok_or_else(|| Failure::new(format!("there is no user {username}")))?;
    api.call(Method::PATCH, &format!("users/{id}"), &Value::Object(body)).await?;
    anstream::println!("{username} is changed.");
    Ok(())
}
