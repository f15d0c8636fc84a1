//! The other files that pipelines of the tests use.

use std::{collections::BTreeMap, path::Path};

use tidegate_pipelines::{FileRef, Files, Setting};

/// Files by the names that diagnostics have for them.
pub struct Folder(pub BTreeMap<String, String>);

impl Folder {
    /// Those of the golden tests: of the same repository, and of `acme/ci` at a commit of forty zeros.
    pub fn golden() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/files");
        let mut files = BTreeMap::new();
        for (folder, before, after) in
            [("ci", "ci/".to_owned(), String::new()), ("acme", "acme/ci/".to_owned(), format!("@{:040}", 0))]
        {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                files.insert(format!("{before}{name}{after}"), std::fs::read_to_string(&path).unwrap());
            }
        }
        Self(files)
    }

    pub fn setting(&self) -> Setting<'_> {
        Setting { files: self, ..Setting::default() }
    }
}

impl Files for Folder {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        self.0.get(&file.to_string()).cloned().ok_or_else(|| "there is no such file".to_owned())
    }
}
