//! `when` and `trigger`: conditions of steps, and what starts the whole file.

use crate::{
    import::{
        draft::{Yaml, map},
        reading::{Notes, fields, get, get_texts, items, texts},
    },
    yaml::{Kind, Node},
};

/// When a step runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct When {
    pub condition: Option<String>,
    /// After failures too, or only after them.
    pub after: Option<&'static str>,
    pub never: bool,
}

/// Conditions over branch, event and so on, from a mapping of `when` or `trigger`.
pub(crate) fn filters(node: &Node, notes: &mut Notes) -> When {
    let mut parts = Vec::new();
    let mut when = When::default();
    for entry in fields(node) {
        let value = &entry.value;
        let (include, exclude) = match &value.kind {
            Kind::Map(_) => (get_texts(value, "include"), get_texts(value, "exclude")),
            _ => (texts(value), Vec::new()),
        };
        match entry.key.value.as_str() {
            "branch" => {
                let of_branch = |pattern: &str| pattern_of("git.branch", pattern);
                parts.extend(either(include.iter().map(|pattern| of_branch(pattern))));
                parts.extend(
                    either(exclude.iter().map(|pattern| of_branch(pattern))).map(|text| format!("!({text})")),
                );
            }
            "event" => {
                let word = |event: &&str| format!("event.kind == '{}'", kind(event));
                parts.extend(either(include.iter().map(word)));
                parts.extend(either(exclude.iter().map(word)).map(|text| format!("!({text})")));
            }
            "ref" => {
                let of_ref = |pattern: &str| pattern_of("git.reference", pattern);
                parts.extend(either(include.iter().map(|pattern| of_ref(pattern))));
                parts.extend(
                    either(exclude.iter().map(|pattern| of_ref(pattern))).map(|text| format!("!({text})")),
                );
            }
            "status" => {
                let (success, failure) = (include.contains(&"success"), include.contains(&"failure"));
                when.after = match (success, failure) {
                    (true, true) => Some("always"),
                    (false, true) => Some("failure"),
                    _ => None,
                };
            }
            other => notes.add(
                entry.key.place,
                format!("the condition `{other}` was not carried over"),
                "write it as an `if`, or under `on`",
            ),
        }
    }
    when.condition = (!parts.is_empty())
        .then(|| parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" && "));
    if let ([only], true) = (parts.as_slice(), when.condition.is_some()) {
        when.condition = Some(only.clone());
    }
    when
}

/// One of them must hold.
fn either(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(" || "))
}

/// What an event is called here.
fn kind(event: &str) -> &str {
    match event {
        "pull_request_closed" | "pull_request_metadata" => "pull_request",
        "cron" => "schedule",
        "custom" | "promote" | "rollback" | "deployment" => "manual",
        other => other,
    }
}

/// A pattern of names as a comparison, or as a regular expression where it has stars.
fn pattern_of(what: &str, pattern: &str) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    if !pattern.contains(['*', '?', '{', '[']) {
        return format!("{what} == {}", quote(pattern));
    }
    let mut regex = String::from("^");
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                regex.push_str(".*");
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '{' => regex.push_str("(?:"),
            '}' => regex.push(')'),
            ',' => regex.push('|'),
            c if c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '[' | ']') => regex.push(c),
            c => {
                regex.push('\\');
                regex.push(c);
            }
        }
    }
    regex.push('$');
    format!("matches({what}, {})", quote(&regex))
}

/// Triggers that a `when` or `trigger` of the whole file speaks of.
pub(crate) fn triggers(node: Option<&Node>) -> Vec<(String, Yaml)> {
    let mut on: Vec<(String, Yaml)> = Vec::new();
    let mut add = |key: &str, value: Yaml| {
        if !on.iter().any(|(known, _)| known == key) {
            on.push((key.to_owned(), value));
        }
    };
    for condition in node.map(items).unwrap_or_default() {
        let list = |key: &str| -> Vec<String> {
            let Some(value) = get(condition, key) else { return Vec::new() };
            match &value.kind {
                Kind::Map(_) => {
                    let taken = get_texts(value, "exclude").into_iter().map(|pattern| format!("!{pattern}"));
                    get_texts(value, "include").into_iter().map(str::to_owned).chain(taken).collect()
                }
                _ => texts(value).into_iter().map(str::to_owned).collect(),
            }
        };
        let branches = list("branch");
        let paths = list("path");
        let filters = map([
            ("branches", (!branches.is_empty()).then(|| Yaml::texts(branches))),
            ("paths", (!paths.is_empty()).then(|| Yaml::texts(paths))),
        ]);
        let filters = if filters.is_empty() { Yaml::Nothing } else { filters };
        let mut events = list("event");
        if events.is_empty() {
            events = ["push", "pull_request"].map(str::to_owned).to_vec();
        }
        for event in events {
            match kind(&event) {
                "push" => add("push", filters.clone()),
                "pull_request" => add("pull_request", filters.clone()),
                "tag" => add("tag", Yaml::Nothing),
                "manual" => add("manual", Yaml::Nothing),
                _ => {}
            }
        }
    }
    if on.is_empty() {
        on.push(("push".to_owned(), Yaml::Nothing));
        on.push(("pull_request".to_owned(), Yaml::Nothing));
    }
    on
}
