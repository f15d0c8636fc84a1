//! Pipelines that are not started because the commit's message asks for it. Pure.
//!
//! The languages look at the message of a push by themselves; that of a proposed commit is known to the server alone,
//! which has read it, and here one set of words counts for both languages.

use tidegate_pipelines::event::{Event, EventKind};

/// What a message says to start nothing.
const WORDS: &[&str] = &["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"];

/// Why a push or a proposed commit with this message starts nothing, if it does not.
pub fn asked(event: &Event, message: &str) -> Option<String> {
    if !matches!(event.kind, EventKind::Push | EventKind::PullRequest) {
        return None;
    }
    let lower = message.to_ascii_lowercase();
    if let Some(word) = WORDS.iter().find(|word| lower.contains(**word)) {
        return Some(format!("the commit's message says {word}"));
    }
    // A trailer stands in the last paragraph.
    let trailers = lower.trim_end().rsplit("\n\n").next().filter(|last| last.len() < lower.trim_end().len());
    let trailer =
        trailers.is_some_and(|last| last.lines().any(|line| line.replace(' ', "") == "skip-checks:true"));
    trailer.then(|| "the commit's message says skip-checks: true".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str) -> Event {
        serde_json::from_value(serde_json::json!({
            "kind": kind, "repository": "a/b", "default_branch": "main", "actor": "dora",
            "git": { "sha": "a".repeat(40), "reference": "refs/heads/main" }, "trusted": true,
        }))
        .unwrap()
    }

    #[test]
    fn a_message_may_ask_for_nothing() {
        for message in
            ["x [skip ci]", "x\n\n[CI Skip] y", "a\n\nb\n\nskip-checks: true", "a\n\nskip-checks:true\n"]
        {
            assert!(asked(&event("push"), message).is_some(), "{message}");
            assert!(asked(&event("pull_request"), message).is_some(), "{message}");
            for kind in ["schedule", "tag"] {
                assert!(asked(&event(kind), message).is_none(), "{message}");
            }
        }
        for message in ["", "skip ci", "skip-checks: true", "a\n\nskip-checks: true\n\nb", "[skip  ci]"] {
            assert_eq!(asked(&event("push"), message), None, "{message}");
        }
    }
}
