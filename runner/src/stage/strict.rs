//! What steps with strict expressions see of the ones before them.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_pipelines::{StepFacts, StepResult, lenient::Status};

/// The facts, from what was noted of each step (`steps.<id>.outcome` and `.outputs`).
pub(super) fn facts(contexts: &BTreeMap<String, Value>, status: Status) -> StepFacts {
    let noted = contexts.get("steps").and_then(Value::as_object);
    let steps = noted.into_iter().flatten().map(|(id, step)| (id.clone(), result(step))).collect();
    StepFacts { steps, failed: status == Status::Failure, cancelled: status == Status::Cancelled }
}

fn result(step: &Value) -> StepResult {
    let outcome = match step.get("outcome").and_then(Value::as_str) {
        Some("success") => "succeeded",
        Some("skipped") => "skipped",
        Some("cancelled") => "cancelled",
        _ => "failed",
    };
    let outputs = step.get("outputs").and_then(Value::as_object).into_iter().flatten();
    let outputs = outputs.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), text)
    });
    StepResult { outcome: outcome.to_owned(), outputs: outputs.collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_are_told_in_the_words_of_strict_expressions() {
        let steps = json!({
            "a": { "outcome": "success", "conclusion": "success", "outputs": { "x": "1" } },
            "b": { "outcome": "failure", "conclusion": "success", "outputs": {} },
        });
        let facts = facts(&BTreeMap::from([("steps".to_owned(), steps)]), Status::Failure);
        assert_eq!((facts.failed, facts.cancelled), (true, false));
        assert_eq!(facts.steps["a"].outcome, "succeeded");
        assert_eq!(facts.steps["a"].outputs["x"], "1");
        assert_eq!(facts.steps["b"].outcome, "failed");
    }
}
