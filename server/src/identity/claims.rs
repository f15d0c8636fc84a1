//! What a token says: GitHub's claims, from the run's facts. Pure.

use serde_json::{Map, Value, json};
use tidegate_protocol::ids::RepositoryId;

/// The claims that a token may have.
pub(super) const ALL: [&str; 29] = [
    "sub",
    "aud",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "ref",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "run_id",
    "run_number",
    "run_attempt",
    "sha",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "job_workflow_ref",
    "job_workflow_sha",
    "head_ref",
    "base_ref",
    "event_name",
    "ref_type",
    "actor",
    "environment",
    "runner_environment",
];

/// Facts of the run that are taken as they are.
const TAKEN: [&str; 16] = [
    "actor",
    "actor_id",
    "base_ref",
    "event_name",
    "head_ref",
    "ref",
    "ref_protected",
    "ref_type",
    "repository_owner_id",
    "repository_visibility",
    "run_attempt",
    "run_id",
    "run_number",
    "sha",
    "workflow",
    "workflow_sha",
];

/// What is known beside the run's context.
pub(super) struct Facts<'f> {
    pub(super) issuer: &'f str,
    pub(super) audience: Option<&'f str>,
    /// `owner/name`, as this server knows it.
    pub(super) repository: &'f str,
    pub(super) repository_id: RepositoryId,
    pub(super) environment: Option<&'f str>,
    /// The job is of a file that another one calls.
    pub(super) called: bool,
    /// Seconds since 1970.
    pub(super) now: i64,
    pub(super) lifetime: i64,
}

/// The claims. `github` is the job's context of that name.
pub(super) fn claims(github: &Value, facts: &Facts<'_>) -> Value {
    let text = |key: &str| github.get(key).and_then(Value::as_str).unwrap_or_default();
    let owner = facts.repository.split('/').next().unwrap_or_default();
    let mut claims = Map::new();
    for key in TAKEN {
        match github.get(key) {
            None | Some(Value::Null) => {}
            // Text, as there: who compares must not find a truth value.
            Some(Value::Bool(value)) => drop(claims.insert(key.to_owned(), value.to_string().into())),
            Some(value) => drop(claims.insert(key.to_owned(), value.clone())),
        }
    }
    let workflow_ref = match text("workflow_ref").split_once("/.github/") {
        Some((_, rest)) => format!("{}/.github/{rest}", facts.repository),
        None => text("workflow_ref").to_owned(),
    };
    let audience = facts.audience.map_or_else(|| format!("{}/{owner}", facts.issuer), str::to_owned);
    for (key, value) in [
        ("iss", json!(facts.issuer)),
        ("aud", json!(audience)),
        ("sub", json!(subject(github, facts))),
        ("jti", json!(uuid::Uuid::new_v4())),
        ("iat", json!(facts.now)),
        // Clocks differ a little.
        ("nbf", json!(facts.now - 60)),
        ("exp", json!(facts.now + facts.lifetime)),
        ("repository", json!(facts.repository)),
        ("repository_owner", json!(owner)),
        ("workflow_ref", json!(workflow_ref)),
        ("runner_environment", json!("self-hosted")),
    ] {
        claims.insert(key.to_owned(), value);
    }
    // The forge's number where an event told it, else this server's own id, which nobody can take over either.
    let id = Some(text("repository_id")).filter(|id| !id.is_empty());
    claims.insert("repository_id".to_owned(), id.map_or_else(|| json!(facts.repository_id), |id| json!(id)));
    if let Some(environment) = facts.environment {
        claims.insert("environment".to_owned(), environment.into());
    }
    // Which file a called job is of is not kept with it; a wrong one would be trusted.
    if !facts.called {
        claims.insert("job_workflow_ref".to_owned(), workflow_ref.into());
        claims.insert("job_workflow_sha".to_owned(), text("workflow_sha").into());
    }
    claims.into()
}

/// Whom the token is about: what trusts are most often bound to.
fn subject(github: &Value, facts: &Facts<'_>) -> String {
    let text = |key: &str| github.get(key).and_then(Value::as_str).unwrap_or_default();
    let rest = match facts.environment {
        // A colon in it would look like a part of its own.
        Some(environment) => format!("environment:{}", environment.replace('%', "%25").replace(':', "%3A")),
        None if text("event_name") == "pull_request" => "pull_request".to_owned(),
        None => format!("ref:{}", text("ref")),
    };
    format!("repo:{}:{rest}", facts.repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(github: Value, change: impl FnOnce(&mut Facts<'_>)) -> Value {
        let mut facts = Facts {
            issuer: "https://ci.example.org",
            audience: None,
            repository: "acme/shop",
            repository_id: RepositoryId(uuid::Uuid::nil()),
            environment: None,
            called: false,
            now: 1_000,
            lifetime: 600,
        };
        change(&mut facts);
        claims(&github, &facts)
    }

    fn push() -> Value {
        json!({
            "event_name": "push", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": false, "sha": "abc",
            "repository": "evil/other", "repository_owner": "evil", "workflow": "ci", "actor": "dora", "run_id": "r",
            "workflow_ref": "evil/other/.github/workflows/ci.yml@refs/heads/main", "workflow_sha": "abc",
            "repository_id": "", "token": "never", "event": { "x": 1 },
        })
    }

    #[test]
    fn a_token_says_who_what_and_for_whom() {
        let claims = of(push(), |_| ());
        for (key, value) in [
            ("sub", json!("repo:acme/shop:ref:refs/heads/main")),
            ("aud", json!("https://ci.example.org/acme")),
            ("iss", json!("https://ci.example.org")),
            ("exp", json!(1_600)),
            ("repository", json!("acme/shop")),
            ("repository_owner", json!("acme")),
            ("repository_id", json!(uuid::Uuid::nil())),
            ("workflow_ref", json!("acme/shop/.github/workflows/ci.yml@refs/heads/main")),
            ("job_workflow_ref", json!("acme/shop/.github/workflows/ci.yml@refs/heads/main")),
            ("ref_protected", json!("false")),
            ("actor", json!("dora")),
        ] {
            assert_eq!(claims[key], value, "{key}");
        }
        assert!(claims.get("token").is_none() && claims.get("event").is_none());
        assert!(!claims.to_string().contains("evil"), "an event's word on the repository counts for nothing");
        assert_ne!(claims["jti"], of(push(), |_| ())["jti"]);
    }

    #[test]
    fn the_subject_is_the_environment_the_pull_request_or_the_ref() {
        let subject = |github: Value, environment: Option<&'static str>| {
            of(github, |facts| facts.environment = environment)["sub"].as_str().unwrap().to_owned()
        };
        let of_kind = |kind: &str| {
            let mut github = push();
            github["event_name"] = kind.into();
            github
        };
        assert_eq!(subject(push(), Some("prod")), "repo:acme/shop:environment:prod");
        assert_eq!(subject(push(), Some("a:b")), "repo:acme/shop:environment:a%3Ab");
        assert_eq!(subject(of_kind("pull_request"), None), "repo:acme/shop:pull_request");
        assert_eq!(subject(of_kind("pull_request_target"), None), "repo:acme/shop:ref:refs/heads/main");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let claims = of(push(), |facts| {
            facts.called = true;
            facts.audience = Some("sts.example.com");
        });
        assert!(claims.get("job_workflow_ref").is_none() && claims.get("environment").is_none());
        assert_eq!(claims["aud"], "sts.example.com");
    }
}
