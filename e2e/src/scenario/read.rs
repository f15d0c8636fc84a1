//! From folders to scenarios. A folder with `expected.json` is one; the folders above it only group.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A pipeline, what it is started by, and what is to come of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its folder below `scenarios`, for example `native/needs`.
    pub name: String,
    /// The repository: texts by path; see [`Scenario::files`].
    files: BTreeMap<String, String>,
    /// Another repository that files name, where there is one: texts by path.
    pub other: BTreeMap<String, String>,
    /// What it is started by.
    pub given: Given,
    /// What is to come of it: always with one of the keys `runs`, `left_out` and `marks`.
    pub expected: Value,
    /// Why a fake sandbox cannot show it, if it cannot.
    pub not_faked: Option<String>,
}

/// `given.json`; all of it may be left away.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Given {
    /// `push` when absent, else `tag`, `manual`, or the forge's name of an event.
    pub event: Option<String>,
    /// What is put into the event's payload, over what it has anyway: see [`Given::payload`].
    payload: Map<String, Value>,
    /// Further refs that are at the commit.
    pub refs: Vec<String>,
    /// Whether the repository is at a forge that is told of results; there is none, so that what it would be told stays.
    pub forge: bool,
    /// Inputs of a manual run.
    pub inputs: Map<String, Value>,
    /// The commit's message; `a change` when absent.
    pub message: Option<String>,
    /// Secrets of the repository; see [`Given::secrets`].
    secrets: BTreeMap<String, String>,
    /// Variables of the repository.
    pub variables: BTreeMap<String, String>,
    /// Environments and their rules, as the server's API takes them; see [`Given::environments`].
    environments: BTreeMap<String, Value>,
    /// How often it is pushed; once when absent. Each push comes when the run of the one before is there.
    pub pushes: Option<usize>,
}

impl Given {
    /// The event's name.
    pub fn event(&self) -> &str {
        self.event.as_deref().unwrap_or("push")
    }

    /// The payload's own part, about this commit where it says `{sha}`.
    pub fn payload(&self, sha: &str) -> Map<String, Value> {
        let mut payload = self.payload.clone();
        payload.values_mut().for_each(|value| put(value, "{sha}", sha));
        payload
    }

    /// The secrets, with the URL of [`super::web`] for `{web}`.
    pub fn secrets(&self, web: &str) -> BTreeMap<String, String> {
        self.secrets.iter().map(|(name, value)| (name.clone(), value.replace("{web}", web))).collect()
    }

    /// The environments, with that URL too.
    pub fn environments(&self, web: &str) -> BTreeMap<String, Value> {
        let mut environments = self.environments.clone();
        environments.values_mut().for_each(|rules| put(rules, "{web}", web));
        environments
    }

    /// The commit's message.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or("a change")
    }
}

/// Puts a text in for a mark, wherever it stands.
fn put(value: &mut Value, mark: &str, text: &str) {
    match value {
        Value::String(there) => *there = there.replace(mark, text),
        Value::Array(items) => items.iter_mut().for_each(|item| put(item, mark, text)),
        Value::Object(map) => map.values_mut().for_each(|item| put(item, mark, text)),
        _ => {}
    }
}

impl Scenario {
    /// The repository: texts by path. In them `{other}` is the name of the other repository, and `{other_sha}` its commit.
    pub fn files(&self, other: &str, other_sha: &str) -> BTreeMap<String, String> {
        let filled = |text: &str| text.replace("{other_sha}", other_sha).replace("{other}", other);
        self.files.iter().map(|(path, text)| (path.clone(), filled(text))).collect()
    }

    /// All texts in YAML, as they are written.
    pub fn yaml(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().chain(&self.other).filter(|(path, _)| path.ends_with(".yml"));
        files.map(|(_, text)| text.as_str())
    }
}

/// The scenarios to run, by name: those whose name begins with `TIDEGATE_SCENARIO`, where that is set, else all. Several
/// beginnings have commas between them.
pub fn asked() -> Result<Vec<Scenario>> {
    let wanted = std::env::var("TIDEGATE_SCENARIO").unwrap_or_default();
    let mut found = all()?;
    found.retain(|scenario| wanted.split(',').any(|beginning| scenario.name.starts_with(beginning)));
    if found.is_empty() {
        bail!("there is no scenario whose name begins with `{wanted}`");
    }
    Ok(found)
}

/// All scenarios of the project, by name.
pub fn all() -> Result<Vec<Scenario>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/scenarios");
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        if root.join(&folder).join("expected.json").is_file() {
            let name = folder.to_string_lossy().into_owned();
            found.push(read(&root, name.clone()).with_context(|| format!("the scenario {name}"))?);
            continue;
        }
        let before = folders.len();
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(folder.join(entry.file_name()));
            }
        }
        // A folder at the bottom that is no scenario would never be run.
        if folders.len() == before {
            bail!("{} holds no expected.json", root.join(&folder).display());
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn read(root: &Path, name: String) -> Result<Scenario> {
    let folder = root.join(&name);
    let (mut files, mut other) = (BTreeMap::new(), BTreeMap::new());
    for (path, text) in texts(&folder)? {
        let place = match path.as_str() {
            "expected.json" | "given.json" => continue,
            "pipeline.yml" => ".tidegate/pipeline.yml".to_owned(),
            "workflow.yml" => ".github/workflows/workflow.yml".to_owned(),
            path => match (path.strip_prefix("files/"), path.strip_prefix("other/")) {
                (Some(below), _) => below.to_owned(),
                (_, Some(below)) => {
                    other.insert(below.to_owned(), text);
                    continue;
                }
                _ => bail!("`{path}` stands neither for a pipeline nor below files/ or other/"),
            },
        };
        files.insert(place, text);
    }
    let given = match fs::read_to_string(folder.join("given.json")) {
        Ok(text) => serde_json::from_str(&text).context("given.json")?,
        Err(_) => Given::default(),
    };
    let text = fs::read_to_string(folder.join("expected.json"))?;
    let mut expected: Map<String, Value> = serde_json::from_str(&text).context("expected.json")?;
    let not_faked = match expected.remove("not_faked") {
        None => None,
        Some(Value::String(reason)) if !reason.trim().is_empty() => Some(reason),
        Some(other) => bail!("expected.json: `not_faked` says why, and this is {other}"),
    };
    // The short form: one run.
    if !["runs", "left_out", "marks"].iter().any(|key| expected.contains_key(*key)) {
        expected = Map::from_iter([("runs".to_owned(), Value::Array(vec![Value::Object(expected)]))]);
    }
    Ok(Scenario { name, files, other, given, expected: Value::Object(expected), not_faked })
}

/// All files below a folder, by their path.
fn texts(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner))? {
            let path = inner.join(entry?.file_name());
            if folder.join(&path).is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(folder.join(&path))
                    .with_context(|| format!("reading {}", path.display()))?;
                found.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    Ok(found)
}
