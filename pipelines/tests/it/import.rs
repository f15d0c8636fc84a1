//! Imports of files that other people wrote, where the public test data is present (`../shared/data`, or
//! `CONFORMANCE_DATA=`): whatever they hold, what comes of them compiles.

use std::path::{Path, PathBuf};

use tidegate_pipelines::{
    Diagnostic, SourceFile, check,
    import::{System, detect, import},
    render,
};

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("CONFORMANCE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml") {
            found.push(path);
        }
    }
}

/// How many files of a folder there are, and how many became pipelines.
fn imported(folder: &str, system: System) -> Option<(usize, usize)> {
    let mut all = Vec::new();
    files(&data()?.join(folder), &mut all);
    let mut good = 0;
    for path in &all {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.display().to_string();
        let file = SourceFile { path: &name, text: &text };
        assert!(detect(&file).is_some(), "{name} is of no system");
        let Ok(imported) = import(&file, system) else { continue };
        let native = SourceFile { path: "imported.yml", text: &imported.text };
        let errors: Vec<Diagnostic> = check(&native).into_iter().filter(Diagnostic::is_error).collect();
        assert!(errors.is_empty(), "{name}:\n{}", render(&native, &errors, false));
        good += 1;
    }
    Some((all.len(), good))
}

#[test]
fn starter_workflows_become_pipelines() {
    let Some((all, good)) = imported("starter-workflows", System::Actions) else { return };
    assert!(all > 100 && good * 100 >= all * 95, "{good} of {all}");
}

#[test]
fn woodpecker_scenarios_become_pipelines() {
    let Some((all, good)) = imported("woodpecker/e2e-scenarios", System::Woodpecker) else { return };
    assert!(all > 15 && good == all, "{good} of {all}");
}
