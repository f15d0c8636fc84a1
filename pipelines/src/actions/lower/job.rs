//! One job as a stage, with what it leaves open.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Sink, When, condition, container,
    scope::Scope,
    steps,
    variables::{named, variables},
};
use crate::{
    ResolveError,
    actions::seam,
    codes,
    diagnostic::{Place, Problems, Spanned},
    plan::{
        Concurrency, Does, Expand, Expressions, Late, MatrixPlan, Network, Pairs, Resources, Retry, Run,
        RunsOn, StageKey, StagePlan, Template, Verb,
    },
    yaml::{Core, Entry, Kind, Node},
};

/// Seconds that a job may take when nothing is said: six hours.
const DEFAULT_TIMEOUT: u64 = 6 * 3600;

/// A job with steps.
pub(super) fn stage(scope: &Scope<'_>, id: &str, job: &Node, sink: &mut Sink<'_, '_>) -> StagePlan {
    let container = container::of_job(job.get("container"), sink);
    let around = steps::Around { defaults: scope.defaults(job), home: scope.home };
    let run = Run {
        image: container.image,
        container: container.container,
        steps: steps::steps(job.get("steps"), &around, sink),
    };
    let mut stage = bare(scope, id, job, Verb::Run(run));
    stage.resources = container.resources;
    let mut env = variables(scope.root.get("env"), sink);
    env.extend(variables(job.get("env"), sink));
    (stage.env, stage.more_env) = (env.known, env.more);
    stage.services = container::services(job.get("services"), sink);
    stage.condition = condition(job.get("if"));
    stage.outputs = named(job.get("outputs"), sink);
    stage.environment = environment(job);
    stage.concurrency = job.get("concurrency").and_then(|node| concurrency(node, sink));
    if let Some(open) = stage.expand.as_mut() {
        open.runs_on = job.get("runs-on").map(runs_on);
        open.timeout_minutes = job.get("timeout-minutes").and_then(late_number);
        open.continue_on_error = job.get("continue-on-error").and_then(late_bool);
    }
    if let Some(snapshot) = job.get("snapshot") {
        sink.unsupported(snapshot, "snapshots of machines");
    }
    stage
}

/// A job that calls a workflow, as a stage that is only expanded and never run.
pub(super) fn shell_of_call(scope: &Scope<'_>, id: &str, job: &Node) -> StagePlan {
    let nothing = Run { image: Template::default(), container: Default::default(), steps: Vec::new() };
    bare(scope, id, job, Verb::Run(nothing))
}

/// What both kinds of jobs have: names and strategy.
fn bare(scope: &Scope<'_>, id: &str, job: &Node, verb: Verb) -> StagePlan {
    let name = job.get("name").and_then(Node::filled);
    let (title, open_title) = match name {
        Some(name) if seam::holds_expression(&name) => {
            (None, Some(Template(format!("{}{name}", seam::quoted(&scope.title_prefix).0))))
        }
        Some(name) => (Some(format!("{}{name}", scope.title_prefix)), None),
        None if scope.title_prefix != scope.prefix => (Some(format!("{}{id}", scope.title_prefix)), None),
        None => (None, None),
    };
    let strategy = |key: &str| job.at(&["strategy", key]);
    StagePlan {
        key: StageKey(format!("{}{id}", scope.prefix)),
        name: format!("{}{id}", scope.prefix),
        title,
        expressions: Expressions::Lenient,
        dynamic: None,
        emits: None,
        emitted_by: None,
        network: Network::default(),
        expand: Some(Box::new(Expand {
            strategy: job.get("strategy").and_then(Node::filled).map(Template),
            matrix: strategy("matrix").and_then(matrix),
            fail_fast: strategy("fail-fast").and_then(late_bool),
            max_parallel: strategy("max-parallel").and_then(late_number),
            runs_on: None,
            title: open_title,
            timeout_minutes: None,
            continue_on_error: None,
            called: None,
        })),
        call: scope.call.clone(),
        calls: Vec::new(),
        matrix: BTreeMap::new(),
        strategy: None,
        needs: Vec::new(),
        upstream: Vec::new(),
        condition: None,
        skip_reason: None,
        runner_labels: Vec::new(),
        same_runner_as: None,
        timeout_seconds: DEFAULT_TIMEOUT,
        retry: Retry::default(),
        continue_on_error: false,
        environment: None,
        outputs: BTreeMap::new(),
        env: BTreeMap::new(),
        more_env: Vec::new(),
        secrets: Vec::new(),
        all_secrets: false,
        concurrency: None,
        services: Vec::new(),
        artifacts: Vec::new(),
        fetch: Vec::new(),
        caches: Vec::new(),
        reports: Vec::new(),
        resources: Resources::default(),
        id_token: false,
        checkout: false,
        verb,
    }
}

