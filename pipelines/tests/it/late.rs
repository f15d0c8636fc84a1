//! What is made only once other jobs have ended: matrices that they tell, and calls of workflows with such a matrix.

use std::collections::BTreeMap;

use serde_json::json;
use tidegate_pipelines::{
    Compiled, FileRef, Files, Setting, SourceFile,
    actions::{Decision, called_secrets, contexts, decide, name_run},
    compile, expand,
    plan::{Plan, StageKey, replace_stage},
};

use crate::{
    events::push,
    workflow_runs::{Ended, State, decision, ended, plan, run},
    workflows::machines,
};

#[test]
fn calls_whose_matrix_is_told_late_become_what_they_would_have_been() {
    let text = std::fs::read_to_string(crate::workflows::folder().join("late-calls.yml")).unwrap();
    let event = push("main");
    let mut plan = plan(&text, &event);
    name_run(&mut plan, &run());
    let machines = machines();
    let setting = Setting { machines: &machines, ..Setting::default() };
    let mut before = ended(&[(
        "plan",
        "succeeded",
        &[("targets", r#"["a", "${{ github.token }} / b"]"#), ("word", "Oak")],
    )]);
    let make = |plan: &mut Plan, key: &str, before: &Ended| {
        let key = StageKey(key.to_owned());
        let stage = plan.stage(&key).unwrap().clone();
        let made = expand(&stage, &contexts(plan, &stage, &event, &run(), before), setting);
        made.map(|made| replace_stage(plan, &key, made))
    };
    assert_eq!(decision(&plan, "deploy", &before), "runs");
    make(&mut plan, "deploy", &before).unwrap();
    make(&mut plan, "named", &before).unwrap();
    let keys: Vec<&str> = plan.stages.iter().map(|stage| stage.key.0.as_str()).collect();
    let strange = "deploy (${{ github.token }} / b)";
    // What one call gives is known when the file is compiled, so its matrix is too.
    let inside = ["push", "test (ubuntu-latest)", "test (debian)", "tell"];
    let late = ["push", "test", "tell"];
    let calls = [("deploy (a)", &late[..]), (strange, &late[..]), ("named", &inside[..])];
    let of = |(call, names): (&str, &[&str])| -> Vec<String> {
        names.iter().map(|name| format!("{call} / {name}")).collect()
    };
    let wanted: Vec<String> = calls.into_iter().flat_map(of).collect();
    assert_eq!(keys[1..keys.len() - 1], wanted);
    let stage = |plan: &Plan, key: &str| plan.stage(&StageKey(key.to_owned())).unwrap().clone();
    assert_eq!(stage(&plan, "named / push").title.as_deref(), Some("Release Oak / push"));
    // Whoever needed the call needs all its stages, and they come after what it came after.
    let after = stage(&plan, "after");
    assert_eq!(after.needs.len(), 10);
    let push = stage(&plan, "deploy (a) / push");
    assert_eq!(push.needs[0].stage.0, "plan");
    assert_eq!(push.upstream, [StageKey("plan".to_owned())]);
    let test = stage(&plan, "deploy (a) / test");
    assert_eq!(
        test.upstream.iter().map(|key| key.0.as_str()).collect::<Vec<_>>(),
        ["plan", "deploy (a) / push"]
    );
    // What it gives was told in the calling file, and is never read again.
    let given = |key: &str| contexts(&plan, &stage(&plan, key), &event, &run(), &before)["inputs"].clone();
    assert_eq!(given("deploy (a) / push"), json!({ "where": "a", "run": "run-7" }));
    let told = json!({ "where": "${{ github.token }} / b", "run": "run-7" });
    assert_eq!(given(&format!("{strange} / push")), told);
    let server = BTreeMap::from([("DEPLOY_TOKEN".to_owned(), "s3cret".to_owned())]);
    let told = called_secrets(&plan, &push, &event, &run(), &before, &server).unwrap();
    assert_eq!(told, BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]));
    assert!(push.secrets.iter().any(|secret| secret.name == "DEPLOY_TOKEN"));
    // The same inside of them: a matrix of jobs, and another call.
    before.extend(ended(&[
        ("deploy (a) / push", "succeeded", &[("url", "[1]")]),
        (&format!("{strange} / push"), "succeeded", &[("url", "[1]")]),
        ("named / push", "succeeded", &[("url", "[1]")]),
    ]));
    for call in ["deploy (a)", strange, "named"] {
        make(&mut plan, &format!("{call} / tell"), &before).unwrap();
        if call != "named" {
            make(&mut plan, &format!("{call} / test"), &before).unwrap();
        }
    }
    let tell = stage(&plan, "named / tell (1) / tell");
    assert_eq!(tell.title.as_deref(), Some("Release Oak / tell (1) / tell"));
    assert_eq!(contexts(&plan, &tell, &event, &run(), &before)["inputs"], json!({ "who": "1" }));
    let titles: Vec<_> = plan.stages.iter().filter_map(|stage| stage.title.as_deref()).collect();
    assert!(titles.contains(&"deploy (a) / test at a") && titles.contains(&"Release Oak / test at here"));
    assert!(
        titles.contains(&format!("{strange} / test at ${{{{ github.token }}}} / b").as_str()),
        "{titles:?}"
    );
    // And it hands on as a whole.
    let all: Vec<String> = plan.stages.iter().map(|stage| stage.key.0.clone()).collect();
    let all: Vec<State<'_>> =
        all.iter().map(|key| (key.as_str(), "succeeded", &[("url", "x")][..])).collect();
    before = ended(&all);
    let needs = &contexts(&plan, &stage(&plan, "after"), &event, &run(), &before)["needs"];
    assert_eq!(needs["deploy"], json!({ "result": "success", "outputs": { "url": "x" } }));
    assert_eq!(needs["named"]["outputs"]["url"], "x");
    assert_eq!(decision(&plan, "after", &before), "runs");
}

