//! Which events start what, and what is said when they do not.

use serde_json::json;
use tidegate_pipelines::{
    Compiled, InputKind, LeftOut, Setting, SourceFile, compile, event::Event, plan::Plan, triggers,
};

use crate::events::{dispatch, fork, manual, pull_request, push, release, tag, upstream};

const STAGES: &str = "\nstages: {a: {image: \"debian:12\", run: echo}}\n";

fn compiled(on: &str, event: &Event) -> Compiled {
    let text = format!("on: {on}{STAGES}");
    let compilation =
        compile(&SourceFile { path: ".tidegate/ci.yml", text: &text }, event, Setting::default());
    compilation.result.unwrap_or_else(|| panic!("{:?}", compilation.diagnostics))
}

fn plan(on: &str, event: &Event) -> Plan {
    match compiled(on, event) {
        Compiled::Plan(plan) => plan,
        Compiled::NotTriggered { reason, .. } => panic!("{on}: {reason}"),
    }
}

fn refusal(on: &str, event: &Event) -> String {
    match compiled(on, event) {
        Compiled::Plan(_) => panic!("{on} started"),
        Compiled::NotTriggered { reason, .. } => reason,
    }
}

#[test]
fn branches() {
    let on = "{push: {branches: [main, \"release/**\", \"!release/old/*\"]}}";
    plan(on, &push("main"));
    plan(on, &push("release/2/x"));
    assert_eq!(refusal(on, &push("feature/x")), "push to `feature/x` matches none of on.push.branches");
    assert_eq!(
        refusal(on, &push("release/old/1")),
        "push to `release/old/1` matches none of on.push.branches"
    );
    assert_eq!(refusal(on, &tag("v1")), "a tag does not start this pipeline: it has no on.tag");
    plan("push", &push("anything/at/all"));
}

#[test]
fn paths() {
    let on = "{push: {paths: [\"src/**\", \"!src/**/*.md\"], paths_ignore: [src/gen/**]}}";
    let with = |paths: &[&str]| {
        let mut event = push("main");
        event.changed_paths = Some(paths.iter().map(|path| (*path).to_owned()).collect());
        event
    };
    plan(on, &with(&["docs/x", "src/lib.rs"]));
    plan(on, &push("main"));
    assert_eq!(
        refusal(on, &with(&["docs/x", "src/a.md"])),
        "none of the 2 changed paths matches on.push.paths"
    );
    assert_eq!(
        refusal(on, &with(&["src/gen/x.rs"])),
        "all of the 1 changed paths are ignored by on.push.paths_ignore"
    );
    let only_ignore = "{push: {paths_ignore: [docs/**]}}";
    plan(only_ignore, &with(&["docs/a", "x"]));
    refusal(only_ignore, &with(&["docs/a"]));
}

#[test]
fn tags_and_pull_requests() {
    plan("{tag: \"v*\"}", &tag("v1.2"));
    assert_eq!(refusal("{tag: \"v*\"}", &tag("nightly")), "tag `nightly` matches none of on.tag");
    plan("{pull_request: {branches: main}}", &pull_request("main"));
    assert_eq!(
        refusal("{pull_request: {branches: main}}", &pull_request("next")),
        "pull request into `next` matches none of on.pull_request.branches"
    );
    plan("[push, pull_request]", &fork());
}

#[test]
fn types_of_pull_requests() {
    let with = |action: &str| {
        let mut event = pull_request("main");
        event.pull_request.as_mut().unwrap().action = action.to_owned();
        event
    };
    plan("pull_request", &with("synchronize"));
    assert_eq!(
        refusal("pull_request", &with("labeled")),
        "a pull request that was `labeled` is none of on.pull_request.types: `opened`, `reopened` and `synchronize`"
    );
    plan("{pull_request: {types: [labeled, closed]}}", &with("labeled"));
    refusal("{pull_request: {types: labeled}}", &with("opened"));
}

#[test]
fn releases_programs_and_other_pipelines() {
    plan("release", &release("published", "v1"));
    refusal("release", &release("created", "v1"));
    plan("{release: {types: [created]}}", &release("created", "v1"));
    plan("repository_dispatch", &dispatch("anything", json!(null)));
    assert_eq!(
        refusal("{repository_dispatch: {types: [deploy-*]}}", &dispatch("other", json!(null))),
        "a request of type `other` matches none of on.repository_dispatch.types"
    );
    plan("{repository_dispatch: {types: [deploy-*]}}", &dispatch("deploy-x", json!(null)));
    let on = "{pipeline: [{names: build, branches: [main]}, {names: [build, lint], statuses: [failed, cancelled]}]}";
    plan(on, &upstream("build", "success"));
    plan(on, &upstream("lint", "cancelled"));
    assert_eq!(
        refusal(on, &upstream("lint", "success")),
        "`lint` that ended as `succeeded` is none of on.pipeline.statuses"
    );
    assert_eq!(refusal(on, &upstream("x", "success")), "the pipeline `x` is none of on.pipeline.names");
    refusal("push", &upstream("build", "success"));
    refusal("push", &release("published", "v1"));
}

