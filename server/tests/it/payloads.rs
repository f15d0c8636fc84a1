//! Real payloads of GitHub are read, where there are some (`CONFORMANCE_DATA`, or `../shared/data` beside the project);
//! a clone of the project alone has none, and nothing is checked.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_pipelines::event::EventKind;
use tidegate_server::{
    forge::events::{self, OF_DEFAULT_BRANCH, Parsed, Told, is_sha},
    store::views::Repository,
};

fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("CONFORMANCE_DATA").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// The payloads below a folder: event, file, JSON. Folders are named after events where `by_folder`.
fn payloads(folder: &Path) -> Vec<(String, PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            let event = entry.file_name().to_string_lossy().into_owned();
            for (_, file, json) in payloads(&path) {
                found.push((event.clone(), file, json));
            }
        } else if path.extension().is_some_and(|ending| ending == "json")
            && let Ok(json) = serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap())
        {
            found.push((String::new(), path, json));
        }
    }
    found
}

fn repository(json: &Value) -> Option<Repository> {
    let full_name = json["repository"]["full_name"].as_str()?;
    serde_json::from_value(serde_json::json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "full_name": full_name, "forge": "github",
        "clone_url": "https://example.org/x", "default_branch": "main", "pipeline_path": "p.yml",
        "pipelines": "both", "created_at": "2026-01-01T00:00:00Z",
    }))
    .ok()
}

#[test]
fn payloads_of_every_event_are_read() {
    let Some(data) = data() else { return };
    let (mut read, mut ignored) = (0, 0);
    for (event, file, json) in payloads(&data.join("github-webhooks/payload-examples")) {
        let Some(repository) = repository(&json) else { continue };
        let body = serde_json::to_vec(&json).unwrap();
        match events::parse(&event, &body, &repository) {
            Ok(Parsed::Events(events)) => {
                read += 1;
                for told in events {
                    check(&event, &file, &told);
                }
            }
            Ok(Parsed::Ignored(_)) => ignored += 1,
            Err(reason) => panic!("{event} {}: {reason}", file.display()),
        }
    }
    eprintln!("{read} payloads read, {ignored} start nothing");
    assert!(read > 100, "{read}");
}

fn check(event: &str, file: &Path, told: &Told) {
    let Told { event: made, .. } = told;
    let at = file.display();
    assert!(
        made.name.as_deref() == Some(event) || made.name.as_deref() == Some("pull_request_target"),
        "{at}"
    );
    assert!(made.git.reference.starts_with("refs/"), "{at}: {}", made.git.reference);
    assert!(made.git.sha.is_empty() || is_sha(&made.git.sha), "{at}: {}", made.git.sha);
    assert!(made.payload.is_some(), "{at}");
    if OF_DEFAULT_BRANCH.contains(&event) {
        assert_eq!((made.git.reference.as_str(), made.git.sha.as_str()), ("refs/heads/main", ""), "{at}");
    }
}

#[test]
fn payloads_of_pushes_and_pull_requests_are_read() {
    let Some(data) = data() else { return };
    let mut kinds = Vec::new();
    for (_, file, json) in payloads(&data.join("woodpecker/forge-webhooks/github")) {
        let Some(repository) = repository(&json) else { continue };
        let event = if json["pull_request"].is_object() {
            "pull_request"
        } else if json["release"].is_object() {
            "release"
        } else if json["deployment"].is_object() {
            "deployment"
        } else {
            "push"
        };
        let body = serde_json::to_vec(&json).unwrap();
        match events::parse(event, &body, &repository) {
            Ok(Parsed::Events(events)) => {
                events.iter().for_each(|told| check(event, &file, told));
                kinds.push(events[0].event.kind);
            }
            Ok(Parsed::Ignored(reason)) => panic!("{}: {reason}", file.display()),
            Err(reason) => panic!("{}: {reason}", file.display()),
        }
    }
    for kind in [EventKind::Push, EventKind::Tag, EventKind::PullRequest, EventKind::Release] {
        assert!(kinds.contains(&kind), "{kind:?}: {kinds:?}");
    }
}
