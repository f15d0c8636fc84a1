//! Expressions to values.
//!
//! Types are kept apart: text is not a number because it looks like one, and a condition is true or false, not
//! "something". Where two types do not go together the fault says so and how to convert. The one lenient value
//! is null, which stands for a fact that the event does not have (the branch of a tag): it equals nothing but
//! null, its properties are null, and a template writes it as nothing.

use serde_json::Value;

use super::{Expression, Fault, Kind, Operator, Scope, functions};

/// The value of an expression.
pub(crate) fn evaluate(expression: &Expression, scope: &Scope<'_>) -> Result<Value, Fault> {
    let fault = |message| Fault::new(expression.place, message);
    match &expression.kind {
        Kind::Literal(value) => Ok(value.clone()),
        Kind::Name(name) => scope.context(name).map_err(fault),
        Kind::Member(base, name) => {
            let found = evaluate(base, scope)?;
            let of_stages = is_about_stages(base);
            scope.property(&found, &name.value, of_stages).map_err(|message| Fault::new(name.place, message))
        }
        Kind::Index(base, index) => {
            let found = evaluate(base, scope)?;
            let index = evaluate(index, scope)?;
            element(&found, &index, is_about_stages(base), scope).map_err(fault)
        }
        Kind::Call(name, _) if functions::is_status(&name.value) => {
            scope.status(&name.value).map(Value::Bool).map_err(fault)
        }
        Kind::Call(name, arguments) => {
            let values =
                arguments.iter().map(|argument| evaluate(argument, scope)).collect::<Result<Vec<_>, _>>()?;
            functions::call(&name.value, &values).map_err(fault)
        }
        Kind::Not(inner) => match evaluate(inner, scope)? {
            Value::Bool(value) => Ok(Value::Bool(!value)),
            other => Err(fault(format!("`!` needs true or false, not {}", kind_name(&other)))),
        },
        Kind::Binary(operator, left, right) => {
            let left_value = evaluate(left, scope)?;
            // The right side of `&&` and `||` is not looked at when the left side decides.
            match (operator, &left_value) {
                (Operator::Or, Value::Null | Value::Bool(false)) => evaluate(right, scope),
                (Operator::Or, Value::String(text)) if text.is_empty() => evaluate(right, scope),
                (Operator::Or, _) => Ok(left_value),
                (Operator::And, Value::Bool(true)) => evaluate(right, scope),
                (Operator::And, Value::Bool(false)) => Ok(left_value),
                (Operator::And, other) => {
                    let message = format!("`&&` needs true or false on its left, not {}", kind_name(other));
                    Err(Fault::new(left.place, message))
                }
                _ => {
                    compare(*operator, &left_value, &evaluate(right, scope)?).map(Value::Bool).map_err(fault)
                }
            }
        }
    }
}

/// Whether a value was read from `stages`, where a name that is not there is probably a mistake.
fn is_about_stages(expression: &Expression) -> bool {
    match &expression.kind {
        Kind::Name(name) => name == "stages",
        Kind::Member(base, _) | Kind::Index(base, _) => is_about_stages(base),
        _ => false,
    }
}

fn element(base: &Value, index: &Value, of_stages: bool, scope: &Scope<'_>) -> Result<Value, String> {
    match (base, index) {
        (Value::Array(list), Value::Number(number)) => {
            let at = number.as_u64().and_then(|at| usize::try_from(at).ok());
            Ok(at.and_then(|at| list.get(at)).cloned().unwrap_or(Value::Null))
        }
        (Value::Object(_) | Value::Null, Value::String(name)) => scope.property(base, name, of_stages),
        (base, index) => Err(format!("{} has no element by {}", kind_name(base), kind_name(index))),
    }
}

fn compare(operator: Operator, left: &Value, right: &Value) -> Result<bool, String> {
    match operator {
        Operator::Equal => equal(left, right),
        Operator::NotEqual => equal(left, right).map(|same| !same),
        _ => {
            let (Value::Number(a), Value::Number(b)) = (left, right) else {
                return Err(format!(
                    "`{}` compares numbers, not {} with {}; `fromJSON` makes a number of text",
                    operator.sign(),
                    kind_name(left),
                    kind_name(right)
                ));
            };
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            Ok(match operator {
                Operator::Less => a < b,
                Operator::LessOrEqual => a <= b,
                Operator::Greater => a > b,
                _ => a >= b,
            })
        }
    }
}

fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(left.is_null() && right.is_null()),
        (Value::Number(a), Value::Number(b)) => Ok(a.as_f64() == b.as_f64()),
        _ if std::mem::discriminant(left) == std::mem::discriminant(right) => Ok(left == right),
        _ => Err(format!(
            "{} ({}) is never equal to {} ({}); write both in one type",
            kind_name(left),
            shown(left),
            kind_name(right),
            shown(right)
        )),
    }
}

/// The name of a value's type, for messages.
pub(crate) fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The value as a template writes it.
pub(crate) fn to_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value in a message, not too long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 { text } else { text.chars().take(39).chain(['…']).collect() }
}
