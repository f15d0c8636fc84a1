//! The JSON Schema of the language, for editors: generated from the types of the file.

use serde_json::{Value, json};

use super::file::Pipeline;

/// The schema, draft 2020-12.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Pipeline).to_value();
    // `Option` means "need not be there", not "may be null": a key with nothing behind it is a mistake.
    forbid_null(&mut schema, false);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("Tidegate pipeline"));
    }
    if let Some(stage) = schema.pointer_mut("/$defs/Stage").and_then(Value::as_object_mut) {
        let one_of = ["run", "build", "push", "deploy", "smoke"].map(|verb| json!({ "required": [verb] }));
        stage.insert("oneOf".to_owned(), json!(one_of));
        // The verbs are properties like all others once they are merged in.
        if stage.remove("unevaluatedProperties").is_some() {
            stage.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    schema
}

/// Takes null out of every type but those of triggers that need no settings (`on: {push: }`).
fn forbid_null(schema: &mut Value, keep: bool) {
    match schema {
        Value::Object(map) => {
            if !keep {
                if let Some(Value::Array(types)) = map.get_mut("type") {
                    types.retain(|kind| kind != "null");
                    if let [only] = types.as_slice() {
                        let only = only.clone();
                        map.insert("type".to_owned(), only);
                    }
                }
                if let Some(Value::Array(forms)) = map.get_mut("anyOf") {
                    forms.retain(|form| form != &json!({ "type": "null" }));
                }
            }
            for (key, value) in map.iter_mut() {
                forbid_null(value, keep || key.starts_with("OrNothing"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forbid_null(item, keep)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::native::file::TABLES;

    /// Every key that lowering accepts is in the schema, and the reverse.
    #[test]
    fn schema_and_lowering_know_the_same_keys() {
        let schema = json_schema();
        let mut seen = BTreeSet::new();
        for (name, keys) in TABLES {
            let object = match *name {
                "Pipeline" => &schema,
                name => schema.pointer(&format!("/$defs/{name}")).unwrap_or_else(|| panic!("no type {name}")),
            };
            let properties = object["properties"].as_object().unwrap();
            let described: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
            let accepted: BTreeSet<&str> = keys.iter().copied().collect();
            assert_eq!(described, accepted, "{name}");
            assert_eq!(object["additionalProperties"], json!(false), "{name}");
            seen.insert(*name);
        }
        // A type with properties that is in no table would be one that nothing holds in agreement.
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            let fixed = definition.get("properties").is_some() && name != "Matrix";
            assert!(!fixed || seen.contains(name.as_str()), "{name} is in no table");
        }
    }

    #[test]
    fn only_triggers_may_be_null() {
        let schema = json_schema();
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            let null = definition.to_string().contains("\"null\"");
            assert_eq!(null, name.starts_with("OrNothing"), "{name}");
        }
    }

    #[test]
    fn every_key_is_explained() {
        let schema = json_schema();
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            for (key, property) in definition["properties"].as_object().into_iter().flatten() {
                let text = property["description"].as_str().or(property["$ref"].as_str());
                let explained = text.is_some_and(|text| !text.is_empty());
                assert!(
                    explained || matches!((name.as_str(), key.as_str()), ("ExitCodes", _)),
                    "{name}.{key}"
                );
            }
        }
    }
}
