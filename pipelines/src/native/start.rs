//! Whether an event starts a pipeline, and if not, why not; and the inputs of a run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::file::{Input, On};
use crate::{
    InputKind,
    diagnostic::Spanned,
    event::{Event, EventKind},
    expressions::kind_name,
    glob::Patterns,
    nearest::{did_you_mean, listed},
};

/// Nothing, or why the event starts nothing, in one sentence.
pub(crate) fn starts(on: &On, event: &Event) -> Result<(), String> {
    match event.kind {
        EventKind::Push => {
            let Some(push) = &on.push else { return Err(no_trigger("push", "a push")) };
            let branch = event.git.branch.as_deref().unwrap_or(&event.git.reference);
            if !patterns(&push.branches).matches(branch) {
                return Err(format!("push to `{branch}` matches none of on.push.branches"));
            }
            paths("on.push", &push.paths, &push.paths_ignore, event)
        }
        EventKind::Tag => {
            let Some(list) = &on.tag else { return Err(no_trigger("tag", "a tag")) };
            let tag = event.git.tag.as_deref().unwrap_or(&event.git.reference);
            if !patterns(list).matches(tag) {
                return Err(format!("tag `{tag}` matches none of on.tag"));
            }
            Ok(())
        }
        EventKind::PullRequest => {
            let Some(trigger) = &on.pull_request else {
                return Err(no_trigger("pull_request", "a pull request"));
            };
            let facts = event.pull_request.as_ref();
            let base = facts.map_or(event.default_branch.as_str(), |facts| facts.base_branch.as_str());
            if !patterns(&trigger.value.branches).matches(base) {
                return Err(format!("pull request into `{base}` matches none of on.pull_request.branches"));
            }
            paths("on.pull_request", &trigger.value.paths, &trigger.value.paths_ignore, event)
        }
        EventKind::Schedule if on.schedule.is_empty() => Err(no_trigger("schedule", "a schedule")),
        EventKind::Manual if on.manual.is_none() => Err(no_trigger("manual", "a person")),
        EventKind::Release | EventKind::Dispatch | EventKind::Upstream | EventKind::Forge => {
            let name = event.name.as_deref().unwrap_or(event.kind.as_str());
            Err(format!("an event `{name}` does not start this pipeline: `on` has no such trigger"))
        }
        EventKind::Schedule | EventKind::Manual | EventKind::Rollback => Ok(()),
    }
}

fn no_trigger(key: &str, who: &str) -> String {
    format!("{who} does not start this pipeline: it has no on.{key}")
}

fn patterns(list: &[Spanned<String>]) -> Patterns {
    Patterns::new(list.iter().map(|pattern| pattern.value.as_str()))
}

/// One changed path must be asked for and not ignored. What the forge does not say is let through.
fn paths(
    key: &str,
    wanted: &[Spanned<String>],
    ignored: &[Spanned<String>],
    event: &Event,
) -> Result<(), String> {
    let Some(changed) = &event.changed_paths else { return Ok(()) };
    if wanted.is_empty() && ignored.is_empty() {
        return Ok(());
    }
    let (wanted, ignored, ignores) = (patterns(wanted), patterns(ignored), !ignored.is_empty());
    let (asked, rest): (Vec<_>, Vec<_>) = changed.iter().partition(|path| wanted.matches(path));
    if asked.iter().any(|path| !(ignores && ignored.matches(path))) {
        return Ok(());
    }
    debug_assert_eq!(asked.len() + rest.len(), changed.len());
    let count = changed.len();
    Err(if asked.is_empty() {
        format!("none of the {count} changed paths matches {key}.paths")
    } else {
        format!("all of the {count} changed paths are ignored by {key}.paths_ignore")
    })
}

/// Every declared input: as given, else its default, else null. Or what is wrong with those given.
pub(crate) fn inputs(on: &On, event: &Event) -> Result<BTreeMap<String, Value>, String> {
    let declared: &[Input] = on.manual.as_ref().map_or(&[], |manual| &manual.inputs);
    let manual = event.kind == EventKind::Manual;
    let mut values = BTreeMap::new();
    for input in declared {
        let name = &input.name.value;
        let given = event.inputs.get(name).filter(|value| !value.is_null());
        let value = match given {
            Some(value) => accepted(input, value)?,
            None => match &input.default {
                Some(default) => default.value.clone(),
                None if manual && input.required => return Err(format!("the input `{name}` is required")),
                None => Value::Null,
            },
        };
        values.insert(name.clone(), value);
    }
    if let Some(unknown) = event.inputs.keys().find(|name| manual && !values.contains_key(*name)) {
        let names = declared.iter().map(|input| input.name.value.as_str());
        let hint =
            did_you_mean(unknown, names.clone()).unwrap_or_else(|| format!("it has {}", listed(names)));
        return Err(format!("the pipeline has no input `{unknown}`; {hint}"));
    }
    Ok(values)
}

/// The value in the input's type. Forms and command lines give text, so text is read where it can be.
fn accepted(input: &Input, value: &Value) -> Result<Value, String> {
    let name = &input.name.value;
    let wrong = |expected: &str| {
        Err(format!("the input `{name}` is {expected}, and {value} is {}", kind_name(value)))
    };
    match (input.kind, value) {
        (InputKind::Boolean, Value::Bool(_)) | (InputKind::Number, Value::Number(_)) => Ok(value.clone()),
        (InputKind::Boolean, Value::String(text)) => match text.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => wrong("`true` or `false`"),
        },
        (InputKind::Number, Value::String(text)) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(crate::expressions::json_number(number)),
            _ => wrong("a number"),
        },
        (InputKind::Choice, Value::String(text)) => {
            if input.choices.iter().any(|choice| choice.value == *text) {
                return Ok(value.clone());
            }
            let choices = listed(input.choices.iter().map(|choice| choice.value.as_str()));
            Err(format!("the input `{name}` is one of {choices}, not `{text}`"))
        }
        (InputKind::String | InputKind::Environment, Value::String(_)) => Ok(value.clone()),
        (InputKind::Boolean, _) => wrong("`true` or `false`"),
        (InputKind::Number, _) => wrong("a number"),
        _ => wrong("text"),
    }
}
