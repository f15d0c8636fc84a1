//! Puts values into an expression, so that whoever evaluates it later needs fewer facts.
//!
//! The largest parts that are known now are evaluated and written back as literals; what is known only later stays
//! as it is. A value becomes a literal of the language, never text of an expression, so nothing that others may
//! choose is ever read as one.

use serde_json::Value;

use super::{Expression, Fault, MAX_TEXT, Part, Scope, evaluate, parse, split};
use crate::diagnostic::Place;

/// The most values that `format` takes beside its pattern.
const FORMAT_VALUES: usize = 19;

/// The expression with everything filled in that is known before the stage's first step.
pub(crate) fn fold(text: &str, scope: &Scope<'_>) -> Result<String, Fault> {
    let expression = parse(text)?;
    let mut changes = Vec::new();
    collect(&expression, scope, &mut changes)?;
    let folded = replaced(text, changes);
    if folded.len() > MAX_TEXT {
        let message = format!("with its values the expression would be longer than {MAX_TEXT} bytes");
        return Err(Fault::evaluation(Place::new(0, text.len()), message));
    }
    Ok(folded)
}

fn collect(
    expression: &Expression,
    scope: &Scope<'_>,
    changes: &mut Vec<(Place, String)>,
) -> Result<(), Fault> {
    if !expression.is_late() {
        changes.push((expression.place, literal(&evaluate(expression, scope)?)));
        return Ok(());
    }
    expression.parts().into_iter().try_for_each(|part| collect(part, scope, changes))
}

/// The text with each place replaced; places do not overlap.
pub(crate) fn replaced(text: &str, mut changes: Vec<(Place, String)>) -> String {
    changes.sort_by_key(|(place, _)| place.start);
    let mut out = String::new();
    let mut at = 0;
    for (place, by) in changes {
        out.push_str(text.get(at..place.start).unwrap_or_default());
        out.push_str(&by);
        at = place.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Text as it is written in an expression.
pub(crate) fn literal_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value as it is written in an expression.
pub(crate) fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => literal_text(text),
        Value::Array(_) | Value::Object(_) => format!("fromJSON({})", literal_text(&value.to_string())),
        plain => plain.to_string(),
    }
}

/// One expression that gives the text of a template.
pub(crate) fn expression_of(template: &str) -> Result<String, Fault> {
    let parts = split(template)?;
    if let [Part::Expression(range)] = parts.as_slice() {
        return Ok(template[range.clone()].trim().to_owned());
    }
    let expressions =
        |parts: &[Part]| parts.iter().filter(|part| matches!(part, Part::Expression(_))).count();
    if expressions(&parts) == 0 {
        return Ok(literal(&Value::String(template.to_owned())));
    }
    // Pieces with few enough expressions for one `format` each.
    let mut pieces: Vec<Vec<Part>> = vec![Vec::new()];
    for part in parts {
        if pieces.last().is_some_and(|piece| expressions(piece) == FORMAT_VALUES) {
            pieces.push(Vec::new());
        }
        if let Some(last) = pieces.last_mut() {
            last.push(part);
        }
    }
    let mut pieces: Vec<String> = pieces.iter().map(|piece| format_of(template, piece)).collect();
    while pieces.len() > 1 {
        pieces = pieces.chunks(FORMAT_VALUES).map(concatenation).collect();
    }
    Ok(pieces.pop().unwrap_or_default())
}

fn concatenation(pieces: &[String]) -> String {
    let pattern: String = (0..pieces.len()).map(|index| format!("{{{index}}}")).collect();
    format!("format('{pattern}', {})", pieces.join(", "))
}

fn format_of(template: &str, parts: &[Part]) -> String {
    let mut pattern = String::new();
    let mut values = String::new();
    let mut count = 0;
    for part in parts {
        match part {
            Part::Text(range) => {
                let text = template[range.clone()].replace('{', "{{").replace('}', "}}");
                pattern.push_str(&text.replace('\'', "''"));
            }
            Part::Expression(range) => {
                pattern.push_str(&format!("{{{count}}}"));
                values.push_str(", ");
                values.push_str(template[range.clone()].trim());
                count += 1;
            }
        }
    }
    format!("format('{pattern}'{values})")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{StepFacts, StepResult, expressions::to_text};

    fn facts() -> StepFacts {
        let outputs = [("x".to_owned(), "it's {1}".to_owned())].into();
        let result = StepResult { outcome: "succeeded".to_owned(), outputs };
        StepFacts { steps: [("a".to_owned(), result)].into(), failed: false, cancelled: false }
    }

    #[test]
    fn a_template_is_one_expression() {
        let facts = facts();
        let many = "${{ steps.a.outcome }},".repeat(45);
        for (template, expected) in [
            ("plain 'text' {0}", "plain 'text' {0}".to_owned()),
            ("${{ steps.a.outputs.x }}", "it's {1}".to_owned()),
            ("{0} it's ${{ steps.a.outcome }} }${{ 1 }}", "{0} it's succeeded }1".to_owned()),
            (many.as_str(), "succeeded,".repeat(45)),
        ] {
            let expression = expression_of(template).unwrap();
            let value = evaluate(&parse(&expression).unwrap(), &Scope::of_steps(&facts)).unwrap();
            assert_eq!(to_text(&value), expected, "{expression}");
        }
        assert!(expression_of("${{ x").is_err());
    }

    #[test]
    fn literals_read_back_as_they_were() {
        let facts = facts();
        for value in [json!(null), json!(true), json!(-1.5), json!("it's ${{ x }}"), json!({"a": ["'"]})] {
            let expression = parse(&literal(&value)).unwrap();
            assert_eq!(evaluate(&expression, &Scope::of_steps(&facts)).unwrap(), value);
        }
    }

    #[test]
    fn changes_leave_the_rest() {
        let change = |start, end, by: &str| (Place::new(start, end), by.to_owned());
        assert_eq!(replaced("abcdef", vec![change(4, 6, "x"), change(0, 1, "yy")]), "yybcdx");
    }
}
