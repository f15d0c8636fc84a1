//! The strict rules.
//!
//! Types are kept apart: text is not a number because it looks like one, and a condition is true or false, not
//! "something". Where two types do not go together the fault says so and how to convert. The one lenient value
//! is null, which stands for a fact that the event does not have (the branch of a tag): it equals nothing but
//! null, its properties are null, and a template writes it as nothing.

use serde_json::Value;

use super::{
    Comparison, Expression, Fault, Kind, Literal, Logic, Scope,
    evaluate::{Arguments, Rules, value_of},
    functions, json_number,
};

/// The value of a strict expression.
pub(crate) fn evaluate(expression: &Expression, scope: &Scope<'_>) -> Result<Value, Fault> {
    value_of(expression, scope)
}

impl Rules for Scope<'_> {
    type Value = Value;

    fn literal(&self, literal: &Literal) -> Value {
        match literal {
            Literal::Null => Value::Null,
            Literal::Bool(value) => Value::Bool(*value),
            Literal::Number(number) => json_number(*number),
            Literal::Text(text) => Value::String(text.clone()),
        }
    }

    fn context(&self, name: &str) -> Result<Value, String> {
        self.whole(name)
    }

    fn member(&self, base: Value, name: &str, of: &Expression) -> Result<Value, String> {
        self.property(&base, name, is_about_stages(of))
    }

    fn filter(&self, _base: Value) -> Result<Value, String> {
        Err("`*` has no meaning in an expression".to_owned())
    }

    fn element(&self, base: Value, index: &Value, of: &Expression) -> Result<Value, String> {
        match (&base, index) {
            (Value::Array(list), Value::Number(number)) => {
                let at = number.as_u64().and_then(|at| usize::try_from(at).ok());
                Ok(at.and_then(|at| list.get(at)).cloned().unwrap_or(Value::Null))
            }
            (Value::Object(_) | Value::Null, Value::String(name)) => {
                self.property(&base, name, is_about_stages(of))
            }
            (base, index) => Err(format!("{} has no element by {}", kind_name(base), kind_name(index))),
        }
    }

    fn not(&self, value: &Value) -> Result<bool, String> {
        match value {
            Value::Bool(value) => Ok(!value),
            other => Err(format!("`!` needs true or false, not {}", kind_name(other))),
        }
    }

    fn decides(&self, logic: Logic, value: &Value) -> Result<bool, String> {
        match (logic, value) {
            (Logic::Or, Value::Null | Value::Bool(false)) => Ok(false),
            (Logic::Or, Value::String(text)) => Ok(!text.is_empty()),
            (Logic::Or, _) => Ok(true),
            (Logic::And, Value::Bool(value)) => Ok(!value),
            (Logic::And, other) => {
                Err(format!("`&&` needs true or false on its left, not {}", kind_name(other)))
            }
        }
    }

    fn compare(&self, operator: Comparison, left: &Value, right: &Value) -> Result<bool, String> {
        match operator {
            Comparison::Equal => equal(left, right),
            Comparison::NotEqual => equal(left, right).map(|same| !same),
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
                    Comparison::Less => a < b,
                    Comparison::LessOrEqual => a <= b,
                    Comparison::Greater => a > b,
                    _ => a >= b,
                })
            }
        }
    }

    fn call(&self, name: &str, arguments: &Arguments<'_, Self>) -> Result<Value, Fault> {
        if functions::is_status(name) {
            return self.status(name).map(Value::Bool).map_err(|message| arguments.fault(message));
        }
        functions::call(name, &arguments.all()?).map_err(|message| arguments.fault(message))
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
