//! Several files in one input: what follows a line `# file: PATH` is another file, which the first may name.

use std::collections::BTreeMap;

use tidegate_pipelines::{FileRef, Files, Machine};

/// The file that is compiled, and the others by their names.
pub struct Folder {
    /// The first.
    pub text: String,
    others: BTreeMap<String, String>,
}

impl Folder {
    /// Reads an input.
    pub fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut parts = text.split("\n# file: ");
        let first = parts.next().unwrap_or_default().to_owned();
        let others = parts.filter_map(|part| part.split_once('\n'));
        let others = others.map(|(path, text)| (path.trim().to_owned(), text.to_owned())).collect();
        Self { text: first, others }
    }
}

impl Files for Folder {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        self.others.get(&file.to_string()).cloned().ok_or_else(|| "there is no such file".to_owned())
    }
}

/// Machines for `runs-on`.
pub fn machines() -> BTreeMap<String, Machine> {
    let machine = |image: &str| Machine { image: image.to_owned(), labels: Vec::new() };
    BTreeMap::from([("ubuntu-latest".to_owned(), machine("ubuntu:24.04")), ("x".to_owned(), machine("x:1"))])
}
