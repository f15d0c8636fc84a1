//! `tidegate tokens`: API tokens of one's own.

use clap::Subcommand;
use owo_colors::OwoColorize;
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::{
    api::Api,
    failure::Outcome,
    terminal::{self, Table},
};

/// API tokens of your own
#[derive(Subcommand)]
pub enum Tokens {
    /// Your tokens, without their values
    List,
    /// Make one; it is shown only now
    Create {
        /// What it is for
        name: String,
    },
    /// Make one invalid
    Revoke {
        /// Its id
        id: String,
    },
}

impl Tokens {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        match self {
            Self::List => {
                let page: Value = api.get("tokens").await?;
                let mut table = Table::new(&["name", "made", "last used", "id"]);
                for one in page["tokens"].as_array().into_iter().flatten() {
                    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
                    let when = |key: &str| {
                        one[key]
                            .as_str()
                            .and_then(|time| time.parse().ok())
                            .map_or("never".to_owned(), terminal::ago)
                    };
                    table.row([text("name"), when("created_at"), when("last_used_at"), text("id")]);
                }
                table.print("No tokens.");
                Ok(())
            }
            Self::Create { name } => {
                let token = super::login::make_token(&api, &name).await?;
                anstream::eprintln!("{}", "Shown only now:".dimmed());
                anstream::println!("{}", token.expose_secret());
                Ok(())
            }
            Self::Revoke { id } => {
                api.delete(&format!("tokens/{id}")).await?;
                anstream::println!("The token is invalid now.");
                Ok(())
            }
        }
    }
}