#[test]
fn what_leaves_out_a_pipeline_that_asks_for_the_event_is_said() {
    let left_out = |on: &str, event: &Event| match compiled(on, event) {
        Compiled::Plan(_) => panic!("{on} started"),
        Compiled::NotTriggered { left_out, .. } => left_out,
    };
    let on = "{push: {branches: [main], paths_ignore: [docs/**]}, pull_request: {paths: [src/**]}}";
    let mut docs = push("main");
    docs.changed_paths = Some(vec!["docs/x".to_owned()]);
    assert_eq!(left_out(on, &docs), Some(LeftOut::Paths));
    let mut elsewhere = push("next");
    elsewhere.changed_paths = docs.changed_paths.clone();
    assert_eq!(left_out(on, &elsewhere), None);
    let mut request = pull_request("main");
    request.changed_paths = docs.changed_paths.clone();
    assert_eq!(left_out(on, &request), Some(LeftOut::Paths));
    let mut asked = push("main");
    asked.git.message = "Fix a typo [skip ci]".to_owned();
    assert_eq!(refusal(on, &asked), "the commit's message asks for no run: it has `[skip ci]`");
    assert_eq!(left_out(on, &asked), Some(LeftOut::Message));
    let mut release = tag("v1");
    release.git.message = asked.git.message.clone();
    plan("tag", &release);
}

#[test]
fn inputs_are_typed_and_complete() {
    let on = "{push: , manual: {inputs: {level: {choices: [patch, minor], default: patch}, count: {type: number, required: true}, dry: {type: boolean}}}}";
    let values = plan(on, &manual(json!({ "count": "2", "dry": "true" }))).inputs;
    assert_eq!(serde_json::to_value(values).unwrap(), json!({ "level": "patch", "count": 2, "dry": true }));
    // Other events have the defaults; what is required of a person is null.
    let values = plan(on, &push("main")).inputs;
    assert_eq!(
        serde_json::to_value(values).unwrap(),
        json!({ "level": "patch", "count": null, "dry": null })
    );
    for (given, reason) in [
        (json!({}), "the input `count` is required"),
        (json!({ "count": "many" }), "the input `count` is a number, and \"many\" is text"),
        (
            json!({ "count": 1, "level": "major" }),
            "the input `level` is one of `patch` and `minor`, not `major`",
        ),
        (json!({ "count": 1, "levle": "minor" }), "the pipeline has no input `levle`; did you mean `level`?"),
        (json!({ "count": 1, "dry": 3 }), "the input `dry` is `true` or `false`, and 3 is a number"),
    ] {
        assert_eq!(refusal(on, &manual(given)), reason);
    }
    assert!(refusal("push", &manual(json!({}))).contains("no on.manual"));
}

#[test]
fn what_the_server_asks_of_a_file() {
    let text = format!(
        "on: {{schedule: [{{cron: \"0 3 * * *\"}}, {{cron: \"*/5 * * * *\", time_zone: Europe/Berlin}}], manual: {{inputs: {{where: {{type: environment, description: Where}}}}}}}}{STAGES}"
    );
    let found = triggers(&SourceFile { path: "p.yml", text: &text });
    assert!(!found.push && !found.tag && !found.pull_request);
    let zones: Vec<_> = found.schedules.iter().map(|schedule| schedule.time_zone.as_str()).collect();
    assert_eq!(zones, ["UTC", "Europe/Berlin"]);
    let inputs = found.manual_inputs.unwrap();
    assert_eq!((inputs[0].name.as_str(), inputs[0].kind), ("where", InputKind::Environment));
    // A file with mistakes starts nothing by itself.
    assert_eq!(
        triggers(&SourceFile { path: "p.yml", text: "on: {schedule: [{cron: \"0 3 * * *\"}]}" }),
        Default::default()
    );
}

#[test]
fn the_name_is_the_files_when_it_gives_none() {
    assert_eq!(plan("push", &push("main")).name, "ci");
}
