//! Matrices, as far as they stand in the file. What expressions make is checked when they are evaluated.

use crate::{
    codes,
    diagnostic::Problems,
    matrix::MAX_MATRIX,
    nearest::{did_you_mean, listed},
    yaml::{Entry, Node},
};

pub(super) fn check(strategy: &Node, problems: &mut Problems<'_>) {
    let Some(matrix) =
        strategy.get("matrix").filter(|matrix| !matrix.entries().is_empty() || is_empty_map(matrix))
    else {
        return;
    };
    let (mut has_list, mut has_include) = (false, false);
    for Entry { key, value } in matrix.entries() {
        match key.value.as_str() {
            "include" => has_include = value.is_templated() || !value.items().is_empty(),
            "exclude" => {}
            name => {
                has_list = true;
                if value.items().is_empty() && !value.is_templated() {
                    let message = format!("`{name}` is a list without values, so the matrix makes no job");
                    problems.report(codes::WORKFLOW_MATRIX, value.place, message);
                }
            }
        }
    }
    if !has_list && !has_include {
        problems.report(codes::WORKFLOW_MATRIX, matrix.place, "the matrix has no list with values");
    }
    if strategy.is_templated() {
        return;
    }
    lists(matrix, problems);
    size(matrix, problems);
}

fn is_empty_map(node: &Node) -> bool {
    matches!(&node.kind, crate::yaml::Kind::Map(entries) if entries.is_empty())
}

fn lists(matrix: &Node, problems: &mut Problems<'_>) {
    let names: Vec<&str> = axes(matrix).map(|entry| entry.key.value.as_str()).collect();
    for item in matrix.get("include").map_or(&[][..], Node::items).iter().filter(|item| is_empty_map(item)) {
        problems.report(codes::WORKFLOW_MATRIX, item.place, "this includes nothing");
    }
    for item in matrix.get("exclude").map_or(&[][..], Node::items) {
        if is_empty_map(item) {
            problems.report(codes::WORKFLOW_MATRIX, item.place, "this would exclude everything");
        }
        for Entry { key, .. } in item.entries() {
            if names.iter().all(|name| !name.eq_ignore_ascii_case(&key.value)) {
                let message = format!("the matrix has no list `{}`", key.value);
                let help = did_you_mean(&key.value, names.iter().copied())
                    .unwrap_or_else(|| format!("its lists are {}", listed(names.iter().copied())));
                problems.report(codes::WORKFLOW_MATRIX, key.place, message).help(help);
            }
        }
    }
}

/// Before `exclude`, as GitHub counts before it builds anything: a product that is too large is never built.
fn size(matrix: &Node, problems: &mut Problems<'_>) {
    let product = axes(matrix)
        .map(|entry| entry.value.items().len())
        .try_fold(1_usize, |product, length| product.checked_mul(length));
    // What `exclude` leaves is known when the matrix is made.
    let (most, words) = match matrix.get("exclude") {
        Some(_) => (MAX_MATRIX * 16, "far more than"),
        None => (MAX_MATRIX, "more than"),
    };
    if product.is_none_or(|product| product > most) {
        let message = format!("the matrix makes {words} {MAX_MATRIX} jobs");
        problems.report(codes::TOO_MANY_JOBS, matrix.place, message);
    }
}

fn axes(matrix: &Node) -> impl Iterator<Item = &Entry> {
    matrix.entries().iter().filter(|entry| !matches!(entry.key.value.as_str(), "include" | "exclude"))
}