#[test]
fn a_call_that_is_told_late_is_skipped_or_fails_as_one() {
    let text = std::fs::read_to_string(crate::workflows::folder().join("late-calls.yml")).unwrap();
    let event = push("other");
    let plan = plan(&text, &event);
    let mut before = ended(&[("plan", "succeeded", &[("targets", r#"[1]"#)])]);
    let deploy = plan.stage(&StageKey("deploy".to_owned())).unwrap();
    let why = decide(&plan, deploy, &event, &run(), &before).unwrap();
    assert_eq!(why, Decision::Skip("its condition `github.ref_name == 'main'` does not hold".to_owned()));
    before.extend(ended(&[("deploy", "skipped", &[]), ("named", "succeeded", &[])]));
    let after = plan.stage(&StageKey("after".to_owned())).unwrap();
    let needs = &contexts(&plan, after, &event, &run(), &before)["needs"];
    assert_eq!(needs["deploy"], json!({ "result": "skipped", "outputs": {} }));
    // An input of the wrong type.
    let text = "on: push\njobs:\n  a: {runs-on: debian, steps: []}\n  b:\n    needs: a\n    strategy: {matrix: {n: \"${{ \
                fromJSON(needs.a.outputs.n) }}\"}}\n    uses: ./.github/workflows/called/small.yml\n    with: {count: \"${{ \
                matrix.n }}\"}\n";
    let count =
        "on: {workflow_call: {inputs: {count: {type: number}}}}\njobs: {x: {runs-on: debian, steps: []}}\n";
    struct One(&'static str);
    impl Files for One {
        fn read(&self, _: &FileRef) -> Result<String, String> {
            Ok(self.0.to_owned())
        }
    }
    let machines = machines();
    let setting = Setting { files: &One(count), machines: &machines, ..Setting::default() };
    let file = SourceFile { path: ".github/workflows/ci.yml", text };
    let Some(Compiled::Plan(plan)) = compile(&file, &event, setting).result else { panic!("no plan") };
    let open = plan.stage(&StageKey("b".to_owned())).unwrap();
    let told = |n: &str| {
        let before = ended(&[("a", "succeeded", &[("n", n)])]);
        expand(open, &contexts(&plan, open, &event, &run(), &before), setting)
    };
    assert_eq!(told("[1, 2]").unwrap().len(), 2);
    assert!(told("[\"x\"]").unwrap_err().message.contains("the input `count` is a number"));
}

#[test]
fn what_is_left_open_is_made_when_it_can_be_told() {
    let text = std::fs::read_to_string(crate::workflows::folder().join("late.yml")).unwrap();
    let event = push("main");
    let mut plan = plan(&text, &event);
    let machines = machines();
    let setting = Setting { machines: &machines, ..Setting::default() };
    let before = ended(&[("plan", "succeeded", &[("matrix", r#"{"v": [1, 2]}"#)])]);
    for key in ["build", "some"] {
        let key = StageKey(key.to_owned());
        let stage = plan.stage(&key).unwrap().clone();
        let found = contexts(&plan, &stage, &event, &run(), &before);
        let made = expand(&stage, &found, setting).unwrap();
        assert!(made.iter().all(|stage| stage.expand.is_none() && stage.upstream[0].0 == "plan"));
        replace_stage(&mut plan, &key, made);
    }
    let keys: Vec<&str> = plan.stages.iter().map(|stage| stage.key.0.as_str()).collect();
    let some = ["some (1, a)", "some (1, main)", "some (2, a)", "some (2, main)", "some (9, z)"];
    assert_eq!(keys, [&["plan", "build (1)", "build (2)"][..], &some, &["done"]].concat());
    let done = plan.stage(&StageKey("done".into())).unwrap();
    let needs: Vec<&str> = done.needs.iter().map(|need| need.stage.0.as_str()).collect();
    assert_eq!(needs, keys[1..keys.len() - 1]);
    // A matrix that cannot be made says why.
    let text = std::fs::read_to_string(crate::workflows::folder().join("late.yml")).unwrap();
    let plan = crate::workflow_runs::plan(&text, &event);
    let stage = plan.stage(&StageKey("build".into())).unwrap();
    for (told, why) in
        [("[]", "a mapping of lists"), ("{\"v\": []}", "has no values"), ("{\"v\": 1}", "to be a list")]
    {
        let before = ended(&[("plan", "succeeded", &[("matrix", told)])]);
        let found = contexts(&plan, stage, &event, &run(), &before);
        let error = expand(stage, &found, setting).unwrap_err();
        assert!(error.message.contains(why), "{error}");
    }
}
