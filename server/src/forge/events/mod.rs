//! From GitHub's webhook payloads to [`Event`]s. Pure: bytes in, events or a reason out.
//!
//! Only what is needed is read, so fields that GitHub adds or leaves out elsewhere change nothing; the payload itself
//! goes along, within bounds, for expressions that ask for more. What a payload claims about trust is never taken from
//! its texts: a pull request is a fork's when the ids of its two repositories differ, or when the head's repository is
//! gone.

mod commits;
mod others;
mod pulls;

pub use others::OF_DEFAULT_BRANCH;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_pipelines::event::{Event, EventKind, GitFacts};

use crate::store::views::Repository;

/// A payload larger than this does not go along.
const LARGEST_PAYLOAD: usize = 1 << 20;

/// What a delivery means.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// What may start runs.
    Events(Vec<Told>),
    /// Nothing to do, and why.
    Ignored(String),
}

/// Something that happened, and the files that are asked about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What happened. An empty `git.sha` means the newest commit of `git.reference`.
    pub event: Event,
    /// Which files it may start.
    pub files: Which,
}

/// Which pipeline files an event may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those in the native language.
    Native,
    /// Those in the language of GitHub Actions.
    Workflows,
    /// This one.
    One(String),
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

/// Reads a delivery. An error is a payload that is not what GitHub sends: it will never be readable.
pub fn parse(event: &str, body: &[u8], repository: &Repository) -> Result<Parsed, String> {
    let json = payload(body)?;
    if event == "ping" {
        return Ok(Parsed::Ignored("GitHub's greeting: the webhook works".to_owned()));
    }
    if !is_known(event) {
        return Ok(Parsed::Ignored(format!("events of kind `{event}` start nothing")));
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
    let mut parsed = match event {
        "push" => commits::push(&read(&json)?, actor, repository)?,
        "pull_request" | "pull_request_review" | "pull_request_review_comment" => {
            pulls::pull_request(event, read(&json)?, actor, repository)?
        }
        _ => others::other(event, read(&json)?, actor, repository)?,
    };
    if let Parsed::Events(events) = &mut parsed {
        for told in events {
            let kept = kept_payload(&json, &told.event)?;
            told.event.payload = Some(kept);
        }
    }
    Ok(parsed)
}

/// Whether pipelines can be started by events of this name.
fn is_known(event: &str) -> bool {
    const ABOUT_COMMITS: &[&str] = &[
        "push",
        "pull_request",
        "pull_request_review",
        "pull_request_review_comment",
        "release",
        "create",
        "workflow_dispatch",
        "merge_group",
        "deployment",
        "deployment_status",
    ];
    ABOUT_COMMITS.contains(&event) || OF_DEFAULT_BRANCH.contains(&event)
}

/// The payload as it goes along; of one that is too large, what says so.
fn kept_payload(json: &[u8], event: &Event) -> Result<Value, String> {
    if json.len() <= LARGEST_PAYLOAD {
        return read(json);
    }
    Ok(json!({
        "action": event.activity,
        "ref": event.git.reference,
        "repository": { "full_name": event.repository, "default_branch": event.default_branch },
        "sender": { "login": event.actor },
        "tidegate_note": format!(
            "the payload has {} bytes; of one that has more than {LARGEST_PAYLOAD} only this is kept", json.len()
        ),
    }))
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

/// An event of this name that nothing else is known of yet.
pub(crate) fn plain(name: &str, actor: String, repository: &Repository) -> Event {
    let (full_name, default_branch) = (&repository.full_name, &repository.default_branch);
    let event = Event::new(EventKind::Forge, full_name, default_branch, GitFacts::default(), &actor);
    Event { name: Some(name.to_owned()), ..event }
}

/// The newest commit of the default branch.
pub(crate) fn tip_of_default(repository: &Repository) -> GitFacts {
    GitFacts::of_branch(&repository.default_branch, "")
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SHA: &str = "1234567890123456789012345678901234567890";
    const BASE: &str = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";

    fn repository() -> Repository {
        serde_json::from_value(json!({
            "id": "01890a5d-ac96-774b-bcce-b302099a8057", "full_name": "Acme/Shop", "forge": "github",
            "clone_url": "https://example.org/x", "default_branch": "main", "pipeline_path": "p.yml",
            "pipelines": "both", "created_at": "2026-01-01T00:00:00Z",
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

    fn told(name: &str, body: &[u8]) -> Vec<Told> {
        match parse(name, body, &repository()).unwrap() {
            Parsed::Events(events) => events,
            Parsed::Ignored(reason) => panic!("ignored: {reason}"),
        }
    }

    fn event(name: &str, body: &[u8]) -> Event {
        told(name, body).remove(0).event
    }

    fn ignored(name: &str, body: &[u8]) -> String {
        match parse(name, body, &repository()).unwrap() {
            Parsed::Ignored(reason) => reason,
            Parsed::Events(events) => panic!("{events:?}"),
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
                             "base": {"ref": "main", "sha": BASE, "repo": {"id": 1}}},
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
    }

    #[test]
    fn a_pull_request_is_also_about_the_branch_it_is_for() {
        let told = told("pull_request", &pull_request_payload("labeled", json!({"id": 2})));
        assert_eq!(told.len(), 2);
        assert_eq!(told[0].event.activity.as_deref(), Some("labeled"));
        let Told { event, files } = &told[1];
        assert_eq!((event.name.as_deref(), files), (Some("pull_request_target"), &Which::Workflows));
        assert_eq!((event.git.reference.as_str(), event.git.sha.as_str()), ("refs/heads/main", BASE));
        assert!(event.trusted, "what runs is the base branch's own");
        assert!(event.pull_request.as_ref().unwrap().from_fork);
        assert_eq!(event.payload.as_ref().unwrap()["number"], 7);
    }

    #[test]
    fn what_is_about_no_commit_is_about_the_default_branch() {
        let body = |changes: Value| {
            let mut body = json!({"action": "created", "repository": {"full_name": "acme/shop"},
                                  "sender": {"login": "ann"}});
            body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            serde_json::to_vec(&body).unwrap()
        };
        let comment = event("issue_comment", &body(json!({"comment": {"body": "/deploy"}})));
        assert_eq!((comment.kind, comment.name.as_deref()), (EventKind::Forge, Some("issue_comment")));
        assert_eq!((comment.git.reference.as_str(), comment.git.sha.as_str()), ("refs/heads/main", ""));
        assert_eq!(comment.payload.unwrap()["comment"]["body"], "/deploy");
        let release = event("release", &body(json!({"release": {"tag_name": "v1"}})));
        assert_eq!((release.kind, release.git.reference.as_str()), (EventKind::Release, "refs/tags/v1"));
        let dispatch = event("repository_dispatch", &body(json!({"action": "nightly"})));
        assert_eq!((dispatch.kind, dispatch.activity.as_deref()), (EventKind::Dispatch, Some("nightly")));
        let create = event("create", &body(json!({"ref": "x", "ref_type": "branch"})));
        assert_eq!(create.git.branch.as_deref(), Some("x"));
        let manual = &told(
            "workflow_dispatch",
            &body(
                json!({"ref": "refs/heads/x", "workflow": ".github/workflows/a.yml", "inputs": {"n": "1"}}),
            ),
        )[0];
        assert_eq!(manual.files, Which::One(".github/workflows/a.yml".to_owned()));
        assert_eq!((manual.event.kind, &manual.event.inputs["n"]), (EventKind::Manual, &json!("1")));
        let group =
            json!({"merge_group": {"head_sha": SHA, "head_ref": "refs/heads/gh-readonly-queue/main/pr-1"}});
        assert_eq!(event("merge_group", &body(group)).git.sha, SHA);
        let by_sha = json!({"deployment": {"sha": SHA, "ref": SHA}});
        assert_eq!(event("deployment", &body(by_sha)).git.reference, format!("refs/tidegate/{SHA}"));
        assert!(parse("deployment", &body(json!({})), &repository()).is_err());
    }

    #[test]
    fn what_this_server_said_itself_starts_nothing() {
        let body = |rest: Value| {
            let mut body = json!({"action": "created", "repository": {"full_name": "acme/shop"}});
            body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            serde_json::to_vec(&body).unwrap()
        };
        for (name, rest) in [
            ("check_run", json!({"check_run": {"name": "tidegate/ci"}})),
            ("status", json!({"context": "tidegate/ci"})),
            ("deployment", json!({"deployment": {"sha": SHA, "ref": "main", "payload": {"tidegate": {}}}})),
        ] {
            assert!(ignored(name, &body(rest)).contains("Tidegate itself"), "{name}");
        }
        let other = json!({"deployment": {"sha": SHA, "ref": "main", "payload": "{}"}});
        assert_eq!(event("deployment", &body(other)).git.reference, "refs/heads/main");
        assert_eq!(event("check_run", &body(json!({"check_run": {"name": "lint"}}))).git.sha, "");
    }

    #[test]
    fn a_payload_that_is_too_large_does_not_go_along() {
        let large = push_payload(&[("extra", json!("x".repeat(LARGEST_PAYLOAD)))]);
        let payload = event("push", &large).payload.unwrap();
        assert!(payload["tidegate_note"].as_str().unwrap().contains("bytes"), "{payload}");
        assert_eq!(payload["ref"], "refs/heads/feature/x");
    }
}