fn environment(job: &Node) -> Option<Template> {
    let node = job.get("environment")?;
    let name =
        if node.entries().is_empty() { node.filled() } else { node.get("name").and_then(Node::filled) };
    name.map(Template)
}

/// The group of a workflow or job; its name may be a template. One waits in it and a newer one takes its place, unless
/// the file asks for a queue.
pub(in crate::actions) fn concurrency(node: &Node, sink: &mut Sink<'_, '_>) -> Option<Concurrency> {
    if node.entries().is_empty() {
        return node.filled().map(|group| Concurrency {
            group,
            cancel_superseded: false,
            replace_waiting: true,
        });
    }
    let group = node.get("group").and_then(Node::filled)?;
    let cancel_superseded = match node.get("cancel-in-progress") {
        None => false,
        Some(cancel) => match cancel.core() {
            Some(Core::Bool(cancel)) => cancel,
            Some(Core::Text(text)) => {
                match sink.when(&text) {
                    When::Now => {}
                    When::WithEvent => return None,
                    When::InTheRun => {
                        let what = "`cancel-in-progress` that is known only while the workflow runs";
                        sink.unsupported(cancel, what);
                        return None;
                    }
                }
                match crate::expand::value(&text, sink.contexts) {
                    Ok(value) => value == Value::Bool(true) || value == Value::String("true".to_owned()),
                    Err(error) => {
                        sink.report(codes::BAD_EXPRESSION, cancel.place, error.to_string());
                        false
                    }
                }
            }
            _ => false,
        },
    };
    let replace_waiting = node.get("queue").and_then(Node::filled).is_none_or(|queue| queue != "max");
    Some(Concurrency { group, cancel_superseded, replace_waiting })
}

fn runs_on(node: &Node) -> RunsOn {
    let labels = |node: &Node| match (node.text(), node.items()) {
        (Some(text), _) if seam::holds_expression(&text) => Late::Told(Template(text)),
        (Some(text), _) => Late::Known(vec![Template(text)]),
        (None, items) => Late::Known(items.iter().filter_map(Node::text).map(Template).collect()),
    };
    if node.entries().is_empty() {
        return RunsOn { labels: labels(node), group: None };
    }
    RunsOn {
        labels: node.get("labels").map_or_else(Late::default, labels),
        group: node.get("group").and_then(Node::filled).map(Template),
    }
}

fn late_bool(node: &Node) -> Option<Late<bool>> {
    match node.core()? {
        Core::Bool(value) => Some(Late::Known(value)),
        Core::Text(text) if seam::holds_expression(&text) => Some(Late::Told(Template(text))),
        _ => None,
    }
}

fn late_number(node: &Node) -> Option<Late<f64>> {
    match node.core()? {
        Core::Number(value) if value.is_finite() => Some(Late::Known(value)),
        Core::Text(text) if seam::holds_expression(&text) => Some(Late::Told(Template(text))),
        _ => None,
    }
}

fn matrix(node: &Node) -> Option<Late<MatrixPlan>> {
    if let Some(text) = node.text() {
        return (!text.is_empty()).then(|| Late::Told(Template(text)));
    }
    let mut plan = MatrixPlan::default();
    for Entry { key, value } in node.entries() {
        match key.value.as_str() {
            "include" => plan.include = filters(value),
            "exclude" => plan.exclude = filters(value),
            name => {
                let values = match value.text() {
                    Some(text) => Late::Told(Template(text)),
                    None => Late::Known(value.items().iter().map(Node::json).collect()),
                };
                plan.axes.push((name.to_owned(), values));
            }
        }
    }
    Some(Late::Known(plan))
}

fn filters(node: &Node) -> Option<Late<Vec<Late<Pairs>>>> {
    if let Some(text) = node.text() {
        return (!text.is_empty()).then(|| Late::Told(Template(text)));
    }
    let item = |node: &Node| match node.text() {
        Some(text) => Late::Told(Template(text)),
        None => Late::Known(
            node.entries().iter().map(|entry| (entry.key.value.clone(), entry.value.json())).collect(),
        ),
    };
    Some(Late::Known(node.items().iter().map(item).collect()))
}

