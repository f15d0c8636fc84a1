//! What a run asks of a plan: templates to text, conditions to a decision.

use std::collections::BTreeMap;

use tidegate_pipelines::{
    Compiled, Context, EnvironmentFacts, Setting, SourceFile, StageFacts, StepFacts, StepResult, compile,
    condition,
    event::Event,
    expand_native,
    plan::{Does, Driver, Plan, StageKey, StagePlan, Template, Verb},
    render_template, resolve, stage_outputs, step_condition, step_env,
};

use crate::{
    events::{self, SHA},
    files::Folder,
};

fn plan(text: &str, event: &Event) -> Plan {
    let compilation = compile(&SourceFile { path: "p.yml", text }, event, Setting::default());
    match compilation.result {
        Some(Compiled::Plan(plan)) => plan,
        other => panic!("{other:?} {:?}", compilation.diagnostics),
    }
}

fn stage<'p>(plan: &'p Plan, key: &str) -> &'p StagePlan {
    plan.stage(&StageKey(key.to_owned())).unwrap_or_else(|| panic!("no stage {key}"))
}

fn ended(context: &mut Context, key: &str, status: &str, outputs: &[(&str, &str)]) {
    let outputs = outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    context.stages.insert(StageKey(key.to_owned()), StageFacts { status: status.to_owned(), outputs });
}

const ROAD: &str = r#"
on: push
defaults: {image: "debian:12"}
stages:
  build: {build: {args: {REVISION: "${{ git.short_sha }}"}}}
  push: {needs: [build], push: {repository: registry.example.org/app, tags: ["${{ git.sha }}", "${{ git.branch || git.tag }}"]}}
  deploy: {needs: [push], deploy: {environment: staging, compose: {file: compose.yml}}}
  smoke: {needs: [deploy], smoke: {environment: staging, checks: [{url: "${{ environment.url }}/health"}]}}
"#;

#[test]
fn digests_flow_from_build_to_push_to_deploy() {
    let event = events::push("main");
    let plan = plan(ROAD, &event);
    let mut context = Context::new(&plan, &event);
    ended(&mut context, "build", "succeeded", &[("image_id", "sha256:aa")]);
    let Verb::Push(push) = resolve(stage(&plan, "push"), &context).unwrap().verb else { panic!() };
    assert_eq!(push.image_id.as_str(), "sha256:aa");
    assert_eq!(push.tags, [Template::from(SHA), Template::from("main")]);
    assert_eq!(stage(&plan, "push").same_runner_as, Some(StageKey("build".into())));

    ended(&mut context, "push", "succeeded", &[("image", "registry.example.org/app@sha256:bb")]);
    let Verb::Deploy(deploy) = resolve(stage(&plan, "deploy"), &context).unwrap().verb else { panic!() };
    assert_eq!(deploy.image.as_str(), "registry.example.org/app@sha256:bb");
    let Driver::Compose { project, .. } = deploy.driver else { panic!() };
    assert_eq!(project.as_str(), "demo-app-staging");

    context.environment = Some(EnvironmentFacts { name: "staging".into(), url: Some("http://s".into()) });
    let Verb::Smoke(smoke) = resolve(stage(&plan, "smoke"), &context).unwrap().verb else { panic!() };
    assert_eq!(smoke.checks[0].url.as_str(), "http://s/health");
    assert_eq!(smoke.deploy, StageKey("deploy".into()));
}

#[test]
fn an_output_that_is_not_there_is_a_fault_not_an_empty_text() {
    let event = events::push("main");
    let plan = plan(ROAD, &event);
    let mut context = Context::new(&plan, &event);
    ended(&mut context, "build", "skipped", &[]);
    let error = resolve(stage(&plan, "push"), &context).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`stages['build'].outputs.image_id`: there is no `image_id` here; there is nothing at all, did the stage run?"
    );
}

