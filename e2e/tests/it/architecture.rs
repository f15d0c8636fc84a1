//! Keeps the arrows of ARCHITECTURE.md: which crate may use which, and which module may name which library.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The workspace's own crates and their ordinary dependencies.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let names = package["dependencies"].as_array().unwrap().iter();
            let names = names.filter(|one| one["kind"].is_null());
            (
                package["name"].as_str().unwrap().to_owned(),
                names.map(|one| one["name"].as_str().unwrap().to_owned()).collect(),
            )
        })
        .collect()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let arrows: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("tidegate-pipelines", &[][..]),
        ("tidegate-protocol", &["tidegate-pipelines"]),
        ("tidegate-server", &["tidegate-pipelines", "tidegate-protocol"]),
        ("tidegate-runner", &["tidegate-pipelines", "tidegate-protocol"]),
        ("tidegate", &["tidegate-pipelines", "tidegate-protocol", "tidegate-runner", "tidegate-server"]),
        ("tidegate-e2e", &[]),
    ]);
    for (name, all) in dependencies() {
        let allowed = arrows
            .get(name.as_str())
            .unwrap_or_else(|| panic!("crate {name} has no arrows: add them here and in ARCHITECTURE.md"));
        for own in all.iter().filter(|one| one.starts_with("tidegate")) {
            assert!(allowed.contains(&own.as_str()), "{name} must not depend on {own}");
        }
    }
}

#[test]
fn the_language_does_no_input_or_output() {
    let all = dependencies();
    for forbidden in ["tokio", "sqlx", "axum", "reqwest", "bollard", "git2", "octocrab"] {
        assert!(
            !all["tidegate-pipelines"].iter().any(|one| one == forbidden),
            "pipelines must not use {forbidden}"
        );
    }
    for file in sources("pipelines/src") {
        let text = code(&file);
        for forbidden in ["std::fs", "std::net", "std::process", "std::env"] {
            assert!(!text.contains(forbidden), "{} names {forbidden}", file.display());
        }
    }
}

#[test]
fn each_library_has_one_home() {
    let homes: [(&str, &str, &[&str]); 9] = [
        ("server/src", "sqlx", &["server/src/store"]),
        ("server/src", "axum", &["server/src/http"]),
        ("server/src", "octocrab", &["server/src/forge"]),
        ("server/src", "git2", &["server/src/git/"]),
        ("runner/src", "hyper", &["runner/src/toolkit"]),
        ("runner/src", "bollard", &["runner/src/sandbox/docker"]),
        ("runner/src", "tonic", &["runner/src/sandbox/docker"]),
        ("runner/src", "git2", &["runner/src/source"]),
        ("cli/src", "sqlx", &[]),
    ];
    for (folder, library, allowed) in homes {
        for file in sources(folder) {
            let place = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            if allowed.iter().any(|home| place.starts_with(home)) {
                continue;
            }
            let named = code(&file).contains(&format!("{library}::"));
            assert!(!named, "{place} names {library}, whose home is {allowed:?}");
        }
    }
}

#[test]
fn the_store_knows_nothing_above_it() {
    for file in sources("server/src/store") {
        let text = code(&file);
        for above in
            ["crate::http", "crate::tasks", "crate::schedule", "crate::gates::", "crate::forge::client"]
        {
            assert!(!text.contains(above), "{} uses {above}", file.display());
        }
    }
}

/// The Rust files below a folder of the workspace; an empty answer would make every rule true.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// A file without its comments and its unit tests, which may read what they like.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}
