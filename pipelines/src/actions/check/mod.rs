//! What the shape of a file cannot say: ids, the graph of jobs, matrices, filters, images.

mod jobs;
mod matrix;
mod on;
mod reads;
mod steps;
mod warnings;

pub(super) use steps::flat;

use crate::{
    codes,
    diagnostic::Problems,
    yaml::{Core, Node},
};

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
    let queue = node.entries().iter().find(|entry| entry.key.value == "queue");
    let cancels = node.get("cancel-in-progress").and_then(Node::core) == Some(Core::Bool(true));
    if let Some(queue) = queue.filter(|queue| cancels && queue.value.text().as_deref() == Some("max")) {
        let message = "`queue: max` does not go together with `cancel-in-progress: true`";
        let report = problems.report(codes::UNEXPECTED_KEY, queue.key.place, message);
        report.help("either what waits is kept in a queue, or what runs is stopped for it");
    }
}

#[cfg(test)]
mod tests {
    use crate::{SourceFile, check};

    #[test]
    fn a_queue_is_not_cancelled() {
        let found = |concurrency: &str| -> Vec<String> {
            let text = format!(
                "on: push\nconcurrency: {{group: x, {concurrency}}}\njobs: {{a: {{runs-on: b, timeout-minutes: 1, steps: []}}}}\n"
            );
            let found = check(&SourceFile { path: ".github/workflows/w.yml", text: &text });
            found.into_iter().map(|one| one.code).collect()
        };
        assert_eq!(found("queue: max, cancel-in-progress: true"), ["TG1001"]);
        assert_eq!(found("queue: max, cancel-in-progress: false"), [""; 0]);
        assert_eq!(found("queue: single, cancel-in-progress: true"), [""; 0]);
    }
}
