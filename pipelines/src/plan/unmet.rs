//! What the language has and neither server nor runner carries out yet. A stage that asks for it fails with a sentence:
//! left out in silence, a threshold would never fail and a stage would have another user than it asked for.

use super::{CacheScope, StagePlan};

impl StagePlan {
    /// The first thing that it asks for and would not get, as the end of a sentence about it.
    pub fn unmet(&self) -> Option<String> {
        let what = if self.caches.iter().any(|cache| cache.scope != CacheScope::Branch) {
            "the scope of a cache".to_owned()
        } else if self.reports.iter().any(|report| report.fail_on.new_findings.is_some()) {
            "the threshold `new_findings`".to_owned()
        } else {
            return None;
        };
        Some(format!("it asks for {what}, which Tidegate does not carry out yet"))
    }
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
        ] {
            let sentence = unmet(parts).unwrap();
            assert!(sentence.contains(said), "{sentence}");
        }
    }
}
