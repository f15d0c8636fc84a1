//! What GitHub accepts: the project's own small table of rules for the calls it makes, and, where a copy is at
//! hand, GitHub's public description of its API (`TIDEGATE_GITHUB_OPENAPI` names the file, or a folder with it).

use std::{env, fs, path::PathBuf, sync::OnceLock};

use serde_json::Value;
use url::{Url, form_urlencoded};

/// What a value must be.
enum Kind {
    /// A text of 1 to so many characters.
    Text(usize),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// An http(s) URL.
    Link,
    /// A full commit id.
    Commit,
    True,
    False,
    /// A whole number from 1.
    Count,
    /// So many at most, all of this kind.
    List(usize, &'static Kind),
    Object(&'static [Field]),
    /// Any object.
    Free,
}

/// Name, whether it must be there, and what it must be. Other fields are mistakes.
type Field = (&'static str, bool, Kind);

struct Rule {
    method: &'static str,
    /// `*` stands for one segment.
    path: &'static str,
    query: &'static [&'static str],
    body: &'static [Field],
}

const CONCLUSIONS: &[&str] =
    &["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];

const ANNOTATION: Kind = Kind::Object(&[
    ("path", true, Kind::Text(4096)),
    ("start_line", true, Kind::Count),
    ("end_line", true, Kind::Count),
    ("start_column", false, Kind::Count),
    ("end_column", false, Kind::Count),
    ("annotation_level", true, Kind::OneOf(&["notice", "warning", "failure"])),
    ("message", true, Kind::Text(65_536)),
    ("title", false, Kind::Text(255)),
]);

const OUTPUT: Kind = Kind::Object(&[
    ("title", true, Kind::Text(255)),
    ("summary", true, Kind::Text(65_535)),
    ("annotations", false, Kind::List(50, &ANNOTATION)),
]);

const RULES: &[Rule] = &[
    Rule { method: "GET", path: "/repos/*/*/installation", query: &[], body: &[] },
    Rule {
        method: "POST",
        path: "/app/installations/*/access_tokens",
        query: &[],
        body: &[("repositories", true, Kind::List(1, &Kind::Text(100)))],
    },
    Rule {
        method: "POST",
        path: "/repos/*/*/statuses/*",
        query: &[],
        body: &[
            ("state", true, Kind::OneOf(&["error", "failure", "pending", "success"])),
            ("target_url", true, Kind::Link),
            ("description", true, Kind::Text(140)),
            ("context", true, Kind::Text(255)),
        ],
    },
    Rule {
        method: "POST",
        path: "/repos/*/*/check-runs",
        query: &[],
        body: &[
            ("name", true, Kind::Text(255)),
            ("head_sha", true, Kind::Commit),
            ("details_url", true, Kind::Link),
            ("external_id", true, Kind::Text(64)),
            ("status", true, Kind::OneOf(&["queued", "in_progress", "completed"])),
            ("conclusion", false, Kind::OneOf(CONCLUSIONS)),
            ("output", true, OUTPUT),
        ],
    },
    Rule {
        method: "PATCH",
        path: "/repos/*/*/check-runs/*",
        query: &[],
        body: &[
            ("name", false, Kind::Text(255)),
            ("details_url", false, Kind::Link),
            ("status", false, Kind::OneOf(&["queued", "in_progress", "completed"])),
            ("conclusion", false, Kind::OneOf(CONCLUSIONS)),
            ("output", true, OUTPUT),
        ],
    },
    Rule {
        method: "GET",
        path: "/repos/*/*/commits/*/check-runs",
        query: &["check_name", "filter", "per_page"],
        body: &[],
    },
    Rule {
        method: "POST",
        path: "/repos/*/*/deployments",
        query: &[],
        body: &[
            ("ref", true, Kind::Commit),
            ("task", true, Kind::OneOf(&["deploy"])),
            ("auto_merge", true, Kind::False),
            ("required_contexts", true, Kind::List(0, &Kind::Free)),
            ("environment", true, Kind::Text(255)),
            ("description", true, Kind::Text(140)),
            ("payload", true, Kind::Free),
        ],
    },
    Rule {
        method: "GET",
        path: "/repos/*/*/deployments",
        query: &["sha", "task", "environment", "per_page"],
        body: &[],
    },
    Rule {
        method: "POST",
        path: "/repos/*/*/deployments/*/statuses",
        query: &[],
        body: &[
            (
                "state",
                true,
                Kind::OneOf(&["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]),
            ),
            ("log_url", true, Kind::Link),
            ("description", true, Kind::Text(140)),
            ("environment", true, Kind::Text(255)),
            ("environment_url", false, Kind::Link),
            ("auto_inactive", true, Kind::True),
        ],
    },
];

/// Everything that is wrong with a call. `path` is without the API's own prefix, `body` null for none.
pub fn check(method: &str, path: &str, query: &str, body: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let keys: Vec<String> =
        form_urlencoded::parse(query.as_bytes()).map(|(key, _)| key.into_owned()).collect();
    match RULES.iter().find(|rule| rule.method == method && segments(rule.path, path, |part| part == "*")) {
        None => wrong.push("no rule knows this call".to_owned()),
        Some(rule) => {
            for key in keys.iter().filter(|key| !rule.query.contains(&key.as_str())) {
                wrong.push(format!("unknown parameter `{key}`"));
            }
            if rule.body.is_empty() {
                if !body.is_null() {
                    wrong.push("a body where none belongs".to_owned());
                }
            } else {
                object(rule.body, body, "body", &mut wrong);
            }
            if body["conclusion"].is_null() != (body["status"] != "completed") && path.contains("/check-runs")
            {
                wrong.push("a conclusion goes with `completed`, and nothing else".to_owned());
            }
        }
    }
    if let Some(description) = description() {
        description.check(method, path, &keys, body, &mut wrong);
    }
    wrong
}

/// Whether a path follows a pattern.
fn segments(pattern: &str, path: &str, any: impl Fn(&str) -> bool) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(part, is)| part == is || (any(part) && !is.is_empty()))
}

fn object(fields: &[Field], value: &Value, at: &str, wrong: &mut Vec<String>) {
    let Some(map) = value.as_object() else {
        wrong.push(format!("{at} is no object"));
        return;
    };
    for (name, required, kind) in fields {
        match map.get(*name) {
            Some(value) => self::kind(kind, value, &format!("{at}.{name}"), wrong),
            None if *required => wrong.push(format!("{at}.{name} is missing")),
            None => {}
        }
    }
    for name in map.keys().filter(|name| !fields.iter().any(|(field, ..)| field == name)) {
        wrong.push(format!("{at}.{name} is unknown"));
    }
}

fn kind(kind: &Kind, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let text = value.as_str();
    let good = match kind {
        Kind::Text(longest) => text.is_some_and(|text| (1..=*longest).contains(&text.chars().count())),
        Kind::OneOf(words) => text.is_some_and(|text| words.contains(&text)),
        Kind::Link => text
            .and_then(|text| Url::parse(text).ok())
            .is_some_and(|url| matches!(url.scheme(), "http" | "https")),
        Kind::Commit => text.is_some_and(|text| text.len() == 40),
        Kind::True => value == true,
        Kind::False => value == false,
        Kind::Count => value.as_u64().is_some_and(|count| count > 0),
        Kind::Free => value.is_object(),
        Kind::Object(fields) => return object(fields, value, at, wrong),
        Kind::List(most, inner) => match value.as_array() {
            Some(list) => {
                for (index, value) in list.iter().enumerate() {
                    self::kind(inner, value, &format!("{at}[{index}]"), wrong);
                }
                list.len() <= *most
            }
            None => false,
        },
    };
    if !good {
        wrong.push(format!("{at} cannot be {value}"));
    }
}

/// GitHub's public description.
struct Description(Value);

fn description() -> Option<&'static Description> {
    static READ: OnceLock<Option<Description>> = OnceLock::new();
    READ.get_or_init(|| {
        let named = PathBuf::from(env::var_os("TIDEGATE_GITHUB_OPENAPI")?);
        let file = if named.is_dir() {
            let mut files: Vec<_> =
                fs::read_dir(&named).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
            files.sort();
            files.into_iter().next().expect("a JSON file in the folder")
        } else {
            named
        };
        Some(Description(serde_json::from_slice(&fs::read(file).unwrap()).unwrap()))
    })
    .as_ref()
}

impl Description {
    fn check(&self, method: &str, path: &str, query: &[String], body: &Value, wrong: &mut Vec<String>) {
        let paths = self.0["paths"].as_object().unwrap();
        let found = paths.iter().find_map(|(pattern, item)| {
            let operation = item.get(method.to_ascii_lowercase())?;
            segments(pattern, path, |part| part.starts_with('{')).then_some(operation)
        });
        let Some(operation) = found else {
            wrong.push("the description knows no such call".to_owned());
            return;
        };
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let known: Vec<&Value> = parameters.iter().map(|parameter| self.resolve(parameter)).collect();
        for key in query {
            if !known.iter().any(|parameter| parameter["in"] == "query" && parameter["name"] == **key) {
                wrong.push(format!("the description knows no parameter `{key}`"));
            }
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if !body.is_null() {
            self.schema(schema, body, "described body", true, wrong);
        }
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => {
                self.0.pointer(reference.trim_start_matches('#')).expect("a reference that resolves")
            }
            None => schema,
        }
    }

    /// The part of JSON Schema that the description uses.
    fn schema(&self, schema: &Value, value: &Value, at: &str, closed: bool, wrong: &mut Vec<String>) {
        let schema = self.resolve(schema);
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        let typed = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            _ => true,
        };
        let listed = schema["enum"].as_array().is_none_or(|words| words.contains(value));
        let short = |limit: &Value, length: usize| limit.as_u64().is_none_or(|limit| length as u64 <= limit);
        let fits = value.as_str().is_none_or(|text| short(&schema["maxLength"], text.chars().count()))
            && value.as_array().is_none_or(|list| short(&schema["maxItems"], list.len()));
        if !typed || !listed || !fits {
            wrong.push(format!("{at} cannot be {value}"));
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.get(name).is_none() {
                wrong.push(format!("{at}.{name} is missing"));
            }
        }
        if let (Some(map), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
            for (name, value) in map {
                match properties.get(name) {
                    Some(property) => self.schema(property, value, &format!("{at}.{name}"), true, wrong),
                    None if closed && schema["additionalProperties"] != true => {
                        wrong.push(format!("{at}.{name} is unknown"));
                    }
                    None => {}
                }
            }
        }
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            self.schema(&schema["items"], value, &format!("{at}[{index}]"), true, wrong);
        }
        for key in ["anyOf", "oneOf"] {
            let Some(choices) = schema[key].as_array() else { continue };
            let fitting = choices.iter().filter(|choice| {
                let mut mistakes = Vec::new();
                self.schema(choice, value, at, false, &mut mistakes);
                mistakes.is_empty()
            });
            if fitting.count() == 0 {
                wrong.push(format!("{at} fits nothing of {key}"));
            }
        }
    }
}

