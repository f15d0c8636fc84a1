//! `tidegate validate`: every mistake in pipeline files, with its place and a way out.

use std::{fs, io::IsTerminal, path::PathBuf};

use clap::Args;
use tidegate_pipelines::{SourceFile, check, render};

use crate::failure::{Failure, Outcome};

/// The file that is meant when none is named.
pub const DEFAULT_FILE: &str = ".tidegate/pipeline.yml";

/// Show all mistakes in pipeline files
#[derive(Args)]
pub struct Validate {
    /// Pipeline files
    #[arg(default_value = DEFAULT_FILE)]
    files: Vec<PathBuf>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Validate {
    /// Checks all files; fails when one has an error.
    pub fn run(self) -> Outcome {
        let mut all = Vec::new();
        for path in &self.files {
            let text = fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!("cannot read {}", path.display()))
                    .because(error)
                    .mend(format!("name a pipeline file; without a name it is {DEFAULT_FILE}"))
            })?;
            let name = path.display().to_string();
            let file = SourceFile { path: &name, text: &text };
            let found = check(&file);
            if !self.json {
                if found.is_empty() {
                    anstream::println!("{name}: no mistakes");
                } else {
                    super::write_out(render(&file, &found, std::io::stdout().is_terminal()).as_bytes())?;
                }
            }
            all.extend(found);
        }
        let errors = all.iter().filter(|diagnostic| diagnostic.is_error()).count();
        if self.json {
            super::print_json(&serde_json::json!({"diagnostics": all}))?;
        } else if !all.is_empty() {
            let warnings = all.len() - errors;
            anstream::println!(
                "{errors} {}, {warnings} {}",
                plural("error", errors),
                plural("warning", warnings)
            );
        }
        if errors > 0 { Err(Failure::told()) } else { Ok(()) }
    }
}

fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