#[test]
fn conditions_imply_success_unless_they_ask() {
    let text = "on: push\ndefaults: {image: \"debian:12\"}\nstages:\n  a: {run: x}\n  b: {needs: [a], run: x}\n  c: {needs: [b], run: x}\n";
    let event = events::push("main");
    let plan = plan(text, &event);
    let c = stage(&plan, "c");
    let mut context = Context::new(&plan, &event);
    let holds = |expression: &str, context: &Context| condition(expression, c, context);
    ended(&mut context, "a", "succeeded", &[("n", "5")]);
    ended(&mut context, "b", "succeeded", &[("kind", "minor")]);
    for (expression, expected) in [
        ("git.branch == 'main'", true),
        ("git.branch == 'next'", false),
        ("success()", true),
        ("failure()", false),
        ("stages.b.outputs.kind == 'minor'", true),
        ("stages.b.outputs.nothing == null", true),
        ("fromJSON(stages.a.outputs.n) >= 5", true),
        ("event.pull_request.number == 3", false),
        ("contains(git.message, 'thing') && !cancelled()", true),
    ] {
        assert_eq!(holds(expression, &context), Ok(expected), "{expression}");
    }
    // b was skipped because a failed: `failure()` sees further up than the direct needs.
    ended(&mut context, "a", "failed", &[]);
    ended(&mut context, "b", "skipped", &[]);
    for (expression, expected) in [
        ("git.branch == 'main'", false),
        ("always()", true),
        ("failure()", true),
        ("success()", false),
        ("failure() && git.branch == 'main'", true),
        ("stages.a.status == 'failed'", false),
        ("always() && stages.a.status == 'failed'", true),
    ] {
        assert_eq!(holds(expression, &context), Ok(expected), "{expression}");
    }
    ended(&mut context, "a", "cancelled", &[]);
    assert_eq!(holds("cancelled()", &context), Ok(true));
}

#[test]
fn types_are_kept_apart_with_a_reason() {
    let event = events::push("main");
    let plan = plan("on: push\nstages: {a: {image: \"debian:12\", run: x}}\n", &event);
    let context = Context::new(&plan, &event);
    for (expression, message) in [
        ("git.sha == 5", "text (\"0123456789abcdef0123456789abcdef012345…) is never equal to a number (5)"),
        ("git.sha", "a condition is true or false, and this is text"),
        ("!git.sha", "`!` needs true or false, not text"),
        ("git.sha && true", "`&&` needs true or false on its left, not text"),
        ("git.sha > 3", "`>` compares numbers, not text with a number"),
        ("fromJSON('[1]').x == 1", "a list has no property `x`"),
    ] {
        let error = condition(expression, &plan.stages[0], &context).unwrap_err();
        assert!(error.message.starts_with(message), "{expression}: {}", error.message);
    }
}

#[test]
fn facts_that_an_event_lacks_are_empty_text() {
    let event = events::tag("v1");
    let plan = plan("on: tag\nstages: {a: {image: \"debian:12\", run: x}}\n", &event);
    let context = Context::new(&plan, &event);
    let text = |template: &str| render_template(&Template::from(template), None, &context).unwrap();
    assert_eq!(text("<${{ git.branch }}> ${{ git.tag }} ${{ event.pull_request.title }}"), "<> v1 ");
    assert_eq!(text("${{ toJSON(event.trusted) }} ${{ 1.50 }} ${{ 3 }}"), "true 1.5 3");
    assert_eq!(text("no expression }} ${ {{"), "no expression }} ${ {{");
}

#[test]
fn a_matrix_answers_with_its_worst_state() {
    let text = "on: push\ndefaults: {image: \"debian:12\"}\nstages:\n  t: {matrix: {v: [1, 2]}, run: x}\n  after: {needs: {t: finished}, run: x}\n";
    let event = events::push("main");
    let plan = plan(text, &event);
    let mut context = Context::new(&plan, &event);
    ended(&mut context, "t (v=1)", "failed", &[]);
    ended(&mut context, "t (v=2)", "succeeded", &[("x", "y")]);
    let after = stage(&plan, "after");
    assert_eq!(after.needs.len(), 2);
    for expression in ["stages.t.status == 'failed'", "stages['t (v=2)'].outputs.x == 'y'", "failure()"] {
        assert_eq!(condition(expression, after, &context), Ok(true), "{expression}");
    }
    let values: BTreeMap<_, _> = stage(&plan, "t (v=1)").matrix.clone();
    assert_eq!(values["v"], 1);
}

#[test]
fn long_and_deep_expressions_do_not_exhaust_the_stack() {
    let event = events::push("main");
    let plan = plan("on: push\nstages: {a: {image: \"debian:12\", run: x}}\n", &event);
    let context = Context::new(&plan, &event);
    let long = ["false"; 200].join("||");
    assert_eq!(condition(&long, &plan.stages[0], &context), Ok(false));
    let deep = format!("{}true{}", "!(".repeat(15), ")".repeat(15));
    assert_eq!(condition(&deep, &plan.stages[0], &context), Ok(false));
    assert!(condition(&"(".repeat(5000), &plan.stages[0], &context).is_err());
}

#[test]
fn values_that_only_some_of_a_matrix_have_are_nothing_in_the_others() {
    let text = "on: push\ndefaults: {image: \"debian:12\"}\nstages:\n  t: {matrix: {v: [1, 2], include: [{v: 2, extra: yes}]}, env: {E: \"<${{ matrix.extra }}>\"}, run: x}\n";
    let event = events::push("main");
    let plan = plan(text, &event);
    let context = Context::new(&plan, &event);
    let env = |key: &str| resolve(stage(&plan, key), &context).unwrap().env["E"].as_str().to_owned();
    assert_eq!((env("t (v=1)"), env("t (v=2, extra=yes)")), ("<>".into(), "<yes>".into()));
}

