//! The API's description: the committed copy is the one that is served, and it agrees with the table of access.

use std::{collections::BTreeSet, path::Path};

use tidegate_server::http::{TABLE, document};

/// `TIDEGATE_BLESS=1 cargo test -p tidegate-server openapi` writes the copy anew.
#[test]
fn the_committed_openapi_description_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/openapi.json");
    let mut current = serde_json::to_string_pretty(&document()).unwrap();
    current.push('\n');
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "web/openapi.json is not what the server serves: run `TIDEGATE_BLESS=1 cargo test -p tidegate-server openapi`"
    );
}

/// A route without a rule would be closed, a rule without a route would be a lie.
#[test]
fn every_described_call_has_one_rule_and_the_other_way_round() {
    let document = serde_json::to_value(document()).unwrap();
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, calls)| {
            calls.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let ruled: BTreeSet<(String, String)> =
        TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described, ruled);
}

#[test]
fn no_two_calls_have_the_same_operation_id() {
    let document = serde_json::to_value(document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let ids: Vec<&str> = paths
        .values()
        .flat_map(|calls| calls.as_object().unwrap().values())
        .map(|call| call["operationId"].as_str().unwrap())
        .collect();
    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), ids.len());
}
