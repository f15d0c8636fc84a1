//! From GitHub's webhook payloads to [`Event`]s. Pure: bytes in, an event or a reason out.
//!
//! Only what is needed is read, so fields that GitHub adds or leaves out elsewhere change nothing. What a
//! payload claims about trust is never taken from its texts: a pull request is a fork's when the ids of its two
//! repositories differ, or when the head's repository is gone.

use serde::Deserialize;
use tidegate_pipelines::event::{Event, EventKind, GitFacts, PullRequestFacts};

use crate::store::views::Repository;

/// A push with more commits than this may be truncated, so its list of paths is not complete.
const COMMITS_IN_FULL: usize = 1000;

/// What a delivery means.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// Something that may start a run.
    Event(Box<Event>),
    /// Nothing to do, and why.
    Ignored(String),
}

#[derive(Deserialize)]
struct Envelope {
    repository: Option<PayloadRepository>,
    sender: Option<Login>,
}

#[derive(Deserialize)]
struct PayloadRepository {
    full_name: String,
}

#[derive(Deserialize)]
struct Login {
    login: String,
}

#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    forced: bool,
    #[serde(default)]
    commits: Vec<Commit>,
    head_commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    #[serde(default)]
    message: String,
    author: Option<Author>,
    #[serde(default)]
    added: Vec<String>,
    #[serde(default)]
    removed: Vec<String>,
    #[serde(default)]
    modified: Vec<String>,
}

#[derive(Deserialize)]
struct Author {
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: Option<String>,
}

#[derive(Deserialize)]
struct PullRequestEvent {
    action: String,
    number: u64,
    before: Option<String>,
    pull_request: PullRequest,
}

#[derive(Deserialize)]
struct PullRequest {
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

/// Reads a delivery. An error is a payload that is not what GitHub sends: it will never be readable.
pub fn parse(event: &str, body: &[u8], repository: &Repository) -> Result<Parsed, String> {
    let json = payload(body)?;
    match event {
        "push" | "pull_request" => {}
        "ping" => return Ok(Parsed::Ignored("GitHub's greeting: the webhook works".to_owned())),
        other => return Ok(Parsed::Ignored(format!("events of kind `{other}` start nothing"))),
    }
    let envelope: Envelope = read(&json)?;
    let named = envelope.repository.ok_or("the payload names no repository")?.full_name;
    if !named.eq_ignore_ascii_case(&repository.full_name) {
        return Ok(Parsed::Ignored(format!(
            "it is about {named}, and this webhook is that of {}",
            repository.full_name
        )));
    }
    let actor = envelope.sender.map(|sender| sender.login).unwrap_or_default();
    if event == "push" {
        push(&read::<Push>(&json)?, actor, repository)
    } else {
        pull_request(read(&json)?, actor, repository)
    }
}

/// The name of the repository that a payload is about.
pub fn repository_of(body: &[u8]) -> Option<String> {
    read::<Envelope>(&payload(body).ok()?).ok()?.repository.map(|repository| repository.full_name)
}

/// The JSON of a body; webhooks may be set to send it in a form's field.
fn payload(body: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, String> {
    if body.first() == Some(&b'{') {
        return Ok(body.into());
    }
    url::form_urlencoded::parse(body)
        .find(|(name, _)| name == "payload")
        .map(|(_, value)| value.into_owned().into_bytes().into())
        .ok_or_else(|| "the body is neither JSON nor a form with a `payload`".to_owned())
}

fn read<T: for<'de> Deserialize<'de>>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| format!("the payload cannot be read: {error}"))
}

