//! `tidegate runners`: who executes stages, and tokens for new ones.

use clap::Subcommand;
use owo_colors::OwoColorize;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api::{Api, raw},
    failure::{Failure, Outcome},
    terminal::{self, Table},
};

/// Runners
#[derive(Subcommand)]
pub enum Runners {
    /// Who is there
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a single-use token for a new runner
    #[command(visible_alias = "token")]
    Enrol,
    /// Give a runner no more stages
    Disable {
        /// Its id or name
        runner: String,
    },
    /// Give it stages again
    Enable {
        /// Its id or name
        runner: String,
    },
}

impl Runners {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        match self {
            Self::List { json: true } => super::print_json(&raw(&api, "runners").await?),
            Self::List { json: false } => list(&api).await,
            Self::Enrol => {
                let made: Value = api.post("runners/enrolment-tokens", &json!({})).await?;
                anstream::eprintln!("{}", "For one runner, once: TIDEGATE_ENROLMENT_TOKEN=".dimmed());
                anstream::println!("{}", made["token"].as_str().unwrap_or_default());
                Ok(())
            }
            Self::Disable { runner } => set(&api, &runner, true).await,
            Self::Enable { runner } => set(&api, &runner, false).await,
        }
    }
}

async fn list(api: &Api) -> Outcome {
    let page: Value = api.get("runners").await?;
    let mut table =
        Table::new(&["runner", "state", "labels", "free", "version", "last seen", "id"]).prose(&["labels"]);
    for one in page["runners"].as_array().into_iter().flatten() {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let labels: Vec<_> =
            one["labels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let seen: Option<jiff::Timestamp> = one["last_seen_at"].as_str().and_then(|time| time.parse().ok());
        let state = match (one["disabled"] == true, one["online"] == true) {
            (true, _) => "disabled".yellow().to_string(),
            (false, true) => "online".green().to_string(),
            (false, false) => "offline".red().to_string(),
        };
        table.row([
            text("name"),
            state,
            labels.join(","),
            one["free_slots"].to_string(),
            text("version"),
            seen.map(terminal::ago).unwrap_or_else(|| "never".to_owned()),
            text("id"),
        ]);
    }
    table.print("No runners yet: `tidegate runners enrol` makes a token for one.");
    Ok(())
}

async fn set(api: &Api, name: &str, disabled: bool) -> Outcome {
    let page: Value = api.get("runners").await?;
    let matches: Vec<&str> = page["runners"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| one["id"] == name || one["name"] == name)
        .filter_map(|one| one["id"].as_str())
        .collect();
    let id = match matches.as_slice() {
        [id] => id,
        [] => return Err(Failure::new(format!("there is no runner {name}"))),
        _ => return Err(Failure::usage(format!("several runners are named {name}")).mend("give the id")),
    };
    api.call(Method::PATCH, &format!("runners/{id}"), &json!({"disabled": disabled})).await?;
    anstream::println!("{name} {}.", if disabled { "gets no more stages" } else { "gets stages again" });
    Ok(())
}
