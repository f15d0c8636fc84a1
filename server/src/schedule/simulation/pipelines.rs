//! The pipelines whose runs are simulated.

use std::collections::BTreeSet;

use serde_json::json;
use tidegate_pipelines::{
    Compiled, Setting, SourceFile, compile,
    event::{Event, EventKind, GitFacts},
    plan::{Plan, StagePlan, Strategy, Verb},
};

pub(super) fn event() -> Event {
    let git = GitFacts::of_branch("main", &"a".repeat(40));
    Event::new(EventKind::Push, "acme/shop", "main", git, "dora")
}

pub(super) fn plan(text: &str) -> Plan {
    let compilation = compile(&SourceFile { path: "pipeline.yml", text }, &event(), Setting::default());
    match compilation.result {
        Some(Compiled::Plan(plan)) => plan,
        other => panic!("{other:?} {:?}", compilation.diagnostics),
    }
}

/// Twelve stages at most: some run, two deploy with a smoke test each.
pub(super) fn pipeline(edges: &[(usize, usize)], retries: u32) -> Plan {
    pipeline_with(edges, retries, |_, _| None)
}

/// As [`pipeline`]; the commands of some stages are in a matrix that a stage which they need tells.
pub(super) fn pipeline_with(
    edges: &[(usize, usize)],
    retries: u32,
    told_by: impl Fn(usize, &BTreeSet<&String>) -> Option<String>,
) -> Plan {
    let mut stages = serde_json::Map::new();
    let names: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
    for (index, name) in names.iter().enumerate() {
        let needs: BTreeSet<&String> = edges
            .iter()
            .filter(|(to, from)| to % 8 == index && from % 8 < index)
            .map(|(_, from)| &names[from % 8])
            .collect();
        let mut stage = json!({ "image": "i:1", "run": "true", "needs": needs, "timeout": "1m",
            "retry": { "max": retries, "when": ["failure"] } });
        if let Some(by) = told_by(index, &needs) {
            stage["matrix"] = format!("${{{{ fromJSON(stages.{by}.outputs.matrix) }}}}").into();
            stage["max_parallel"] = 2.into();
            stage["fail_fast"] = (index % 4 == 1).into();
        }
        stages.insert(name.clone(), stage);
    }
    for (name, need) in [("one", "s7"), ("two", "s3")] {
        stages.insert(
            format!("deploy-{name}"),
            json!({ "needs": [need], "deploy": { "environment": "production", "image": "r/shop@sha256:1",
                    "compose": { "file": "c.yml", "project": "p" } }, "timeout": "1m" }),
        );
        stages.insert(
            format!("smoke-{name}"),
            json!({ "needs": [format!("deploy-{name}")], "timeout": "1m",
                    "smoke": { "environment": "production", "checks": [{ "url": "http://x/" }] } }),
        );
    }
    plan(&json!({ "name": "p", "on": { "push": { "branches": ["main"] } }, "stages": stages }).to_string())
}

/// Makes the first stages those of one matrix.
pub(super) fn put_into_matrix(plan: &mut Plan, size: usize, max_parallel: Option<u32>, fail_fast: bool) {
    let run = |stage: &&mut StagePlan| matches!(stage.verb, Verb::Run(_));
    for (index, stage) in (0..).zip(plan.stages.iter_mut().filter(run).take(size)) {
        stage.name = "matrix".to_owned();
        let total = u32::try_from(size).unwrap();
        stage.strategy = Some(Strategy { index, total, fail_fast, max_parallel });
    }
}
