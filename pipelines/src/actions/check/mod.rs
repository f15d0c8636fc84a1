//! What the shape of a file cannot say: ids, the graph of jobs, matrices, filters, images.

mod jobs;
mod matrix;
mod on;
mod reads;
mod steps;
mod warnings;

pub(super) use steps::flat;

use crate::{codes, diagnostic::Problems, yaml::Node};

/// Reports all that is wrong with a file of the right shape.
pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    if let Some(node) = root.get("on") {
        on::check(node, problems);
    }
    if let Some(node) = root.get("concurrency") {
        concurrency(node, problems);
    }
    if let Some(node) = root.get("jobs") {
        jobs::check(node, problems);
    }
    warnings::check(root, problems);
    reads::check(root, problems);
}

/// The most characters of a concurrency group's name.
const MAX_GROUP: usize = 400;

fn concurrency(node: &Node, problems: &mut Problems<'_>) {
    let group = if node.entries().is_empty() { Some(node) } else { node.get("group") };
    let long = group
        .filter(|group| !group.is_templated())
        .and_then(Node::text)
        .map(|text| text.chars().count())
        .filter(|length| *length > MAX_GROUP);
    if let Some(length) = long {
        let message = format!("a group's name may have {MAX_GROUP} characters, this one has {length}");
        problems.report(codes::GROUP_NAME, node.place, message);
    }
}
