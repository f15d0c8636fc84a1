//! The fuzz targets' corpora, and what is made of them by cutting and doubling: what the targets hold for every input,
//! as far as it needs no fuzzer.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use tidegate_pipelines::{
    Diagnostic, SourceFile, check, format,
    import::{System, detect, import},
    render,
};

use crate::properties::{mutated, survives_as};

const SYSTEMS: [System; 4] = [System::Actions, System::Gitlab, System::Woodpecker, System::Drone];

fn files(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn texts(target: &str) -> Vec<String> {
    files(target).iter().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

#[test]
fn every_input_of_the_corpora_is_survived() {
    for target in ["yaml", "native", "workflow", "filters"] {
        for text in texts(target) {
            survives_as("pipeline.yml", &text);
            survives_as(".github/workflows/x.yml", &text);
        }
    }
    for text in texts("import") {
        SYSTEMS.into_iter().for_each(|system| imported(&text[1..], system));
    }
}

/// What is made of another system's file has no mistakes, or there is none and a reason is told.
fn imported(text: &str, system: System) {
    let file = SourceFile { path: "other.yml", text };
    detect(&file);
    match import(&file, system) {
        Ok(imported) => {
            let native = SourceFile { path: "imported.yml", text: &imported.text };
            let errors: Vec<Diagnostic> = check(&native).into_iter().filter(Diagnostic::is_error).collect();
            assert!(errors.is_empty(), "of {system:?}\n{text}\n{}", render(&native, &errors, false));
            assert!(format(&imported.text).is_ok(), "{}", imported.text);
            let lines = text.lines().count() + 1;
            assert!(
                imported.notes.iter().all(|note| (1..=lines).contains(&note.line)),
                "{:?}",
                imported.notes
            );
        }
        Err(found) => {
            assert!(found.iter().any(Diagnostic::is_error), "{system:?} refuses without a reason:\n{text}")
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_of_other_systems_become_pipelines_or_say_why_not(text in mutated(&files("import"))) {
        let text: String = text.chars().skip(1).collect();
        SYSTEMS.into_iter().for_each(|system| imported(&text, system));
    }

    #[test]
    fn any_text_is_imported_or_refused(text in "\\PC{0,200}") {
        SYSTEMS.into_iter().for_each(|system| imported(&text, system));
    }
}
