//! The steps of a job.

use std::collections::BTreeMap;

use super::{Sink, variables::variables};
use crate::{
    FileRef,
    actions::{
        names::{self, StepIds},
        seam,
    },
    codes,
    diagnostic::Spanned,
    expand,
    plan::{ActionUse, Does, Script, Step, StepWhen, Template, Wait},
    shell,
    yaml::{Core, Node},
};

/// `defaults.run` of the workflow and the job, the job's before the workflow's.
pub(super) struct Defaults {
    pub shell: Option<String>,
    pub working_directory: Option<String>,
}

/// What the steps of a job take from its file.
pub(super) struct Around<'f> {
    pub defaults: Defaults,
    /// Where the file lies; none: in the repository itself.
    pub home: Option<&'f FileRef>,
}

/// A step's place in its list.
struct Place<'n> {
    node: &'n Node,
    /// It is one of a `parallel`.
    beside: bool,
}

/// What stands in a list of steps.
enum Item<'n> {
    Step(Place<'n>),
    /// The end of a `parallel`.
    Join,
}

/// The steps, in order. Those of a `parallel` run in the background, and behind them stands a step that waits for them.
pub(super) fn steps(list: Option<&Node>, around: &Around<'_>, sink: &mut Sink<'_, '_>) -> Vec<Step> {
    let mut flat: Vec<Item<'_>> = Vec::new();
    for node in list.map_or(&[][..], Node::items) {
        flatten(node, &mut flat);
    }
    let mut ids = StepIds::default();
    let nodes = flat.iter().filter_map(|item| match item {
        Item::Step(place) => Some(place.node),
        Item::Join => None,
    });
    for id in nodes.filter_map(|step| step.get("id").and_then(Node::filled)) {
        ids.take(&id);
    }
    let mut steps: Vec<Step> = Vec::new();
    // Where the steps of the `parallel` begin that is being lowered.
    let mut group = None;
    for item in flat {
        match item {
            Item::Step(place) => {
                if place.beside {
                    group.get_or_insert(steps.len());
                }
                let uses = place.node.get("uses").and_then(Node::name).map(|uses| uses.value);
                let own = place.node.get("id").and_then(Node::filled);
                let waits =
                    ["wait", "wait-all", "cancel"].into_iter().find(|key| place.node.get(key).is_some());
                let id = own.unwrap_or_else(|| match waits {
                    Some(waits) => ids.of(waits),
                    None => ids.generate(uses.as_deref()),
                });
                steps.extend(step(&place, id, uses, &steps, around, sink));
            }
            Item::Join => {
                let group = steps.iter().skip(group.take().unwrap_or(steps.len()));
                let group = group.filter(|step| step.background).filter_map(|step| step.id.clone()).collect();
                let wait = Wait { steps: Some(group) };
                steps.push(bare(None, "Wait for the steps beside each other".to_owned(), Does::Wait(wait)));
            }
        }
    }
    steps
}

/// Puts a step into the list; of a `parallel` its steps, those of one inside it too, and the end of it.
fn flatten<'n>(node: &'n Node, flat: &mut Vec<Item<'n>>) {
    let Some(parallel) = node.get("parallel") else {
        return flat.push(Item::Step(Place { node, beside: false }));
    };
    let mut open: Vec<&Node> = parallel.items().iter().rev().collect();
    while let Some(node) = open.pop() {
        match node.get("parallel") {
            Some(inner) => open.extend(inner.items().iter().rev()),
            None => flat.push(Item::Step(Place { node, beside: true })),
        }
    }
    flat.push(Item::Join);
}

/// A step of which no more is said than what it does.
fn bare(id: Option<String>, name: String, does: Does) -> Step {
    Step {
        id,
        name,
        does,
        env: BTreeMap::new(),
        more_env: Vec::new(),
        late_env: BTreeMap::new(),
        condition: None,
        timeout_seconds: None,
        timeout_minutes: None,
        when: StepWhen::Success,
        background: false,
        continue_on_error: false,
        may_fail: None,
    }
}

