//! What holds for every input.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use proptest::prelude::*;
use serde_json::Value;
use tidegate_pipelines::{
    Compiled, Context, Setting, SourceFile, StageFacts, check, compile, compile_emitted, condition,
    expand_native, format,
    plan::{Plan, StageKey, StagePlan, Template, Verb},
    render, resolve, triggers,
};

use crate::{events, files::Folder, golden, workflows};

/// Everything that takes a file, on this one. What it says must be about the file.
fn survives(text: &str) {
    survives_as("pipeline.yml", text);
}

pub fn survives_as(path: &str, text: &str) {
    let file = SourceFile { path, text };
    let diagnostics = check(&file);
    for diagnostic in &diagnostics {
        let span = diagnostic.span;
        assert!(text.get(span.start..span.end).is_some(), "{span:?} is no part of {text:?}");
        assert!(
            span.line >= 1
                && span.column >= 1
                && (span.line, span.column) <= (span.end_line, span.end_column)
        );
    }
    render(&file, &diagnostics, true);
    triggers(&file);
    let _ = format(text);
    for event in [events::push("main"), events::fork()] {
        let machines = workflows::machines();
        let setting = Setting { files: &workflows::Folder, machines: &machines, ..Setting::default() };
        let compilation = compile(&file, &event, setting);
        let failed = compilation.diagnostics.iter().any(tidegate_pipelines::Diagnostic::is_error);
        assert_eq!(compilation.result.is_none(), failed);
        if let Some(Compiled::Plan(plan)) = compilation.result {
            sound(&plan);
        }
    }
}

/// The graph is acyclic, keys are unique, and all that a stage names is upstream of it.
fn sound(plan: &Plan) {
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    while done.len() < plan.stages.len() {
        let before = done.len();
        for stage in &plan.stages {
            if stage.needs.iter().all(|need| done.contains_key(need.stage.0.as_str())) {
                let next = done.len();
                done.entry(&stage.key.0).or_insert(next);
            }
        }
        assert!(done.len() > before, "the stages left need each other, or a key is there twice");
    }
    for stage in &plan.stages {
        let mut named: Vec<_> = stage.fetch.iter().map(|fetch| &fetch.stage).collect();
        named.extend(&stage.same_runner_as);
        if let Verb::Smoke(smoke) = &stage.verb {
            named.push(&smoke.deploy);
        }
        named.extend(stage.needs.iter().map(|need| &need.stage));
        assert!(named.iter().all(|key| stage.upstream.contains(key)), "{}: {named:?}", stage.key);
        let order = |key: &str| done[key];
        assert!(stage.upstream.iter().all(|key| order(&key.0) < order(&stage.key.0)));
    }
}

fn sources(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

/// A golden file with pieces cut out, doubled or replaced.
pub fn mutated(files: &[PathBuf]) -> impl Strategy<Value = String> + use<> {
    let sources = sources(files);
    let junk = prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,6}",
        Just("\n  ".to_owned()),
        Just("${{ ".to_owned()),
        Just("*a &a ".to_owned())
    ];
    let edit = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), junk, 0..3_u8);
    (prop::sample::select(sources), prop::collection::vec(edit, 1..6)).prop_map(|(mut text, edits)| {
        for (start, length, junk, kind) in edits {
            let characters: Vec<char> = text.chars().collect();
            if characters.is_empty() {
                break;
            }
            let start = start.index(characters.len());
            let end = (start + length.index(24)).min(characters.len());
            let piece: String = characters[start..end].iter().collect();
            let before: String = characters[..start].iter().collect();
            let after: String = characters[end..].iter().collect();
            text = match kind {
                0 => format!("{before}{after}"),
                1 => format!("{before}{piece}{piece}{after}"),
                _ => format!("{before}{junk}{after}"),
            };
        }
        text
    })
}

/// A pipeline whose needs are drawn at random: sometimes in a circle, sometimes with a matrix.
fn random_graph() -> impl Strategy<Value = String> {
    let stage = (prop::collection::btree_set(0..12_usize, 0..4), 0..4_usize);
    prop::collection::vec(stage, 1..12).prop_map(|stages| {
        let mut text = "on: push\ndefaults: {image: \"debian:12\"}\nstages:\n".to_owned();
        for (index, (needs, values)) in stages.iter().enumerate() {
            let needs: Vec<_> =
                needs.iter().filter(|need| **need < stages.len()).map(|need| format!("s{need}")).collect();
            let matrix: Vec<_> = (0..*values).map(|value| value.to_string()).collect();
            let matrix = if matrix.is_empty() {
                String::new()
            } else {
                format!("matrix: {{v: [{}]}}, ", matrix.join(", "))
            };
            text.push_str(&format!("  s{index}: {{{matrix}needs: [{}], run: echo}}\n", needs.join(", ")));
        }
        text
    })
}

