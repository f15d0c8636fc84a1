//! `tidegate runs`: the list, one run, and starting, cancelling and rerunning.

use std::time::Duration;

use clap::{Args, Subcommand};
use owo_colors::OwoColorize;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    api::{Api, views},
    failure::{Failure, Outcome},
    terminal::{self, Table, status_style},
};

/// Look at runs, start, cancel and rerun them
#[derive(Subcommand)]
pub enum Runs {
    /// The newest runs
    List {
        /// Only of this repository
        #[arg(long, value_name = "OWNER/NAME")]
        repository: Option<String>,
        /// Only of this pipeline file
        #[arg(long, value_name = "PATH")]
        pipeline: Option<String>,
        /// Only in this state
        #[arg(long)]
        status: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// One run with its stages
    Show {
        /// The run's number (`12`, `owner/name#12`) or id
        run: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Wait until a run ends; fails unless it succeeded
    Wait {
        /// The run's number (`12`, `owner/name#12`) or id
        run: String,
    },
    /// Start a pipeline by hand
    Start(Start),
    /// Stop a run
    Cancel {
        /// The run's number (`12`, `owner/name#12`) or id
        run: String,
    },
    /// Run again: all of it as a new run, or what failed in place
    Rerun {
        /// The run's number (`12`, `owner/name#12`) or id
        run: String,
        /// Only the stages that failed, and those after them
        #[arg(long)]
        failed: bool,
    },
}

/// Start a pipeline by hand
#[derive(Args)]
pub struct Start {
    /// The repository
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
    /// Branch, tag or full ref
    #[arg(long = "ref", value_name = "REF", default_value = "main")]
    reference: String,
    /// The pipeline file [default: the repository's own, or the only one that a person may start]
    #[arg(long, value_name = "PATH")]
    pipeline: Option<String>,
    /// An input of the pipeline; may be given again
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = name_and_value)]
    inputs: Vec<(String, String)>,
}

/// Splits `NAME=VALUE`.
pub fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// `true`, `3` and the like as what they are, everything else as text.
pub fn typed(value: &str) -> Value {
    match serde_json::from_str(value) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(value.to_owned()),
    }
}

impl Runs {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        match self {
            Self::List { repository, pipeline, status, limit, json } => {
                let mut query = format!("runs?limit={limit}");
                if let Some(repository) = repository {
                    query
                        .push_str(&format!("&repository={}", super::repository_id(&api, &repository).await?));
                }
                if let Some(pipeline) = pipeline {
                    query.push_str(&format!("&pipeline={}", super::encoded(&pipeline)));
                }
                if let Some(status) = status {
                    query.push_str(&format!("&status={status}"));
                }
                if json {
                    super::print_json(&crate::api::raw(&api, &query).await?)
                } else {
                    list(&api, &query).await
                }
            }
            Self::Show { run, json: true } => {
                let run = super::run_id(&api, &run).await?;
                super::print_json(&crate::api::raw(&api, &format!("runs/{run}")).await?)
            }
            Self::Show { run, json: false } => {
                let run = super::run_id(&api, &run).await?;
                print_run(&api.get(&format!("runs/{run}")).await?);
                Ok(())
            }
            Self::Wait { run } => wait(&api, &super::run_id(&api, &run).await?).await,
            Self::Start(start) => start.run(&api).await,
            Self::Cancel { run } => {
                let id = super::run_id(&api, &run).await?;
                api.call(Method::POST, &format!("runs/{id}/cancel"), &json!({})).await?;
                anstream::println!("Asked run {run} to stop.");
                Ok(())
            }
            Self::Rerun { run, failed } => {
                let run = super::run_id(&api, &run).await?;
                let scope = if failed { "failed" } else { "all" };
                let made: views::Made =
                    api.post(&format!("runs/{run}/rerun"), &json!({"scope": scope})).await?;
                anstream::println!("Run {}", made.id);
                Ok(())
            }
        }
    }
}

impl Start {
    async fn run(self, api: &Api) -> Outcome {
        let repository = super::repository_id(api, &self.repository).await?;
        let inputs: Map<String, Value> =
            self.inputs.into_iter().map(|(name, value)| (name, typed(&value))).collect();
        let body = json!({"reference": self.reference, "pipeline": self.pipeline, "inputs": inputs});
        let made: views::Made = api.post(&format!("repositories/{repository}/runs"), &body).await?;
        anstream::println!("Run {}", made.id);
        Ok(())
    }
}

async fn list(api: &Api, query: &str) -> Outcome {
    let page: views::Runs = api.get(query).await?;
    let mut table =
        Table::new(&["run", "status", "repository", "commit", "title", "event", "by", "when", "id"])
            .prose(&["title", "repository", "by"]);
    for run in page.runs {
        table.row([
            format!("#{}", run.number),
            run.status.style(status_style(&run.status)).to_string(),
            run.repository.clone(),
            terminal::short_digest(&run.sha),
            terminal::harmless(&terminal::shorten(&run.title, 50)),
            run.event_kind,
            terminal::harmless(&run.actor),
            terminal::ago(run.created_at),
            run.id,
        ]);
    }
    table.print("No runs yet.");
    Ok(())
}

/// A run's head line and its stages.
pub fn print_run(run: &views::Run) {
    anstream::println!(
        "{} {} {} · {} · {} · {}",
        run.repository.bold(),
        format!("#{}", run.number).bold(),
        run.status.style(status_style(&run.status)),
        run.pipeline,
        terminal::short_digest(&run.sha),
        terminal::harmless(&terminal::shorten(&run.title, 60)),
    );
    if let Some(reason) = &run.reason {
        anstream::println!("{}", terminal::harmless(reason).dimmed());
    }
    for diagnostic in &run.diagnostics {
        anstream::println!(
            "{}:{}:{}: {}",
            diagnostic.file,
            diagnostic.span.line,
            diagnostic.span.column,
            diagnostic.message
        );
    }
    let mut table = Table::new(&["stage", "result", "duration", "why"]).prose(&["why"]);
    for stage in &run.stages {
        let attempt = stage.attempts.last().map(|attempt| attempt.number).filter(|number| *number > 1);
        let mut name = stage.key.clone();
        if let Some(number) = attempt {
            name.push_str(&format!(" (attempt {number})"));
        }
        table.row([
            name,
            stage.status.style(status_style(&stage.status)).to_string(),
            stage_duration(stage),
            terminal::harmless(stage.reason.as_deref().unwrap_or_default()),
        ]);
    }
    table.print("No stages.");
}

/// How long a stage took, or has been at work.
pub fn stage_duration(stage: &views::Stage) -> String {
    let Some(started) = stage.started_at else { return String::new() };
    let end = stage.finished_at.unwrap_or_else(jiff::Timestamp::now);
    terminal::duration(Duration::try_from(end.duration_since(started)).unwrap_or_default())
}

async fn wait(api: &Api, run: &str) -> Outcome {
    loop {
        let seen: views::Run = api.get(&format!("runs/{run}")).await?;
        if seen.is_final() {
            print_run(&seen);
            return match seen.status.as_str() {
                "succeeded" | "warned" => Ok(()),
                _ => Err(Failure::told()),
            };
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_keep_their_type() {
        assert_eq!(typed("true"), json!(true));
        assert_eq!(typed("3"), json!(3));
        assert_eq!(typed("patch"), json!("patch"));
        assert_eq!(typed("[1]"), json!("[1]"));
        assert!(name_and_value("=x").is_err());
        assert_eq!(name_and_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
    }
}
