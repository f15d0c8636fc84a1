//! A plan in outline, for people and scripts: what would run, in which order, under which conditions. This is what
//! `tidegate plan` prints; docs/cli.md describes it as JSON. Names are those of the file, not of the plan.

mod jobs;
mod stand_ins;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::{
    Compilation, Compiled, Diagnostic, SourceFile, Triggers,
    plan::{Concurrency, Need, NeedState, Template},
};

pub use stand_ins::{StandIns, not_there};

/// What came of a file and an event.
#[derive(Debug, Clone, Serialize)]
pub struct Outline {
    /// The pipeline's name; absent when the file has errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The file.
    pub file: String,
    /// Whether the event starts it.
    pub triggered: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What starts the file's pipeline.
    pub triggers: Triggers,
    /// The runs that it may not overlap with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// The inputs, with their values for this event.
    pub inputs: BTreeMap<String, Value>,
    /// The stages, matrices expanded, in the order of the file.
    pub jobs: Vec<Job>,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// A stage.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// Its name in the file, shared by all of a matrix.
    pub id: String,
    /// Unique in the run.
    pub key: String,
    /// What pages call it.
    pub name: String,
    /// What it does: a stage's verb, or `call` for one that calls another file.
    pub verb: &'static str,
    /// The file that it calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<String>,
    /// The call that it is part of, by its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The stages that come before, by their names in the file.
    pub needs: Vec<String>,
    /// The same by key, with how each must have ended.
    pub waits_for: Vec<Need>,
    /// The condition.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Why it is skipped for this event, whatever its condition says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// Its values of the matrix.
    pub matrix: BTreeMap<String, Value>,
    /// Labels that a runner must carry.
    pub runs_on: Vec<String>,
    /// The image that its commands run in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The environment that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Environment values.
    pub env: BTreeMap<String, Template>,
    /// Names of the secrets that it gets.
    pub secrets: Vec<String>,
    /// Containers beside it: name and image.
    pub services: BTreeMap<String, String>,
    /// What it hands on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Template>,
    /// Seconds that an attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// A failure does not fail the run.
    pub continue_on_error: bool,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The name by which others read its outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What pages call it.
    pub name: String,
    /// The condition; absent: all before it succeeded.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The script that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The action that it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<String>,
    /// The action's inputs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Template>,
    /// Environment values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Template>,
    /// The shell's words; empty: the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Where it runs, below the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// A failure does not fail the stage.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_error: bool,
    /// It runs beside the steps after it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
    /// The steps in the background that it waits for; none of them: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Vec<String>>,
    /// The step in the background that it stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
}

/// The outline of what came of a file.
pub fn outline(file: &SourceFile<'_>, triggers: Triggers, compilation: Compilation) -> Outline {
    let mut outline = Outline {
        name: None,
        file: file.path.to_owned(),
        triggered: false,
        reason: None,
        triggers,
        concurrency: None,
        inputs: BTreeMap::new(),
        jobs: Vec::new(),
        diagnostics: compilation.diagnostics,
    };
    match compilation.result {
        Some(Compiled::Plan(plan)) => {
            outline.triggered = true;
            outline.jobs = jobs::of(file, &plan);
            outline.name = Some(plan.name);
            outline.concurrency = plan.concurrency;
            outline.inputs = plan.inputs;
        }
        Some(Compiled::NotTriggered { reason, .. }) => outline.reason = Some(reason),
        None => outline.reason = Some("the file has errors".to_owned()),
    }
    outline
}

