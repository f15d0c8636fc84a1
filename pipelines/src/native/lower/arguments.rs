//! What a template is given: every input that it declares, as an expression of whoever uses it.

use serde_json::Value;

use crate::{
    InputKind, codes,
    diagnostic::{Place, Spanned},
    expressions::{expression_of, holds_expression, literal},
    native::{
        file::Input,
        reader::{Fields, Reader, Role},
    },
    nearest::{did_you_mean, listed},
    yaml::{Kind, Node},
};

/// The values under `with`: the name, and the node with its text.
pub(super) fn given(r: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Vec<(Spanned<String>, Node)> {
    let Some(node) = fields.get("with") else { return Vec::new() };
    let entries = r.entries(node, "a mapping from names of inputs to values");
    for entry in entries {
        if let Kind::Scalar(scalar) = &entry.value.kind {
            r.note(&Spanned::new(scalar.text.clone(), entry.value.place), Role::Argument);
        }
    }
    entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
}

/// Every declared input as an expression of whoever uses the template: as given, else its default, else null.
pub(super) fn arguments(
    r: &mut Reader<'_, '_>,
    inputs: &[Input],
    given: Vec<(Spanned<String>, Node)>,
    place: Place,
) -> Vec<(String, Spanned<String>)> {
    for (name, _) in given.iter().filter(|(name, _)| !inputs.iter().any(|one| one.name.value == name.value)) {
        let known = inputs.iter().map(|input| input.name.value.as_str());
        let help = did_you_mean(&name.value, known.clone())
            .unwrap_or_else(|| format!("its inputs are {}", listed(known)));
        let message = format!("the template has no input `{}`", name.value);
        r.problems.report(codes::TEMPLATE_INPUT, name.place, message).help(help);
    }
    let mut list = Vec::new();
    for input in inputs {
        let name = &input.name.value;
        let value = match given.iter().find(|(given, _)| given.value == *name) {
            Some((_, node)) => argument(r, input, node),
            None if input.default.is_some() => {
                input.default.as_ref().map(|default| Spanned::new(literal(&default.value), default.place))
            }
            None if input.required => {
                let message = format!("the template requires the input `{name}`");
                let report = r.problems.report(codes::TEMPLATE_INPUT, place, message);
                report.related(input.name.place, "declared here").help("give it under `with`");
                None
            }
            None => None,
        };
        let value = value.unwrap_or_else(|| Spanned::new("null".to_owned(), place));
        list.push((name.clone(), value));
    }
    list
}

/// One value as an expression. Text with `${{ }}` beside other text is text.
fn argument(r: &mut Reader<'_, '_>, input: &Input, node: &Node) -> Option<Spanned<String>> {
    let Kind::Scalar(scalar) = &node.kind else {
        r.wrong_type(node, "a plain value");
        return None;
    };
    if holds_expression(&scalar.text) {
        // What cannot be read is reported where all expressions are checked.
        return expression_of(&scalar.text).ok().map(|text| Spanned::new(text, node.place));
    }
    let (value, expected) = match input.kind {
        InputKind::Boolean => (scalar.boolean().map(Value::Bool), "`true` or `false`"),
        InputKind::Number => {
            let number = scalar.text.parse::<f64>().ok().filter(|number| scalar.plain && number.is_finite());
            (number.map(crate::expressions::json_number), "a number")
        }
        InputKind::Choice if !input.choices.iter().any(|choice| choice.value == scalar.text) => {
            let choices = input.choices.iter().map(|choice| choice.value.as_str());
            let message = format!("the input `{}` is one of {}", input.name.value, listed(choices.clone()));
            let report = r.problems.report(codes::TEMPLATE_INPUT, node.place, message);
            report.related(input.name.place, "declared here").maybe_help(did_you_mean(&scalar.text, choices));
            return None;
        }
        _ => (Some(Value::String(scalar.text.clone())), "text"),
    };
    if value.is_none() {
        let message = format!("the input `{}` is {expected}, found `{}`", input.name.value, scalar.text);
        let report = r.problems.report(codes::TEMPLATE_INPUT, node.place, message);
        report.related(input.name.place, "declared here");
    }
    value.map(|value| Spanned::new(literal(&value), node.place))
}