#[test]
fn the_rules_notice_mistakes() {
    let status = |description: String| serde_json::json!({ "state": "pending", "target_url": "http://ci/", "description": description, "context": "c" });
    let path = format!("/repos/o/r/statuses/{}", "a".repeat(40));
    assert_eq!(check("POST", &path, "", &status("ü".repeat(140))), Vec::<String>::new());
    let mut wrong = status("ü".repeat(141));
    wrong["state"] = "failed".into();
    wrong["extra"] = 1.into();
    wrong.as_object_mut().unwrap().remove("context");
    let found = check("POST", &path, "x=1", &wrong).join("\n");
    for part in ["parameter `x`", "body.description", "body.state", "body.extra", "body.context is missing"] {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(!check("DELETE", &path, "", &Value::Null).is_empty());
    assert!(
        !check("PATCH", "/repos/o/r/check-runs/1", "", &serde_json::json!({ "status": "completed" }))
            .is_empty()
    );
}

#[test]
fn a_description_notices_mistakes() {
    let description = Description(serde_json::json!({
        "paths": { "/repos/{owner}/marks/{id}": { "post": {
            "parameters": [{ "$ref": "#/components/parameters/page" }],
            "requestBody": { "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["state"],
                "properties": {
                    "state": { "type": "string", "enum": ["on", "off"] },
                    "text": { "type": "string", "maxLength": 3, "nullable": true },
                    "list": { "type": "array", "maxItems": 1, "items": { "type": "integer" } },
                    "free": { "oneOf": [{ "type": "object", "additionalProperties": true }, { "type": "string" }] },
                },
            } } } },
        } } },
        "components": { "parameters": { "page": { "name": "page", "in": "query" } } },
    }));
    let check = |path: &str, query: &str, body: Value| {
        let mut wrong = Vec::new();
        description.check("POST", path, &[query.to_owned()], &body, &mut wrong);
        wrong.join("\n")
    };
    let good = serde_json::json!({ "state": "on", "text": null, "list": [1], "free": { "a": 1 } });
    assert_eq!(check("/repos/o/marks/1", "page", good), "");
    let bad = serde_json::json!({ "text": "long", "list": [1, "2"], "free": 3, "extra": 1 });
    let found = check("/repos/o/marks/1", "pages", bad);
    for part in [
        "`pages`",
        "body.state is missing",
        "body.text",
        "body.list cannot",
        "body.list[1]",
        "oneOf",
        "body.extra",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(check("/repos/o/marks", "page", Value::Null).contains("no such call"));
}
