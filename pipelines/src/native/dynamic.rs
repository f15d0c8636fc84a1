//! From a stage whose matrix was not known when the file was compiled to the stages that it stands for.
//!
//! Called once the stage's needs have ended and its condition held. What earlier stages wrote is bounded here like
//! what stands in a file: plain values of bounded length, and no more stages than any matrix may make.

use serde_json::Value;

use super::expand::{Lists, combine, key};
use crate::{
    context::{Context, ResolveError},
    expressions::{Scope, evaluate, kind_name, parse},
    native::words::is_name,
    plan::{Dynamic, MAX_PLAN, Row, StagePlan, Strategy, Told, too_heavy, weight},
};

/// The name that a value of a plain list has.
const VALUE: &str = "value";

/// The stages that a stage with [`StagePlan::dynamic`] stands for, in order; none when its matrix is empty (then it is
/// skipped). A stage without is given back as it is.
pub fn expand_native(stage: &StagePlan, context: &Context) -> Result<Vec<StagePlan>, ResolveError> {
    let Some(dynamic) = &stage.dynamic else { return Ok(vec![stage.clone()]) };
    let scope = Scope::of_template(context, Some(stage));
    let lists = lists(dynamic, &scope)?;
    let whole = dynamic.matrix.as_deref().unwrap_or("matrix");
    let combinations = combine(&lists).map_err(|message| error(whole, message))?;
    if weight(stage).saturating_mul(combinations.len()) > MAX_PLAN {
        return Err(error(whole, format!("the matrix has {}", too_heavy())));
    }
    let total = u32::try_from(combinations.len()).unwrap_or(u32::MAX);
    let mut stages: Vec<StagePlan> = Vec::new();
    for (index, combination) in (0..).zip(combinations) {
        let key = key(&stage.name, &combination);
        if stages.iter().any(|other| other.key == key) {
            return Err(error(whole, format!("the matrix makes `{key}` twice")));
        }
        let mut one = stage.clone();
        one.dynamic = None;
        one.key = key;
        one.matrix = combination.into_iter().collect();
        one.strategy = (dynamic.max_parallel.is_some() || dynamic.fail_fast).then_some(Strategy {
            index,
            total,
            fail_fast: dynamic.fail_fast,
            max_parallel: dynamic.max_parallel,
        });
        stages.push(one);
    }
    Ok(stages)
}

fn error(expression: &str, message: impl Into<String>) -> ResolveError {
    ResolveError { expression: expression.to_owned(), message: message.into() }
}

fn lists(dynamic: &Dynamic, scope: &Scope<'_>) -> Result<Lists, ResolveError> {
    if let Some(expression) = &dynamic.matrix {
        return whole(expression, value(expression, scope)?);
    }
    let mut lists = Lists::default();
    for (name, told) in &dynamic.axes {
        let values = match told {
            Told::Known(values) => values.clone(),
            Told::By(expression) => plain_list(expression, value(expression, scope)?)?,
        };
        lists.axes.push((name.clone(), values));
    }
    let rows_of = |told: &Told<Vec<Row>>| match told {
        Told::Known(known) => Ok(known.clone()),
        Told::By(expression) => rows(expression, value(expression, scope)?),
    };
    lists.include = rows_of(&dynamic.include)?;
    lists.exclude = rows_of(&dynamic.exclude)?;
    Ok(lists)
}

fn value(expression: &str, scope: &Scope<'_>) -> Result<Value, ResolveError> {
    let parsed = parse(expression).map_err(|fault| error(expression, fault.message))?;
    evaluate(&parsed, scope).map_err(|fault| error(expression, fault.message))
}

/// A mapping is a matrix as it is written in a file; a list has a stage for each of its items.
fn whole(expression: &str, value: Value) -> Result<Lists, ResolveError> {
    let mut lists = Lists::default();
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match name.as_str() {
                    "include" => lists.include = rows(expression, value)?,
                    "exclude" => lists.exclude = rows(expression, value)?,
                    _ => {
                        let values = plain_list(expression, value)?;
                        lists.axes.push((checked_name(expression, name)?, values));
                    }
                }
            }
        }
        Value::Array(items) if items.iter().all(Value::is_object) => {
            lists.include = rows(expression, Value::Array(items))?;
        }
        items @ Value::Array(_) => lists.axes.push((VALUE.to_owned(), plain_list(expression, items)?)),
        other => {
            let message = format!("a matrix is a mapping or list, and this is {}", kind_name(&other));
            return Err(error(expression, message));
        }
    }
    Ok(lists)
}

fn plain_list(expression: &str, value: Value) -> Result<Vec<Value>, ResolveError> {
    match value {
        Value::Array(items) => items.into_iter().map(|item| plain(expression, item)).collect(),
        other => {
            let message = format!("a list of plain values is expected, and this is {}", kind_name(&other));
            Err(error(expression, message))
        }
    }
}

fn rows(expression: &str, value: Value) -> Result<Vec<Row>, ResolveError> {
    let row = |item: Value| match item {
        Value::Object(map) if !map.is_empty() => map
            .into_iter()
            .map(|(name, value)| Ok((checked_name(expression, name)?, plain(expression, value)?)))
            .collect::<Result<Row, _>>(),
        other => {
            let message = format!("mappings with values are expected, and here is {}", kind_name(&other));
            Err(error(expression, message))
        }
    };
    match value {
        Value::Array(items) => items.into_iter().map(row).collect(),
        other => {
            let message = format!("a list of mappings is expected, and this is {}", kind_name(&other));
            Err(error(expression, message))
        }
    }
}

/// A value becomes part of a stage's key, so it is short and on one line.
fn plain(expression: &str, value: Value) -> Result<Value, ResolveError> {
    let good = match &value {
        Value::String(text) => !text.is_empty() && text.len() <= 100 && !text.chars().any(char::is_control),
        Value::Bool(_) | Value::Number(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    if good {
        return Ok(value);
    }
    let message = match &value {
        Value::String(_) => "a value of a matrix has 1 to 100 characters, on one line".to_owned(),
        other => format!("a value of a matrix is text, a number or a boolean, not {}", kind_name(other)),
    };
    Err(error(expression, message))
}

fn checked_name(expression: &str, name: String) -> Result<String, ResolveError> {
    if is_name(&name) {
        return Ok(name);
    }
    let shown: String = name.chars().take(40).collect();
    Err(error(expression, format!("`{shown}` is no name for a value of a matrix")))
}
