//! `tidegate repos`: which repositories the server knows, and their webhooks.

use clap::{Args, Subcommand};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::{
    api::{Api, raw},
    failure::Outcome,
    terminal::Table,
};

/// Repositories
#[derive(Subcommand)]
pub enum Repos {
    /// The repositories that the server knows
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add one; prints its webhook's URL and secret, once
    Add(Add),
    /// Remove one, with its runs
    Remove {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
    },
}

/// Add one; prints its webhook's URL and secret, once
#[derive(Args)]
pub struct Add {
    /// The repository
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
    /// Where it is cloned from [default: https://github.com/OWNER/NAME.git]
    #[arg(long, value_name = "URL")]
    clone_url: Option<String>,
    /// `github`: results are reported there; `git`: they are not
    #[arg(long, default_value = "github", value_parser = ["github", "git"])]
    forge: String,
    /// The default branch
    #[arg(long, default_value = "main")]
    default_branch: String,
    /// The pipeline file
    #[arg(long, default_value = super::validate::DEFAULT_FILE)]
    pipeline_path: String,
    /// Ask for `user:token` to clone with (from standard input when that is no terminal)
    #[arg(long)]
    clone_token: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Repos {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        match self {
            Self::List { json: true } => super::print_json(&raw(&api, "repositories").await?),
            Self::List { json: false } => list(&api).await,
            Self::Add(add) => add.run(&api).await,
            Self::Remove { repository } => {
                let id = super::repository_id(&api, &repository).await?;
                api.delete(&format!("repositories/{id}")).await?;
                anstream::println!("{repository} is removed.");
                Ok(())
            }
        }
    }
}

async fn list(api: &Api) -> Outcome {
    let page: Value = api.get("repositories").await?;
    let mut table =
        Table::new(&["repository", "forge", "branch", "pipeline", "clone URL"]).prose(&["clone URL"]);
    for one in page["repositories"].as_array().into_iter().flatten() {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        table.row([
            text("full_name"),
            text("forge"),
            text("default_branch"),
            text("pipeline_path"),
            text("clone_url"),
        ]);
    }
    table.print("No repositories yet: `tidegate repos add OWNER/NAME`");
    Ok(())
}

impl Add {
    async fn run(self, api: &Api) -> Outcome {
        use secrecy::ExposeSecret;
        let clone_url =
            self.clone_url.unwrap_or_else(|| format!("https://github.com/{}.git", self.repository));
        let mut body = json!({
            "full_name": self.repository,
            "forge": self.forge,
            "clone_url": clone_url,
            "default_branch": self.default_branch,
            "pipeline_path": self.pipeline_path,
        });
        if self.clone_token {
            let token = super::read_secret("Clone login (user:token)")?;
            body["clone_token"] = json!(token.expose_secret());
        }
        let made: Value = api.post("repositories", &body).await?;
        if self.json {
            return super::print_json(&made);
        }
        let text = |key: &str| made[key].as_str().unwrap_or_default().to_owned();
        anstream::println!(
            "{} is added. Its webhook (content type application/json):",
            self.repository.bold()
        );
        anstream::println!("  URL     {}", text("webhook_url"));
        anstream::println!("  Secret  {}   {}", text("webhook_secret"), "(shown only now)".dimmed());
        Ok(())
    }
}
