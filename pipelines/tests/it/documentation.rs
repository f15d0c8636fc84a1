//! The pages of the language say what is so.

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;
use tidegate_pipelines::{
    Compiled, Diagnostic, Setting, SourceFile, check_in, codes, compile, compile_emitted, condition,
    expand_native, json_schema, plan::StageKey, render, resolve, template_schema,
};

use crate::{
    events,
    files::Folder,
    pages::{self, Is},
    workflows,
};

/// All pages in one.
fn text() -> String {
    pages::pages().into_values().collect::<Vec<_>>().join("\n")
}

#[test]
fn every_example_is_a_pipeline() {
    let folder = Folder(pages::files());
    let mut before = None;
    let mut count = 0;
    for example in pages::examples() {
        let name = &example.name;
        let file = SourceFile { path: "example.yml", text: &example.text };
        if matches!(example.is, Is::File(_)) {
            continue;
        }
        count += 1;
        if let Is::Emitted(by) = &example.is {
            let (plan, event) = before.as_ref().unwrap_or_else(|| panic!("{name}: nothing comes before"));
            let by = StageKey(by.clone());
            let emission = compile_emitted(&example.text, &by, plan, event, folder.setting());
            assert!(emission.diagnostics.is_empty(), "{name}: {:?}", emission.diagnostics);
            assert!(emission.stages.is_some_and(|stages| !stages.is_empty()), "{name}");
            continue;
        }
        let found = check_in(&file, folder.setting());
        assert!(found.is_empty(), "{name}: {}", render(&file, &found, false));
        let event = events::named(&example.text);
        let result = compile(&file, &event, folder.setting()).result;
        let Some(Compiled::Plan(plan)) = result else { panic!("{name}: {result:?}") };
        let context = events::all_ended_well(&plan, &event);
        let expanded =
            |stage| expand_native(stage, &context).unwrap_or_else(|error| panic!("{name}: {error}"));
        for stage in &plan.stages.iter().flat_map(expanded).collect::<Vec<_>>() {
            resolve(stage, &context).unwrap_or_else(|error| panic!("{name}: {error}"));
            if let Some(expression) = &stage.condition {
                condition(expression, stage, &context).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
        before = Some((plan, event));
    }
    assert!(count >= 40, "only {count} examples");
}

/// As GitHub names a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Links between pages, and to headings of pages.
#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].iter().map(|name| root.join(name)).collect();
    for folder in ["docs", "docs/language"] {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        paths.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let fence = Regex::new(r"(?s)```.*?\n```").unwrap();
    for path in &paths {
        let text = fs::read_to_string(path).unwrap();
        for found in link.captures_iter(&fence.replace_all(&text, "")) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(there.exists(), "{}: there is no {file}", path.display());
            if heading.is_empty() {
                continue;
            }
            let text = fs::read_to_string(&there).unwrap();
            let known = fence
                .replace_all(&text, "")
                .lines()
                .any(|line| line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading);
            assert!(known, "{}: {target} names no heading", path.display());
        }
    }
}

#[test]
fn every_key_is_documented() {
    let text = text();
    let (schema, templates) = (json_schema(), template_schema());
    let types = schema["$defs"].as_object().unwrap().values().chain([&schema, &templates]);
    for key in types.flat_map(|kind| kind["properties"].as_object().into_iter().flatten()).map(|(key, _)| key)
    {
        assert!(text.contains(&format!("`{key}`")), "`{key}` is on no page of docs/language");
    }
}

#[test]
fn every_code_is_documented() {
    let text = text();
    for code in codes::ALL {
        let row = format!("| {} | {} |", code.id, code.explanation.replace('|', "\\|"));
        assert!(text.contains(&row), "docs/language/codes.md lacks the row\n{row}");
    }
}

/// What a page's example gives: as the language that it is in, with the other files that the tests have.
fn found(id: &str, text: &str) -> Vec<Diagnostic> {
    let event = events::push("main");
    let folder = Folder::golden();
    if text.contains("\njobs:") || id.starts_with("TG1") {
        let machines = workflows::machines();
        let setting = Setting { files: &workflows::Folder, machines: &machines, ..Setting::default() };
        let file = SourceFile { path: ".github/workflows/ci.yml", text };
        let mut all = check_in(&file, setting);
        // What is refused only when it is planned.
        all.extend(compile(&file, &event, setting).diagnostics);
        return all;
    }
    if id == "TG0708" {
        let emits = "on: push\nstages: {plan: {image: \"debian:12\", emits: stages.yml, run: x}}\n";
        let file = SourceFile { path: "p.yml", text: emits };
        let Some(Compiled::Plan(plan)) = compile(&file, &event, folder.setting()).result else {
            panic!("the plan with `emits`")
        };
        let emitter = StageKey("plan".to_owned());
        return compile_emitted(text, &emitter, &plan, &event, folder.setting()).diagnostics;
    }
    check_in(&SourceFile { path: "pipeline.yml", text }, folder.setting())
}

/// Every code has a page, whose wrong example gives it and whose right one is no mistake.
#[test]
fn every_page_shows_what_it_says() {
    for code in codes::ALL {
        let page = code.page().unwrap_or_else(|| panic!("{} has no page", code.id));
        assert!(page.text.len() > 40 && page.wrong != page.right, "{}", code.id);
        let wrong = found(code.id, page.wrong);
        assert!(wrong.iter().any(|one| one.code == code.id), "{}: {wrong:?}", code.id);
        let right = found(code.id, page.right);
        let good = right.iter().all(|one| !one.is_error() && one.code != code.id);
        assert!(good, "{}: {right:?}", code.id);
    }
}

/// The sources of a crate without their comments and unit tests.
fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("\n#[cfg(test)]").next().unwrap();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let text = lines.collect::<Vec<_>>().join("\n");
            into.push((path, text));
        }
    }
}

/// Whatever code any crate can give is in the table, so it has a page; and the table has none that nobody gives.
#[test]
fn codes_in_use_are_those_of_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for name in ["pipelines", "protocol", "server", "runner", "cli"] {
        sources(&root.join(name).join("src"), &mut files);
    }
    let table = fs::read_to_string(root.join("pipelines/src/codes.rs")).unwrap();
    let names = Regex::new(r#"(?m)^    ([A-Z_]+) (?:Error|Warning) "(TG[0-9]{4})""#).unwrap();
    let names: Vec<(&str, &str)> = names
        .captures_iter(&table)
        .map(|found| (found.get(1).unwrap().as_str(), found.get(2).unwrap().as_str()))
        .collect();
    assert_eq!(names.len(), codes::ALL.len());
    let written = Regex::new("TG[0-9]{4}").unwrap();
    for (path, text) in &files {
        for code in written.find_iter(text) {
            assert!(codes::find(code.as_str()).is_some(), "{} names {}", path.display(), code.as_str());
        }
    }
    for (name, id) in names {
        let used = files.iter().any(|(path, text)| {
            !path.ends_with("codes.rs") && (text.contains(&format!("codes::{name}")) || text.contains(id))
        });
        assert!(used, "nobody gives {id} ({name})");
    }
}
