//! `tidegate fmt`: one look for pipeline files, which never changes what they say.

use std::{fs, path::PathBuf};

use clap::Args;
use tidegate_pipelines::{Language, SourceFile, format, language};

use crate::{
    failure::{Doing, Failure, Outcome},
    files,
};

/// Give pipeline files the usual look
///
/// Workflows of GitHub Actions stay as they are. Exit codes: 0 all is well, 1 a file cannot be read as YAML (with
/// --check also: a file would change), 2 a file or folder cannot be read.
#[derive(Args)]
pub struct Fmt {
    /// Files, and folders of them [default: .tidegate and .github/workflows]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write nothing; fail when a file would change
    #[arg(long)]
    check: bool,
}

impl Fmt {
    /// Formats all files, and says which ones changed.
    pub fn run(self) -> Outcome {
        let mut failed = false;
        for path in files::find(&self.paths)? {
            let source = files::read(&path)?;
            if language(&source.path) != Language::Native {
                continue;
            }
            let shown = source.shown;
            let found = match &source.text {
                Ok(text) => match format(text) {
                    Ok(formatted) if formatted == *text => continue,
                    Ok(formatted) => {
                        if self.check {
                            failed = true;
                            anstream::println!("{shown} would change");
                        } else {
                            fs::write(&path, formatted).doing(format!("cannot write {shown}"))?;
                            anstream::println!("{shown}");
                        }
                        continue;
                    }
                    Err(mut found) => {
                        found.iter_mut().for_each(|one| one.file.clone_from(&shown));
                        found
                    }
                },
                Err(found) => vec![found.clone()],
            };
            failed = true;
            let text = source.text.as_deref().unwrap_or_default();
            super::show_diagnostics(&SourceFile { path: &shown, text }, &found)?;
        }
        if failed { Err(Failure::told()) } else { Ok(()) }
    }
}
