//! Whether an event starts a pipeline, and if not, why not; and the inputs of a run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::file::{Input, On, Upstream};
use crate::{
    InputKind,
    diagnostic::Spanned,
    event::{Event, EventKind, UpstreamFacts},
    expressions::kind_name,
    glob::Patterns,
    nearest::{did_you_mean, listed},
    refusal::{LeftOut, Refusal},
};

/// Nothing, or why the event starts nothing.
pub(crate) fn starts(on: &On, event: &Event) -> Result<(), Refusal> {
    let filters = match event.kind {
        EventKind::Push => {
            let Some(push) = &on.push else { return Err(no_trigger("push", "a push")) };
            let branch = event.git.branch.as_deref().unwrap_or(&event.git.reference);
            if !patterns(&push.branches).matches(branch) {
                return Err(format!("push to `{branch}` matches none of on.push.branches").into());
            }
            Some(("on.push", &push.paths, &push.paths_ignore))
        }
        EventKind::Tag => {
            let Some(list) = &on.tag else { return Err(no_trigger("tag", "a tag")) };
            let tag = event.git.tag.as_deref().unwrap_or(&event.git.reference);
            if !patterns(list).matches(tag) {
                return Err(format!("tag `{tag}` matches none of on.tag").into());
            }
            None
        }
        EventKind::PullRequest => {
            let Some(trigger) = &on.pull_request else {
                return Err(no_trigger("pull_request", "a pull request"));
            };
            let facts = event.pull_request.as_ref();
            let base = facts.map_or(event.default_branch.as_str(), |facts| facts.base_branch.as_str());
            if !patterns(&trigger.value.branches).matches(base) {
                let reason = format!("pull request into `{base}` matches none of on.pull_request.branches");
                return Err(reason.into());
            }
            one_of("a pull request", "on.pull_request.types", &trigger.value.types, event)?;
            Some(("on.pull_request", &trigger.value.paths, &trigger.value.paths_ignore))
        }
        EventKind::Release => {
            let Some(types) = &on.release else { return Err(no_trigger("release", "a release")) };
            one_of("a release", "on.release.types", types, event)?;
            None
        }
        EventKind::Dispatch => {
            let Some(types) = &on.repository_dispatch else {
                return Err(no_trigger("repository_dispatch", "a program"));
            };
            let kind = event.action().unwrap_or_default();
            if !patterns(types).matches(kind) {
                let reason =
                    format!("a request of type `{kind}` matches none of on.repository_dispatch.types");
                return Err(reason.into());
            }
            None
        }
        EventKind::Upstream => {
            upstream(&on.pipeline, event)?;
            None
        }
        EventKind::Schedule if on.schedule.is_empty() => return Err(no_trigger("schedule", "a schedule")),
        EventKind::Manual if on.manual.is_none() => return Err(no_trigger("manual", "a person")),
        EventKind::Forge => {
            let name = event.name.as_deref().unwrap_or(event.kind.as_str());
            let reason = format!("an event `{name}` does not start this pipeline: `on` has no such trigger");
            return Err(reason.into());
        }
        EventKind::Schedule | EventKind::Manual | EventKind::Rollback => None,
    };
    let Some((key, wanted, ignored)) = filters else { return Ok(()) };
    // A tag, a release, a person: those ask for this very commit, whatever its message says.
    if let Some(mark) = SKIP_MARKS.iter().find(|mark| event.git.message.contains(*mark)) {
        let reason = format!("the commit's message asks for no run: it has `{mark}`");
        return Err(Refusal::left_out(LeftOut::Message, reason));
    }
    paths(key, wanted, ignored, event).map_err(|reason| Refusal::left_out(LeftOut::Paths, reason))
}

/// What in a commit's message asks for no run.
const SKIP_MARKS: [&str; 3] = ["[skip ci]", "[ci skip]", "[no ci]"];

fn no_trigger(key: &str, who: &str) -> Refusal {
    format!("{who} does not start this pipeline: it has no on.{key}").into()
}

/// What happened must be one of `types`. What the forge does not say is let through.
fn one_of(what: &str, key: &str, types: &[&str], event: &Event) -> Result<(), Refusal> {
    match event.action() {
        Some(action) if !types.contains(&action) => {
            Err(format!("{what} that was `{action}` is none of {key}: {}", listed(types.iter().copied()))
                .into())
        }
        _ => Ok(()),
    }
}

/// One of the upstreams must be meant.
fn upstream(list: &[Upstream], event: &Event) -> Result<(), Refusal> {
    if list.is_empty() {
        return Err(no_trigger("pipeline", "another pipeline"));
    }
    let Some(facts) = event.upstream() else {
        return Err("it is not said which pipeline ended".to_owned().into());
    };
    let named = |one: &&Upstream| one.names.iter().any(|name| name.value == facts.pipeline);
    let branch = facts.branch.as_deref().unwrap_or_default();
    let UpstreamFacts { pipeline, status, .. } = &facts;
    let mut reason = format!("the pipeline `{pipeline}` is none of on.pipeline.names");
    for one in list.iter().filter(named) {
        if !one.statuses.contains(&status.as_str()) {
            reason = format!("`{pipeline}` that ended as `{status}` is none of on.pipeline.statuses");
        } else if !patterns(&one.branches).matches(branch) {
            reason = format!("`{pipeline}` on `{branch}` matches none of on.pipeline.branches");
        } else {
            return Ok(());
        }
    }
    Err(reason.into())
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
    let asked: Vec<_> = changed.iter().filter(|path| wanted.matches(path)).collect();
    if asked.iter().any(|path| !(ignores && ignored.matches(path))) {
        return Ok(());
    }
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
