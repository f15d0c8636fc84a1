//! The JSON Schema of the language, for editors: generated from the types of the file.

use serde_json::{Value, json};

use super::file::{Pipeline, Template};

/// The schema, draft 2020-12.
pub fn json_schema() -> Value {
    finished(schemars::schema_for!(Pipeline).to_value(), "Tidegate pipeline")
}

/// The schema of files whose stages other files use.
pub fn template_schema() -> Value {
    finished(schemars::schema_for!(Template).to_value(), "Tidegate template")
}

fn finished(mut schema: Value, title: &str) -> Value {
    // `Option` means "need not be there", not "may be null": a key with nothing behind it is a mistake.
    forbid_null(&mut schema, false);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!(title));
    }
    if let Some(stage) = schema.pointer_mut("/$defs/Stage").and_then(Value::as_object_mut) {
        let one_of =
            ["run", "build", "push", "deploy", "smoke", "use"].map(|verb| json!({ "required": [verb] }));
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
    use crate::{
        SourceFile,
        diagnostic::Problems,
        native::file::TABLES,
        yaml::{self, Kind, Node},
    };

    /// Every key that lowering accepts is in the schema, and the reverse.
    #[test]
    fn schema_and_lowering_know_the_same_keys() {
        let (schema, templates) = (json_schema(), template_schema());
        let mut seen = BTreeSet::new();
        for (name, keys) in TABLES {
            let object = match *name {
                "Pipeline" => &schema,
                "Template" => &templates,
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

    /// What the schema says of a value: enough of JSON Schema for what schemars writes here.
    fn accepts(schema: &Value, root: &Value, value: &Value) -> bool {
        let Some(schema) = schema.as_object() else { return schema != &json!(false) };
        let all = |key: &str| schema.get(key).and_then(Value::as_array).map(Vec::as_slice);
        let is = |kind: &str| match kind {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "number" => value.is_number(),
            "integer" => value.is_i64(),
            "null" => value.is_null(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other}"),
        };
        let pattern = schema.get("pattern").and_then(Value::as_str);
        let target = schema.get("$ref").and_then(Value::as_str).map(|path| root.pointer(&path[1..]).unwrap());
        let matches = |pattern: &str| {
            value.as_str().is_none_or(|text| regex::Regex::new(pattern).unwrap().is_match(text))
        };
        let required = |map: &serde_json::Map<String, Value>| {
            all("required").unwrap_or_default().iter().all(|key| map.contains_key(key.as_str().unwrap()))
        };
        let property = |(key, value): (&String, &Value)| {
            let own = schema.get("properties").and_then(|properties| properties.get(key));
            own.or(schema.get("additionalProperties")).is_none_or(|schema| accepts(schema, root, value))
        };
        schema.get("type").and_then(Value::as_str).is_none_or(is)
            && target.is_none_or(|schema| accepts(schema, root, value))
            && all("enum").is_none_or(|values| values.contains(value))
            && all("anyOf").is_none_or(|forms| forms.iter().any(|form| accepts(form, root, value)))
            && all("oneOf")
                .is_none_or(|forms| forms.iter().filter(|form| accepts(form, root, value)).count() == 1)
            && pattern.is_none_or(matches)
            && value.as_object().is_none_or(|map| required(map) && map.iter().all(property))
            && value.as_array().is_none_or(|items| {
                items.iter().all(|item| schema.get("items").is_none_or(|schema| accepts(schema, root, item)))
            })
    }

    fn json_of(node: &Node) -> Value {
        match &node.kind {
            Kind::Scalar(scalar) => scalar.value(),
            Kind::List(items) => items.iter().map(json_of).collect(),
            Kind::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.value.clone(), json_of(&entry.value)));
                Value::Object(pairs.collect())
            }
            Kind::Broken => Value::Null,
        }
    }

    fn schema_accepts(text: &str) -> bool {
        accepted_by(&json_schema(), text)
    }

    fn accepted_by(schema: &Value, text: &str) -> bool {
        let file = SourceFile { path: "p.yml", text };
        let tree = yaml::parse(&mut Problems::new(&file), &yaml::Dialect::NATIVE).unwrap();
        accepts(schema, schema, &json_of(&tree))
    }

    /// Editors must not underline what compiles.
    #[test]
    fn the_schema_accepts_every_file_that_compiles() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let mut texts: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .map(|path| std::fs::read_to_string(path.with_extension("yml")).unwrap())
            .collect();
        let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/language")).unwrap();
        let pages = pages.map(|page| std::fs::read_to_string(page.unwrap().path()).unwrap());
        let blocks = pages.flat_map(|page| {
            let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
            blocks.map(str::to_owned).collect::<Vec<_>>()
        });
        let (templates, examples): (Vec<_>, Vec<_>) = blocks.partition(|text| text.starts_with("# file: "));
        texts.extend(examples);
        for text in templates {
            assert!(accepted_by(&template_schema(), &text), "{text}");
        }
        assert!(texts.len() > 25);
        for text in texts {
            if text.starts_with("# emitted by: ") {
                assert!(accepted_by(&template_schema(), &text), "{text}");
                continue;
            }
            assert!(schema_accepts(&text), "{text}");
        }
    }

    #[test]
    fn the_schema_refuses_what_is_wrong() {
        let stage = |rest: &str| format!("on: push\nstages: {{a: {{image: \"debian:12\", {rest}}}}}\n");
        assert!(schema_accepts(&stage("run: echo")));
        for wrong in [
            "run: echo, push: {repository: x}",
            "env: {}",
            "run: echo, imgae: x",
            "run: echo, timeout: 10",
            "run:",
        ] {
            assert!(!schema_accepts(&stage(wrong)), "{wrong}");
        }
        assert!(!schema_accepts("stages: {}"));
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
