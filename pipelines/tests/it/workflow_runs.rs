//! How workflows run: what starts them, what their jobs read and whether they run.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_pipelines::{
    Compiled, FileRef, Files, Setting, SourceFile, StageFacts,
    actions::{Decision, RunFacts, called_secrets, contexts, decide, name_run},
    compile,
    event::{Event, EventKind},
    plan::{Does, Plan, StageKey, Step, Verb},
    triggers,
};

use crate::{
    events::{fork, manual, pull_request, push, tag},
    workflows::{Folder, machines},
};

pub(crate) type Ended = BTreeMap<StageKey, StageFacts>;

static NO_VARIABLES: BTreeMap<String, String> = BTreeMap::new();

pub(crate) fn run() -> RunFacts<'static> {
    RunFacts {
        id: "run-7",
        number: 7,
        attempt: 1,
        server_url: "https://forge.example.org",
        api_url: "https://forge.example.org/api",
        graphql_url: "https://forge.example.org/graphql",
        workspace: "/work",
        variables: &NO_VARIABLES,
        cancelled: false,
    }
}

fn result(text: &str, event: &Event) -> Compiled {
    let machines = machines();
    let setting = Setting { files: &Folder, machines: &machines, ..Setting::default() };
    let compilation = compile(&SourceFile { path: ".github/workflows/ci.yml", text }, event, setting);
    compilation.result.unwrap_or_else(|| panic!("{:#?}", compilation.diagnostics))
}

pub(crate) fn plan(text: &str, event: &Event) -> Plan {
    match result(text, event) {
        Compiled::Plan(plan) => plan,
        Compiled::NotTriggered { reason, .. } => panic!("{reason}"),
    }
}

const JOBS: &str = "\njobs: {a: {runs-on: debian, timeout-minutes: 1, steps: []}}\n";

/// Why an event does not start a workflow; nothing when it does.
fn refusal(on: &str, event: &Event) -> Option<String> {
    match result(&format!("on: {on}{JOBS}"), event) {
        Compiled::Plan(_) => None,
        Compiled::NotTriggered { reason, .. } => Some(reason),
    }
}

/// A stage's key, its state and its outputs.
pub(crate) type State<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

