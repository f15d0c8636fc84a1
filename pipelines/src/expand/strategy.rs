//! What a strategy comes to: its lists, how many of them run at once, and whether the failure of one stops the others.
//! All of it may be told by expressions, as a whole or in its parts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{error, text_of, value};
use crate::{
    ResolveError,
    matrix::Lists,
    plan::{Expand, Late, MatrixPlan, Pairs},
};

/// A strategy with all its expressions evaluated.
pub(super) struct Told {
    /// None: there is no matrix.
    pub(super) lists: Option<Lists>,
    pub(super) fail_fast: bool,
    pub(super) max_parallel: Option<u32>,
}

/// What a stage's strategy comes to.
pub(super) fn told(open: &Expand, contexts: &BTreeMap<String, Value>) -> Result<Told, ResolveError> {
    if let Some(template) = &open.strategy {
        return whole_strategy(&template.0, value(&template.0, contexts)?);
    }
    Ok(Told {
        lists: open.matrix.as_ref().map(|matrix| lists(matrix, contexts)).transpose()?,
        fail_fast: known_bool(open.fail_fast.as_ref(), contexts)?.unwrap_or(true),
        max_parallel: most(known_number(open.max_parallel.as_ref(), contexts)?),
    })
}

/// A strategy that one expression told. Nothing is no strategy.
fn whole_strategy(template: &str, value: Value) -> Result<Told, ResolveError> {
    let mut told = Told { lists: None, fail_fast: true, max_parallel: None };
    let map = match value {
        Value::Null => return Ok(told),
        Value::Object(map) => map,
        _ => return Err(error(template, "this is to be a strategy, a mapping, and it is not".to_owned())),
    };
    for (name, part) in map {
        match name.as_str() {
            "matrix" if part.is_null() => {}
            "matrix" => told.lists = Some(lists_of(template, part)?),
            "fail-fast" => told.fail_fast = bool_of(template, part)?.unwrap_or(true),
            "max-parallel" => told.max_parallel = most(number_of(template, &part)?),
            _ => return Err(error(template, format!("a strategy has no `{}`", text_of(&name.into())))),
        }
    }
    Ok(told)
}

fn most(number: Option<f64>) -> Option<u32> {
    number.and_then(whole).filter(|most| *most > 0)
}

fn lists(matrix: &Late<MatrixPlan>, contexts: &BTreeMap<String, Value>) -> Result<Lists, ResolveError> {
    let plan = match matrix {
        Late::Known(plan) => plan,
        Late::Told(template) => return lists_of(&template.0, value(&template.0, contexts)?),
    };
    let mut lists = Lists::default();
    for (name, axis) in &plan.axes {
        let values = match axis {
            Late::Known(values) => deep_all(values, contexts)?,
            Late::Told(template) => list_of(&template.0, name, value(&template.0, contexts)?)?,
        };
        lists.axes.push((name.clone(), values));
    }
    lists.include = filters(plan.include.as_ref(), "include", contexts)?;
    lists.exclude = filters(plan.exclude.as_ref(), "exclude", contexts)?;
    Ok(lists)
}

fn filters(
    filters: Option<&Late<Vec<Late<Pairs>>>>,
    name: &str,
    contexts: &BTreeMap<String, Value>,
) -> Result<Vec<Pairs>, ResolveError> {
    match filters {
        None => Ok(Vec::new()),
        Some(Late::Known(list)) => list
            .iter()
            .map(|item| match item {
                Late::Known(pairs) => {
                    pairs.iter().map(|(name, part)| Ok((name.clone(), deep(part, contexts)?))).collect()
                }
                Late::Told(template) => pairs_of(&template.0, name, value(&template.0, contexts)?),
            })
            .collect(),
        Some(Late::Told(template)) => list_of(&template.0, name, value(&template.0, contexts)?)?
            .into_iter()
            .map(|item| pairs_of(&template.0, name, item))
            .collect(),
    }
}

/// A whole matrix that an expression told.
fn lists_of(template: &str, value: Value) -> Result<Lists, ResolveError> {
    let Value::Object(map) = value else {
        return Err(error(template, "this is to be a matrix, a mapping of lists, and it is not".to_owned()));
    };
    let mut lists = Lists::default();
    for (name, part) in map {
        match name.as_str() {
            "include" | "exclude" => {
                let items = list_of(template, &name, part)?.into_iter();
                let pairs = items.map(|item| pairs_of(template, &name, item)).collect::<Result<_, _>>()?;
                if name == "include" { lists.include = pairs } else { lists.exclude = pairs }
            }
            _ => {
                let values = list_of(template, &name, part)?;
                lists.axes.push((name, values));
            }
        }
    }
    Ok(lists)
}

fn list_of(template: &str, name: &str, value: Value) -> Result<Vec<Value>, ResolveError> {
    match value {
        Value::Array(list) => Ok(list),
        _ => Err(error(template, format!("`{name}` is to be a list, and it is not"))),
    }
}

fn pairs_of(template: &str, name: &str, value: Value) -> Result<Pairs, ResolveError> {
    match value {
        Value::Object(map) => Ok(map.into_iter().collect()),
        _ => Err(error(template, format!("`{name}` is to be a list of mappings, and it is not"))),
    }
}

fn deep_all(values: &[Value], contexts: &BTreeMap<String, Value>) -> Result<Vec<Value>, ResolveError> {
    values.iter().map(|part| deep(part, contexts)).collect()
}

/// A value with all templates in it filled in.
fn deep(part: &Value, contexts: &BTreeMap<String, Value>) -> Result<Value, ResolveError> {
    match part {
        Value::String(template) if template.contains("${{") => value(template, contexts),
        Value::Array(list) => deep_all(list, contexts).map(Value::Array),
        Value::Object(map) => map
            .iter()
            .map(|(key, part)| Ok((key.clone(), deep(part, contexts)?)))
            .collect::<Result<serde_json::Map<_, _>, _>>()
            .map(Value::Object),
        plain => Ok(plain.clone()),
    }
}

pub(super) fn known_bool(
    late: Option<&Late<bool>>,
    contexts: &BTreeMap<String, Value>,
) -> Result<Option<bool>, ResolveError> {
    match late {
        None => Ok(None),
        Some(Late::Known(known)) => Ok(Some(*known)),
        Some(Late::Told(template)) => bool_of(&template.0, value(&template.0, contexts)?),
    }
}

pub(super) fn known_number(
    late: Option<&Late<f64>>,
    contexts: &BTreeMap<String, Value>,
) -> Result<Option<f64>, ResolveError> {
    match late {
        None => Ok(None),
        Some(Late::Known(known)) => Ok(Some(*known)),
        Some(Late::Told(template)) => number_of(&template.0, &value(&template.0, contexts)?),
    }
}

fn bool_of(template: &str, told: Value) -> Result<Option<bool>, ResolveError> {
    match told {
        Value::Bool(told) => Ok(Some(told)),
        Value::String(told) if told == "true" || told == "false" => Ok(Some(told == "true")),
        Value::Null => Ok(None),
        other => Err(error(template, format!("this is to be `true` or `false`, and it is {other}"))),
    }
}

fn number_of(template: &str, told: &Value) -> Result<Option<f64>, ResolveError> {
    let number = match told {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    };
    let wrong = || error(template, format!("this is to be a number, and it is {told}"));
    number.ok_or_else(wrong).map(Some)
}

fn whole(number: f64) -> Option<u32> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked in the condition")]
    ((0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u32)
}
