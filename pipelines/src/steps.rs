//! What is decided between the steps of a stage whose expressions are strict.
//!
//! All facts but those of the steps themselves are filled in before a runner has the stage ([`crate::resolve`]), so
//! nothing but [`StepFacts`] is needed here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    context::{ResolveError, StepFacts},
    expressions::{MAX_TEXT, Scope, evaluate, kind_name, parse_filled, to_text},
    plan::{Expressions, StagePlan, Step, Template},
};

/// Whether a step with a condition runs. An expression that does not ask how the steps before ended (`success()`,
/// `failure()`, `always()`, `cancelled()`) implies `success()`.
pub fn step_condition(expression: &str, facts: &StepFacts) -> Result<bool, ResolveError> {
    let error = |message: String| ResolveError { expression: expression.to_owned(), message };
    let parsed = parse_filled(expression).map_err(|fault| error(fault.message))?;
    let scope = Scope::of_steps(facts);
    if !parsed.asks_for_status(Expressions::Strict) && !scope.status("success").map_err(error)? {
        return Ok(false);
    }
    match evaluate(&parsed, &scope).map_err(|fault| error(fault.message))? {
        Value::Bool(holds) => Ok(holds),
        other => Err(error(format!("a condition is true or false, and this is {}", kind_name(&other)))),
    }
}

/// The values of [`Step::late_env`].
pub fn step_env(step: &Step, facts: &StepFacts) -> Result<BTreeMap<String, String>, ResolveError> {
    texts(&step.late_env, facts)
}

/// What a stage hands on, once its steps have ended. None: it names no outputs, so that every output of every step
/// counts.
pub fn stage_outputs(
    stage: &StagePlan,
    facts: &StepFacts,
) -> Result<Option<BTreeMap<String, String>>, ResolveError> {
    if stage.outputs.is_empty() { Ok(None) } else { texts(&stage.outputs, facts).map(Some) }
}

fn texts(
    templates: &BTreeMap<String, Template>,
    facts: &StepFacts,
) -> Result<BTreeMap<String, String>, ResolveError> {
    let text = |(name, template): (&String, &Template)| Ok((name.clone(), text(template.as_str(), facts)?));
    templates.iter().map(text).collect()
}

/// Exactly one `${{ }}`: text that was put in is a literal inside it, and never looked through for another.
fn text(template: &str, facts: &StepFacts) -> Result<String, ResolveError> {
    let error = |message: String| ResolveError { expression: template.to_owned(), message };
    let inner = template.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    let inner = inner.ok_or_else(|| error("this is no single expression".to_owned()))?;
    let parsed = parse_filled(inner).map_err(|fault| error(fault.message))?;
    let value = evaluate(&parsed, &Scope::of_steps(facts)).map_err(|fault| error(fault.message))?;
    let text = to_text(&value);
    if text.len() > MAX_TEXT {
        return Err(error(format!("the text would be longer than {MAX_TEXT} bytes")));
    }
    Ok(text)
}
