//! Steps: their ids, and the actions that they name.

use crate::{
    actions::names::{self, StepIds},
    codes,
    diagnostic::Problems,
    yaml::Node,
};

/// The steps of a job in their order, those that run side by side too.
pub(in crate::actions) fn flat(job: &Node) -> Vec<&Node> {
    let mut open: Vec<&Node> = job.get("steps").map_or(&[][..], Node::items).iter().rev().collect();
    let mut steps = Vec::new();
    while let Some(step) = open.pop() {
        match step.get("parallel") {
            Some(parallel) => open.extend(parallel.items().iter().rev()),
            None => steps.push(step),
        }
    }
    steps
}

pub(super) fn check(steps: &Node, problems: &mut Problems<'_>) {
    let mut ids = StepIds::default();
    list(steps, &mut ids, problems);
}

fn list(steps: &Node, ids: &mut StepIds, problems: &mut Problems<'_>) {
    for step in steps.items() {
        if let Some(parallel) = step.get("parallel") {
            list(parallel, ids, problems);
        }
        if let Some(id) = step.get("id").and_then(Node::name).filter(|id| !id.value.is_empty()) {
            if let Err(why) = names::check_id(&id.value) {
                problems.report(codes::BAD_ID, id.place, why);
            } else if !ids.take(&id.value) {
                let message = format!("another step of this job has the id `{}`", id.value);
                problems.report(codes::REPEATED_ID, id.place, message);
            }
        }
        if let Some(uses) = step.get("uses").and_then(Node::name) {
            let known = uses.value.starts_with("docker://") || names::is_local(&uses.value);
            if !uses.value.is_empty() && !known && names::remote(&uses.value).is_none() {
                let message = format!("`{}` names no action", uses.value);
                let help = match uses.value.contains('@') {
                    true => {
                        "an action is named `owner/repository@reference`, `./path`, `$/path` or `docker://image`"
                    }
                    false => "the version is missing: `owner/repository@reference`",
                };
                problems.report(codes::BAD_USES, uses.place, message).help(help);
            }
        }
    }
}
