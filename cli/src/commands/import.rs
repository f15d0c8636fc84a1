//! `tidegate import`: a native pipeline made of another CI system's file.

use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};
use owo_colors::OwoColorize;
use serde_json::json;
use tidegate_pipelines::{
    SourceFile,
    import::{self, Imported, Note, System},
};

use crate::{
    failure::{Doing, Failure, Outcome},
    files,
    terminal::harmless,
};

/// Write a native pipeline for a GitHub Actions workflow, or a GitLab CI, Woodpecker or Drone file
///
/// What comes out always compiles. What could not be carried over, or means something a little different, is told on
/// standard error, each with its place and what to do, and stands on top of the pipeline as comments.
#[derive(Args)]
pub struct Import {
    /// The file
    file: PathBuf,
    /// Whose file it is [default: told by its name and keys]
    #[arg(long, value_enum, value_name = "SYSTEM")]
    from: Option<From>,
    /// Write the pipeline to this file, which must not be there yet [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print pipeline and notes as JSON
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// GitHub Actions
    Github,
    /// GitLab CI
    Gitlab,
    /// Woodpecker
    Woodpecker,
    /// Drone
    Drone,
}

impl From {
    fn system(self) -> System {
        match self {
            Self::Github => System::Actions,
            Self::Gitlab => System::Gitlab,
            Self::Woodpecker => System::Woodpecker,
            Self::Drone => System::Drone,
        }
    }
}

impl Import {
    /// Writes the pipeline and tells the notes.
    pub fn run(self) -> Outcome {
        let source = files::read(&self.file)?;
        let shown = source.shown;
        let text = source.text.map_err(|found| Failure::new(&found.message).because(&shown))?;
        let file = SourceFile { path: &shown, text: &text };
        let system = match self.from {
            Some(from) => from.system(),
            None => import::detect(&file).ok_or_else(|| {
                Failure::usage(format!("{shown} looks like no file of another CI system"))
                    .mend("say whose it is with --from")
            })?,
        };
        let imported = match import::import(&file, system) {
            Ok(imported) => imported,
            Err(found) => {
                super::show_diagnostics(&file, &found)?;
                return Err(Failure::told());
            }
        };
        if self.json {
            return super::print_json(&json!(imported));
        }
        let Imported { text, notes } = imported;
        match &self.output {
            Some(path) => write_new(path, &text)?,
            None => super::write_out(text.as_bytes())?,
        }
        tell(&shown, &notes);
        Ok(())
    }
}

/// A file that is there is somebody's work.
fn write_new(path: &PathBuf, text: &str) -> Outcome {
    use std::io::Write;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).doing(format!("cannot make the folder {}", folder.display()))?;
    }
    let file = fs::File::options().write(true).create_new(true).open(path);
    let mut file = file.map_err(|error| {
        Failure::usage(format!("cannot write {}", path.display()))
            .because(error)
            .mend("name a file that is not there yet")
    })?;
    file.write_all(text.as_bytes()).doing(format!("cannot write {}", path.display()))
}

fn tell(shown: &str, notes: &[Note]) {
    for Note { line, column, what, todo } in notes {
        anstream::eprintln!("{} {}", format!("{shown}:{line}:{column}:").bold(), harmless(what));
        anstream::eprintln!("  {} {}", "to do:".cyan(), harmless(todo));
    }
    let words = match notes.len() {
        0 => "Everything was carried over.".to_owned(),
        1 => "One thing is to be looked at.".to_owned(),
        many => format!("{many} things are to be looked at."),
    };
    anstream::eprintln!("{words}");
}
