//! A job's matrix: its lists as they are written, or the expressions that tell them.

use super::{Workflow, truth};
use crate::{
    import::{
        draft::{Stage, Yaml},
        reading::{Notes, fields, get, get_text},
    },
    yaml::{Kind, Node},
};

/// What `strategy` says of the stage.
pub(super) fn read(strategy: &Node, workflow: &Workflow<'_>, stage: &mut Stage, notes: &mut Notes) {
    let Some(matrix) = get(strategy, "matrix") else { return };
    // There it is so unless something else is said.
    stage.fail_fast = get(strategy, "fail-fast").is_none() || truth(strategy, "fail-fast", notes);
    stage.max_parallel = get_text(strategy, "max-parallel").and_then(|text| text.parse().ok());
    if matches!(matrix.kind, Kind::Scalar(_)) {
        stage.matrix = workflow.template(matrix, "the matrix", notes).map(Yaml::Text);
        return;
    }
    let mut axes = Vec::new();
    for entry in fields(matrix) {
        let combinations = matches!(entry.key.value.as_str(), "include" | "exclude");
        let value = match &entry.value.kind {
            Kind::Scalar(_) => workflow.template(&entry.value, "the matrix", notes).map(Yaml::Text),
            _ if combinations => combination_list(&entry.value),
            _ => scalar_list(&entry.value),
        };
        match value {
            Some(value) => axes.push((entry.key.value.clone(), value)),
            None => notes.add(
                entry.value.place,
                format!("the matrix's `{}` is no list of plain values", entry.key.value),
                "write its values out",
            ),
        }
    }
    stage.matrix = (!axes.is_empty()).then_some(Yaml::Map(axes));
}

/// A plain value as it is written.
fn plain(node: &Node) -> Option<Yaml> {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() && !scalar.text.contains("${{") => {
            let value = scalar.value();
            Some(if value.is_string() { Yaml::text(&scalar.text) } else { Yaml::Plain(scalar.text.clone()) })
        }
        _ => None,
    }
}

/// A list of plain values.
pub(crate) fn scalar_list(node: &Node) -> Option<Yaml> {
    let Kind::List(items) = &node.kind else { return None };
    items.iter().map(plain).collect::<Option<Vec<_>>>().map(Yaml::List).filter(|list| !list.is_empty())
}

/// A list of combinations: mappings from names to plain values.
pub(crate) fn combination_list(node: &Node) -> Option<Yaml> {
    let Kind::List(items) = &node.kind else { return None };
    let combination = |item: &Node| {
        let pairs = fields(item).into_iter().map(|one| Some((one.key.value.clone(), plain(&one.value)?)));
        pairs.collect::<Option<Vec<_>>>().filter(|pairs| !pairs.is_empty()).map(Yaml::Map)
    };
    items.iter().map(combination).collect::<Option<Vec<_>>>().map(Yaml::List)
}
