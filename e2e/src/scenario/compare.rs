//! What was expected beside what came about. Pure.

use serde_json::{Map, Value};

/// What differs, a line each. Only the keys that are expected are looked at, but for `runs` and `stages`, of which all
/// must be expected, so that nothing runs that nobody asked for.
pub fn differences(expected: &Value, observed: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look("", "", expected, observed, &mut found);
    found
}

/// `key`: the last part of `at`.
fn look(at: &str, key: &str, expected: &Value, observed: &Value, found: &mut Vec<String>) {
    match (key, expected, observed) {
        ("log", Value::Array(lines), Value::String(log)) => in_order(at, lines, log, found),
        ("log_lacks", Value::Array(parts), Value::String(log)) => {
            for part in parts.iter().filter_map(Value::as_str).filter(|part| log.contains(part)) {
                found.push(format!("{at}: `{part}` is in\n{}", indented(log)));
            }
        }
        (_, Value::Object(wanted), Value::String(text)) if part(wanted).is_some() => {
            if !fits(expected, text) {
                found.push(format!("{at}: {expected} does not fit {observed}"));
            }
        }
        (_, Value::Object(wanted), Value::Object(there)) => {
            for (name, value) in wanted {
                let place = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                if untold(there).any(|untold| untold == name) {
                    continue;
                }
                // What a log lacks is asked of the log.
                let source = if name == "log_lacks" { "log" } else { name };
                match there.get(source) {
                    Some(one) => look(&place, name, value, one, found),
                    None if value.is_null() => {}
                    None => found.push(format!("{place}: expected {value}, there is {}", names(there))),
                }
            }
            let whole = matches!(key, "stages" | "left_out");
            for name in there.keys().filter(|name| whole && !wanted.contains_key(*name)) {
                found.push(format!("{at}: nothing is expected of `{name}`"));
            }
        }
        (_, Value::Array(wanted), Value::Array(there)) => {
            if wanted.len() != there.len() {
                found.push(format!(
                    "{at}: expected {} of them, there are {}: {observed}",
                    wanted.len(),
                    there.len()
                ));
            }
            for (index, (value, one)) in wanted.iter().zip(there).enumerate() {
                look(&format!("{at}[{index}]"), "", value, one, found);
            }
        }
        _ if expected == observed => {}
        _ => found.push(format!("{at}: expected {expected}, got {observed}")),
    }
}

/// Keys that whoever carried it out has no word for: `untold` in what came about.
fn untold(there: &Map<String, Value>) -> impl Iterator<Item = &str> {
    there.get("untold").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The lines must be there, in this order; others may stand between them.
fn in_order(at: &str, lines: &[Value], log: &str, found: &mut Vec<String>) {
    let mut rest = log.lines();
    for wanted in lines {
        if !rest.any(|line| fits(wanted, line)) {
            found.push(format!("{at}: no line {wanted}, or not in this order, in\n{}", indented(log)));
            return;
        }
    }
}

/// `{"contains": "…"}` in place of a text: only a part of it.
fn part(wanted: &Map<String, Value>) -> Option<&str> {
    if wanted.len() == 1 { wanted.get("contains")?.as_str() } else { None }
}

fn fits(wanted: &Value, text: &str) -> bool {
    match wanted {
        Value::String(whole) => whole == text,
        Value::Object(map) => part(map).is_some_and(|part| text.contains(part)),
        _ => false,
    }
}

fn names(there: &Map<String, Value>) -> String {
    if there.is_empty() {
        return "nothing".to_owned();
    }
    there.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("      | {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_expected_is_looked_at() {
        let observed = json!({"runs": [{"status": "failed", "reason": "`a` failed", "stages": {
            "a": {"status": "failed", "steps": {"s": {"log": "one\ntwo\nthree\n"}}}}}]});
        let same = |stage: Value| differences(&json!({"runs": [{"stages": {"a": stage}}]}), &observed);
        for fits in [
            json!({}),
            json!({"status": "failed", "outputs": null}),
            json!({"status": {"contains": "ail"}}),
            json!({"steps": {"s": {"log": ["one", {"contains": "hre"}], "log_lacks": ["four"]}}}),
        ] {
            assert_eq!(same(fits.clone()), Vec::<String>::new(), "{fits}");
        }
        for differs in [
            json!({"status": "succeeded"}),
            json!({"outputs": {}}),
            json!({"steps": {"t": {}}}),
            json!({"steps": {"s": {"log": ["two", "one"]}}}),
            json!({"steps": {"s": {"log": ["on"]}}}),
            json!({"steps": {"s": {"log_lacks": ["thr"]}}}),
        ] {
            assert_eq!(same(differs.clone()).len(), 1, "{differs}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_asked() {
        let observed = json!({"runs": [{"untold": ["title"], "status": "failed"}]});
        assert_eq!(differences(&json!({"runs": [{"title": "x"}]}), &observed), Vec::<String>::new());
        assert_eq!(differences(&json!({"runs": [{"reason": "x"}]}), &observed).len(), 1);
    }

    #[test]
    fn all_runs_and_stages_must_be_expected() {
        let observed = json!({"runs": [{"stages": {"a": {}, "b": {}}}, {"stages": {}}]});
        assert_eq!(differences(&json!({"runs": [{"stages": {"a": {}}}, {}]}), &observed).len(), 1);
        assert_eq!(differences(&json!({"runs": [{}]}), &observed).len(), 1);
        assert_eq!(differences(&json!({"runs": [{}, {}]}), &observed), Vec::<String>::new());
    }
}
