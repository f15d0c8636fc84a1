//! What a call gives to the workflow that it calls.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    actions::{
        calls::{self, Called},
        inputs, seam,
    },
    codes,
    diagnostic::Problems,
    expand,
    plan::CallInput,
    yaml::{Entry, Node},
};

/// Inputs by name, in the order of their declarations.
pub(super) type Inputs = Vec<(String, CallInput)>;

/// All inputs that the called file declares: as given, else their defaults. What can be told now is told now; `outer`
/// are the contexts of the call, as far as they are known.
pub(super) fn inputs(
    call: &Node,
    called: &Called,
    outer: &BTreeMap<String, Value>,
    problems: &mut Problems<'_>,
) -> Option<Inputs> {
    let declared = called.trigger().and_then(|trigger| trigger.get("inputs"));
    let given = call.get("with").map_or(&[][..], Node::entries);
    let mut all: Inputs = Vec::new();
    for Entry { key, value: declaration } in declared.map_or(&[][..], Node::entries) {
        let kind = calls::kind(declaration);
        let own = given.iter().find(|entry| entry.key.value.eq_ignore_ascii_case(&key.value));
        let (value, by_default) = match (own, declaration.get("default")) {
            (Some(entry), _) => (entry.value.json(), false),
            (None, Some(default)) => (default.json(), true),
            (None, None) => (inputs::nothing(kind), true),
        };
        let told = match by_default {
            // A default is read in the called file, which has the inputs before it.
            true => {
                let mut inner = outer.clone();
                inner.remove("inputs");
                if !all.iter().any(|(_, input)| is_open(&input.value)) {
                    let before: Map<String, Value> =
                        all.iter().map(|(name, input)| (name.clone(), input.value.clone())).collect();
                    inner.insert("inputs".to_owned(), before.into());
                }
                tell(value, &inner)
            }
            false => tell(value, outer),
        };
        let told = told.and_then(|value| match is_open(&value) {
            true => Ok(value),
            false => inputs::converted(kind, &value)
                .map_err(|wanted| format!("the input `{}` is {wanted}, and {value} is not", key.value)),
        });
        match told {
            Ok(value) => all.push((key.value.clone(), CallInput { value, kind, by_default })),
            Err(message) => {
                let place = own.map_or(call.place, |entry| entry.value.place);
                problems.report(codes::CALL_INPUT, place, message);
                return None;
            }
        }
    }
    Some(all)
}

/// The value of a template that can be evaluated; any other as it is.
fn tell(value: Value, contexts: &BTreeMap<String, Value>) -> Result<Value, String> {
    let known = |context: &str| contexts.contains_key(context);
    match &value {
        Value::String(text) if seam::holds_expression(text) && seam::reads_only(text, known) => {
            let told = expand::value(text, contexts).map_err(|error| error.to_string())?;
            Ok(match told {
                Value::String(text) => seam::quoted(&text).0.into(),
                other => other,
            })
        }
        _ => Ok(value),
    }
}

/// Whether a value is a template that is still to be evaluated.
pub(super) fn is_open(value: &Value) -> bool {
    value.as_str().is_some_and(seam::holds_expression)
}
