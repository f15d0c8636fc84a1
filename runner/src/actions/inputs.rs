//! What an action is given.

use std::collections::BTreeMap;

/// The variable that carries an input.
pub fn variable(input: &str) -> String {
    format!("INPUT_{}", input.replace(' ', "_").to_uppercase())
}

/// Inputs by their names in lower case: what the step gives, and defaults for what it does not. Names do not mind case.
pub fn complete<'d>(
    given: &BTreeMap<String, String>,
    defaults: impl IntoIterator<Item = (&'d str, String)>,
) -> BTreeMap<String, String> {
    let mut inputs: BTreeMap<String, String> =
        given.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    for (name, default) in defaults {
        inputs.entry(name.to_lowercase()).or_insert(default);
    }
    inputs
}

/// An input as yes or no, by YAML's rules for the words.
pub fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value.trim() {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        other => Err(format!("the input `{name}` is true or false, and this is `{other}`")),
    }
}

/// The lines of an input that holds several values.
pub fn lines(value: &str) -> Vec<String> {
    value.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fill_what_is_not_given_whatever_the_case() {
        let given = BTreeMap::from([("Node-Version".to_owned(), "20".to_owned())]);
        let inputs = complete(&given, [("node-version", "18".to_owned()), ("cache", String::new())]);
        assert_eq!(inputs["node-version"], "20");
        assert_eq!(inputs["cache"], "");
        assert_eq!(variable("node-version x"), "INPUT_NODE-VERSION_X");
        assert_eq!(flag("a", " True "), Ok(true));
        assert!(flag("a", "yes").is_err());
    }
}
