//! The files of an example under `pipelines/examples`, with this machine's stand-ins in place of what they name.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// All files of an example, by their paths in the repository they describe.
#[derive(Debug, Clone)]
pub struct Example {
    files: Vec<(String, String)>,
}

impl Example {
    /// Reads the folder of this name; its README is no part of the repository.
    pub fn load(name: &str) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/examples").join(name);
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in
                std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
            {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name =
                    path.strip_prefix(&root)?.to_str().context("paths of examples are UTF-8")?.to_owned();
                if name != "README.md" {
                    files.push((name, std::fs::read_to_string(&path)?));
                }
            }
        }
        files.sort();
        Ok(Self { files })
    }

    /// Puts `to` in place of `from` in all files. A name that no file has is a mistake of the test.
    pub fn replace(mut self, from: &str, to: &str) -> Result<Self> {
        let mut found = false;
        for (_, text) in &mut self.files {
            if text.contains(from) {
                found = true;
                *text = text.replace(from, to);
            }
        }
        if !found {
            bail!("no file of the example names `{from}`");
        }
        Ok(self)
    }

    /// One file with a change, as a developer makes it.
    pub fn change(&self, path: &str, from: &str, to: &str) -> Result<String> {
        let text = self.text(path)?;
        if !text.contains(from) {
            bail!("`{path}` has no `{from}`");
        }
        Ok(text.replace(from, to))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Result<&str> {
        let file = self.files.iter().find(|(name, _)| name == path);
        file.map(|(_, text)| text.as_str()).with_context(|| format!("the example has no `{path}`"))
    }

    /// What is pushed.
    pub fn files(&self) -> Vec<(&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
    }
}
