//! docs/language.md says what is so.

use tidegate_pipelines::{
    Compiled, Setting, SourceFile, check_in, codes, compile, compile_emitted, condition, expand_native,
    json_schema, plan::StageKey, render, resolve, template_schema,
};

use crate::{events, files::Folder, workflows};

fn text() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/language.md")).unwrap()
}

/// The blocks of one language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    text.split(fence.as_str()).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn every_example_is_a_pipeline() {
    let text = text();
    let (files, examples): (Vec<_>, Vec<_>) =
        blocks(&text, "yaml").into_iter().partition(|block| block.starts_with("# file: "));
    assert!(examples.len() >= 15, "only {} examples", examples.len());
    let named = |block: &str| {
        let path = block.lines().next().unwrap().trim_start_matches("# file: ").to_owned();
        (path, block.to_owned())
    };
    let folder = Folder(files.into_iter().map(named).collect());
    for example in examples {
        let file = SourceFile { path: "example.yml", text: example };
        let found = check_in(&file, folder.setting());
        assert!(found.is_empty(), "{}", render(&file, &found, false));
        let event = events::named(example);
        let result = compile(&file, &event, folder.setting()).result;
        let Some(Compiled::Plan(plan)) = result else { panic!("{result:?} of\n{example}") };
        let context = events::all_ended_well(&plan, &event);
        let expanded =
            |stage| expand_native(stage, &context).unwrap_or_else(|error| panic!("{error} in\n{example}"));
        for stage in &plan.stages.iter().flat_map(expanded).collect::<Vec<_>>() {
            resolve(stage, &context).unwrap_or_else(|error| panic!("{error} in\n{example}"));
            if let Some(expression) = &stage.condition {
                condition(expression, stage, &context)
                    .unwrap_or_else(|error| panic!("{error} in\n{example}"));
            }
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
        assert!(text.contains(&format!("`{key}`")), "`{key}` is not in docs/language.md");
    }
}

#[test]
fn every_code_is_documented() {
    let text = text();
    for code in codes::ALL {
        let row = format!("| {} | {} |", code.id, code.explanation.replace('|', "\\|"));
        assert!(text.contains(&row), "docs/language.md lacks the row\n{row}");
    }
}

/// Every code of this language has a page, whose wrong example gives it and whose right one is no mistake.
#[test]
fn every_page_shows_what_it_says() {
    let folder = Folder::golden();
    let emits = "on: push\nstages: {plan: {image: \"debian:12\", emits: stages.yml, run: x}}\n";
    let event = events::push("main");
    let Some(Compiled::Plan(plan)) =
        compile(&SourceFile { path: "p.yml", text: emits }, &event, folder.setting()).result
    else {
        panic!("the plan with `emits`")
    };
    let machines = workflows::machines();
    let workflows = Setting { files: &workflows::Folder, machines: &machines, ..Setting::default() };
    let found = |id: &str, text: &str| match id {
        "TG0708" => {
            let emitter = StageKey("plan".to_owned());
            compile_emitted(text, &emitter, &plan, &event, folder.setting()).diagnostics
        }
        _ if text.contains("\njobs:") => {
            check_in(&SourceFile { path: ".github/workflows/ci.yml", text }, workflows)
        }
        _ => check_in(&SourceFile { path: "pipeline.yml", text }, folder.setting()),
    };
    for code in codes::ALL.iter().filter(|code| code.id.starts_with("TG0")) {
        let page = code.page().unwrap_or_else(|| panic!("{} has no page", code.id));
        assert!(page.text.len() > 40 && page.wrong != page.right, "{}", code.id);
        let wrong = found(code.id, page.wrong);
        assert!(wrong.iter().any(|one| one.code == code.id), "{}: {wrong:?}", code.id);
        let right = found(code.id, page.right);
        let good = right.iter().all(|one| !one.is_error() && one.code != code.id);
        assert!(good, "{}: {right:?}", code.id);
    }
}
