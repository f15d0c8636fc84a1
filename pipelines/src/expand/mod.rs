//! From a stage that leaves something open to the stages that it stands for, once its needs have ended.
//!
//! The same code makes the stages of a matrix that is known when the file is compiled: the compiler expands at once
//! whatever reads nothing that is not there yet.

mod called;
mod strategy;

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use crate::{
    ResolveError, Setting,
    lenient::{self, Status, Values},
    machine::machine,
    matrix::{self, Refused},
    plan::{
        Does, Expand, Expressions, Late, MAX_PLAN, RunsOn, StageKey, StagePlan, Strategy, Template, Verb,
        too_heavy, weight,
    },
    shell,
    yaml::number_text,
};
pub(crate) use called::each_once;
use strategy::{Told, known_bool, known_number};

/// Seconds of the longest time a stage may ask for: 35 days.
const MAX_SECONDS: f64 = 3_024_000.0;
/// What an error is about that says there would be too many or too large stages.
pub(crate) const TOO_LARGE: &str = "strategy";
/// The longest name that pages show.
const MAX_TITLE: usize = 100;

/// The stages that a stage with [`StagePlan::expand`] stands for; itself when it leaves nothing open. `contexts` are
/// those that its expressions read, with `needs`.
pub fn expand(
    stage: &StagePlan,
    contexts: &BTreeMap<String, Value>,
    setting: Setting<'_>,
) -> Result<Vec<StagePlan>, ResolveError> {
    let Some(open) = &stage.expand else { return Ok(vec![stage.clone()]) };
    let told = strategy::told(open, contexts)?;
    let mut contexts = contexts.clone();
    let mut stages = Vec::new();
    let mut add = |one: StagePlan, contexts: &BTreeMap<String, Value>| {
        match &open.called {
            None => stages.push(one),
            Some(called) => stages.extend(called::instance(stage, one, called, contexts)?),
        }
        Ok::<_, ResolveError>(())
    };
    let Some(lists) = told.lists else {
        let mut one = stage.clone();
        one.expand = None;
        contexts.insert("strategy".to_owned(), strategy_value(None));
        settle(&mut one, open, &contexts, setting)?;
        add(one, &contexts)?;
        return Ok(stages);
    };
    let made = matrix::build(&lists).map_err(|refused| match refused {
        Refused::Wrong(message) => error("strategy.matrix", message),
        Refused::Large(message) => error(TOO_LARGE, message),
    })?;
    let total = u32::try_from(made.len()).unwrap_or(u32::MAX);
    let each = open.called.as_ref().map_or_else(|| weight(stage), |called| called::load(stage, called));
    if each.saturating_mul(made.len()) > MAX_PLAN {
        return Err(error(TOO_LARGE, format!("the matrix has {}", too_heavy())));
    }
    let mut taken = HashSet::new();
    for (index, made) in (0_u32..).zip(made) {
        let mut one = stage.clone();
        one.expand = None;
        one.key = key(stage, &made, &mut taken);
        one.title = Some(titled(stage.title.as_deref().unwrap_or(&stage.name), &made.shown));
        one.matrix = made.values.into_iter().collect();
        let Told { fail_fast, max_parallel, .. } = told;
        one.strategy = Some(Strategy { index, total, fail_fast, max_parallel });
        tell_matrix(&mut contexts, &one.matrix, one.strategy.as_ref());
        settle(&mut one, open, &contexts, setting)?;
        add(one, &contexts)?;
    }
    Ok(stages)
}

/// Puts `matrix` and `strategy` of a stage, or of a call, among what expressions read. Without values `matrix` is null.
pub(crate) fn tell_matrix(
    contexts: &mut BTreeMap<String, Value>,
    matrix: &BTreeMap<String, Value>,
    strategy: Option<&Strategy>,
) {
    let matrix = match matrix.is_empty() {
        true => Value::Null,
        false => matrix.clone().into_iter().collect::<serde_json::Map<_, _>>().into(),
    };
    contexts.insert("matrix".to_owned(), matrix);
    contexts.insert("strategy".to_owned(), strategy_value(strategy));
}

/// `strategy` as expressions read it.
fn strategy_value(strategy: Option<&Strategy>) -> Value {
    match strategy {
        None => json!({ "fail-fast": true, "job-index": 0, "job-total": 1, "max-parallel": 1 }),
        Some(strategy) => json!({
            "fail-fast": strategy.fail_fast,
            "job-index": strategy.index,
            "job-total": strategy.total,
            "max-parallel": strategy.max_parallel.unwrap_or(strategy.total),
        }),
    }
}

/// `test (20, debian)`; where expressions are strict `test (node=20, os=debian)`.
fn key(stage: &StagePlan, made: &matrix::Made, taken: &mut HashSet<String>) -> StageKey {
    let shown: Vec<String> = match stage.expressions {
        Expressions::Lenient => made.shown.clone(),
        Expressions::Strict => {
            made.values.iter().map(|(name, value)| format!("{name}={}", text_of(value))).collect()
        }
    };
    let whole =
        if shown.is_empty() { stage.key.0.clone() } else { format!("{} ({})", stage.key, shown.join(", ")) };
    let mut key = whole.clone();
    let mut count = 1_usize;
    while !taken.insert(key.clone()) {
        count += 1;
        key = format!("{whole} [{count}]");
    }
    StageKey(key)
}

