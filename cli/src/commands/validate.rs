//! `tidegate validate`: every mistake in pipeline files, with its place and a way out. Files are read and checked on
//! all cores; what is printed comes in the order of the files.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::json;
use tidegate_pipelines::{Diagnostic, Machine, SourceFile, findings, render_all};

use crate::{
    failure::{Failure, Outcome},
    files::{self, TreeFiles},
    parallel,
    settings::{self, file::File},
};

/// The file that is meant when none is named.
pub const DEFAULT_FILE: &str = ".tidegate/pipeline.yml";

/// Show all mistakes in pipeline files
///
/// Exit codes: 0 no errors, 1 errors (with --deny-warnings also warnings), 2 a file or folder cannot be read.
#[derive(Args)]
pub struct Validate {
    /// Files, and folders of them [default: .tidegate and .github/workflows]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Warnings fail too
    #[arg(long)]
    deny_warnings: bool,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// All that is known, for scripts
    Json,
    /// SARIF 2.1.0, for dashboards of scanners
    Sarif,
    /// Annotations (`::error file=…`), for the log of a GitHub Actions step
    Github,
}

/// What came of a file.
struct Checked {
    name: String,
    diagnostics: Vec<Diagnostic>,
    /// For people.
    text: String,
}

impl Validate {
    /// Checks all files; fails when one has an error.
    pub fn run(self, config: File) -> Outcome {
        let format = if self.json { Format::Json } else { self.format };
        let color = std::io::stdout().is_terminal();
        let machines = settings::server::machines_of(&config.server)?;
        let paths = files::find(&self.paths)?;
        let mut checked = Vec::new();
        let mut unread = Vec::new();
        let people = (format == Format::Text).then_some(color);
        for result in parallel::map(&paths, |path| check_file(path, &machines, people)) {
            match result {
                Ok(file) => checked.push(file),
                Err(failure) => unread.push(failure),
            }
        }
        print(format, &checked)?;
        let all = || checked.iter().flat_map(|file| &file.diagnostics);
        let failed = all().any(|found| self.deny_warnings || found.is_error());
        // The last of them becomes the command's own failure.
        let last = unread.pop();
        unread.iter().for_each(Failure::print);
        match last {
            Some(failure) => Err(failure),
            None if failed => Err(Failure::told()),
            None => Ok(()),
        }
    }
}

/// Reads and checks one file; for people in colour or not, or for others.
fn check_file(path: &Path, machines: &BTreeMap<String, Machine>, people: Option<bool>) -> Outcome<Checked> {
    let source = files::read(path)?;
    let name = source.shown;
    let (diagnostics, text) = match source.text {
        Ok(text) => {
            let files = source.root.as_deref().map_or_else(|| TreeFiles::around(path), TreeFiles::new);
            let mut found = files::check(&source.path, &files, machines, source.root.is_some(), &text);
            super::as_named(&mut found, &source.path, &name);
            let shown = people.map(|color| {
                let others = files::others(&found, &name, &files);
                let others = others.iter().map(|(path, text)| SourceFile { path, text });
                let all: Vec<_> =
                    [SourceFile { path: &name, text: &text }].into_iter().chain(others).collect();
                render_all(&all, &found, color)
            });
            (found, shown.unwrap_or_default())
        }
        Err(found) => {
            let found = vec![found];
            let shown =
                people.map(|color| render_all(&[SourceFile { path: &name, text: "" }], &found, color));
            (found, shown.unwrap_or_default())
        }
    };
    Ok(Checked { name, diagnostics, text })
}

fn print(format: Format, checked: &[Checked]) -> Outcome {
    let count = |errors: bool| {
        checked.iter().flat_map(|file| &file.diagnostics).filter(|found| found.is_error() == errors).count()
    };
    let (errors, warnings) = (count(true), count(false));
    let all = || -> Vec<Diagnostic> { checked.iter().flat_map(|file| file.diagnostics.clone()).collect() };
    match format {
        Format::Text => {
            let mut out = String::new();
            for file in checked {
                out.push_str(&file.text);
            }
            if let ([file], 0, 0) = (checked, errors, warnings) {
                out.push_str(&format!("{}: no mistakes\n", file.name));
            } else if !checked.is_empty() {
                out.push_str(&format!(
                    "{}, {}, {}\n",
                    plural(checked.len(), "file"),
                    plural(errors, "error"),
                    plural(warnings, "warning")
                ));
            }
            super::write_out(out.as_bytes())
        }
        Format::Json => super::print_json(&json!({
            "files": checked.len(),
            "errors": errors,
            "warnings": warnings,
            "diagnostics": all(),
        })),
        Format::Sarif => super::print_json(&findings::sarif(&all())),
        Format::Github => super::write_out(findings::annotations(&all()).as_bytes()),
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("{count} {word}") } else { format!("{count} {word}s") }
}
