//! Workflows of GitHub Actions and what comes of them, as in [`crate::golden`]: `tests/golden/actions`. What they call
//! is in the folder `called` there, and the repository's own actions in `local`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tidegate_pipelines::{
    Compiled, FileRef, Files, Machine, Setting, SourceFile, check_in, compile, event::Event, render,
};

use crate::events;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/actions")
}

/// Reads from the folder, whatever repository is asked for.
pub struct Folder;

impl Files for Folder {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        let (FileRef::Same(path) | FileRef::Other { path, .. }) = file;
        let action = path.strip_prefix(".github/actions/").map(|inside| folder().join("local").join(inside));
        let workflow = || path.strip_prefix(".github/workflows/").map(|inside| folder().join(inside));
        let place = action.or_else(workflow).ok_or("it is no workflow and no action")?;
        fs::read_to_string(place).map_err(|_| "it is not there".to_owned())
    }
}

pub fn machines() -> BTreeMap<String, Machine> {
    let machine = |image: &str| Machine { image: image.to_owned(), labels: Vec::new() };
    BTreeMap::from([
        ("ubuntu-latest".to_owned(), machine("ubuntu:24.04")),
        ("debian".to_owned(), Machine { image: "debian:12".to_owned(), labels: vec!["big-disk".to_owned()] }),
    ])
}

pub fn files(ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == ending));
    files.sort();
    files
}

/// What people see of all files.
pub fn all_outputs() -> String {
    files("out").iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn event(text: &str) -> Event {
    let mut event = events::named(text);
    if text.contains("on: pull_request_target\n") {
        event = events::pull_request("main");
        event.name = Some("pull_request_target".to_owned());
    }
    event
}

#[test]
fn every_workflow_gives_what_it_gave() {
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    let machines = machines();
    let setting = Setting { files: &Folder, machines: &machines, ..Setting::default() };
    let mut differences = Vec::new();
    for path in files("yml") {
        let text = fs::read_to_string(&path).unwrap();
        let file = SourceFile { path: ".github/workflows/workflow.yml", text: &text };
        let compilation = compile(&file, &event(&text), setting);
        assert_eq!(
            compilation.result.is_none(),
            compilation.diagnostics.iter().any(tidegate_pipelines::Diagnostic::is_error),
            "{}: a result exactly when there is no error",
            path.display()
        );
        let out =
            (!compilation.diagnostics.is_empty()).then(|| render(&file, &compilation.diagnostics, false));
        let result = compilation.result.map(|result| {
            let mut value = match result {
                Compiled::Plan(plan) => serde_json::to_value(plan).unwrap(),
                Compiled::NotTriggered { reason, .. } => serde_json::json!({ "not_triggered": reason }),
            };
            value.sort_all_objects();
            serde_json::to_string_pretty(&value).unwrap() + "\n"
        });
        for (ending, now) in [("out", out), ("json", result)] {
            let golden = path.with_extension(ending);
            let before = fs::read_to_string(&golden).ok();
            if before != now {
                differences.push(format!("{}:\n{}", golden.display(), now.as_deref().unwrap_or("(nothing)")));
                match &now {
                    _ if !bless => {}
                    Some(now) => fs::write(&golden, now).unwrap(),
                    None => fs::remove_file(&golden).unwrap(),
                }
            }
        }
    }
    assert!(bless || differences.is_empty(), "{}", differences.join("\n"));
}

/// Whoever validates a file is to learn what would stop every run of it.
#[test]
fn what_is_not_carried_out_is_told_by_a_check_too() {
    let machines = machines();
    let setting = Setting { files: &Folder, machines: &machines, ..Setting::default() };
    let known = ["TG1107", "TG1203", "TG1204"];
    let mut count = 0;
    for path in files("yml") {
        let text = fs::read_to_string(&path).unwrap();
        let file = SourceFile { path: ".github/workflows/workflow.yml", text: &text };
        let told = |found: &[tidegate_pipelines::Diagnostic]| -> Vec<_> {
            let errors = found.iter().filter(|one| one.is_error());
            let mut told: Vec<_> = errors
                .map(|one| (one.code.clone(), one.span.line, one.span.column, one.message.clone()))
                .collect();
            told.sort();
            told
        };
        let checked = told(&check_in(&file, setting));
        let compiled = told(&compile(&file, &event(&text), setting).diagnostics);
        let of = |list: &[(String, usize, usize, String)]| -> Vec<_> {
            list.iter()
                .filter(|one| known.contains(&one.0.as_str()) || one.3.contains("no machine"))
                .cloned()
                .collect()
        };
        assert_eq!(of(&checked), of(&compiled), "{}", path.display());
        let more: Vec<_> = checked.iter().filter(|one| !compiled.contains(one)).collect();
        assert!(more.is_empty() || compiled.is_empty(), "{}: {more:?}", path.display());
        count += of(&checked).len();
    }
    assert!(count > 10, "{count}");
    // Machines are only asked for where they are known.
    let file = SourceFile {
        path: ".github/workflows/workflow.yml",
        text: "on: push\njobs: {a: {runs-on: windows-latest, timeout-minutes: 1, steps: [], container: \
               {image: 'x:1', options: --privileged}}, b: {runs-on: nowhere, timeout-minutes: 1, steps: []}}\n",
    };
    let codes = |setting: Setting<'_>| -> Vec<_> {
        check_in(&file, setting).into_iter().map(|found| found.code).collect()
    };
    assert_eq!(codes(Setting::default()), ["TG1203"]);
    assert_eq!(codes(setting), ["TG1203", "TG1107"]);
}
