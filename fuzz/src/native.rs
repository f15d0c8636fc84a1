//! A native pipeline from its text to stages that a runner would get, and as stages that another stage wrote.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_pipelines::{
    Compilation, Compiled, Files, Setting, SourceFile, compile, compile_emitted, condition,
    event::Event,
    expand_native,
    graph::Graph,
    outline::outline,
    plan::{Plan, StageKey, StagePlan, Verb},
    resolve, triggers,
};

use crate::{events, files::Folder, yaml};

pub fn run(bytes: &[u8]) {
    let folder = Folder::of(bytes);
    let file = SourceFile { path: "p.yml", text: &folder.text };
    let setting = Setting { files: &folder, ..Setting::default() };
    for event in [events::push("main"), events::tag("v1"), events::fork()] {
        let compilation = compile(&file, &event, setting);
        if let Some(plan) = planned(&folder.text, &compilation) {
            ready(&plan, &event);
        }
        outline(&file, triggers(&file), compilation);
    }
    emitted(&folder.text, &folder);
}

/// A result exactly when there is no error, and a plan that holds together.
pub fn planned(text: &str, compilation: &Compilation) -> Option<Plan> {
    yaml::sound(text, &compilation.diagnostics);
    let failed = compilation.diagnostics.iter().any(tidegate_pipelines::Diagnostic::is_error);
    assert_eq!(compilation.result.is_none(), failed);
    let Some(Compiled::Plan(plan)) = &compilation.result else { return None };
    sound(plan);
    let json = serde_json::to_string(plan).unwrap();
    assert!(serde_json::from_str::<Plan>(&json).unwrap() == *plan, "a plan is what its JSON says");
    let graph = Graph::of(plan);
    graph.text(100);
    graph.mermaid();
    graph.svg();
    Some(plan.clone())
}

/// No circle, no key twice, and whatever a stage names is upstream of it.
pub fn sound(plan: &Plan) {
    let mut order: BTreeMap<&StageKey, usize> = BTreeMap::new();
    while order.len() < plan.stages.len() {
        let before = order.len();
        for stage in &plan.stages {
            if stage.needs.iter().all(|need| order.contains_key(&need.stage)) {
                let next = order.len();
                order.entry(&stage.key).or_insert(next);
            }
        }
        assert!(order.len() > before, "stages need each other, or a key is there twice");
    }
    assert!(plan.stages.len() <= 1000);
    for stage in &plan.stages {
        let mut named: Vec<&StageKey> = stage.needs.iter().map(|need| &need.stage).collect();
        named.extend(stage.fetch.iter().map(|fetch| &fetch.stage));
        named.extend(&stage.same_runner_as);
        if let Verb::Smoke(smoke) = &stage.verb {
            named.push(&smoke.deploy);
        }
        let upstream: BTreeSet<&StageKey> = stage.upstream.iter().collect();
        assert!(named.iter().all(|key| upstream.contains(*key)), "{}: {named:?}", stage.key);
        assert!(upstream.iter().all(|key| order[*key] < order[&stage.key]));
    }
}

/// What happens when all stages have ended well and the next one's turn has come.
fn ready(plan: &Plan, event: &Event) {
    let context = events::all_ended_well(plan, event);
    let expanded = |stage: &StagePlan| expand_native(stage, &context).unwrap_or_default();
    for stage in plan.stages.iter().flat_map(expanded) {
        if let Some(text) = &stage.condition {
            let _ = condition(text, &stage, &context);
        }
        if let Ok(resolved) = resolve(&stage, &context) {
            assert_eq!(resolved.key, stage.key);
        }
    }
}

fn emitted(text: &str, files: &dyn Files) {
    let event = events::push("main");
    let emits = "on: push\nstages: {plan: {image: \"debian:12\", emits: stages.yml, run: x}}\n";
    let setting = Setting { files, ..Setting::default() };
    let Some(Compiled::Plan(mut plan)) =
        compile(&SourceFile { path: "p.yml", text: emits }, &event, Setting::default()).result
    else {
        panic!("the plan with `emits`")
    };
    let emission = compile_emitted(text, &StageKey("plan".to_owned()), &plan, &event, setting);
    if let Some(stages) = emission.stages {
        plan.stages.extend(stages);
        sound(&plan);
    }
}