fn step(
    place: &Place<'_>,
    id: String,
    uses: Option<String>,
    before: &[Step],
    around: &Around<'_>,
    sink: &mut Sink<'_, '_>,
) -> Option<Step> {
    let node = place.node;
    let is_true = |key: &str| node.get(key).and_then(Node::core) == Some(Core::Bool(true));
    let background = place.beside || is_true("background");
    let (name, does) = match (node.get("run").and_then(Node::text), uses) {
        (Some(script), _) => {
            let line = script.trim().lines().next().unwrap_or_default();
            let name =
                if seam::parts(line).is_some() { format!("Run {line}") } else { "Run script".to_owned() };
            (name, Does::Run(run(node, script, &around.defaults, sink)))
        }
        (None, Some(action)) => {
            if background {
                may_be_in_its_place(node, sink);
            }
            let with = variables(node.get("with"), sink);
            let (with, more_with) = (with.known, with.more);
            let action = names::from_outside(&action, around.home);
            (format!("Run {action}"), Does::Uses(ActionUse { action, with, more_with }))
        }
        (None, None) => control(node, before, sink)?,
    };
    let env = variables(node.get("env"), sink);
    let minutes = node.get("timeout-minutes");
    let may_fail = node.get("continue-on-error");
    Some(Step {
        env: env.known,
        more_env: env.more,
        condition: super::condition(node.get("if")),
        timeout_seconds: match minutes.and_then(Node::core) {
            Some(Core::Number(minutes)) => Some(expand::seconds(minutes)),
            _ => None,
        },
        timeout_minutes: minutes.filter(|node| node.is_templated()).and_then(Node::text).map(Template),
        background: background && matches!(does, Does::Run(_) | Does::Uses(_)),
        continue_on_error: may_fail.and_then(Node::core) == Some(Core::Bool(true)),
        may_fail: may_fail.filter(|node| node.is_templated()).and_then(Node::text).map(Template),
        ..bare(Some(id), node.get("name").and_then(Node::filled).unwrap_or(name), does)
    })
}

/// Only an action that is one program in the sandbox can be left alone. Which kind it is of is known when it is fetched.
fn may_be_in_its_place(node: &Node, sink: &mut Sink<'_, '_>) {
    let place = node.get("background").or_else(|| node.get("uses")).unwrap_or(node).place;
    let message = "of actions only those in JavaScript run in the background here; for the end of a composite, container or \
                   built-in one the steps after it wait";
    sink.report(codes::KEY_IGNORED, place, message);
}

/// A step that waits for others, or stops one.
fn control(node: &Node, before: &[Step], sink: &mut Sink<'_, '_>) -> Option<(String, Does)> {
    if let Some(wait) = node.get("wait") {
        let names = wait.texts();
        names.iter().for_each(|name| expect_behind(name, before, sink));
        let names: Vec<String> = names.into_iter().map(|name| name.value).collect();
        return Some((format!("Wait for {}", names.join(", ")), Does::Wait(Wait { steps: Some(names) })));
    }
    if let Some(all) = node.get("wait-all") {
        let wait = match all.core() {
            Some(Core::Bool(false)) => Wait { steps: Some(Vec::new()) },
            _ => Wait::default(),
        };
        return Some(("Wait for all steps in the background".to_owned(), Does::Wait(wait)));
    }
    let name = node.get("cancel").and_then(Node::spanned)?;
    expect_behind(&name, before, sink);
    Some((format!("Stop {}", name.value), Does::Cancel(name.value)))
}

fn is_named(step: &Step, name: &str) -> bool {
    step.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(name))
}

/// Says when nothing of this name is in the background by then.
fn expect_behind(name: &Spanned<String>, before: &[Step], sink: &mut Sink<'_, '_>) {
    if !before.iter().any(|step| step.background && is_named(step, &name.value)) {
        let message = format!("no step before this one runs in the background under the id `{}`", name.value);
        sink.report(codes::NO_STEP_HERE, name.place, message);
    }
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
