//! `tidegate env`: environments, their rules and their history.

use clap::{Args, Subcommand};
use owo_colors::OwoColorize;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api::{Api, raw, views},
    failure::{Failure, Outcome},
    terminal::{self, Table, status_style},
};

/// Environments and their rules
#[derive(Subcommand)]
pub enum Env {
    /// What each environment runs
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make an environment, or set its rules
    Set(Set),
    /// Stop all deployments to an environment, with a reason
    Freeze {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// The environment
        environment: String,
        /// Why
        reason: String,
    },
    /// Allow deployments again
    Unfreeze {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// The environment
        environment: String,
    },
    /// What was deployed
    History {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// The environment
        environment: String,
    },
}

/// Make an environment, or set its rules
#[derive(Args)]
pub struct Set {
    /// The repository
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
    /// The environment
    environment: String,
    /// Where it answers, for smoke tests
    #[arg(long)]
    url: Option<String>,
    /// People who must agree before a deployment
    #[arg(long, default_value_t = 0)]
    approvals: u32,
    /// The role that may agree
    #[arg(long, default_value = "release_manager", value_parser = ["developer", "release_manager", "admin"])]
    approver_role: String,
    /// Only these people may agree
    #[arg(long, value_delimiter = ',', value_name = "USER,…")]
    approvers: Vec<String>,
    /// Whoever caused the run may agree too
    #[arg(long)]
    allow_self_approval: bool,
    /// Branches and tags that may be deployed (globs) [default: all]
    #[arg(long, value_delimiter = ',', value_name = "GLOB,…")]
    branches: Vec<String>,
    /// Seconds to wait before a deployment
    #[arg(long, default_value_t = 0)]
    wait_seconds: u32,
    /// Seconds until a gate that nobody decided expires
    #[arg(long, default_value_t = 2_592_000)]
    gate_expires_seconds: u32,
}

impl Env {
    /// Does it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        match self {
            Self::List { json: true } => super::print_json(&raw(&api, "environments").await?),
            Self::List { json: false } => list(&api).await,
            Self::Set(set) => set.run(&api).await,
            Self::Freeze { repository, environment, reason } => {
                freeze(&api, &repository, &environment, json!(reason)).await?;
                anstream::println!("{environment} is frozen.");
                Ok(())
            }
            Self::Unfreeze { repository, environment } => {
                freeze(&api, &repository, &environment, Value::Null).await?;
                anstream::println!("{environment} takes deployments again.");
                Ok(())
            }
            Self::History { repository, environment } => history(&api, &repository, &environment).await,
        }
    }
}

impl Set {
    async fn run(self, api: &Api) -> Outcome {
        let repository = super::repository_id(api, &self.repository).await?;
        let body = json!({
            "url": self.url,
            "required_approvals": self.approvals,
            "approver_role": self.approver_role,
            "approvers": self.approvers,
            "allow_self_approval": self.allow_self_approval,
            "branches": self.branches,
            "wait_seconds": self.wait_seconds,
            "gate_expires_seconds": self.gate_expires_seconds,
        });
        api.call(Method::PUT, &format!("repositories/{repository}/environments/{}", self.environment), &body)
            .await?;
        anstream::println!("The rules of {} are set.", self.environment);
        Ok(())
    }
}

/// An environment by its repository and name.
pub async fn find(api: &Api, repository: &str, name: &str) -> Outcome<views::Environment> {
    let page: views::Environments = api.get("environments").await?;
    page.environments
        .into_iter()
        .find(|environment| environment.repository == repository && environment.name == name)
        .ok_or_else(|| {
            Failure::new(format!("{repository} has no environment {name}"))
                .mend("`tidegate env list` shows the ones there are")
        })
}

async fn list(api: &Api) -> Outcome {
    let page: views::Environments = api.get("environments").await?;
    let mut table = Table::new(&["repository", "environment", "runs", "since", "state", "approvals", "url"])
        .prose(&["state", "url"]);
    for environment in page.environments {
        let current = environment.current.as_ref();
        let state = match (&environment.frozen_reason, &environment.in_progress) {
            (Some(reason), _) => format!("{} ({})", "frozen".yellow(), terminal::harmless(reason)),
            (None, Some(change)) => change.status.style(status_style(&change.status)).to_string(),
            (None, None) => String::new(),
        };
        table.row([
            environment.repository.clone(),
            environment.name.clone(),
            current.map(|deployment| terminal::short_digest(&deployment.image)).unwrap_or_default(),
            current.map(|deployment| terminal::ago(deployment.created_at)).unwrap_or_default(),
            state,
            environment.required_approvals.to_string(),
            environment.url.unwrap_or_default(),
        ]);
    }
    table.print("No environments yet: `tidegate env set OWNER/NAME production --approvals 1`");
    Ok(())
}

async fn freeze(api: &Api, repository: &str, name: &str, reason: Value) -> Outcome {
    let environment = find(api, repository, name).await?;
    api.call(Method::POST, &format!("environments/{}/freeze", environment.id), &json!({"reason": reason}))
        .await
}

async fn history(api: &Api, repository: &str, name: &str) -> Outcome {
    let environment = find(api, repository, name).await?;
    let page: views::Deployments = api.get(&format!("environments/{}/deployments", environment.id)).await?;
    let mut table = Table::new(&["when", "image", "result", "run", "by", "why", "id"]).prose(&["why", "by"]);
    for deployment in page.deployments {
        let kind = if deployment.rollback_of.is_some() { " (rollback)" } else { "" };
        table.row([
            terminal::ago(deployment.created_at),
            terminal::short_digest(&deployment.image),
            format!("{}{kind}", deployment.status.style(status_style(&deployment.status))),
            format!("#{}", deployment.run_number),
            terminal::harmless(&deployment.actor),
            terminal::harmless(deployment.reason.as_deref().unwrap_or_default()),
            deployment.id,
        ]);
    }
    table.print("Nothing was deployed yet.");
    Ok(())
}
