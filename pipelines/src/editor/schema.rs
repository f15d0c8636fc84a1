//! The language's JSON Schema, asked for one place: which keys may stand there, which values, and what they mean.

use std::sync::LazyLock;

use serde_json::Value;

use super::{spot::Seg, workflow};
use crate::{Language, json_schema};

/// A schema has at most so many alternatives at one place; more would be a circle.
const MOST: usize = 64;

static NATIVE: LazyLock<Value> = LazyLock::new(json_schema);
static WORKFLOW: LazyLock<Value> = LazyLock::new(workflow::schema);

/// All that a schema says of one place.
pub(super) struct Here<'s> {
    root: &'s Value,
    all: Vec<&'s Value>,
}

/// A key and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub name: String,
    pub description: String,
}

/// What may stand at a place.
pub(super) fn here(language: Language, path: &[Seg]) -> Here<'static> {
    let root: &'static Value = match language {
        Language::Native => &NATIVE,
        Language::Actions => &WORKFLOW,
    };
    let mut here = Here { root, all: alternatives(root, root) };
    for segment in path {
        here = here.below(segment);
    }
    here
}

impl<'s> Here<'s> {
    fn below(&self, segment: &Seg) -> Self {
        let mut all = Vec::new();
        for schema in &self.all {
            let next = match segment {
                Seg::Key(key) => schema
                    .get("properties")
                    .and_then(|properties| properties.get(key))
                    .or_else(|| schema.get("additionalProperties").filter(|rest| rest.is_object())),
                Seg::Item => schema.get("items"),
            };
            if let Some(next) = next {
                all.extend(alternatives(self.root, next));
            }
        }
        all.truncate(MOST);
        Self { root: self.root, all }
    }

    /// The keys that may stand here.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        for (name, schema) in self.all.iter().filter_map(|one| one.get("properties")?.as_object()).flatten() {
            if !keys.iter().any(|key| key.name == *name) {
                keys.push(Key { name: name.clone(), description: self.describe(schema) });
            }
        }
        keys
    }

    /// Words that may stand here: of an enumeration, or `true` and `false`.
    pub(super) fn words(&self) -> Vec<Key> {
        let mut words: Vec<Key> = Vec::new();
        let mut add = |name: &str, description: String| {
            if !words.iter().any(|word| word.name == name) {
                words.push(Key { name: name.to_owned(), description });
            }
        };
        for schema in &self.all {
            let description = || text(schema, "description").unwrap_or_default().to_owned();
            for word in schema.get("enum").and_then(Value::as_array).into_iter().flatten() {
                if let Some(word) = word.as_str() {
                    add(word, description());
                }
            }
            if let Some(word) = text(schema, "const") {
                add(word, description());
            }
            if text(schema, "type") == Some("boolean") {
                add("true", String::new());
                add("false", String::new());
            }
        }
        words
    }

    /// Whether only a mapping or only a list may stand here: the value begins in a new line.
    pub(super) fn is_nested(&self) -> bool {
        let own = |schema: &&&Value| text(schema, "type").is_some() || schema.get("enum").is_some();
        let mut kinds = self.all.iter().filter(own).peekable();
        kinds.peek().is_some() && kinds.all(|schema| matches!(text(schema, "type"), Some("object" | "array")))
    }

    /// What a schema says that it is; where it says nothing, what it refers to says.
    fn describe(&self, schema: &'s Value) -> String {
        let own = text(schema, "description");
        let referred =
            || alternatives(self.root, schema).into_iter().find_map(|schema| text(schema, "description"));
        own.or_else(referred).unwrap_or_default().to_owned()
    }
}

/// What the property at the end of this path means.
pub(super) fn description(language: Language, path: &[Seg]) -> Option<String> {
    let (Seg::Key(last), before) = path.split_last()? else { return None };
    let key = here(language, before).keys().into_iter().find(|key| key.name == *last)?;
    Some(key.description).filter(|text| !text.is_empty())
}

fn text<'s>(schema: &'s Value, key: &str) -> Option<&'s str> {
    schema.get(key)?.as_str()
}

/// A schema with all that it refers to and may be instead.
fn alternatives<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut found: Vec<&Value> = Vec::new();
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        if found.len() >= MOST || found.iter().any(|one| std::ptr::eq(*one, schema)) {
            continue;
        }
        found.push(schema);
        for list in ["anyOf", "oneOf", "allOf"] {
            open.extend(schema.get(list).and_then(Value::as_array).into_iter().flatten().rev());
        }
        if let Some(target) = text(schema, "$ref").and_then(|path| root.pointer(path.strip_prefix('#')?)) {
            open.push(target);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<Seg> {
        let segment = |one: &str| if one == "[]" { Seg::Item } else { Seg::Key(one.to_owned()) };
        text.split('.').filter(|one| !one.is_empty()).map(segment).collect()
    }

    fn names(language: Language, at: &str) -> Vec<String> {
        here(language, &path(at)).keys().into_iter().map(|key| key.name).collect()
    }

    fn words(language: Language, at: &str) -> Vec<String> {
        here(language, &path(at)).words().into_iter().map(|word| word.name).collect()
    }

    #[test]
    fn keys_and_words_of_the_native_language() {
        let native = Language::Native;
        assert!(names(native, "").contains(&"stages".to_owned()));
        assert!(names(native, "stages.any").contains(&"needs".to_owned()));
        assert!(names(native, "stages.any.run.[]").contains(&"working_directory".to_owned()));
        assert!(names(native, "stages.any.services.db.ready.http").contains(&"port".to_owned()));
        assert_eq!(words(native, "stages.any.run.[].when"), ["success", "failure", "always"]);
        assert_eq!(words(native, "stages.any.continue_on_error"), ["true", "false"]);
        assert!(words(native, "on").contains(&"pull_request".to_owned()));
        assert!(description(native, &path("stages.a.timeout")).unwrap().contains("time"));
        assert_eq!(description(native, &path("stages.a.nothing")), None);
    }

    #[test]
    fn keys_and_words_of_workflows() {
        let workflow = Language::Actions;
        assert!(names(workflow, "").contains(&"jobs".to_owned()));
        assert!(names(workflow, "on.push").contains(&"branches-ignore".to_owned()));
        assert!(names(workflow, "jobs.any.steps.[]").contains(&"uses".to_owned()));
        assert!(words(workflow, "on.[]").contains(&"merge_group".to_owned()));
        assert!(words(workflow, "jobs.any.permissions.contents").contains(&"read".to_owned()));
        assert!(words(workflow, "jobs.any.steps.[].shell").contains(&"pwsh".to_owned()));
        assert!(description(workflow, &path("jobs.a.runs-on")).is_some());
    }

    /// An editor that explains a key with nothing explains nothing.
    #[test]
    fn every_key_of_a_workflow_is_described() {
        fn walk(schema: &Value, at: &str) {
            if schema.is_null() {
                return;
            }
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                let described = property["description"].as_str().is_some_and(|text| !text.is_empty());
                let referred = property["$ref"].is_string();
                assert!(described || referred, "{at}.{key}");
                walk(property, &format!("{at}.{key}"));
            }
            for part in ["items", "additionalProperties"] {
                walk(&schema[part], at);
            }
            for list in ["anyOf", "oneOf"] {
                schema[list].as_array().into_iter().flatten().for_each(|one| walk(one, at));
            }
        }
        let schema = workflow::schema();
        walk(&schema, "");
        schema["$defs"].as_object().unwrap().iter().for_each(|(name, one)| walk(one, name));
    }
}
