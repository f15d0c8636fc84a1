//! Reusable workflows that cannot be read here, such as those of other repositories: in their place stands a workflow
//! that declares whatever it is given, so that the rest of the plan can be shown.

use std::sync::{Mutex, PoisonError};

use crate::{
    Diagnostic, FileRef, Files, Severity, SourceFile, codes,
    diagnostic::Problems,
    import::reading::{fields, get, text, tree},
    yaml::{Kind, Node},
};

/// The name of the one job of a stand-in.
pub(super) const JOB: &str = "not-read-here";

/// Other files, and stand-ins for those of them that cannot be read.
pub struct StandIns<'f> {
    files: &'f dyn Files,
    /// What was read so far: whoever calls a file says what it must declare.
    texts: Mutex<Vec<String>>,
    missing: Mutex<Vec<FileRef>>,
}

impl<'f> StandIns<'f> {
    /// For a file with this text.
    pub fn new(files: &'f dyn Files, text: &str) -> Self {
        Self { files, texts: Mutex::new(vec![text.to_owned()]), missing: Mutex::default() }
    }

    /// The files that something stands in for.
    pub fn missing(&self) -> Vec<FileRef> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Warnings about files of the same repository that a workflow calls and that are not there: whoever runs it will not
/// find them either, unless they are yet to be committed.
pub fn not_there(file: &SourceFile<'_>, missing: &[FileRef]) -> Vec<Diagnostic> {
    let own = missing.iter().any(|missing| matches!(missing, FileRef::Same(_)));
    let Some(root) = own.then(|| tree(file).ok()).flatten() else { return Vec::new() };
    let mut problems = Problems::new(file);
    for job in get(&root, "jobs").map(fields).unwrap_or_default() {
        let Some(uses) = get(&job.value, "uses") else { continue };
        let named = text(uses).unwrap_or_default();
        if missing.iter().any(|file| matches!(file, FileRef::Same(_)) && is(file, named)) {
            let message =
                format!("`{named}` is not in the working tree, so what it is given was not checked");
            problems.report(codes::CALLED_UNREADABLE, uses.place, message);
        }
    }
    let mut found = problems.finish();
    found.iter_mut().for_each(|one| one.severity = Severity::Warning);
    found
}

impl Files for StandIns<'_> {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        match self.files.read(file) {
            Ok(text) => {
                texts.push(text.clone());
                Ok(text)
            }
            // Only what is called as a workflow can be stood in for.
            Err(why) => {
                let made = stand_in(file, &texts).ok_or(why)?;
                let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
                if !missing.contains(file) {
                    missing.push(file.clone());
                }
                Ok(made)
            }
        }
    }
}

/// A workflow with the inputs, secrets and outputs that its callers speak of.
fn stand_in(file: &FileRef, callers: &[String]) -> Option<String> {
    let (mut inputs, mut secrets, mut outputs) = (String::new(), String::new(), String::new());
    let mut called = false;
    for caller in callers {
        let Ok(root) = tree(&SourceFile { path: "caller.yml", text: caller }) else { continue };
        for job in get(&root, "jobs").map(fields).unwrap_or_default() {
            if !get(&job.value, "uses").and_then(text).is_some_and(|uses| is(file, uses)) {
                continue;
            }
            called = true;
            for given in get(&job.value, "with").map(fields).unwrap_or_default() {
                declare(&mut inputs, &given.key.value, &format!("type: {}", kind(&given.value)));
            }
            for given in get(&job.value, "secrets").map(fields).unwrap_or_default() {
                declare(&mut secrets, &given.key.value, "required: false");
            }
            for part in caller.split(&format!("needs.{}.outputs.", job.key.value)).skip(1) {
                let name: String = part
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
                    .collect();
                declare(&mut outputs, &name, "value: x");
            }
        }
    }
    let section = |name: &str, entries: &str| match entries {
        "" => String::new(),
        entries => format!("    {name}:\n{entries}"),
    };
    called.then(|| {
        format!(
            "on:\n  workflow_call:\n{}{}{}jobs:\n  {JOB}:\n    runs-on: unknown\n    container: unknown\n    permissions: {{}}\n    timeout-minutes: 1\n    \
             steps: [{{run: \"true\"}}]\n",
            section("inputs", &inputs),
            section("secrets", &secrets),
            section("outputs", &outputs)
        )
    })
}

/// One entry, unless it is there or no name at all.
fn declare(entries: &mut String, name: &str, what: &str) {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let entry = format!("      {name}: {{{what}}}\n");
    if plain && !entries.contains(&format!("      {name}: ")) {
        entries.push_str(&entry);
    }
}

/// Whether a `uses` names this file.
fn is(file: &FileRef, uses: &str) -> bool {
    match file {
        FileRef::Same(path) => {
            uses.strip_prefix("./").or_else(|| uses.strip_prefix("$/")) == Some(path.as_str())
        }
        FileRef::Other { repository, path, reference } => uses == format!("{repository}/{path}@{reference}"),
    }
}

fn kind(value: &Node) -> &'static str {
    match &value.kind {
        Kind::Scalar(scalar) if scalar.boolean().is_some() => "boolean",
        Kind::Scalar(scalar) if scalar.number().is_some() => "number",
        _ => "string",
    }
}