pub(crate) fn ended(states: &[State<'_>]) -> Ended {
    let facts = |status: &str, outputs: &[(&str, &str)]| StageFacts {
        status: status.to_owned(),
        outputs: outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    states
        .iter()
        .map(|(key, status, outputs)| (StageKey((*key).to_owned()), facts(status, outputs)))
        .collect()
}

pub(crate) fn decision(plan: &Plan, key: &str, ended: &Ended) -> String {
    let stage = plan.stage(&StageKey(key.to_owned())).unwrap();
    match decide(plan, stage, &push("main"), &run(), ended).unwrap() {
        Decision::Run => "runs".to_owned(),
        Decision::Skip(why) => why,
    }
}

#[test]
fn pushes_and_their_filters() {
    let on = "{push: {branches: [main, 'rel/**', '!rel/old']}}";
    assert_eq!(refusal(on, &push("main")), None);
    assert_eq!(refusal(on, &push("rel/1/x")), None);
    assert_eq!(refusal(on, &push("rel/old")).unwrap(), "`rel/old` matches none of on.push.branches");
    assert!(refusal(on, &tag("v1")).unwrap().contains("asks for branches"));
    assert_eq!(refusal("{push: {tags: ['v*']}}", &tag("v1")), None);
    assert!(refusal("{push: {tags: ['v*']}}", &push("main")).unwrap().contains("asks for tags"));
    assert!(refusal("{push: {branches-ignore: ['wip/*']}}", &push("wip/x")).unwrap().contains("is ignored"));
    assert_eq!(refusal("push", &tag("v1")), None);
    let mut event = push("main");
    event.changed_paths = Some(vec!["docs/a.md".to_owned(), "src/b".to_owned()]);
    assert_eq!(refusal("{push: {paths-ignore: ['docs/**']}}", &event), None);
    assert!(refusal("{push: {paths-ignore: ['docs/**', src/*]}}", &event).unwrap().contains("all of the 2"));
    assert!(refusal("{push: {paths: ['*.rs']}}", &event).unwrap().contains("none of the 2"));
    event.git.message = "Small things [skip ci]".to_owned();
    assert_eq!(refusal("push", &event).unwrap(), "the commit's message asks to skip workflows");
}

#[test]
fn pull_requests_count_by_activity_and_never_under_two_names() {
    assert_eq!(refusal("pull_request", &pull_request("main")), None);
    assert!(refusal("pull_request_target", &pull_request("main")).is_some());
    let mut event = pull_request("main");
    event.name = Some("pull_request_target".to_owned());
    assert_eq!(refusal("pull_request_target", &event), None);
    let mut event = pull_request("main");
    event.pull_request.as_mut().unwrap().action = "labeled".to_owned();
    assert_eq!(
        refusal("pull_request", &event).unwrap(),
        "`labeled` is not among the activities of `pull_request` that count by default"
    );
    assert_eq!(refusal("{pull_request: {types: [labeled]}}", &event), None);
    assert!(refusal("{pull_request: {branches: [next]}}", &pull_request("main")).is_some());
}

#[test]
fn other_events() {
    let mut event = push("main");
    event.kind = EventKind::Upstream;
    event.activity = Some("completed".to_owned());
    event.payload = Some(json!({ "workflow_run": { "name": "CI", "head_branch": "main" } }));
    assert_eq!(
        refusal("{workflow_run: {workflows: [CI], types: [completed], branches: [main]}}", &event),
        None
    );
    assert!(refusal("{workflow_run: {workflows: [Other]}}", &event).is_some());
    assert!(refusal("{workflow_run: {workflows: [CI], branches: [next]}}", &event).is_some());
    event.kind = EventKind::Dispatch;
    event.activity = Some("deploy".to_owned());
    assert_eq!(refusal("repository_dispatch", &event), None);
    assert!(refusal("{repository_dispatch: {types: [other]}}", &event).is_some());
    event.kind = EventKind::Forge;
    event.name = Some("issue_comment".to_owned());
    event.activity = Some("created".to_owned());
    event.payload = Some(json!({ "issue": { "pull_request": { "url": "x" } } }));
    assert_eq!(refusal("issue_comment", &event), None);
    assert_eq!(refusal("pull_request_comment", &event), None);
    assert_eq!(
        refusal("[push, issues]", &event).unwrap(),
        "an event `issue_comment` does not start this workflow, only `push` and `issues`"
    );
}

#[test]
fn what_the_server_asks_of_a_file() {
    let text = format!(
        "on: {{schedule: [{{cron: '0 3 * * *', timezone: Europe/Berlin}}], push: {{tags: [v1]}}, workflow_dispatch: {{inputs: {{a: {{type: choice, options: [x]}}}}}}}}{JOBS}"
    );
    let found = triggers(&SourceFile { path: ".github/workflows/x.yml", text: &text });
    assert!(!found.push && found.tag && !found.pull_request);
    assert_eq!(found.schedules[0].time_zone, "Europe/Berlin");
    assert_eq!(found.manual_inputs.unwrap()[0].choices, ["x"]);
}

#[test]
fn manual_inputs_are_typed() {
    let on = "{workflow_dispatch: {inputs: {a: {type: boolean}, b: {type: choice, options: [x, y], required: true}}}}";
    let with = |inputs: Value| refusal(on, &manual(inputs));
    assert_eq!(with(json!({ "b": "x", "A": "true" })), None);
    assert_eq!(with(json!({})).unwrap(), "the input `b` is required");
    assert!(with(json!({ "b": "z" })).unwrap().contains("one of `x` and `y`"));
    assert!(with(json!({ "b": "x", "a": "maybe" })).is_some());
    assert!(with(json!({ "b": "x", "bb": "x" })).unwrap().contains("did you mean `b`?"));
}

#[test]
fn what_comes_before_decides_unless_it_is_asked() {
    let text = "on: push
jobs:
  a: {runs-on: debian, timeout-minutes: 1, steps: []}
  b: {runs-on: debian, needs: a, steps: []}
  c: {runs-on: debian, needs: b, if: always(), steps: []}
  d: {runs-on: debian, needs: c, steps: []}
  e: {runs-on: debian, needs: a, if: failure(), steps: []}
  f: {runs-on: debian, needs: a, if: needs.a.outputs.x == 'Y', steps: []}
  g: {runs-on: debian, needs: [a, b], if: \"!cancelled() && needs.b.result == 'skipped'\", steps: []}
";
    let plan = plan(text, &push("main"));
    let failed = ended(&[("a", "failed", &[]), ("b", "skipped", &[]), ("c", "succeeded", &[])]);
    assert_eq!(decision(&plan, "b", &failed), "`a` failed");
    assert_eq!(decision(&plan, "c", &failed), "runs");
    // As GitHub does: success() looks all the way up.
    assert_eq!(decision(&plan, "d", &failed), "`a` failed");
    assert_eq!(decision(&plan, "e", &failed), "runs");
    assert_eq!(decision(&plan, "g", &failed), "runs");
    let well = ended(&[("a", "succeeded", &[("x", "y")])]);
    assert_eq!(decision(&plan, "b", &well), "runs");
    assert_eq!(decision(&plan, "e", &well), "its condition `failure()` does not hold");
    assert_eq!(decision(&plan, "f", &well), "runs");
    let skipped = ended(&[("a", "skipped", &[])]);
    assert_eq!(decision(&plan, "b", &skipped), "`a` was skipped");
    assert_eq!(decision(&plan, "e", &skipped), "its condition `failure()` does not hold");
    // A failure that is allowed is none.
    assert_eq!(decision(&plan, "b", &ended(&[("a", "warned", &[])])), "runs");
    let stage = plan.stage(&StageKey("c".into())).unwrap();
    let cancelled = RunFacts { cancelled: true, ..run() };
    assert_eq!(decide(&plan, stage, &push("main"), &cancelled, &well), Ok(Decision::Run));
    let stage = plan.stage(&StageKey("b".into())).unwrap();
    let why = decide(&plan, stage, &push("main"), &cancelled, &well).unwrap();
    assert_eq!(why, Decision::Skip("the run was cancelled".to_owned()));
}

#[test]
fn contexts_of_a_job() {
    let text = "on: pull_request
jobs:
  a:
    strategy: {matrix: {v: [1, 2]}}
    runs-on: debian
    timeout-minutes: 1
    steps: []
  b: {runs-on: debian, needs: a, steps: []}
";
    let event = pull_request("main");
    let plan = plan(text, &event);
    let before =
        ended(&[("a (1)", "succeeded", &[("x", "one")]), ("a (2)", "failed", &[("x", ""), ("y", "two")])]);
    let stage = plan.stage(&StageKey("b".into())).unwrap();
    let found = contexts(&plan, stage, &event, &run(), &before);
    assert_eq!(
        found["needs"],
        json!({ "a": { "result": "failure", "outputs": { "x": "one", "y": "two" } } })
    );
    assert_eq!(found["matrix"], Value::Null);
    let github = &found["github"];
    for (name, value) in [
        ("event_name", "pull_request"),
        ("ref", "refs/pull/7/merge"),
        ("ref_name", "7/merge"),
        ("ref_type", "branch"),
        ("head_ref", "feature"),
        ("base_ref", "main"),
        ("repository", "demo/app"),
        ("repository_owner", "demo"),
        ("actor", "ada"),
        ("run_id", "run-7"),
        ("run_number", "7"),
        ("job", "b"),
        ("workflow", ".github/workflows/ci.yml"),
        ("workflow_ref", "demo/app/.github/workflows/ci.yml@refs/pull/7/merge"),
        ("repositoryUrl", "git://forge.example.org/demo/app.git"),
    ] {
        assert_eq!(github[name], value, "{name}");
    }
    assert_eq!(github["event"]["pull_request"]["title"], "$(touch /pwned)");
    let stage = plan.stage(&StageKey("a (2)".into())).unwrap();
    let found = contexts(&plan, stage, &event, &run(), &Ended::new());
    assert_eq!(found["matrix"], json!({ "v": 2 }));
    assert_eq!(found["strategy"]["job-total"], 2);
    assert_eq!(found["strategy"]["job-index"], 1);
}

#[test]
fn calls_read_their_own_file_and_hand_on_as_a_whole() {
    let text = std::fs::read_to_string(crate::workflows::folder().join("calls.yml")).unwrap();
    let event = push("main");
    let plan = plan(&text, &event);
    let stage = |key: &str| plan.stage(&StageKey(key.to_owned())).unwrap();
    let mut before = ended(&[("first", "succeeded", &[("version", "1.2")])]);
    let found = contexts(&plan, stage("release (here) / publish"), &event, &run(), &before);
    assert_eq!(found["inputs"], json!({ "where": "here", "version": "1.2", "count": 2, "quiet": false }));
    assert_eq!(found["needs"], json!({}));
    assert_eq!(decision(&plan, "release (here) / publish", &before), "runs");
    let elsewhere = push("feature");
    let why = decide(&plan, stage("release (here) / publish"), &elsewhere, &run(), &before).unwrap();
    assert!(matches!(why, Decision::Skip(why) if why.starts_with("the call `release (here)` was skipped")));
    // Secrets are what each call says they are, from the outermost on.
    let server = BTreeMap::from([("RELEASE_TOKEN".to_owned(), "s3cret".to_owned())]);
    let told = called_secrets(&plan, stage("release (here) / tell / tell"), &event, &run(), &before, &server)
        .unwrap();
    assert_eq!(told, BTreeMap::from([("HOOK".to_owned(), "s3cret".to_owned())]));
    before.extend(ended(&[
        ("release (here) / publish", "succeeded", &[("url", "https://here")]),
        ("release (here) / tell / tell", "skipped", &[]),
        ("release (there) / publish", "succeeded", &[("url", "https://there")]),
        ("release (there) / tell / tell", "succeeded", &[]),
        ("all / tell", "succeeded", &[]),
    ]));
    let found = contexts(&plan, stage("after"), &event, &run(), &before);
    let release = &found["needs"]["release"];
    // A skipped stage inside a call does not make the call skipped.
    assert_eq!(release["result"], "success");
    assert_eq!(release["outputs"], json!({ "url": "https://there" }));
    assert_eq!(found["needs"]["all"]["result"], "success");
    assert_eq!(decision(&plan, "after", &before), "runs");
    before.extend(ended(&[("release (here) / publish", "failed", &[])]));
    assert_eq!(decision(&plan, "after", &before), "`release` failed");
    assert!(stage("after").all_secrets);
}

#[test]
fn facts_of_the_run_are_written_when_there_is_one() {
    let text = "run-name: Run ${{ github.run_number }}
on: push
concurrency: {group: \"${{ github.workflow }}-${{ github.head_ref || github.run_id }}\", cancel-in-progress: true}
jobs: {a: {name: \"Try ${{ github.run_attempt }}\", runs-on: debian, timeout-minutes: 1, steps: []}}
";
    let mut plan = plan(text, &push("main"));
    name_run(&mut plan, &run());
    assert_eq!(plan.title.as_deref(), Some("Run 7"));
    assert_eq!(plan.concurrency.unwrap().group, ".github/workflows/ci.yml-run-7");
    assert_eq!(plan.stages[0].title.as_deref(), Some("Try 1"));
}

#[test]
fn forks_get_no_secrets_and_no_environments() {
    let text = "on: pull_request
jobs:
  a: {runs-on: debian, timeout-minutes: 1, env: {A: '${{ secrets.A }} ${{ toJSON(secrets) }}'}, steps: []}
  b: {runs-on: debian, environment: prod, steps: []}
";
    let plan = plan(text, &fork());
    assert!(plan.stages[0].secrets.is_empty() && !plan.stages[0].all_secrets);
    assert!(plan.stages[1].skip_reason.as_ref().unwrap().contains("forks"));
}

#[test]
fn sizes_are_bounded() {
    let wide: String = (0..1200).map(|job| format!("  j{job}: {{runs-on: debian, steps: []}}\n")).collect();
    let list: Vec<String> = (0..250).map(|value| value.to_string()).collect();
    let list = list.join(", ");
    let crossed: String = (0..3)
        .map(|job| {
            let needs = if job > 0 { format!("needs: j{}, ", job - 1) } else { String::new() };
            format!(
                "  j{job}: {{{needs}runs-on: debian, strategy: {{matrix: {{v: [{list}]}}}}, steps: []}}\n"
            )
        })
        .collect();
    let steps = "{run: a}, ".repeat(300);
    let long = format!("  j: {{runs-on: debian, strategy: {{matrix: {{v: [{list}]}}}}, steps: [{steps}]}}\n");
    let product =
        format!("  j: {{runs-on: debian, strategy: {{matrix: {{v: [{list}], w: [{list}]}}}}, steps: []}}\n");
    for jobs in [wide, crossed, long, product] {
        let text = format!("on: push\njobs:\n{jobs}");
        let file = SourceFile { path: ".github/workflows/ci.yml", text: &text };
        let machines = machines();
        let setting = Setting { machines: &machines, ..Setting::default() };
        let compilation = compile(&file, &push("main"), setting);
        assert!(compilation.result.is_none());
        assert!(compilation.diagnostics.iter().any(|found| found.code == "TG1109"));
    }
}

/// A called file of one job, whose name says what its permissions are.
struct Permitted;

impl Files for Permitted {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        let (FileRef::Same(path) | FileRef::Other { path, .. }) = file;
        let permissions = match path.rsplit('/').next().unwrap_or_default() {
            "silent.yml" => "",
            "none.yml" => "permissions: {}\n",
            "asks.yml" => "permissions: {id-token: write}\n",
            other => return Err(format!("{other} is not there")),
        };
        Ok(format!("on: workflow_call\n{permissions}jobs: {{b: {{runs-on: debian, steps: []}}}}\n"))
    }
}

#[test]
fn identity_tokens_are_for_jobs_that_ask_and_may() {
    let machines = machines();
    let given = |permissions: &str, job: &str, event: &Event| -> Vec<(String, bool)> {
        let text = format!("on: [push, pull_request]\n{permissions}\njobs:\n  a:\n    {job}\n");
        let setting = Setting { files: &Permitted, machines: &machines, ..Setting::default() };
        let compilation =
            compile(&SourceFile { path: ".github/workflows/ci.yml", text: &text }, event, setting);
        match compilation.result {
            Some(Compiled::Plan(plan)) => {
                plan.stages.iter().map(|stage| (stage.key.0.clone(), stage.id_token)).collect()
            }
            _ => panic!("{text}\n{:#?}", compilation.diagnostics),
        }
    };
    let one = |permissions: &str, job: &str| {
        given(permissions, &format!("runs-on: debian\n    steps: []\n    {job}"), &push("main"))[0].1
    };
    let write = "permissions: {id-token: write}";
    assert!(!one("", ""), "nobody has it who does not ask");
    assert!(one(write, "") && one("", write) && one("permissions: write-all", ""));
    assert!(!one(write, "permissions: {contents: read}"), "a job's own permissions are all that it has");
    assert!(!one("permissions: read-all", ""));

    let calls = |permissions: &str, file: &str, more: &str| {
        given(permissions, &format!("uses: ./.github/workflows/{file}.yml\n    {more}"), &push("main"))[0]
            .clone()
    };
    assert_eq!(calls(write, "silent", ""), ("a / b".to_owned(), true));
    assert!(calls(write, "asks", "").1 && calls("", "asks", write).1);
    assert!(!calls(write, "none", "").1);
    assert!(!calls("", "silent", "").1);
    // GitHub's widest setting does not give it, though it does not refuse the file either.
    assert!(!calls("", "asks", "").1);
    assert!(!given(write, "runs-on: debian\n    steps: []", &fork())[0].1, "no fork");
}

/// A workflow of another repository, and one beside it that uses an action of theirs.
struct Theirs;

impl Files for Theirs {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        match file.to_string().as_str() {
            "team/flows/.github/workflows/a.yml@v1" => {
                Ok("on: workflow_call\njobs: {b: {uses: $/.github/workflows/b.yml}}\n".to_owned())
            }
            "team/flows/.github/workflows/b.yml@v1" => Ok(
                "on: workflow_call\njobs: {c: {runs-on: debian, steps: [{uses: $/ci/tell}, {uses: ./tell}]}}\n"
                    .to_owned(),
            ),
            other => Err(format!("{other} is not there")),
        }
    }
}

#[test]
fn what_a_called_file_names_in_its_repository_is_of_its_commit() {
    let machines = machines();
    let text = "on: push
jobs:
  a: {uses: team/flows/.github/workflows/a.yml@v1}
  own: {runs-on: debian, steps: [{uses: $/ci/tell}]}
";
    let file = SourceFile { path: ".github/workflows/ci.yml", text };
    let setting = Setting { files: &Theirs, machines: &machines, ..Setting::default() };
    let Some(Compiled::Plan(plan)) = compile(&file, &push("main"), setting).result else { panic!() };
    let used = |name: &str| -> Vec<(String, String)> {
        let stage = plan.stages.iter().find(|stage| stage.name == name).unwrap();
        let Verb::Run(run) = &stage.verb else { panic!() };
        let of = |step: &Step| match &step.does {
            Does::Uses(uses) => (step.id.clone().unwrap(), uses.action.clone()),
            other => panic!("{other:?}"),
        };
        run.steps.iter().map(of).collect()
    };
    let pair = |id: &str, action: &str| (id.to_owned(), action.to_owned());
    assert_eq!(
        used("a / b / c"),
        [pair("__selfRepository", "team/flows/ci/tell@v1"), pair("__self", "./tell")]
    );
    assert_eq!(used("own"), [pair("__selfRepository", "$/ci/tell")]);
}
