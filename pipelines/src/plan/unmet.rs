//! What the language has and neither server nor runner carries out yet. A stage that asks for it fails with a sentence:
//! left out in silence, a threshold would never fail and a stage would have another user than it asked for.

use super::{CacheScope, Container, Run, StagePlan, Verb};

impl StagePlan {
    /// The first thing that it asks for and would not get, as the end of a sentence about it.
    pub fn unmet(&self) -> Option<String> {
        let run = match &self.verb {
            Verb::Run(run) => Some(run),
            _ => None,
        };
        let container = run.and_then(|Run { container, .. }| part_of(container));
        let service = self.services.iter().find_map(|service| {
            part_of(&service.container).map(|part| format!("`{part}` of the service `{}`", service.name))
        });
        let what = if self.caches.iter().any(|cache| cache.scope != CacheScope::Branch) {
            "the scope of a cache".to_owned()
        } else if self.reports.iter().any(|report| report.fail_on.new_findings.is_some()) {
            "the threshold `new_findings`".to_owned()
        } else if let Some(part) = container {
            format!("`{part}` of its container")
        } else {
            service?
        };
        Some(format!("it asks for {what}, which Tidegate does not carry out yet"))
    }
}

/// The first thing that is asked of a container beside its image.
fn part_of(container: &Container) -> Option<&'static str> {
    let Container { env, user, entrypoint, credentials, ports } = container;
    let asked = [
        (!env.is_empty(), "env"),
        (user.is_some(), "user"),
        (!entrypoint.is_empty(), "entrypoint"),
        (credentials.is_some(), "credentials"),
        (!ports.is_empty(), "ports"),
    ];
    asked.into_iter().find_map(|(is, name)| is.then_some(name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn unmet(parts: Value) -> Option<String> {
        let mut stage = json!({
            "key": "a", "name": "a", "timeout_seconds": 60, "checkout": false,
            "verb": { "kind": "run", "image": "debian:12", "steps": [] },
        });
        for (name, value) in parts.as_object().unwrap() {
            stage[name] = value.clone();
        }
        serde_json::from_value::<StagePlan>(stage).unwrap().unmet()
    }

    #[test]
    fn what_would_be_left_out_is_named() {
        assert_eq!(unmet(json!({})), None);
        assert_eq!(unmet(json!({ "network": "none" })), None);
        for (parts, said) in [
            (json!({ "caches": [{ "key": "k", "paths": ["x"], "scope": "pipeline" }] }), "scope of a cache"),
            (
                json!({ "reports": [{ "kind": "sarif", "paths": ["x"], "fail_on": { "new_findings": "high" } }] }),
                "`new_findings`",
            ),
            (
                json!({ "services": [{ "name": "db", "image": "p", "container": { "ports": ["5432"] } }] }),
                "`ports` of the service `db`",
            ),
            (
                json!({ "verb": { "kind": "run", "image": "d", "steps": [], "container": { "user": "1000" } } }),
                "`user` of its container",
            ),
        ] {
            let sentence = unmet(parts).unwrap();
            assert!(sentence.contains(said), "{sentence}");
        }
    }
}
