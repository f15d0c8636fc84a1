//! Filter patterns of branches and paths.

use serde_json::json;
use tidegate_pipelines::{Compiled, Setting, SourceFile, compile};

use super::{Row, json as read};
use crate::events::push;

/// Whether a push with these changed paths starts a workflow with this filter.
fn starts(filter: &str, patterns: &serde_json::Value, paths: &[String]) -> Result<bool, String> {
    let text = format!(
        "on: {{push: {{{filter}: {patterns}}}}}\njobs: {{a: {{runs-on: self-hosted, container: x, steps: [{{run: \"\"}}]}}}}\n"
    );
    let mut event = push("main");
    event.changed_paths = Some(paths.to_vec());
    let file = SourceFile { path: ".github/workflows/filter.yml", text: &text };
    let compilation = compile(&file, &event, Setting::default());
    match compilation.result {
        Some(Compiled::Plan(_)) => Ok(true),
        Some(Compiled::NotTriggered { .. }) => Ok(false),
        None => Err(format!("{:?}", compilation.diagnostics)),
    }
}

pub fn rows() -> Vec<Row> {
    filter_patterns().into_iter().collect()
}

#[test]
fn all_are_as_github_documents_them() {
    for row in rows() {
        assert!(row.misses.is_empty(), "{}: {:#?}", row.set, row.misses);
    }
}

fn filter_patterns() -> Option<Row> {
    let set = read("act/filter-patterns.json")?;
    let mut row = Row::new("act/filter-patterns.json");
    for case in set["cases"].as_array().unwrap() {
        let paths: Vec<String> = serde_json::from_value(case["inputs"].clone()).unwrap();
        let name = format!("{} over {}", case["patterns"], case["inputs"]);
        row.count(&name, judge(case, &paths));
    }
    Some(row)
}

fn judge(case: &serde_json::Value, paths: &[String]) -> Result<(), String> {
    if case["patterns"] == json!([]) {
        // A list that is empty lets everything through, whichever it is.
        return Ok(());
    }
    let wanted = starts("paths", &case["patterns"], paths)?;
    let ignored = !starts("paths-ignore", &case["patterns"], paths)?;
    if json!(!wanted) == case["skip"] && json!(ignored) == case["filter_all_match"] {
        Ok(())
    } else {
        Err(format!("skip {}, all match {ignored}", !wanted))
    }
}
