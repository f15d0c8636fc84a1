//! A workflow from its text to jobs that a runner would get, with what it calls.

use std::collections::BTreeMap;

use tidegate_pipelines::{
    Setting, SourceFile, StageFacts,
    actions::{RunFacts, called_secrets, contexts, decide, name_run},
    compile,
    event::Event,
    expand, findings,
    outline::{StandIns, not_there, outline},
    plan::{Plan, StageKey},
    triggers,
};

use crate::{
    events,
    files::{Folder, machines},
    native::planned,
};

const PATH: &str = ".github/workflows/p.yml";

pub fn run(bytes: &[u8]) {
    let folder = Folder::of(bytes);
    let machines = machines();
    let file = SourceFile { path: PATH, text: &folder.text };
    let setting = Setting { files: &folder, machines: &machines, ..Setting::default() };
    for event in [events::push("main"), events::fork(), events::manual(serde_json::json!({}))] {
        let compilation = compile(&file, &event, setting);
        findings::annotations(&compilation.diagnostics);
        if let Some(plan) = planned(&folder.text, &compilation) {
            ready(&plan, &event, setting);
        }
    }
    shown(&file, &folder);
}

/// As `tidegate plan` has it, with stand-ins for what cannot be read.
fn shown(file: &SourceFile<'_>, folder: &Folder) {
    let files = StandIns::new(folder, file.text);
    let setting = Setting { files: &files, any_machine: true, ..Setting::default() };
    let compilation = compile(file, &events::push("main"), setting);
    planned(file.text, &compilation);
    not_there(file, &files.missing());
    let shown = outline(file, triggers(file), compilation);
    serde_json::to_string(&shown).unwrap();
}

/// Each job when all that it needs has ended well, and when it has failed.
fn ready(plan: &Plan, event: &Event, setting: Setting<'_>) {
    let variables = BTreeMap::new();
    let run = RunFacts {
        id: "run-7",
        number: 7,
        attempt: 1,
        server_url: "https://forge.example.org",
        api_url: "https://forge.example.org/api",
        graphql_url: "https://forge.example.org/graphql",
        workspace: "/work",
        variables: &variables,
        cancelled: false,
    };
    name_run(&mut plan.clone(), &run);
    for status in ["succeeded", "failed"] {
        let outputs: BTreeMap<String, String> = [("x".to_owned(), "[1, 2]".to_owned())].into();
        let facts = StageFacts { status: status.to_owned(), outputs };
        let ended: BTreeMap<StageKey, StageFacts> =
            plan.stages.iter().map(|stage| (stage.key.clone(), facts.clone())).collect();
        for stage in plan.stages.iter().take(20) {
            let _ = decide(plan, stage, event, &run, &ended);
            let _ = called_secrets(plan, stage, event, &run, &ended, &BTreeMap::new());
            let contexts = contexts(plan, stage, event, &run, &ended);
            if let Ok(made) = expand(stage, &contexts, setting) {
                assert!(made.len() <= 256 && made.iter().all(|one| one.expand.is_none()));
            }
        }
    }
}