/// Whether it is forty lower-case hex digits.
pub fn is_sha(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_zero(sha: &str) -> bool {
    sha.bytes().all(|b| b == b'0')
}

fn check_sha(sha: &str) -> Result<(), String> {
    if is_sha(sha) {
        Ok(())
    } else {
        Err(format!("`{}` is no commit id", sha.chars().take(60).collect::<String>()))
    }
}

fn push(push: &Push, actor: String, repository: &Repository) -> Result<Parsed, String> {
    if push.deleted || is_zero(&push.after) {
        return Ok(Parsed::Ignored(format!("{} was deleted", push.reference)));
    }
    check_sha(&push.after)?;
    let (kind, branch, tag) = match push.reference.split_once("refs/heads/") {
        Some(("", branch)) => (EventKind::Push, Some(branch.to_owned()), None),
        _ => match push.reference.split_once("refs/tags/") {
            Some(("", tag)) => (EventKind::Tag, None, Some(tag.to_owned())),
            _ => return Ok(Parsed::Ignored(format!("{} is neither a branch nor a tag", push.reference))),
        },
    };
    let head = push.head_commit.as_ref().or(push.commits.last());
    let author = head.and_then(|commit| commit.author.as_ref()).map(|author| match &author.email {
        Some(email) => format!("{} <{email}>", author.name),
        None => author.name.clone(),
    });
    Ok(Parsed::Event(Box::new(Event {
        kind,
        repository: repository.full_name.clone(),
        default_branch: repository.default_branch.clone(),
        git: GitFacts {
            // An annotated tag's `after` is the tag object; git.rs finds the commit behind it.
            sha: push.after.clone(),
            reference: push.reference.clone(),
            branch,
            tag,
            before: (is_sha(&push.before) && !is_zero(&push.before)).then(|| push.before.clone()),
            message: head.map(|commit| commit.message.clone()).unwrap_or_default(),
            author: author.unwrap_or_default(),
        },
        actor,
        changed_paths: changed(push),
        inputs: Default::default(),
        pull_request: None,
        name: None,
        activity: None,
        payload: None,
        trusted: true,
    })))
}

/// The paths that a push touches, when its payload tells all of them.
fn changed(push: &Push) -> Option<Vec<String>> {
    if push.created || push.forced || push.commits.is_empty() || push.commits.len() > COMMITS_IN_FULL {
        return None;
    }
    let mut paths: Vec<String> = push
        .commits
        .iter()
        .flat_map(|commit| commit.added.iter().chain(&commit.removed).chain(&commit.modified).cloned())
        .collect();
    paths.sort_unstable();
    paths.dedup();
    Some(paths)
}

fn pull_request(event: PullRequestEvent, actor: String, repository: &Repository) -> Result<Parsed, String> {
    if !matches!(event.action.as_str(), "opened" | "synchronize" | "reopened") {
        return Ok(Parsed::Ignored(format!("`{}` of a pull request starts nothing", event.action)));
    }
    let PullRequest { title, head, base } = event.pull_request;
    check_sha(&head.sha)?;
    let from_fork = match (&head.repo, &base.repo) {
        (Some(head), Some(base)) => head.id != base.id,
        _ => true,
    };
    Ok(Parsed::Event(Box::new(Event {
        kind: EventKind::PullRequest,
        repository: repository.full_name.clone(),
        default_branch: repository.default_branch.clone(),
        git: GitFacts {
            sha: head.sha,
            reference: format!("refs/pull/{}/head", event.number),
            branch: None,
            tag: None,
            before: event.before.filter(|sha| is_sha(sha) && !is_zero(sha)),
            message: title.clone(),
            author: String::new(),
        },
        actor,
        changed_paths: None,
        inputs: Default::default(),
        pull_request: Some(PullRequestFacts {
            number: event.number,
            action: event.action,
            title,
            base_branch: base.branch,
            head_branch: head.branch,
            from_fork,
        }),
        name: None,
        activity: None,
        payload: None,
        trusted: !from_fork,
    })))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SHA: &str = "1234567890123456789012345678901234567890";

    fn repository() -> Repository {
        serde_json::from_value(json!({
            "id": "01890a5d-ac96-774b-bcce-b302099a8057", "full_name": "Acme/Shop", "forge": "github",
            "clone_url": "https://example.org/x", "default_branch": "main", "pipeline_path": "p.yml",
            "created_at": "2026-01-01T00:00:00Z",
        }))
        .unwrap()
    }

    fn push_payload(changes: &[(&str, Value)]) -> Vec<u8> {
        let mut body = json!({
            "ref": "refs/heads/feature/x", "before": "0".repeat(40), "after": SHA, "deleted": false,
            "commits": [{"message": "one", "added": ["a"], "removed": ["c"], "modified": []},
                        {"message": "two\n\nmore", "author": {"name": "Ann", "email": "a@example.org"},
                         "added": [], "removed": [], "modified": ["b", "a"]}],
            "repository": {"full_name": "acme/shop"}, "sender": {"login": "ann"},
        });
        for (key, value) in changes {
            body[key] = value.clone();
        }
        serde_json::to_vec(&body).unwrap()
    }

    fn event(name: &str, body: &[u8]) -> Event {
        match parse(name, body, &repository()).unwrap() {
            Parsed::Event(event) => *event,
            Parsed::Ignored(reason) => panic!("ignored: {reason}"),
        }
    }

    fn ignored(name: &str, body: &[u8]) -> String {
        match parse(name, body, &repository()).unwrap() {
            Parsed::Ignored(reason) => reason,
            Parsed::Event(event) => panic!("{event:?}"),
        }
    }

    #[test]
    fn a_push_says_branch_author_and_paths() {
        let event = event("push", &push_payload(&[]));
        assert_eq!(event.kind, EventKind::Push);
        assert_eq!(event.git.branch.as_deref(), Some("feature/x"));
        assert_eq!(event.git.message, "two\n\nmore");
        assert_eq!(event.git.author, "Ann <a@example.org>");
        assert_eq!(event.git.before, None, "zeros are no commit");
        assert_eq!(event.actor, "ann");
        assert_eq!(event.changed_paths, Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        assert!(event.trusted);
        assert_eq!(event.repository, "Acme/Shop");
    }

    #[test]
    fn paths_are_unknown_when_the_payload_does_not_tell_all() {
        assert_eq!(event("push", &push_payload(&[("created", json!(true))])).changed_paths, None);
        assert_eq!(event("push", &push_payload(&[("forced", json!(true))])).changed_paths, None);
        assert_eq!(event("push", &push_payload(&[("commits", json!([]))])).changed_paths, None);
    }

    #[test]
    fn tags_forms_and_what_is_ignored() {
        let tag = event("push", &push_payload(&[("ref", json!("refs/tags/v1"))]));
        assert_eq!((tag.kind, tag.git.tag.as_deref(), tag.git.branch), (EventKind::Tag, Some("v1"), None));

        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", std::str::from_utf8(&push_payload(&[])).unwrap())
            .finish();
        assert_eq!(event("push", form.as_bytes()).git.sha, SHA);

        assert!(ignored("push", &push_payload(&[("deleted", json!(true))])).contains("deleted"));
        assert!(ignored("push", &push_payload(&[("after", json!("0".repeat(40)))])).contains("deleted"));
        assert!(ignored("push", &push_payload(&[("ref", json!("refs/notes/x"))])).contains("neither"));
        let elsewhere = ignored("push", &push_payload(&[("repository", json!({"full_name": "evil/x"}))]));
        assert!(elsewhere.contains("evil/x"), "{elsewhere}");
        assert!(ignored("ping", b"{}").contains("works"));
        assert!(ignored("star", b"{}").contains("`star`"));
    }

    #[test]
    fn nonsense_is_an_error() {
        for body in [&b"{"[..], b"", b"[]", b"{\"ref\":1}", b"{}"] {
            assert!(parse("push", body, &repository()).is_err());
        }
        assert!(parse("push", &push_payload(&[("after", json!("--upload-pack=x"))]), &repository()).is_err());
        assert!(parse("push", &push_payload(&[("after", json!("A".repeat(40)))]), &repository()).is_err());
    }

    fn pull_request_payload(action: &str, head_repo: Value) -> Vec<u8> {
        serde_json::to_vec(&json!({
            "action": action, "number": 7, "sender": {"login": "bob"}, "repository": {"full_name": "Acme/Shop"},
            "pull_request": {"title": "Better", "head": {"ref": "x", "sha": SHA, "repo": head_repo},
                             "base": {"ref": "main", "sha": SHA, "repo": {"id": 1}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_fork_is_told_by_its_id_and_is_not_trusted() {
        let own = event("pull_request", &pull_request_payload("opened", json!({"id": 1, "fork": true})));
        assert!(own.trusted, "a repository that is itself a fork of something is its own");
        assert_eq!(own.git.reference, "refs/pull/7/head");
        for head in [json!({"id": 2, "full_name": "Acme/Shop"}), json!(null)] {
            let fork = event("pull_request", &pull_request_payload("synchronize", head));
            assert!(!fork.trusted);
            assert!(fork.pull_request.unwrap().from_fork);
        }
        assert!(
            ignored("pull_request", &pull_request_payload("closed", json!({"id": 1}))).contains("closed")
        );
    }
}
