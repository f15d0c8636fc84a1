//! From files of other CI systems to a native pipeline, with a report of what could not be carried over.
//!
//! ```text
//! text -> located tree -> actions | gitlab | woodpecker | drone -> Draft -> checks, mending -> text + notes
//! ```
//!
//! The front ends carry over what they understand and note the rest. Whatever they make is checked as any pipeline is;
//! what the checks refuse is taken out again, with a note ([`mend`]). So what comes out always compiles.

mod actions;
mod containers;
mod draft;
mod drone;
mod gitlab;
mod mend;
pub(crate) mod reading;
mod woodpecker;
mod write;

use serde::Serialize;

use crate::{Diagnostic, SourceFile};
use reading::Notes;

/// A CI system whose files can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// GitHub Actions.
    Actions,
    /// GitLab CI.
    Gitlab,
    /// Woodpecker.
    Woodpecker,
    /// Drone.
    Drone,
}

/// A pipeline made of another system's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The pipeline: YAML of the native language, without errors.
    pub text: String,
    /// What could not be carried over, or means something a little different, in the order of the file.
    pub notes: Vec<Note>,
}

/// Something that a person must look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// Line of the file that was read, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What it is.
    pub what: String,
    /// What to do.
    pub todo: String,
}

/// Which system a file is of, by its path and its keys.
pub fn detect(file: &SourceFile<'_>) -> Option<System> {
    let path = file.path.replace('\\', "/");
    let name = path.rsplit('/').next().unwrap_or(&path);
    let has = |key: &str| {
        file.text
            .lines()
            .any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
    };
    let kind = file.text.lines().any(|line| line.trim_end() == "kind: pipeline");
    if path.contains(".github/workflows/") {
        Some(System::Actions)
    } else if name.contains("gitlab-ci") {
        Some(System::Gitlab)
    } else if name.starts_with(".drone") || kind && has("steps") {
        Some(System::Drone)
    } else if path.contains(".woodpecker") {
        Some(System::Woodpecker)
    } else if has("jobs") && has("on") {
        Some(System::Actions)
    } else if has("steps") || has("pipeline") {
        Some(System::Woodpecker)
    } else if file.text.lines().any(|line| line.trim_start().starts_with("script:")) {
        Some(System::Gitlab)
    } else {
        None
    }
}

/// Makes a native pipeline. An error is what makes the file unreadable.
pub fn import(file: &SourceFile<'_>, system: System) -> Result<Imported, Vec<Diagnostic>> {
    let mut notes = Notes::new(file.text);
    let draft = match system {
        System::Actions => actions::read(file, &mut notes)?,
        System::Gitlab => gitlab::read(file, &mut notes)?,
        System::Woodpecker => woodpecker::read(file, &mut notes)?,
        System::Drone => drone::read(file, &mut notes)?,
    };
    mend::finish(file, draft, notes)
}

#[cfg(test)]
mod tests;