/// Values of the shapes that a matrix may have, and others.
fn json() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        "[a-c \\n]{0,3}".prop_map(Value::from),
    ];
    plain.prop_recursive(3, 400, 40, |inner| {
        let names = prop_oneof![Just("include".to_owned()), Just("exclude".to_owned()), "[a-d]{1,2}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..40).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        survives(&text);
        survives(&format!("on: push\nstages:\n  a:\n    image: debian:12\n    run: echo\n    if: {text}\n"));
        survives(&format!("on: push\nstages:\n  a:\n    image: debian:12\n    run: echo\n    env: {{X: '${{{{ {text} }}}}'}}\n"));
    }

    #[test]
    fn mutated_files_never_panic(text in mutated(&golden::files("yml"))) {
        survives(&text);
    }

    #[test]
    fn mutated_workflows_never_panic(text in mutated(&workflows::files("yml"))) {
        survives_as(".github/workflows/x.yml", &text);
    }

    #[test]
    fn plans_are_acyclic(text in random_graph()) {
        survives(&text);
    }

    /// Whatever an earlier stage writes, the stages of a matrix are few and their keys differ.
    #[test]
    fn told_matrices_are_bounded(told in json()) {
        let text = "on: push\ndefaults: {image: \"debian:12\"}\nstages:\n  list: {run: x}\n  t: {needs: [list], matrix: \"${{ fromJSON(stages.list.outputs.x) }}\", run: x}\n";
        let event = events::push("main");
        let file = SourceFile { path: "p.yml", text };
        let Some(Compiled::Plan(plan)) = compile(&file, &event, Setting::default()).result else { panic!() };
        let mut context = Context::new(&plan, &event);
        let outputs = [("x".to_owned(), told.to_string())].into();
        context.stages.insert(plan.stages[0].key.clone(), StageFacts { status: "succeeded".into(), outputs });
        if let Ok(stages) = expand_native(&plan.stages[1], &context) {
            let keys: BTreeSet<_> = stages.iter().map(|stage| &stage.key).collect();
            assert!(stages.len() <= 256 && keys.len() == stages.len());
            assert!(stages.iter().all(|stage| stage.dynamic.is_none() && stage.needs == plan.stages[1].needs));
        }
    }

    #[test]
    fn conditions_never_panic(text in "[a-z().'!&|=<> 0-9\\[\\]]{0,60}") {
        let (plan, context) = finished();
        let _ = condition(&text, &plan.stages[0], &context);
    }
}

/// The delivery pipeline with every stage ended well.
fn finished() -> (Plan, Context) {
    let path = golden::files("yml").into_iter().find(|path| path.ends_with("delivery.yml")).unwrap();
    let text = fs::read_to_string(path).unwrap();
    let event = events::push("main");
    let Some(Compiled::Plan(plan)) =
        compile(&SourceFile { path: "p.yml", text: &text }, &event, Setting::default()).result
    else {
        panic!("the delivery pipeline has mistakes")
    };
    let context = events::all_ended_well(&plan, &event);
    (plan, context)
}

fn late_env(stage: &StagePlan) -> impl Iterator<Item = &Template> {
    let run = match &stage.verb {
        Verb::Run(run) => Some(run),
        _ => None,
    };
    run.into_iter().flat_map(|run| &run.steps).flat_map(|step| step.late_env.values())
}

#[test]
fn resolving_leaves_no_expression() {
    for path in golden::files("json") {
        let source = fs::read_to_string(path.with_extension("yml")).unwrap();
        if source.starts_with("# emitted by: ") {
            continue;
        }
        let event = events::named(&source);
        let Some(Compiled::Plan(plan)) =
            compile(&SourceFile { path: "p.yml", text: &source }, &event, Folder::golden().setting()).result
        else {
            continue;
        };
        let context = events::all_ended_well(&plan, &event);
        for stage in
            &plan.stages.iter().flat_map(|stage| expand_native(stage, &context).unwrap()).collect::<Vec<_>>()
        {
            let mut resolved = resolve(stage, &context).unwrap();
            // What is read between steps is all that may be left, and reads nothing but steps.
            let left = resolved.outputs.values().chain(late_env(&resolved)).cloned().collect::<Vec<_>>();
            for template in left {
                let names = ["git", "event", "inputs", "matrix", "environment", "stages"];
                assert!(
                    !names.iter().any(|name| template.as_str().contains(&format!("{name}."))),
                    "{template:?}"
                );
            }
            resolved.outputs.clear();
            let mut value = serde_json::to_value(resolved).unwrap();
            for step in value.pointer_mut("/verb/steps").and_then(Value::as_array_mut).into_iter().flatten() {
                step.as_object_mut().unwrap().remove("late_env");
            }
            let text = Value::to_string(&value);
            assert!(!text.contains("${{"), "{}: {text}", path.display());
        }
    }
}

#[test]
fn hostile_sizes_are_refused_quickly() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        laughs.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{}", level - 1); 10].join(", ")
        ));
    }
    let many: Vec<String> = (0..200).map(|value| value.to_string()).collect();
    let many = format!("matrix: {{v: [{}]}}, run: echo", many.join(", "));
    let crossed = format!(
        "on: push\ndefaults: {{image: \"debian:12\"}}\nstages:\n  a: {{{many}}}\n  b: {{needs: [a], {many}}}\n"
    );
    let wide: String = (0..1200).map(|stage| format!("  s{stage}: {{run: echo}}\n")).collect();
    for (text, code) in [
        (laughs, "TG0102"),
        ("[".repeat(100_000), "TG0102"),
        ("{a: ".repeat(50_000), "TG0102"),
        ("- ".repeat(100_000), "TG0102"),
        ("x".repeat(300_000), "TG0102"),
        (format!("on: push\ndefaults: {{image: \"debian:12\"}}\nstages:\n{wide}"), "TG0307"),
        (crossed, "TG0307"),
    ] {
        let diagnostics = check(&SourceFile { path: "p.yml", text: &text });
        assert!(diagnostics.iter().any(|found| found.code == code), "{code}: {diagnostics:?}");
        assert!(diagnostics.len() <= 100);
    }
}

