//! SARIF 2.1.0: one run, every code of the language as a rule, every diagnostic as a result.

use serde_json::{Value, json};

use crate::{
    codes,
    diagnostic::{Diagnostic, Severity, Span},
};

/// The log file. Rules are all codes, so that a reader's settings for a rule hold before it is ever broken.
pub fn sarif(diagnostics: &[Diagnostic]) -> Value {
    let rules: Vec<Value> = codes::ALL
        .iter()
        .map(|code| {
            json!({
                "id": code.id,
                "shortDescription": { "text": first_sentence(code.explanation) },
                "fullDescription": { "text": code.explanation },
                "help": { "text": format!("`tidegate explain {}` says more.", code.id) },
                "defaultConfiguration": { "level": level(code.severity) },
            })
        })
        .collect();
    let results: Vec<Value> = diagnostics.iter().map(result).collect();
    json!({
        "version": "2.1.0",
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "runs": [{
            "tool": { "driver": {
                "name": "tidegate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(diagnostic: &Diagnostic) -> Value {
    let mut result = json!({
        "ruleId": diagnostic.code,
        "level": level(diagnostic.severity),
        "message": { "text": diagnostic.full_text() },
        "locations": [location(&diagnostic.file, diagnostic.span)],
    });
    let rule = codes::ALL.iter().position(|code| code.id == diagnostic.code);
    let related: Vec<Value> = diagnostic
        .related
        .iter()
        .map(|related| {
            let file = related.file.as_ref().unwrap_or(&diagnostic.file);
            let mut place = location(file, related.span);
            place["message"] = json!({ "text": related.message });
            place
        })
        .collect();
    if let Some(map) = result.as_object_mut() {
        rule.map(|rule| map.insert("ruleIndex".to_owned(), rule.into()));
        if !related.is_empty() {
            map.insert("relatedLocations".to_owned(), related.into());
        }
    }
    result
}

fn location(file: &str, span: Span) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(file) },
            "region": {
                "startLine": span.line,
                "startColumn": span.column,
                "endLine": span.end_line,
                "endColumn": span.end_column,
            },
        },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A path as a URI: relative paths stay relative, so that readers resolve them against the checkout.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.strip_prefix("./").unwrap_or(path).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(byte.into())
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").and_then(|end| text.get(..=end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::tests::two;

    #[test]
    fn results_name_rule_place_and_related_places() {
        let log = sarif(&two());
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), codes::ALL.len());
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
        }
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "ci%20files/a%2Cb.yml");
        assert_eq!(place["region"], json!({"startLine": 3, "startColumn": 3, "endLine": 3, "endColumn": 6}));
        assert_eq!(results[0]["relatedLocations"][0]["message"]["text"], "first given here");
        assert_eq!(results[1]["level"], "warning");
        assert!(results[1].get("relatedLocations").is_none());
    }

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("./.tidegate/a b.yml"), ".tidegate/a%20b.yml");
        assert_eq!(uri("/srv/ü.yml"), "file:///srv/%C3%BC.yml");
    }
}