/// Whether all that a stage leaves open reads only contexts of which this holds, and its own matrix.
pub(super) fn is_early(stage: &StagePlan, known: impl Fn(&str) -> bool) -> bool {
    let Some(open) = &stage.expand else { return true };
    let mut templates: Vec<&str> = Vec::new();
    let Expand {
        strategy,
        matrix,
        fail_fast,
        max_parallel,
        runs_on,
        title,
        timeout_minutes,
        continue_on_error,
        called: _,
    } = &**open;
    templates.extend(strategy.iter().map(|strategy| strategy.0.as_str()));
    if let Verb::Run(run) = &stage.verb {
        templates.extend(run.steps.iter().filter_map(|step| match &step.does {
            Does::Run(script) => script.shell.first().map(String::as_str),
            _ => None,
        }));
    }
    match matrix {
        None => {}
        Some(Late::Told(template)) => templates.push(&template.0),
        Some(Late::Known(plan)) => {
            for (_, values) in &plan.axes {
                told(values, &mut templates, |values, into| {
                    values.iter().for_each(|value| texts(value, into))
                });
            }
            for filters in plan.include.iter().chain(&plan.exclude) {
                told(filters, &mut templates, |items, into| {
                    for item in items {
                        told(item, into, |pairs, into| {
                            pairs.iter().for_each(|(_, value)| texts(value, into))
                        });
                    }
                });
            }
        }
    }
    for late in [fail_fast, continue_on_error].into_iter().flatten() {
        told(late, &mut templates, |_, _| {});
    }
    for late in [max_parallel, timeout_minutes].into_iter().flatten() {
        told(late, &mut templates, |_, _| {});
    }
    if let Some(runs_on) = runs_on {
        told(&runs_on.labels, &mut templates, |labels, into| {
            into.extend(labels.iter().map(|label| label.0.as_str()));
        });
        templates.extend(runs_on.group.iter().map(|group| group.0.as_str()));
    }
    templates.extend(title.iter().map(|title| title.0.as_str()));
    let known = |context: &str| known(context) || OF_MATRIX.contains(&context);
    templates.into_iter().all(|template| seam::reads_only(template, known))
}

/// The contexts that a place in a matrix tells.
pub(super) const OF_MATRIX: [&str; 2] = ["matrix", "strategy"];

fn told<'t, T>(late: &'t Late<T>, into: &mut Vec<&'t str>, known: impl Fn(&'t T, &mut Vec<&'t str>)) {
    match late {
        Late::Known(value) => known(value, into),
        Late::Told(template) => into.push(&template.0),
    }
}

fn texts<'t>(value: &'t Value, into: &mut Vec<&'t str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(list) => list.iter().for_each(|value| texts(value, into)),
        Value::Object(map) => map.values().for_each(|value| texts(value, into)),
        _ => {}
    }
}

/// Reports why a job could not be expanded, where in the job it stands.
pub(super) fn report(error: &ResolveError, id: &Spanned<String>, job: &Node, problems: &mut Problems<'_>) {
    let place = |path: &[&str]| job.at(path).map(|node| node.place);
    let (code, place, message) = match error.expression.as_str() {
        "runs-on" => (codes::NO_MACHINE, place(&["runs-on"]), error.message.clone()),
        crate::expand::TOO_LARGE => {
            (codes::TOO_MANY_JOBS, place(&["strategy", "matrix"]), error.message.clone())
        }
        "strategy.matrix" => (codes::WORKFLOW_MATRIX, place(&["strategy", "matrix"]), error.message.clone()),
        expression => (codes::BAD_EXPRESSION, find(job, expression), format!("job `{}`: {error}", id.value)),
    };
    problems.report(code, place.unwrap_or(id.place), message);
}

/// Where a job says this.
fn find(node: &Node, text: &str) -> Option<Place> {
    match &node.kind {
        Kind::Scalar(scalar) => scalar.text.contains(text).then_some(node.place),
        Kind::List(items) => items.iter().find_map(|item| find(item, text)),
        Kind::Map(entries) => entries.iter().find_map(|entry| find(&entry.value, text)),
        Kind::Broken => None,
    }
}
