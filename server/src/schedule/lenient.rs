//! What expressions read in stages that fill in their templates themselves, and whether such a stage runs.
//!
//! It is read with everything else about the run, under its lock. The plan that is looked at has the stages as they
//! are stored now, because some are made only while the run goes on.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_pipelines::{
    ResolveError, StageFacts as EndedStage,
    actions::{self, Decision, RunFacts},
    event::Event,
    plan::{Call, Plan, StageKey, StagePlan},
};

use super::gather::plan_of;
use crate::{
    error::Error,
    store::{RunRow, StageRow, Tx},
};

/// Stages that have ended, by key.
pub type Ended = BTreeMap<StageKey, EndedStage>;

/// The workspace's path inside sandboxes.
const WORKSPACE: &str = "/workspace";

/// Facts of a run that has such stages.
#[derive(Debug, Clone)]
pub struct Lenient {
    plan: Plan,
    event: Event,
    variables: BTreeMap<String, String>,
    id: String,
    number: u64,
    places: Places,
    cancelled: bool,
}

impl Lenient {
    /// Reads them, with the variables of an environment where there is one. None: the run has no such stage.
    pub async fn read(
        tx: &mut Tx,
        run: &RunRow,
        stages: &[StageRow],
        environment: Option<&str>,
    ) -> Result<Option<Self>, Error> {
        if stages.iter().all(|stage| stage.plan.expressions.is_strict()) {
            return Ok(None);
        }
        let plan = plan_of(run)?.grown(stages.iter().map(|stage| stage.plan.clone()).collect());
        let mut event = run.event.clone();
        event.payload = tx.payload(run.id).await?;
        Ok(Some(Self {
            plan,
            event,
            variables: tx.variables_in_reach(run.repository_id, environment).await?,
            id: run.id.to_string(),
            number: u64::try_from(run.number).unwrap_or_default(),
            places: Places::of(&tx.clone_source(run.repository_id).await?.clone_url),
            cancelled: run.cancel_requested.is_some(),
        }))
    }

    fn facts(&self) -> RunFacts<'_> {
        RunFacts {
            id: &self.id,
            number: self.number,
            // To run again makes another run, with a number of its own.
            attempt: 1,
            server_url: &self.places.server,
            api_url: &self.places.api,
            graphql_url: &self.places.graphql,
            workspace: WORKSPACE,
            variables: &self.variables,
            cancelled: self.cancelled,
        }
    }

    /// What a stage's expressions read before its first step.
    pub fn contexts(&self, stage: &StagePlan, ended: &Ended) -> BTreeMap<String, Value> {
        actions::contexts(&self.plan, stage, &self.event, &self.facts(), ended)
    }

    /// Whether a stage runs whose needs have ended.
    pub fn decide(&self, stage: &StagePlan, ended: &Ended) -> Result<Decision, ResolveError> {
        actions::decide(&self.plan, stage, &self.event, &self.facts(), ended)
    }

    /// The name of a call's concurrency group; empty where it has none.
    pub fn group_of_call(&self, call: &Call, ended: &Ended) -> Result<String, ResolveError> {
        actions::group_of_call(&self.plan, call, &self.event, &self.facts(), ended)
    }

    /// A stage's secrets by the names that it reads them by, from those that it is given by name.
    pub fn secrets(
        &self,
        stage: &StagePlan,
        ended: &Ended,
        given: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ResolveError> {
        actions::called_secrets(&self.plan, stage, &self.event, &self.facts(), ended, given)
    }
}

/// Writes the run's own facts into its title, its concurrency group and the titles of its stages.
pub fn name_run(plan: &mut Plan, id: &str, number: i64) {
    let facts = RunFacts {
        id,
        number: u64::try_from(number).unwrap_or_default(),
        attempt: 1,
        server_url: "",
        api_url: "",
        graphql_url: "",
        workspace: WORKSPACE,
        variables: &BTreeMap::new(),
        cancelled: false,
    };
    actions::name_run(plan, &facts);
}

/// Where the forge is, told from where the repository is cloned from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places {
    server: String,
    api: String,
    graphql: String,
}

impl Places {
    fn of(clone_url: &str) -> Self {
        let server = match url::Url::parse(clone_url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization(),
            Ok(url) if url.scheme() == "ssh" => format!("https://{}", url.host_str().unwrap_or("github.com")),
            Ok(_) => "https://github.com".to_owned(),
            // `git@host:owner/name.git` is no URL.
            Err(_) => {
                let host = clone_url.split_once('@').and_then(|(_, rest)| rest.split_once(':'));
                format!("https://{}", host.map_or("github.com", |(host, _)| host))
            }
        };
        match server.as_str() {
            "https://github.com" => Self {
                api: "https://api.github.com".to_owned(),
                graphql: "https://api.github.com/graphql".to_owned(),
                server,
            },
            _ => Self { api: format!("{server}/api/v3"), graphql: format!("{server}/api/graphql"), server },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forge_is_where_the_repository_is_cloned_from() {
        let server = |url: &str| Places::of(url).server;
        assert_eq!(server("https://github.com/acme/shop.git"), "https://github.com");
        assert_eq!(server("http://forge.test:3000/acme/shop"), "http://forge.test:3000");
        assert_eq!(server("git@forge.test:acme/shop.git"), "https://forge.test");
        assert_eq!(server("ssh://git@forge.test/acme/shop.git"), "https://forge.test");
        assert_eq!(server("file:///srv/shop.git"), "https://github.com");
        assert_eq!(Places::of("https://github.com/acme/shop").api, "https://api.github.com");
        assert_eq!(Places::of("https://forge.test/acme/shop").api, "https://forge.test/api/v3");
        assert_eq!(Places::of("https://forge.test/acme/shop").graphql, "https://forge.test/api/graphql");
    }
}