fn titled(title: &str, shown: &[String]) -> String {
    let whole = if shown.is_empty() { title.to_owned() } else { format!("{title} ({})", shown.join(", ")) };
    if whole.chars().count() <= MAX_TITLE {
        return whole;
    }
    whole.chars().take(MAX_TITLE - 1).chain(['…']).collect()
}

/// Fills in what a stage says once its matrix values are known.
fn settle(
    stage: &mut StagePlan,
    open: &Expand,
    contexts: &BTreeMap<String, Value>,
    setting: Setting<'_>,
) -> Result<(), ResolveError> {
    if let Some(title) = &open.title {
        let told = text(&title.0, contexts)?;
        if !told.trim().is_empty() {
            stage.title = Some(titled(&told, &[]));
        }
    }
    if let Some(minutes) = known_number(open.timeout_minutes.as_ref(), contexts)? {
        stage.timeout_seconds = seconds(minutes);
    }
    if let Some(may) = known_bool(open.continue_on_error.as_ref(), contexts)? {
        stage.continue_on_error = may;
    }
    shells(stage, contexts)?;
    let Some(runs_on) = &open.runs_on else { return Ok(()) };
    let labels = labels(runs_on, contexts)?;
    let group = runs_on.group.as_ref().map(|group| text(&group.0, contexts)).transpose()?;
    let image = match &mut stage.verb {
        Verb::Run(run) => &mut run.image,
        _ => return Ok(()),
    };
    // `container: ${{ matrix.image }}` may be nothing, and then there is no container.
    let told = lenient::reads(&image.0, false)
        .is_ok_and(|reads| reads.contexts.iter().all(|name| contexts.contains_key(name)));
    if told && text(&image.0, contexts)?.is_empty() {
        image.0.clear();
    }
    let found = machine(&labels, group.as_deref(), !image.0.is_empty(), setting)
        .map_err(|message| error("runs-on", message))?;
    if image.0.is_empty() {
        *image = Template(found.image);
    }
    stage.runner_labels = found.labels;
    Ok(())
}

/// Shells that an expression names.
fn shells(stage: &mut StagePlan, contexts: &BTreeMap<String, Value>) -> Result<(), ResolveError> {
    let Verb::Run(run) = &mut stage.verb else { return Ok(()) };
    for step in &mut run.steps {
        let Does::Run(script) = &mut step.does else { continue };
        if let [one] = script.shell.as_slice()
            && one.contains("${{")
        {
            let told = text(one, contexts)?;
            let words = shell::words_of(&told).map_err(|message| error(one, message))?;
            script.shell = words;
        }
    }
    Ok(())
}

fn labels(runs_on: &RunsOn, contexts: &BTreeMap<String, Value>) -> Result<Vec<String>, ResolveError> {
    match &runs_on.labels {
        Late::Known(labels) => labels.iter().map(|label| text(&label.0, contexts)).collect(),
        Late::Told(template) => match value(&template.0, contexts)? {
            Value::Array(list) => Ok(list.iter().map(text_of).collect()),
            Value::Object(map) => Ok(match map.get("labels") {
                Some(Value::Array(list)) => list.iter().map(text_of).collect(),
                Some(one) => vec![text_of(one)],
                None => map.get("group").map(text_of).into_iter().collect(),
            }),
            Value::Null => Err(error(&template.0, "this is to be a label, and there is nothing".to_owned())),
            other => Ok(vec![text_of(&other)]),
        },
    }
}

/// Minutes in seconds, at least one and at most 35 days.
pub(crate) fn seconds(minutes: f64) -> u64 {
    let seconds = (minutes * 60.0).clamp(1.0, MAX_SECONDS);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let whole = seconds as u64;
    whole.max(1)
}

/// The text of a value, as lenient templates write it.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), number_text),
        Value::String(text) => text.clone(),
        Value::Array(_) => "Array".to_owned(),
        Value::Object(_) => "Object".to_owned(),
    }
}

/// A template that stands for a text as it is, whatever is in it: what an event or a stage told is never read again.
pub(crate) fn literal(text: &str) -> Template {
    Template(text.replace("${{", "${{ '${{' }}"))
}

fn error(expression: &str, message: String) -> ResolveError {
    ResolveError { expression: expression.to_owned(), message }
}

/// Evaluates a template before there is any step or file.
pub(crate) fn value(template: &str, contexts: &BTreeMap<String, Value>) -> Result<Value, ResolveError> {
    lenient::value(template, &values(contexts))
}

/// The same as text.
pub(crate) fn text(template: &str, contexts: &BTreeMap<String, Value>) -> Result<String, ResolveError> {
    lenient::text(template, &values(contexts))
}

fn values(contexts: &BTreeMap<String, Value>) -> Values<'_> {
    Values {
        contexts,
        status: Status::Success,
        hash_files: &|_| Err("there are no files before a stage runs".to_owned()),
    }
}
