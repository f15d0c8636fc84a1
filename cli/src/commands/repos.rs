//! `tidegate repos`: which repositories the server knows, and their webhooks.

use clap::{Args, Subcommand};
use owo_colors::OwoColorize;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    api::{Api, raw},
    failure::{Failure, Outcome},
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
    /// Change one
    Set(Set),
    /// The pipeline files of one, and what a person may start
    Pipelines {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// Branch, tag or full ref [default: the default branch]
        #[arg(long = "ref", value_name = "REF")]
        reference: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
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
    /// Which files are pipelines: the one of --pipeline-path, that and those in .tidegate, those in .github/workflows,
    /// or all of them
    #[arg(long, default_value = "both", value_parser = PIPELINES)]
    pipelines: String,
    /// Ask for `user:token` to clone with (from standard input when that is no terminal)
    #[arg(long)]
    clone_token: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Change one
#[derive(Args)]
pub struct Set {
    /// The repository
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
    /// Where it is cloned from
    #[arg(long, value_name = "URL")]
    clone_url: Option<String>,
    /// The default branch
    #[arg(long)]
    default_branch: Option<String>,
    /// The pipeline file
    #[arg(long)]
    pipeline_path: Option<String>,
    /// Which files are pipelines: the one of --pipeline-path, that and those in .tidegate, those in .github/workflows,
    /// or all of them
    #[arg(long, value_parser = PIPELINES)]
    pipelines: Option<String>,
    /// Ask for `user:token` to clone with (from standard input when that is no terminal)
    #[arg(long)]
    clone_token: bool,
}

/// Which files of a repository are pipelines.
const PIPELINES: [&str; 4] = ["file", "tidegate", "github", "both"];

impl Repos {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        match self {
            Self::List { json: true } => super::print_json(&raw(&api, "repositories").await?),
            Self::List { json: false } => list(&api).await,
            Self::Add(add) => add.run(&api).await,
            Self::Set(set) => set.run(&api).await,
            Self::Pipelines { repository, reference, json } => {
                let id = super::repository_id(&api, &repository).await?;
                let mut path = format!("repositories/{id}/pipelines");
                if let Some(reference) = reference {
                    path.push_str(&format!("?reference={}", super::encoded(&reference)));
                }
                if json { super::print_json(&raw(&api, &path).await?) } else { pipelines(&api, &path).await }
            }
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
        Table::new(&["repository", "forge", "branch", "pipelines", "clone URL"]).prose(&["clone URL"]);
    for one in page["repositories"].as_array().into_iter().flatten() {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        table.row([
            text("full_name"),
            text("forge"),
            text("default_branch"),
            match text("pipelines").as_str() {
                "tidegate" => format!("{}, .tidegate", text("pipeline_path")),
                "github" => ".github/workflows".to_owned(),
                "both" => format!("{}, .tidegate, .github/workflows", text("pipeline_path")),
                _ => text("pipeline_path"),
            },
            text("clone_url"),
        ]);
    }
    table.print("No repositories yet: `tidegate repos add OWNER/NAME`");
    Ok(())
}

async fn pipelines(api: &Api, path: &str) -> Outcome {
    let page: Value = api.get(path).await?;
    let mut table = Table::new(&["pipeline", "by hand", "inputs"]).prose(&["inputs"]);
    for one in page["pipelines"].as_array().into_iter().flatten() {
        let inputs =
            one["inputs"].as_array().into_iter().flatten().filter_map(|input| input["name"].as_str());
        table.row([
            one["path"].as_str().unwrap_or_default().to_owned(),
            if one["manual"] == true { "yes" } else { "no" }.to_owned(),
            inputs.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.print("No pipeline files there.");
    Ok(())
}

impl Set {
    async fn run(self, api: &Api) -> Outcome {
        use secrecy::ExposeSecret;
        let id = super::repository_id(api, &self.repository).await?;
        let mut body = Map::new();
        for (name, value) in [
            ("clone_url", self.clone_url),
            ("default_branch", self.default_branch),
            ("pipeline_path", self.pipeline_path),
            ("pipelines", self.pipelines),
        ] {
            body.extend(value.map(|value| (name.to_owned(), json!(value))));
        }
        if self.clone_token {
            let token = super::read_secret("Clone login (user:token)")?;
            body.insert("clone_token".to_owned(), json!(token.expose_secret()));
        }
        if body.is_empty() {
            return Err(Failure::usage("nothing is to be changed")
                .mend("say what, for example `--pipelines both`; `tidegate repos set --help` lists it all"));
        }
        let changed: Vec<String> = body.keys().map(|name| name.replace('_', " ")).collect();
        api.call(Method::PATCH, &format!("repositories/{id}"), &Value::Object(body)).await?;
        anstream::println!("{}: changed {}.", self.repository, changed.join(", "));
        Ok(())
    }
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
            "pipelines": self.pipelines,
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
