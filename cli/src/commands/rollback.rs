//! `tidegate rollback` and `settle`: what a person decides about deployments.

use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::env::find;
use crate::{
    api::{Api, views},
    failure::{Failure, Outcome},
    terminal,
};

/// Put a previous deployment back
#[derive(Args)]
pub struct Rollback {
    /// The environment
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
    /// Its name
    environment: String,
    /// The deployment to put back [default: the last good one before what runs now]
    #[arg(long, value_name = "DEPLOYMENT")]
    to: Option<String>,
}

/// Say how a deployment of unknown ending went
#[derive(Args)]
pub struct Settle {
    /// The run's number (`12`, `owner/name#12`) or id
    run: String,
    /// The stage
    stage: String,
    /// Whether the deployment is in place
    #[arg(value_parser = ["succeeded", "failed"])]
    ending: String,
}

impl Rollback {
    /// Finds the deployment and asks for it.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        let environment = find(&api, &self.repository, &self.environment).await?;
        let to = match self.to {
            Some(id) => id,
            None => {
                let history: views::Deployments =
                    api.get(&format!("environments/{}/deployments", environment.id)).await?;
                previous(&history.deployments, environment.current.as_ref()).ok_or_else(|| {
                    Failure::new(format!("{} has no earlier deployment to go back to", self.environment))
                })?
            }
        };
        let made: views::Made = api
            .post(&format!("environments/{}/rollback", environment.id), &json!({"deployment": to}))
            .await?;
        anstream::println!("Rolling back in run {}", made.id);
        Ok(())
    }
}

/// The newest good deployment of another image than the one that runs.
fn previous(history: &[views::Deployment], current: Option<&views::Deployment>) -> Option<String> {
    let running = current.map(|deployment| deployment.image.as_str());
    history
        .iter()
        .find(|deployment| deployment.status == "succeeded" && Some(deployment.image.as_str()) != running)
        .map(|deployment| deployment.id.clone())
}

impl Settle {
    /// Tells the server.
    pub async fn run(self) -> Outcome {
        let api = Api::from_surroundings()?;
        let id = super::run_id(&api, &self.run).await?;
        let run: views::Run = api.get(&format!("runs/{id}")).await?;
        let stage = run.stage(&self.stage).ok_or_else(|| {
            Failure::usage(format!("the run has no stage {}", terminal::harmless(&self.stage)))
        })?;
        let body = json!({"succeeded": self.ending == "succeeded"});
        api.call(Method::POST, &format!("stages/{}/settle", stage.id), &body).await?;
        anstream::println!("{} counts as {} now.", self.stage, self.ending);
        Ok(())
    }
}
