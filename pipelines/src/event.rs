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
