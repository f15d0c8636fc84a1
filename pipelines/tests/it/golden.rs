//! Files and what comes of them: `x.yml` with `x.out` (the diagnostics as people see them) and `x.json` (the plan,
//! or why nothing starts). Run with `TIDEGATE_BLESS=1` to write what comes of them now, and read the difference.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tidegate_pipelines::{
    Compilation, Compiled, LeftOut, SourceFile, codes, compile, compile_emitted, plan::StageKey, render_all,
};

use crate::{events, files::Folder};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub fn files(ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == ending));
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_file_gives_what_it_gave() {
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    let mut differences = Vec::new();
    for path in files("yml") {
        let text = fs::read_to_string(&path).unwrap();
        let file = SourceFile { path: "pipeline.yml", text: &text };
        let folder = Folder::golden();
        let compilation = match text.lines().next().unwrap_or_default().strip_prefix("# emitted by: ") {
            Some(by) => emitted(&text, by, &folder),
            None => compile(&file, &events::named(&text), folder.setting()),
        };
        assert_eq!(
            compilation.result.is_none(),
            compilation.diagnostics.iter().any(tidegate_pipelines::Diagnostic::is_error),
            "{}: a result exactly when there is no error",
            path.display()
        );
        let out = (!compilation.diagnostics.is_empty()).then(|| {
            let written = ["out/stages.yml"].map(|path| SourceFile { path, text: &text });
            let others = folder.0.iter().map(|(path, text)| SourceFile { path, text }).chain(written);
            let files: Vec<_> = [file].into_iter().chain(others).collect();
            render_all(&files, &compilation.diagnostics, false)
        });
        let result = compilation.result.map(|result| {
            let mut value = match result {
                Compiled::Plan(plan) => serde_json::to_value(plan).unwrap(),
                Compiled::NotTriggered { reason, left_out, .. } => {
                    json!({ "not_triggered": reason, "filtered": left_out == Some(LeftOut::Paths) })
                }
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

/// A file that a stage of another golden file wrote: `stage of file`.
fn emitted(text: &str, by: &str, folder: &Folder) -> Compilation {
    let (emitter, file) = by.split_once(" of ").unwrap();
    let source = fs::read_to_string(self::folder().join(file).with_extension("yml")).unwrap();
    let event = events::named(&source);
    let file = SourceFile { path: "pipeline.yml", text: &source };
    let Some(Compiled::Plan(mut plan)) = compile(&file, &event, folder.setting()).result else {
        panic!("{by}")
    };
    let emission = compile_emitted(text, &StageKey(emitter.to_owned()), &plan, &event, folder.setting());
    let stages = emission.stages.map(|stages| {
        plan.stages = stages;
        Compiled::Plan(plan)
    });
    Compilation { result: stages, diagnostics: emission.diagnostics }
}

#[test]
fn no_result_is_without_its_file() {
    for path in files("out").into_iter().chain(files("json")) {
        assert!(path.with_extension("yml").exists(), "{} is of no file", path.display());
    }
}

#[test]
fn every_code_is_in_a_golden_file() {
    let own: String = files("out").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let all = own + &crate::workflows::all_outputs();
    let missing: BTreeSet<_> = codes::ALL
        .iter()
        .filter(|code| !all.contains(&format!("[{}]", code.id)))
        // Warnings about workflows have golden files of their own.
        .filter(|code| !code.id.starts_with("TG092"))
        // Asked of a file by itself, not when it is compiled for an event.
        .filter(|code| code.id != "TG1910")
        .map(|code| code.id)
        .collect();
    assert_eq!(missing, BTreeSet::new());
}
