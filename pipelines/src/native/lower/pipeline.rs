//! The top of the file.

use super::{
    library::Library,
    services::{network, resources},
    stage::retry,
    steps::shell,
    template::{Frame, stages},
    triggers::on,
};
use crate::{
    FileRef, codes,
    native::{
        file::{Concurrency, Defaults, Pipeline, Scope},
        reader::Reader,
        words::Naming,
    },
    yaml::{Kind, Node},
};

/// The longest time that a stage may take, in hours.
pub(super) const LONGEST_HOURS: u64 = 24 * 7;

/// The whole file. None when it is not even a mapping.
pub(crate) fn pipeline(
    r: &mut Reader<'_, '_>,
    node: &Node,
    path: &str,
    library: &mut Library<'_>,
) -> Option<Pipeline> {
    let fields = r.fields(node, "a pipeline", Pipeline::KEYS)?;
    let name = fields.read("name", r, Reader::text);
    let on = match fields.entry("on") {
        Some(entry) => on(r, entry),
        None => {
            let report = r.problems.report(codes::NO_TRIGGER, fields.place, "nothing starts this pipeline");
            report.help("add what does, for example `on: {push: {branches: [main]}, manual: {}}`");
            Default::default()
        }
    };
    let env = fields.get("env").map(|node| r.env(node, Naming::Variables)).unwrap_or_default();
    let defaults = fields.read("defaults", r, defaults);
    let concurrency = fields.read("concurrency", r, concurrency);
    let scope = Scope { env, defaults, ..Scope::default() };
    let file = (FileRef::Same(path.to_owned()), None);
    let mut frame = Frame { library, stages: Vec::new(), scopes: vec![scope], open: vec![file] };
    if let Some(node) = fields.require("stages", r, |_, node| Some(node.clone())) {
        stages(r, &node, 0, &mut frame);
        if matches!(&node.kind, Kind::Map(entries) if entries.is_empty()) {
            r.problems.report(codes::NO_STAGES, node.place, "the pipeline has no stage");
        }
    }
    let Frame { stages, scopes, .. } = frame;
    Some(Pipeline { name, on, env: (), defaults: (), concurrency, stages, scopes, before: Vec::new() })
}

/// A file that a stage of a run wrote: its stages and what they share. `scope` is theirs, the second of the result.
pub(crate) fn emitted(
    r: &mut Reader<'_, '_>,
    node: &Node,
    path: &str,
    outer: Scope,
    library: &mut Library<'_>,
) -> Option<Pipeline> {
    const KEYS: &[&str] = &["env", "defaults", "stages"];
    let fields = r.fields(node, "a file of stages", KEYS)?;
    r.scope = 1;
    let env = fields.get("env").map(|node| r.env(node, Naming::Variables)).unwrap_or_default();
    let scope = Scope { env, defaults: fields.read("defaults", r, defaults), ..outer };
    let file = (FileRef::Same(path.to_owned()), None);
    let mut frame =
        Frame { library, stages: Vec::new(), scopes: vec![Scope::default(), scope], open: vec![file] };
    if let Some(node) = fields.require("stages", r, |_, node| Some(node.clone())) {
        stages(r, &node, 1, &mut frame);
    }
    let Frame { stages, mut scopes, .. } = frame;
    if let Some(call) = scopes.get_mut(1).and_then(|scope| scope.call.as_mut()) {
        call.stages = 0..stages.len();
    }
    Some(Pipeline {
        name: None,
        on: Default::default(),
        env: (),
        defaults: (),
        concurrency: None,
        stages,
        scopes,
        before: Vec::new(),
    })
}

pub(super) fn defaults(r: &mut Reader<'_, '_>, node: &Node) -> Option<Defaults> {
    let fields = r.fields(node, "`defaults`", Defaults::KEYS)?;
    Some(Defaults {
        image: fields.read("image", r, Reader::template),
        timeout: fields.read("timeout", r, |r, node| r.positive_duration(node, LONGEST_HOURS)),
        runs_on: fields.get("runs_on").map(|node| r.one_or_many(node, Reader::text)),
        shell: fields.read("shell", r, shell),
        working_directory: fields.read("working_directory", r, Reader::path),
        resources: fields.read("resources", r, resources),
        network: fields.read("network", r, network),
        retry: fields.read("retry", r, retry),
    })
}

pub(super) fn concurrency(r: &mut Reader<'_, '_>, node: &Node) -> Option<Concurrency> {
    let fields = r.fields(node, "`concurrency`", Concurrency::KEYS)?;
    let cancel_superseded = fields.read("cancel_superseded", r, Reader::flag).unwrap_or_default();
    Some(Concurrency { group: fields.require("group", r, Reader::template)?, cancel_superseded })
}