#[test]
fn texts_cannot_explode() {
    let event = events::push("main");
    let plan = plan("on: push\nstages: {a: {image: \"debian:12\", run: x}}\n", &event);
    let mut context = Context::new(&plan, &event);
    context.git.message = "x".repeat(60_000);
    let error =
        render_template(&Template::from("${{ git.message }}${{ git.message }}"), None, &context).unwrap_err();
    assert!(error.message.contains("longer than 65536 bytes"), "{error}");
}

#[test]
fn nothing_of_an_event_reaches_a_script() {
    let text = "on: pull_request\nstages: {a: {image: \"debian:12\", env: {TITLE: \"${{ event.pull_request.title }}\"}, run: echo \"$TITLE\"}}\n";
    let event = events::pull_request("main");
    let plan = plan(text, &event);
    let resolved = resolve(&plan.stages[0], &Context::new(&plan, &event)).unwrap();
    let Verb::Run(run) = resolved.verb else { panic!() };
    let Does::Run(script) = &run.steps[0].does else { panic!() };
    assert_eq!(script.script, "echo \"$TITLE\"");
    assert_eq!(resolved.env["TITLE"].as_str(), "$(touch /pwned)");
}

/// A stage whose steps read each other and the event.
fn stepped() -> (StagePlan, Context) {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/settings.yml")).unwrap();
    let mut event = events::push("main");
    event.git.sha = "it's ${{ steps.version.outputs.secret }}".to_owned();
    let plan = plan(&text, &event);
    let context = Context::new(&plan, &event);
    (resolve(stage(&plan, "test (v=1)"), &context).unwrap(), context)
}

fn steps_facts(outcome: &str, version: &str) -> StepFacts {
    let result = StepResult {
        outcome: outcome.to_owned(),
        outputs: [("version".to_owned(), version.to_owned())].into(),
    };
    StepFacts {
        steps: [("version".to_owned(), result)].into(),
        failed: outcome == "failed",
        cancelled: false,
    }
}

#[test]
fn steps_read_what_came_before_and_nothing_else_is_needed() {
    let (stage, _) = stepped();
    let Verb::Run(run) = &stage.verb else { panic!() };
    let condition = run.steps[1].condition.as_deref().unwrap();
    assert_eq!(condition, "steps.version.outputs.version != '' && true");
    assert_eq!(step_condition(condition, &steps_facts("succeeded", "1.2")), Ok(true));
    assert_eq!(step_condition(condition, &steps_facts("succeeded", "")), Ok(false));
    assert_eq!(step_condition(condition, &steps_facts("failed", "1.2")), Ok(false), "success is implied");
    let blame = run.steps[2].condition.as_deref().unwrap();
    assert_eq!(step_condition(blame, &steps_facts("failed", "")), Ok(true));
    let cancelled = StepFacts { cancelled: true, ..steps_facts("failed", "") };
    assert_eq!(step_condition(blame, &cancelled), Ok(false));
    assert_eq!(step_condition("cancelled()", &cancelled), Ok(true));
    let env = step_env(&run.steps[1], &steps_facts("succeeded", "1.2")).unwrap();
    assert_eq!(env.into_iter().collect::<Vec<_>>(), [("VERSION".to_owned(), "v1.2".to_owned())]);
    assert_eq!(stage.concurrency.as_ref().unwrap().group, "db-1");
}

/// Text of an event or of a step never becomes an expression.
#[test]
fn values_are_not_looked_through_for_expressions() {
    let (stage, _) = stepped();
    let facts = steps_facts("succeeded", "${{ git.sha }} '}}");
    let Verb::Run(run) = &stage.verb else { panic!() };
    assert_eq!(run.steps[1].env["SHA"].as_str(), "it's ${{ steps.version.outputs.secret }}");
    assert_eq!(step_env(&run.steps[1], &facts).unwrap()["VERSION"], "v${{ git.sha }} '}}");
    let outputs = stage_outputs(&stage, &facts).unwrap().unwrap();
    assert_eq!(outputs["label"], "{succeeded} it's main");
    assert_eq!(outputs["version"], "${{ git.sha }} '}}");
    let event = events::push("main");
    let plan = plan("on: push\nstages: {a: {image: \"debian:12\", run: x}}\n", &event);
    let mut quoting = plan.stages[0].clone();
    quoting.outputs.insert("x".to_owned(), "${{ format('{0}{1}', git.sha, steps.version.outcome) }}".into());
    let mut context = Context::new(&plan, &event);
    context.git.sha = "it's ${{ '}}".to_owned();
    let filled = resolve(&quoting, &context).unwrap();
    assert_eq!(stage_outputs(&filled, &facts).unwrap().unwrap()["x"], "it's ${{ '}}succeeded");
}

