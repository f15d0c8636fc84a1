//! Everything else that starts pipelines: releases, dispatches, branches and tags that come and go, merge queues,
//! deployments, issues and what is said about them.
//!
//! Most of it is about no commit of its own: then it is about the newest of the default branch, whose files decide.

use serde::Deserialize;
use serde_json::{Map, Value};
use tidegate_pipelines::event::{Event, EventKind, GitFacts};

use super::{Parsed, Told, Which, check_sha, is_sha, plain, tip_of_default};
use crate::{forge::calls::CONTEXT, store::views::Repository};

/// Events about the newest commit of the default branch.
pub const OF_DEFAULT_BRANCH: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "delete",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "issue_comment",
    "issues",
    "label",
    "milestone",
    "page_build",
    "public",
    "registry_package",
    "repository_dispatch",
    "status",
    "watch",
    "workflow_run",
];

/// What is read of all of them.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Other {
    action: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    ref_type: Option<String>,
    inputs: Option<Map<String, Value>>,
    workflow: Value,
    release: Option<Release>,
    merge_group: Option<MergeGroup>,
    deployment: Option<Deployment>,
    check_run: Option<Named>,
    context: Option<String>,
}

#[derive(Deserialize)]
struct Release {
    tag_name: String,
}

#[derive(Deserialize)]
struct MergeGroup {
    head_sha: String,
    head_ref: String,
}

#[derive(Deserialize)]
struct Deployment {
    sha: String,
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    payload: Value,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

/// What such an event means.
pub(super) fn other(
    name: &str,
    told: Other,
    actor: String,
    repository: &Repository,
) -> Result<Parsed, String> {
    if let Some(reason) = echo(name, &told) {
        return Ok(Parsed::Ignored(reason));
    }
    let mut files = Which::All;
    let mut event = Event { activity: told.action.clone(), ..plain(name, actor, repository) };
    event.git = match name {
        "release" => {
            event.kind = EventKind::Release;
            tag(told.release.ok_or("the payload names no release")?.tag_name)
        }
        "create" => {
            let named = told.reference.ok_or("the payload names no ref")?;
            match told.ref_type.as_deref() {
                Some("tag") => tag(named),
                Some("branch") => GitFacts::of_branch(&named, ""),
                _ => return Ok(Parsed::Ignored("what was created is neither a branch nor a tag".to_owned())),
            }
        }
        "workflow_dispatch" => {
            event.kind = EventKind::Manual;
            event.inputs = told.inputs.unwrap_or_default().into_iter().collect();
            let path = told.workflow.as_str().filter(|path| !path.is_empty());
            files = Which::One(path.ok_or("the payload names no workflow")?.to_owned());
            let reference = told.reference.ok_or("the payload names no ref")?;
            match (reference.strip_prefix("refs/heads/"), reference.strip_prefix("refs/tags/")) {
                (Some(name), _) => GitFacts::of_branch(name, ""),
                (_, Some(name)) => tag(name.to_owned()),
                _ => return Err(format!("`{reference}` is neither a branch nor a tag")),
            }
        }
        "merge_group" => {
            let group = told.merge_group.ok_or("the payload names no merge group")?;
            check_sha(&group.head_sha)?;
            GitFacts {
                sha: group.head_sha,
                branch: group.head_ref.strip_prefix("refs/heads/").map(str::to_owned),
                reference: group.head_ref,
                ..GitFacts::default()
            }
        }
        "deployment" | "deployment_status" => {
            let deployment = told.deployment.ok_or("the payload names no deployment")?;
            check_sha(&deployment.sha)?;
            let reference = match is_sha(&deployment.reference) {
                true => format!("refs/tidegate/{}", deployment.sha),
                false => format!("refs/heads/{}", deployment.reference.trim_start_matches("refs/heads/")),
            };
            GitFacts { sha: deployment.sha, reference, ..GitFacts::default() }
        }
        "repository_dispatch" => {
            event.kind = EventKind::Dispatch;
            tip_of_default(repository)
        }
        _ => tip_of_default(repository),
    };
    Ok(Parsed::Events(vec![Told { event, files }]))
}

/// Why an event is only what this server itself told the forge, if it is: it would start itself again and again.
fn echo(name: &str, told: &Other) -> Option<String> {
    let own = match name {
        "check_run" => told.check_run.as_ref().is_some_and(|check| check.name.starts_with(CONTEXT)),
        "status" => told.context.as_ref().is_some_and(|context| context.starts_with(CONTEXT)),
        "deployment" | "deployment_status" => {
            told.deployment.as_ref().is_some_and(|one| one.payload.get("tidegate").is_some())
        }
        _ => false,
    };
    own.then(|| format!("this `{name}` is what Tidegate itself told GitHub"))
}

/// The commit of a tag.
fn tag(name: String) -> GitFacts {
    GitFacts { reference: format!("refs/tags/{name}"), tag: Some(name), ..GitFacts::default() }
}
