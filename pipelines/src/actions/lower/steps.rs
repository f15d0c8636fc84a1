//! The steps of a job.

use super::{Sink, variables::variables};
use crate::{
    actions::{names::StepIds, seam},
    codes, expand,
    plan::{ActionUse, Does, Script, Step, StepWhen, Template},
    shell,
    yaml::{Core, Node},
};

/// `defaults.run` of the workflow and the job, the job's before the workflow's.
pub(super) struct Defaults {
    pub shell: Option<String>,
    pub working_directory: Option<String>,
}

/// The steps, those that GitHub would run side by side one after the other.
pub(super) fn steps(list: Option<&Node>, defaults: &Defaults, sink: &mut Sink<'_, '_>) -> Vec<Step> {
    let mut flat: Vec<&Node> = Vec::new();
    let mut open: Vec<&Node> = list.map_or(&[][..], Node::items).iter().rev().collect();
    while let Some(step) = open.pop() {
        match step.get("parallel") {
            Some(parallel) => open.extend(parallel.items().iter().rev()),
            None => flat.push(step),
        }
    }
    let mut ids = StepIds::default();
    let own: Vec<Option<String>> = flat.iter().map(|step| step.get("id").and_then(Node::filled)).collect();
    own.iter().flatten().for_each(|id| {
        ids.take(id);
    });
    let pairs = flat.into_iter().zip(own);
    pairs
        .filter_map(|(node, own)| {
            let uses = node.get("uses").and_then(Node::name).map(|uses| uses.value);
            let id = own.unwrap_or_else(|| ids.generate(uses.as_deref()));
            step(node, id, uses, defaults, sink)
        })
        .collect()
}

fn step(
    node: &Node,
    id: String,
    uses: Option<String>,
    defaults: &Defaults,
    sink: &mut Sink<'_, '_>,
) -> Option<Step> {
    for key in ["wait", "wait-all", "cancel"] {
        if let Some(found) = node.get(key) {
            sink.unsupported(found, "steps in the background, and waiting for them");
            return None;
        }
    }
    if let Some(background) = node.get("background").filter(|value| value.core() == Some(Core::Bool(true))) {
        sink.unsupported(background, "steps in the background");
    }
    let (name, does) = match (node.get("run").and_then(Node::text), uses) {
        (Some(script), _) => {
            let line = script.trim().lines().next().unwrap_or_default();
            let name =
                if seam::parts(line).is_some() { format!("Run {line}") } else { "Run script".to_owned() };
            (name, Does::Run(run(node, script, defaults, sink)))
        }
        (None, Some(action)) => {
            let with = variables(node.get("with"), sink);
            let (with, more_with) = (with.known, with.more);
            (format!("Run {action}"), Does::Uses(ActionUse { action, with, more_with }))
        }
        (None, None) => return None,
    };
    let env = variables(node.get("env"), sink);
    let minutes = node.get("timeout-minutes");
    let may_fail = node.get("continue-on-error");
    Some(Step {
        id: Some(id),
        name: node.get("name").and_then(Node::filled).unwrap_or(name),
        does,
        env: env.known,
        more_env: env.more,
        late_env: Default::default(),
        condition: super::condition(node.get("if")),
        timeout_seconds: match minutes.and_then(Node::core) {
            Some(Core::Number(minutes)) => Some(expand::seconds(minutes)),
            _ => None,
        },
        timeout_minutes: minutes.filter(|node| node.is_templated()).and_then(Node::text).map(Template),
        when: StepWhen::Success,
        continue_on_error: may_fail.and_then(Node::core) == Some(Core::Bool(true)),
        may_fail: may_fail.filter(|node| node.is_templated()).and_then(Node::text).map(Template),
    })
}

fn run(node: &Node, script: String, defaults: &Defaults, sink: &mut Sink<'_, '_>) -> Script {
    let own = node.get("shell").and_then(Node::name).map(|shell| shell.value);
    let shell = own.as_deref().or(defaults.shell.as_deref());
    let shell = match shell.map(shell::words_of).transpose() {
        Ok(words) => words.unwrap_or_default(),
        Err(why) => {
            let place = node.get("shell").map_or(node.place, |shell| shell.place);
            sink.report(codes::UNSUPPORTED, place, why);
            Vec::new()
        }
    };
    let folder =
        node.get("working-directory").and_then(Node::filled).or_else(|| defaults.working_directory.clone());
    Script { script, shell, working_directory: folder.map(Template) }
}
