//! The pages of the language and the examples on them. The runner's tests share this, to run what is compiled here.

use std::{collections::BTreeMap, fs, path::Path};

/// An example of a page.
pub struct Example {
    /// Page, heading, and a number from the second one on: `language/stages.md, outputs 2`.
    pub name: String,
    pub is: Is,
    pub text: String,
}

/// What an example shows; its first line says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Is {
    /// A pipeline, for the event that `# event: …` names.
    Pipeline,
    /// `# file: …`: a file that pipelines of the page name.
    File(String),
    /// `# emitted by: …`: what a stage of the pipeline before it wrote.
    Emitted(String),
}

/// `language.md` and the pages that it leads to, by their paths below `docs`.
pub fn pages() -> BTreeMap<String, String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let below = fs::read_dir(docs.join("language")).unwrap();
    let names = below.map(|entry| format!("language/{}", entry.unwrap().file_name().to_str().unwrap()));
    let names = names.chain(["language.md".to_owned()]);
    names.map(|name| (name.clone(), fs::read_to_string(docs.join(&name)).unwrap())).collect()
}

/// All examples, in the order of the pages.
pub fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for (page, text) in pages() {
        let mut heading = "";
        let mut count = 0;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some((_, title)) = line.split_once("# ").filter(|_| line.starts_with('#')) {
                (heading, count) = (title, 0);
            }
            if !line.starts_with("```") {
                continue;
            }
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if line != "```yaml" {
                continue;
            }
            count += 1;
            let number = if count > 1 { format!(" {count}") } else { String::new() };
            let first = block.first().copied().unwrap_or_default();
            let is = match (first.strip_prefix("# file: "), first.strip_prefix("# emitted by: ")) {
                (Some(path), _) => Is::File(path.to_owned()),
                (_, Some(stage)) => Is::Emitted(stage.to_owned()),
                _ => Is::Pipeline,
            };
            let name = format!("{page}, {}{number}", heading.replace('`', ""));
            examples.push(Example { name, is, text: format!("{}\n", block.join("\n")) });
        }
    }
    examples
}

/// The files that pipelines of the pages name.
pub fn files() -> BTreeMap<String, String> {
    let named = |example: Example| match example.is {
        Is::File(path) => Some((path, example.text)),
        _ => None,
    };
    examples().into_iter().filter_map(named).collect()
}