fn expanded(told: &str) -> Result<Vec<String>, String> {
    let text = "on: push\ndefaults: {image: \"debian:12\"}\nstages:\n  list: {run: x}\n  t: {needs: [list], matrix: \"${{ fromJSON(stages.list.outputs.x) }}\", run: x}\n";
    let event = events::push("main");
    let plan = plan(text, &event);
    let mut context = Context::new(&plan, &event);
    ended(&mut context, "list", "succeeded", &[("x", told)]);
    let stages = expand_native(stage(&plan, "t"), &context).map_err(|error| error.message)?;
    assert!(stages.iter().all(|stage| stage.dynamic.is_none()));
    Ok(stages.into_iter().map(|stage| stage.key.0).collect())
}

#[test]
fn a_matrix_may_be_told_by_an_earlier_stage() {
    for (told, keys) in [
        (r#"["a", 2, true]"#, vec!["t (value=a)", "t (value=2)", "t (value=true)"]),
        (r#"[{"os": "x", "n": 1}, {"os": "y"}]"#, vec!["t (os=x, n=1)", "t (os=y)"]),
        (r#"{"a": [1, 2], "exclude": [{"a": 1}], "include": [{"a": 2, "b": 3}]}"#, vec!["t (a=2, b=3)"]),
        ("[]", vec![]),
        ("{}", vec![]),
    ] {
        assert_eq!(expanded(told).unwrap(), keys, "{told}");
    }
    let many = serde_json::to_string(&(0..300).collect::<Vec<_>>()).unwrap();
    let wide = format!("{{\"a\": {many}, \"b\": {many}, \"c\": {many}}}");
    for (told, message) in [
        ("3", "a matrix is a mapping or list, and this is a number"),
        ("[[1]]", "a value of a matrix is text, a number or a boolean, not a list"),
        ("[1, {}]", "a value of a matrix is text, a number or a boolean, not a mapping"),
        ("[{}]", "mappings with values are expected, and here is a mapping"),
        (r#"{"a b": [1]}"#, "`a b` is no name for a value of a matrix"),
        (r#"["a\nb"]"#, "a value of a matrix has 1 to 100 characters, on one line"),
        ("[1, 1]", "the matrix makes `t (value=1)` twice"),
        (r#"{"a": 1}"#, "a list of plain values is expected, and this is a number"),
        (many.as_str(), "the matrix makes more than 256 stages"),
        (wide.as_str(), "the matrix makes more than 256 stages"),
        ("nonsense", "`fromJSON` was given text that is not JSON"),
    ] {
        let found = expanded(told).unwrap_err();
        assert!(found.starts_with(message), "{found}");
    }
}

/// A template runs as a whole or not at all, whatever its stages ask.
#[test]
fn stages_of_a_template_run_only_if_the_template_does() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/templates.yml")).unwrap();
    let event = events::push("main");
    let folder = Folder::golden();
    let compilation = compile(&SourceFile { path: "p.yml", text: &text }, &event, folder.setting());
    let Some(Compiled::Plan(plan)) = compilation.result else { panic!("{:?}", compilation.diagnostics) };
    let check = stage(&plan, "release / check");
    let holds = |context: &Context| condition(check.condition.as_deref().unwrap(), check, context);
    let mut context = Context::new(&plan, &event);
    for key in ["lint", "node"] {
        ended(&mut context, key, "succeeded", &[]);
    }
    for key in ["release / prepare", "release / build", "release / push", "release / deploy"] {
        ended(&mut context, key, "succeeded", &[]);
    }
    assert_eq!(holds(&context), Ok(false), "nothing failed");
    ended(&mut context, "release / deploy", "failed", &[]);
    assert_eq!(holds(&context), Ok(true));
    let tell = stage(&plan, "tell");
    assert_eq!(condition("stages.release.status == 'failed'", tell, &context), Ok(false), "a need is not in");
    ended(&mut context, "release / check", "succeeded", &[]);
    assert_eq!(condition("always() && stages.release.status == 'failed'", tell, &context), Ok(true));
    // The use's need failed, so its stages are skipped, those that ask for failures too.
    ended(&mut context, "node", "failed", &[]);
    assert_eq!(holds(&context), Ok(false));
    let env = resolve(stage(&plan, "release / prepare"), &context);
    assert!(env.unwrap_err().message.contains("no `version`"));
}
