//! The SARIF output against the shape that its schema (2.1.0) prescribes: which properties an object may have and must
//! have, and what values they take. The schema allows no others.

use std::fs;

use serde_json::Value;
use tidegate_pipelines::{SourceFile, check, codes, findings};

use crate::{golden, hostile, workflows};

/// What a value is: an object of these properties (`!`: required), a list, or something plain.
enum Shape {
    Object(&'static [(&'static str, &'static Shape)]),
    List(&'static Shape),
    Text,
    Words(&'static [&'static str]),
    /// A whole number of at least this.
    Number(u64),
    /// A URI reference: no blanks, and nothing that must be escaped.
    Uri,
}
use Shape::{List, Number, Object, Text, Uri, Words};

const LOG: Shape = Object(&[("$schema", &Uri), ("version!", &Words(&["2.1.0"])), ("runs!", &List(&RUN))]);
const RUN: Shape = Object(&[
    ("tool!", &Object(&[("driver!", &DRIVER)])),
    ("columnKind", &Words(&["utf16CodeUnits", "unicodeCodePoints"])),
    ("results", &List(&RESULT)),
]);
const DRIVER: Shape = Object(&[("name!", &Text), ("semanticVersion", &Text), ("rules", &List(&RULE))]);
const MESSAGE: Shape = Object(&[("text!", &Text)]);
const LEVEL: Shape = Words(&["none", "note", "warning", "error"]);
const RULE: Shape = Object(&[
    ("id!", &Text),
    ("shortDescription", &MESSAGE),
    ("fullDescription", &MESSAGE),
    ("help", &MESSAGE),
    ("defaultConfiguration", &Object(&[("level", &LEVEL)])),
]);
const RESULT: Shape = Object(&[
    ("ruleId", &Text),
    ("ruleIndex", &Number(0)),
    ("level", &LEVEL),
    ("message!", &MESSAGE),
    ("locations", &List(&LOCATION)),
    ("relatedLocations", &List(&LOCATION)),
]);
const LOCATION: Shape = Object(&[
    (
        "physicalLocation",
        &Object(&[
            ("artifactLocation", &Object(&[("uri", &Uri)])),
            (
                "region",
                &Object(&[
                    ("startLine", &Number(1)),
                    ("startColumn", &Number(1)),
                    ("endLine", &Number(1)),
                    ("endColumn", &Number(1)),
                ]),
            ),
        ]),
    ),
    ("message", &MESSAGE),
]);

fn fits(value: &Value, shape: &Shape, at: &str) {
    match shape {
        Object(properties) => {
            let map = value.as_object().unwrap_or_else(|| panic!("{at} is no object: {value}"));
            for (name, shape) in *properties {
                let (name, required) = name.strip_suffix('!').map_or((*name, false), |name| (name, true));
                match map.get(name) {
                    Some(value) => fits(value, shape, &format!("{at}.{name}")),
                    None => assert!(!required, "{at} has no `{name}`: {value}"),
                }
            }
            let known = |key: &str| properties.iter().any(|(name, _)| name.trim_end_matches('!') == key);
            assert!(
                map.keys().all(|key| known(key)),
                "{at} has a property that the schema does not know: {value}"
            );
        }
        List(item) => {
            let list = value.as_array().unwrap_or_else(|| panic!("{at} is no list: {value}"));
            list.iter().for_each(|value| fits(value, item, at));
        }
        Text => assert!(value.as_str().is_some_and(|text| !text.is_empty()), "{at}: {value}"),
        Words(words) => assert!(value.as_str().is_some_and(|text| words.contains(&text)), "{at}: {value}"),
        Number(least) => assert!(value.as_u64().is_some_and(|number| number >= *least), "{at}: {value}"),
        Uri => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
            assert!(
                value.as_str().is_some_and(|text| !text.is_empty() && text.chars().all(allowed)),
                "{at}: {value}"
            );
        }
    }
}

/// The shape, and what the schema cannot say: rules are named once, results name rules that are there, and regions do
/// not run backwards.
fn valid(log: &Value) -> usize {
    fits(log, &LOG, "log");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let ids: std::collections::BTreeSet<&str> =
        rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), codes::ALL.len());
    let results = run["results"].as_array().unwrap();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let places = result["locations"].as_array().unwrap();
        assert_eq!(places.len(), 1);
        for place in places.iter().chain(result["relatedLocations"].as_array().into_iter().flatten()) {
            let region = &place["physicalLocation"]["region"];
            let at =
                |line: &str, column: &str| (region[line].as_u64().unwrap(), region[column].as_u64().unwrap());
            assert!(at("startLine", "startColumn") <= at("endLine", "endColumn"), "{region}");
        }
    }
    results.len()
}

#[test]
fn every_log_has_the_shape_of_the_schema() {
    assert_eq!(valid(&findings::sarif(&[])), 0);
    let mut results = 0;
    for (path, files) in
        [("a folder/p\u{fc}.yml", golden::files("yml")), (".github/workflows/p.yml", workflows::files("yml"))]
    {
        for text in files.into_iter().map(|path| fs::read_to_string(path).unwrap()) {
            results += valid(&findings::sarif(&check(&SourceFile { path, text: &text })));
        }
    }
    for (_, text) in hostile::files() {
        results += valid(&findings::sarif(&check(&SourceFile { path: "p.yml", text: &text })));
    }
    assert!(results > 100, "only {results} results");
}
