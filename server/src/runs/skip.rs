//! Pipelines that are not started on purpose: the commit's message asks for it, or nothing that they are about changed.
//! Pure.

use tidegate_pipelines::event::{Event, EventKind};

/// What a message says to start nothing.
const WORDS: &[&str] = &["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"];

/// Why a push or a proposed commit with this message starts nothing, if it does not.
pub fn asked(event: &Event, message: &str) -> Option<String> {
    if !matches!(event.kind, EventKind::Push | EventKind::Tag | EventKind::PullRequest) {
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

/// The event without what filters look at beside its kind, branch and tag; none: there is nothing to take away.
pub(super) fn unfiltered(event: &Event) -> Option<Event> {
    if event.changed_paths.is_none() && asked(event, &event.git.message).is_none() {
        return None;
    }
    let mut event = event.clone();
    event.changed_paths = None;
    event.git.message.clear();
    Some(event)
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
            assert!(asked(&event("schedule"), message).is_none(), "{message}");
        }
        for message in ["", "skip ci", "skip-checks: true", "a\n\nskip-checks: true\n\nb", "[skip  ci]"] {
            assert_eq!(asked(&event("push"), message), None, "{message}");
        }
    }
}