/// A run to which stages were added is as sound as one that had them from the start, and the bounds hold over all.
#[test]
fn added_stages_keep_the_run_sound_and_bounded() {
    let golden = |name: &str| {
        let path = golden::files("yml").into_iter().find(|path| path.ends_with(name)).unwrap();
        fs::read_to_string(path).unwrap()
    };
    let (source, event, folder) = (golden("emits.yml"), events::push("main"), Folder::golden());
    let file = SourceFile { path: "p.yml", text: &source };
    let Some(Compiled::Plan(mut plan)) = compile(&file, &event, folder.setting()).result else { panic!() };
    let mut emitter = StageKey("plan".to_owned());
    let more = "defaults: {image: \"debian:12\"}\nstages:\n  more: {emits: {file: x.yml}, run: x}\n";
    for depth in 1..=3 {
        let text = if depth == 1 { golden("emitted.yml") } else { more.to_owned() };
        let emission = compile_emitted(&text, &emitter, &plan, &event, folder.setting());
        plan.stages.extend(emission.stages.unwrap_or_else(|| panic!("{:?}", emission.diagnostics)));
        sound(&plan);
        emitter = StageKey(format!("{} / more", emitter.0));
    }
    let emission = compile_emitted(more, &emitter, &plan, &event, folder.setting());
    assert_eq!(emission.diagnostics[0].code, "TG0708", "{:?}", emission.diagnostics);
    // The same stages once more: their names are taken.
    let again =
        compile_emitted(&golden("emitted.yml"), &StageKey("plan".into()), &plan, &event, folder.setting());
    assert!(again.diagnostics.iter().any(|one| one.code == "TG0210"), "{:?}", again.diagnostics);
    let none = compile_emitted(more, &StageKey("first".into()), &plan, &event, folder.setting());
    assert_eq!(none.diagnostics[0].code, "TG0707");
    // A fork's run gets no secrets by this way either.
    let fork = compile_emitted(
        &golden("emitted.yml"),
        &StageKey("short".into()),
        &plan,
        &events::fork(),
        folder.setting(),
    );
    assert!(fork.stages.is_none());
}