/// How a need must have ended, where that is not success.
pub fn need_word(state: NeedState) -> Option<&'static str> {
    match state {
        NeedState::Succeeded => None,
        NeedState::Failed => Some("failed"),
        NeedState::Finished => Some("finished"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Setting, compile,
        event::{Event, EventKind, GitFacts},
        triggers,
    };

    fn event(kind: EventKind) -> Event {
        let git = GitFacts::of_branch("main", &"a".repeat(40));
        Event::new(kind, "team/app", "main", git, "ann")
    }

    fn of(text: &str, kind: EventKind) -> Value {
        let file = SourceFile { path: ".tidegate/p.yml", text };
        let compilation = compile(&file, &event(kind), Setting::default());
        serde_json::to_value(outline(&file, triggers(&file), compilation)).unwrap()
    }

    #[test]
    fn stages_are_jobs_with_needs_matrix_and_steps() {
        let text = "
on: push
stages:
  test:
    image: node:${{ matrix.node }}
    runs_on: [big]
    matrix: {node: [20, 22]}
    run:
      - npm test
      - {id: tidy, name: tidy up, run: rm -rf x, when: always, shell: bash}
  tell:
    needs: {test: finished}
    if: always()
    image: debian:12
    secrets: [TOKEN]
    run: ./tell
";
        let outline = of(text, EventKind::Push);
        assert_eq!(outline["triggered"], true);
        assert_eq!(outline["name"], "p");
        assert_eq!(outline["triggers"]["push"], true);
        let jobs = outline["jobs"].as_array().unwrap();
        assert_eq!(jobs.len(), 3);
        assert_eq!((&jobs[0]["id"], &jobs[0]["key"]), (&"test".into(), &"test (node=20)".into()));
        assert_eq!(jobs[0]["runs_on"][0], "big");
        assert_eq!(jobs[0]["image"], "node:${{ matrix.node }}");
        assert_eq!(jobs[0]["matrix"]["node"], 20);
        assert_eq!(jobs[0]["steps"][0]["run"], "npm test");
        assert_eq!(jobs[0]["steps"][1]["id"], "tidy");
        assert_eq!(jobs[0]["steps"][1]["if"], "always()");
        assert_eq!(jobs[2]["needs"], serde_json::json!(["test"]), "each need once");
        assert_eq!(jobs[2]["waits_for"].as_array().unwrap().len(), 2);
        assert_eq!(jobs[2]["waits_for"][0]["accepts"], "finished");
        assert_eq!(jobs[2]["if"], "always()");
        assert_eq!(jobs[2]["secrets"][0], "TOKEN");
    }

    #[test]
    fn calls_are_jobs_even_where_what_they_call_cannot_be_read() {
        let text = "
on: push
jobs:
  first: {runs-on: ubuntu-latest, timeout-minutes: 1, steps: [{id: a, run: x, if: always()}]}
  call:
    needs: first
    if: github.ref == 'refs/heads/main'
    uses: org/flows/.github/workflows/x.yml@v1
    with: {level: 3, dry: true, name: x}
    secrets: {TOKEN: \"${{ secrets.T }}\"}
  last:
    needs: [call]
    runs-on: gpu
    timeout-minutes: 1
    env: {TAG: \"${{ needs.call.outputs.tag }}\"}
    steps: [{uses: actions/checkout@v4}]
";
        let file = SourceFile { path: ".github/workflows/w.yml", text };
        let files = StandIns::new(&crate::NoFiles, text);
        let setting = Setting { files: &files, any_machine: true, ..Setting::default() };
        let compilation = compile(&file, &event(EventKind::Push), setting);
        let outline = serde_json::to_value(outline(&file, triggers(&file), compilation)).unwrap();
        assert_eq!(outline["triggered"], true, "{outline:#}");
        let jobs = outline["jobs"].as_array().unwrap();
        let ids: Vec<_> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["first", "call", "last"]);
        assert_eq!(jobs[0]["runs_on"], serde_json::json!(["ubuntu-latest"]));
        assert_eq!(jobs[0]["steps"][0]["if"], "always()");
        assert_eq!(
            (&jobs[1]["verb"], &jobs[1]["uses"]),
            (&"call".into(), &"org/flows/.github/workflows/x.yml@v1".into())
        );
        assert_eq!(jobs[1]["needs"], serde_json::json!(["first"]));
        assert_eq!(jobs[2]["needs"], serde_json::json!(["call"]));
        assert_eq!(jobs[2]["steps"][0]["uses"], "actions/checkout@v4");
        assert_eq!(files.missing().len(), 1);
        assert_eq!(not_there(&file, &files.missing()), [], "nothing is known of other repositories");
        let own = [crate::FileRef::Same(".github/workflows/y.yml".to_owned())];
        let text = "on: push\njobs:\n  a: {uses: ./.github/workflows/y.yml}\n";
        let found = not_there(&SourceFile { path: "w.yml", text }, &own);
        assert_eq!((found.len(), found[0].span.line, found[0].is_error()), (1, 3, false));
    }

    struct Called;

    impl crate::Files for Called {
        fn read(&self, file: &crate::FileRef) -> Result<String, String> {
            let crate::FileRef::Same(path) = file else { return Err("not here".to_owned()) };
            Ok(match path.as_str() {
                ".github/workflows/b.yml" => {
                    "on: workflow_call\njobs: {b: {uses: ./.github/workflows/c.yml}}\n"
                }
                _ => "on: workflow_call\njobs: {c: {runs-on: x, timeout-minutes: 1, steps: [{run: x}]}}\n",
            }
            .to_owned())
        }
    }

    #[test]
    fn a_call_in_a_call_is_named_once_by_each() {
        let text = "on: push\njobs: {a: {uses: ./.github/workflows/b.yml}}\n";
        let file = SourceFile { path: ".github/workflows/w.yml", text };
        let setting = Setting { files: &Called, any_machine: true, ..Setting::default() };
        let compilation = compile(&file, &event(EventKind::Push), setting);
        let outline = outline(&file, triggers(&file), compilation);
        let ids: Vec<&str> = outline.jobs.iter().map(|job| job.id.as_str()).collect();
        assert_eq!(ids, ["a", "a / b", "a / b / c"]);
    }

    #[test]
    fn what_starts_nothing_says_why() {
        let text = "on: push\nstages: {a: {image: \"a:1\", run: x}}\n";
        let outline = of(text, EventKind::Manual);
        assert_eq!(outline["triggered"], false);
        assert!(outline["reason"].as_str().unwrap().contains("on.manual"), "{outline}");
        assert_eq!(outline["jobs"], serde_json::json!([]));
        let wrong = of("on: push\nstages: {a: {run: x}}\n", EventKind::Push);
        assert_eq!(wrong["reason"], "the file has errors");
        assert_eq!(wrong["diagnostics"][0]["code"], "TG0311");
    }
}
