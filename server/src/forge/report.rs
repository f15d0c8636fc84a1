//! Tells GitHub one message: which requests it takes, and what GitHub calls the things it was told of.
//!
//! Every step can be repeated. What GitHub made is remembered at once; where a try may have ended between the
//! making and the remembering, the thing is looked for before it is made again.

use serde_json::Value;
use tidegate_protocol::ids::RepositoryId;

use super::{
    calls::{self, Call, FullName},
    github::{Failure, Github},
    messages::{DeploymentMessage, Message, RunMessage, SkippedMessage},
};
use crate::{app::App, error::Error, store::ForgeObject};

/// One message on its way.
pub struct Report<'a> {
    /// The server.
    pub app: &'a App,
    /// Its connection.
    pub github: &'a Github,
    /// Which repository it is about, here.
    pub repository: RepositoryId,
    /// And there.
    pub name: FullName,
    /// Whether an earlier try may have gone through in part.
    pub again: bool,
}

/// Why a message was not told.
pub enum Untold {
    /// GitHub's doing, or the way there.
    Forge(Failure),
    /// The server's own.
    Core(Error),
}

impl From<Failure> for Untold {
    fn from(failure: Failure) -> Self {
        Self::Forge(failure)
    }
}

impl From<Error> for Untold {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

/// A message that cannot be put into a request never will be.
impl From<String> for Untold {
    fn from(sentence: String) -> Self {
        Self::Forge(Failure::Never(sentence))
    }
}

impl Report<'_> {
    /// Tells it.
    pub async fn tell(&self, message: &Message) -> Result<(), Untold> {
        match message {
            Message::Run(run) if self.github.is_app() => self.check(run).await,
            Message::Run(run) => {
                let call = calls::commit_status(&self.name, &self.app.config.public_url, run)?;
                self.send(&call).await.map(drop)
            }
            Message::Deployment(deployment) => self.deployment(deployment).await,
            Message::Skipped(skipped) if self.github.is_app() => self.skipped_check(skipped).await,
            Message::Skipped(skipped) => {
                let call = calls::skipped_status(&self.name, &self.app.config.public_url, skipped)?;
                self.send(&call).await.map(drop)
            }
        }
    }

    async fn skipped_check(&self, skipped: &SkippedMessage) -> Result<(), Untold> {
        if self.again {
            let call = calls::find_check(&self.name, &skipped.pipeline, &skipped.sha)?;
            let is_it = |check: &Value| check["external_id"] == skipped.id.as_str();
            if self.find(&call, Some("check_runs"), is_it).await?.is_some() {
                return Ok(());
            }
        }
        self.send(&calls::skipped_check(&self.name, &self.app.config.public_url, skipped)?).await.map(drop)
    }

    async fn check(&self, run: &RunMessage) -> Result<(), Untold> {
        let public_url = &self.app.config.public_url;
        let thing = run.run.to_string();
        let closed = run.status.is_final();
        let known = self.app.db.forge_object(self.repository, "check_run", &thing).await?;
        // A check run that ended is not opened again: a run that goes on gets a new one of the same name.
        let known = known.filter(|object| closed || !object.closed).map(|object| object.remote_id);
        let known = match known {
            None if self.again => {
                self.find(
                    &calls::find_check(&self.name, &run.pipeline, &run.sha)?,
                    Some("check_runs"),
                    |check| calls::is_check_of(check, run),
                )
                .await?
            }
            known => known,
        };
        let answer = match known {
            Some(id) => self.send(&calls::move_check(&self.name, public_url, run, id)).await?,
            None => self.send(&calls::new_check(&self.name, public_url, run)?).await?,
        };
        let id = id_of(&answer)?;
        self.remember("check_run", thing, id, closed).await?;
        let mut there = annotations_of(&answer);
        while let Some(call) = calls::more_annotations(&self.name, run, id, there) {
            self.send(&call).await?;
            there += calls::ANNOTATIONS;
        }
        Ok(())
    }

    async fn deployment(&self, deployment: &DeploymentMessage) -> Result<(), Untold> {
        let thing = deployment.deployment.to_string();
        let known = self.app.db.forge_object(self.repository, "deployment", &thing).await?;
        let id = match known {
            Some(object) => object.remote_id,
            None => {
                let found = if self.again {
                    let call = calls::find_deployment(&self.name, deployment)?;
                    self.find(&call, None, |there| calls::is_deployment_of(there, deployment)).await?
                } else {
                    None
                };
                let id = match found {
                    Some(id) => id,
                    None => id_of(&self.send(&calls::new_deployment(&self.name, deployment)?).await?)?,
                };
                self.remember("deployment", thing, id, false).await?;
                id
            }
        };
        let call = calls::deployment_status(&self.name, &self.app.config.public_url, deployment, id);
        self.send(&call).await.map(drop)
    }

    async fn send(&self, call: &Call) -> Result<Value, Untold> {
        Ok(self.github.send(&self.name, call).await?)
    }

    /// The id of the first that matches, in an answer that is a list or has one.
    async fn find(
        &self,
        call: &Call,
        list: Option<&str>,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Option<u64>, Untold> {
        let answer = self.send(call).await?;
        let list = list.map_or(&answer, |name| &answer[name]);
        Ok(list.as_array().into_iter().flatten().find(|there| is_it(there)).map(id_of).transpose()?)
    }

    async fn remember(&self, kind: &'static str, thing: String, id: u64, closed: bool) -> Result<(), Untold> {
        let mut tx = self.app.db.begin().await?;
        tx.put_forge_object(self.repository, kind, &thing, ForgeObject { remote_id: id, closed }).await?;
        Ok(tx.commit().await?)
    }
}

fn id_of(answer: &Value) -> Result<u64, Failure> {
    answer["id"].as_u64().ok_or_else(|| Failure::later("GitHub's answer has no id"))
}

/// How many annotations GitHub says are there already. No word of it: none are missing, rather than all twice.
fn annotations_of(answer: &Value) -> usize {
    answer["output"]["annotations_count"]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(usize::MAX)
}
