//! Inputs of manual runs, typed and complete.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    InputKind, InputSpec,
    event::Event,
    expand::text_of,
    nearest::{did_you_mean, listed},
};

/// Every declared input: as given, else its default, else what its type has for nothing. Or what is wrong with those
/// given, in one sentence.
pub(super) fn manual(declared: &[InputSpec], event: &Event) -> Result<BTreeMap<String, Value>, String> {
    let given = |name: &str| {
        let found = event.inputs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    };
    let mut values = BTreeMap::new();
    for input in declared {
        let value = match given(&input.name) {
            Some(value) => accepted(input, value)?,
            None if input.default.is_some() => {
                let default = input.default.as_ref().map_or(Value::Null, Clone::clone);
                accepted(input, &default)?
            }
            None if input.required => return Err(format!("the input `{}` is required", input.name)),
            None => nothing(input.kind),
        };
        values.insert(input.name.clone(), value);
    }
    let known = |name: &str| declared.iter().any(|input| input.name.eq_ignore_ascii_case(name));
    if let Some(unknown) = event.inputs.keys().find(|name| !known(name)) {
        let names = declared.iter().map(|input| input.name.as_str());
        let hint =
            did_you_mean(unknown, names.clone()).unwrap_or_else(|| format!("it has {}", listed(names)));
        return Err(format!("the workflow has no input `{unknown}`; {hint}"));
    }
    Ok(values)
}

/// What an input is that nobody gave.
pub(super) fn nothing(kind: InputKind) -> Value {
    match kind {
        InputKind::Boolean => json!(false),
        InputKind::Number => json!(0),
        InputKind::String | InputKind::Choice | InputKind::Environment => json!(""),
    }
}

fn accepted(input: &InputSpec, value: &Value) -> Result<Value, String> {
    let value = converted(input.kind, value)
        .map_err(|wanted| format!("the input `{}` is {wanted}, and {value} is not", input.name))?;
    let text = value.as_str().unwrap_or_default();
    if input.kind == InputKind::Choice && !input.choices.iter().any(|choice| choice == text) {
        let choices = listed(input.choices.iter().map(String::as_str));
        return Err(format!("the input `{}` is one of {choices}, not `{text}`", input.name));
    }
    Ok(value)
}

/// A value in an input's type, or what it should have been. Forms, templates and command lines give text.
pub(crate) fn converted(kind: InputKind, value: &Value) -> Result<Value, &'static str> {
    match (kind, value) {
        (InputKind::Boolean, Value::Bool(_)) | (InputKind::Number, Value::Number(_)) => Ok(value.clone()),
        (InputKind::Boolean, Value::String(text)) if text == "true" || text == "false" => {
            Ok(json!(text == "true"))
        }
        (InputKind::Boolean, _) => Err("`true` or `false`"),
        (InputKind::Number, Value::String(text)) => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(crate::expressions::json_number(number)),
            _ => Err("a number"),
        },
        (InputKind::Number, _) => Err("a number"),
        (_, Value::Array(_) | Value::Object(_)) => Err("text"),
        (_, plain) => Ok(Value::String(text_of(plain))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_converted_into_the_type() {
        assert_eq!(converted(InputKind::Boolean, &json!("true")), Ok(json!(true)));
        assert_eq!(converted(InputKind::Number, &json!("2")), Ok(json!(2)));
        assert_eq!(converted(InputKind::String, &json!(3.5)), Ok(json!("3.5")));
        assert!(converted(InputKind::Boolean, &json!("yes")).is_err());
        assert!(converted(InputKind::Number, &json!("x")).is_err());
        assert!(converted(InputKind::String, &json!([])).is_err());
    }
}
