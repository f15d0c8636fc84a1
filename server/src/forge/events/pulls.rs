//! Pull requests, and reviews of them. A pull request is two events for workflows: `pull_request`, about what is
//! proposed, and `pull_request_target`, about the branch that it is proposed for, with that branch's files and trust.

use serde::Deserialize;
use tidegate_pipelines::event::{Event, EventKind, GitFacts, PullRequestFacts};

use super::{Parsed, Told, Which, check_sha, is_sha, is_zero, plain};
use crate::store::views::Repository;

#[derive(Deserialize)]
pub(super) struct PullRequestEvent {
    action: String,
    number: Option<u64>,
    before: Option<String>,
    pull_request: PullRequest,
}

#[derive(Deserialize)]
struct PullRequest {
    number: Option<u64>,
    title: String,
    head: Side,
    base: Side,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    repo: Option<SideRepository>,
}

#[derive(Deserialize)]
struct SideRepository {
    id: u64,
}

/// What a pull request, or a review of one, means.
pub(super) fn pull_request(
    name: &str,
    told: PullRequestEvent,
    actor: String,
    repository: &Repository,
) -> Result<Parsed, String> {
    let PullRequestEvent { action, number, before, pull_request } = told;
    let number = number.or(pull_request.number).ok_or("the payload gives the pull request no number")?;
    let PullRequest { title, head, base, .. } = pull_request;
    check_sha(&head.sha)?;
    check_sha(&base.sha)?;
    // Never from the payload's texts: a fork has another id, or is gone.
    let from_fork = match (&head.repo, &base.repo) {
        (Some(head), Some(base)) => head.id != base.id,
        _ => true,
    };
    let facts = PullRequestFacts {
        number,
        action: action.clone(),
        title: title.clone(),
        base_branch: base.branch.clone(),
        head_branch: head.branch,
        from_fork,
    };
    let its_own = name == "pull_request";
    let proposed = Event {
        kind: if its_own { EventKind::PullRequest } else { EventKind::Forge },
        git: GitFacts {
            sha: head.sha,
            reference: format!("refs/pull/{number}/head"),
            before: before.filter(|sha| is_sha(sha) && !is_zero(sha)),
            message: title.clone(),
            ..GitFacts::default()
        },
        pull_request: Some(facts.clone()),
        activity: Some(action.clone()),
        trusted: !from_fork,
        ..plain(name, actor.clone(), repository)
    };
    let mut events = vec![Told { event: proposed, files: Which::All }];
    if its_own {
        let target = Event {
            git: GitFacts { message: title, ..GitFacts::of_branch(&base.branch, &base.sha) },
            pull_request: Some(facts),
            activity: Some(action),
            ..plain("pull_request_target", actor, repository)
        };
        events.push(Told { event: target, files: Which::Workflows });
    }
    Ok(Parsed::Events(events))
}
