//! The event that starts a run, in one shape for every forge and every kind of trigger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happened, where, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// `owner/name`.
    pub repository: String,
    /// The default branch, for example `main`.
    pub default_branch: String,
    /// The commit that the run is about.
    pub git: GitFacts,
    /// The forge's login of whoever caused it; never the commit's author.
    pub actor: String,
    /// Paths changed by the event; absent when the forge did not say (then path filters let it through).
    #[serde(default)]
    pub changed_paths: Option<Vec<String>>,
    /// Inputs of a manual run, by name, already typed.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    /// Facts of a pull request.
    #[serde(default)]
    pub pull_request: Option<PullRequestFacts>,
    /// The forge's own name of the event (`push`, `issue_comment`, …), where it came from a forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What happened to the thing that the event is about (`opened`, `created`, …), where the forge says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// All that the forge said, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// False for an event from a fork: no secrets, no deploy, own cache scope.
    pub trusted: bool,
}

impl Event {
    /// Something that happened, of which no more is known, and nothing against it.
    pub fn new(kind: EventKind, repository: &str, default_branch: &str, git: GitFacts, actor: &str) -> Self {
        Self {
            kind,
            repository: repository.to_owned(),
            default_branch: default_branch.to_owned(),
            git,
            actor: actor.to_owned(),
            changed_paths: None,
            inputs: BTreeMap::new(),
            pull_request: None,
            name: None,
            activity: None,
            payload: None,
            trusted: true,
        }
    }

    /// The same, without all that the forge said, which may be large.
    pub fn without_payload(&self) -> Self {
        Self {
            changed_paths: self.changed_paths.clone(),
            inputs: self.inputs.clone(),
            pull_request: self.pull_request.clone(),
            name: self.name.clone(),
            activity: self.activity.clone(),
            trusted: self.trusted,
            ..Self::new(self.kind, &self.repository, &self.default_branch, self.git.clone(), &self.actor)
        }
    }

    /// What happened to the thing that the event is about: [`Event::activity`], else what the forge said.
    pub fn action(&self) -> Option<&str> {
        let told = || self.payload.as_ref()?.get("action")?.as_str();
        let pull_request = || self.pull_request.as_ref().map(|facts| facts.action.as_str());
        self.activity.as_deref().or_else(pull_request).or_else(told)
    }

    /// Facts of a release, as far as the forge told them.
    pub fn release(&self) -> Option<ReleaseFacts> {
        let release = self.payload_of(EventKind::Release)?.get("release")?;
        let flag = |key: &str| release.get(key).and_then(Value::as_bool).unwrap_or_default();
        Some(ReleaseFacts {
            action: self.action().unwrap_or_default().to_owned(),
            tag: text(release, "tag_name").or_else(|| self.git.tag.clone()).unwrap_or_default(),
            name: text(release, "name"),
            draft: flag("draft"),
            prerelease: flag("prerelease"),
        })
    }

    /// Facts of a program's request.
    pub fn dispatch(&self) -> Option<DispatchFacts> {
        let payload = self.payload_of(EventKind::Dispatch)?;
        Some(DispatchFacts {
            kind: self.action().unwrap_or_default().to_owned(),
            payload: payload.get("client_payload").cloned().unwrap_or_default(),
        })
    }

    /// Facts of the run whose end the event is; read from the payload's `workflow_run`, which has the shape that
    /// GitHub gives it.
    pub fn upstream(&self) -> Option<UpstreamFacts> {
        let run = self.payload_of(EventKind::Upstream)?.get("workflow_run")?;
        let status = match text(run, "conclusion").as_deref() {
            Some("success") => "succeeded",
            Some("cancelled") => "cancelled",
            Some("skipped") => "skipped",
            _ => "failed",
        };
        Some(UpstreamFacts {
            pipeline: text(run, "name").unwrap_or_default(),
            status: status.to_owned(),
            branch: text(run, "head_branch"),
            sha: text(run, "head_sha").unwrap_or_default(),
            run_number: run.get("run_number").and_then(Value::as_u64).unwrap_or_default(),
        })
    }

    fn payload_of(&self, kind: EventKind) -> Option<&Value> {
        self.payload.as_ref().filter(|_| self.kind == kind)
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Commits arrived on a branch.
    Push,
    /// A tag was made or moved.
    Tag,
    /// A pull request was opened or changed.
    PullRequest,
    /// A schedule came due.
    Schedule,
    /// A person (or a script in a person's name) asked for it.
    Manual,
    /// A release was published or changed.
    Release,
    /// A program asked for it, through the forge.
    Dispatch,
    /// A run of another pipeline of the repository ended.
    Upstream,
    /// Anything else that the forge tells of; [`Event::name`] says what.
    Forge,
    /// A person asked an environment to go back.
    Rollback,
}

impl EventKind {
    /// The kind's name as in the database and in `event.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Tag => "tag",
            Self::PullRequest => "pull_request",
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Release => "release",
            Self::Dispatch => "dispatch",
            Self::Upstream => "upstream",
            Self::Forge => "forge",
            Self::Rollback => "rollback",
        }
    }
}

/// Facts of the commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitFacts {
    /// Forty hex digits.
    pub sha: String,
    /// The full ref, for example `refs/heads/main`.
    pub reference: String,
    /// The branch, for a push to one.
    #[serde(default)]
    pub branch: Option<String>,
    /// The tag, for a tag.
    #[serde(default)]
    pub tag: Option<String>,
    /// The commit before, where there is one.
    #[serde(default)]
    pub before: Option<String>,
    /// The commit's message.
    #[serde(default)]
    pub message: String,
    /// `Name <address>` of the commit's author.
    #[serde(default)]
    pub author: String,
}

impl GitFacts {
    /// A commit on a branch; without a sha, its newest one.
    pub fn of_branch(name: &str, sha: &str) -> Self {
        Self {
            sha: sha.to_owned(),
            reference: format!("refs/heads/{name}"),
            branch: Some(name.to_owned()),
            ..Self::default()
        }
    }
}

/// Facts of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestFacts {
    /// Its number.
    pub number: u64,
    /// What happened to it: `opened`, `synchronize`, `reopened`, ….
    pub action: String,
    /// Its title.
    pub title: String,
    /// The branch it is to be merged into.
    pub base_branch: String,
    /// The branch it comes from.
    pub head_branch: String,
    /// Whether it comes from another repository.
    pub from_fork: bool,
}

/// Facts of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseFacts {
    /// What happened to it: `published`, `created`, ….
    pub action: String,
    /// Its tag.
    pub tag: String,
    /// Its title.
    pub name: Option<String>,
    /// Whether only its makers see it.
    pub draft: bool,
    /// Whether it is marked as not ready for everybody.
    pub prerelease: bool,
}

/// Facts of a program's request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DispatchFacts {
    /// What the program calls it.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the program sends along.
    pub payload: Value,
}

/// Facts of the run of another pipeline that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpstreamFacts {
    /// The other pipeline's name.
    pub pipeline: String,
    /// How its run ended: `succeeded`, `failed`, `cancelled` or `skipped`.
    pub status: String,
    /// The branch that it was about.
    pub branch: Option<String>,
    /// The commit that it was about.
    pub sha: String,
    /// The run's number.
    pub run_number: u64,
}
