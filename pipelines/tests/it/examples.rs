//! The pipelines under `pipelines/examples` have no mistakes, and each is started by what it says.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tidegate_pipelines::{
    FileRef, Files, Language, Machine, Setting, SourceFile, check_in, format, language, render, triggers,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The examples: every folder, so that a new one is checked without being named here.
fn examples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The pipeline files of an example, by their paths in the repository that it describes.
fn pipelines(example: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in [".tidegate", ".github/workflows"] {
        let Ok(entries) = std::fs::read_dir(example.join(folder)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|ending| ending == "yml") {
                let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The other files of an example.
struct Repository(PathBuf);

impl Files for Repository {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        match file {
            FileRef::Same(path) => {
                std::fs::read_to_string(self.0.join(path)).map_err(|error| error.to_string())
            }
            FileRef::Other { .. } => Err("examples use no other repository".to_owned()),
        }
    }
}

#[test]
fn every_example_is_without_mistakes() {
    let machines = BTreeMap::from([(
        "ubuntu-latest".to_owned(),
        Machine { image: "debian:12".to_owned(), labels: Vec::new() },
    )]);
    let examples = examples();
    assert!(!examples.is_empty());
    for example in examples {
        let pipelines = pipelines(&example);
        assert!(!pipelines.is_empty(), "{} has no pipeline", example.display());
        let files = Repository(example.clone());
        for (path, text) in pipelines {
            let file = SourceFile { path: &path, text: &text };
            let setting = Setting { files: &files, machines: &machines, ..Setting::default() };
            let found = check_in(&file, setting);
            // Actions by their versions are what people know; all else that is warned of, an example does not do.
            let other: Vec<_> = found.into_iter().filter(|one| one.code != "TG1902").collect();
            assert!(other.is_empty(), "{}: {}", example.display(), render(&file, &other, false));
            assert!(!format!("{:?}", triggers(&file)).is_empty(), "{path} is {:?}", language(&path));
            if language(&path) == Language::Native {
                assert_eq!(format(&text).as_deref(), Ok(text.as_str()), "{}: {path}", example.display());
            }
        }
    }
}

#[test]
fn every_example_is_explained_and_found() {
    let index = std::fs::read_to_string(root().join("README.md")).unwrap();
    for example in examples() {
        let name = example.file_name().unwrap().to_str().unwrap();
        let readme = std::fs::read_to_string(example.join("README.md")).unwrap();
        assert!(readme.starts_with("# "), "{name} has a title");
        for part in ["## To make it yours", "## In the test"] {
            assert!(readme.contains(part), "the README of {name} lacks `{part}`");
        }
        assert!(
            index.contains(&format!("]({name}/README.md)")),
            "pipelines/examples/README.md does not link {name}"
        );
    }
}
