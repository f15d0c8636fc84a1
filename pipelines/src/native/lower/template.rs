//! Uses of templates: each is a scope with the template's stages. Bounded are how deep templates use each other and how
//! often they are used; a circle is reported with the uses that close it.

use std::collections::HashMap;

use super::{
    arguments::{arguments, given},
    library::{Library, reference},
    pipeline::defaults,
    stage::{condition, needs, stage},
    triggers::input,
};
use crate::{
    FileRef, codes,
    diagnostic::{Place, Spanned},
    native::{
        expand::MAX_STAGES,
        file::{Call, Input, Local, Scope, Stage, Template},
        reader::{Reader, Role},
        words::Naming,
    },
    nearest::listed,
    yaml::{Entry, Kind, Node},
};

/// How deep templates may use each other.
const MAX_DEPTH: usize = 5;
/// The most uses of templates in one pipeline.
const MAX_USES: usize = 64;

/// Where stages stand: what they are read into, and which files are being read.
pub(super) struct Frame<'l, 'f> {
    pub library: &'l mut Library<'f>,
    pub stages: Vec<Stage>,
    pub scopes: Vec<Scope>,
    /// The files that are being read, the pipeline's own first, with the use of each.
    pub open: Vec<(FileRef, Option<Place>)>,
}

/// The stages of a mapping, uses of templates among them.
pub(super) fn stages(r: &mut Reader<'_, '_>, node: &Node, scope: usize, frame: &mut Frame<'_, '_>) {
    for entry in r.entries(node, "a mapping from names to stages") {
        // More are one mistake, which is reported when matrices are expanded.
        if frame.stages.len() > MAX_STAGES {
            return;
        }
        let uses =
            matches!(&entry.value.kind, Kind::Map(keys) if keys.iter().any(|key| key.key.value == "use"));
        let local = if uses {
            let local = template(r, entry, scope, frame);
            r.incomplete |= local.is_none();
            local
        } else {
            let index = frame.stages.len();
            r.stage = Some(index);
            let mut stage = stage(r, entry);
            r.stage = None;
            stage.scope = scope;
            let prefix = frame.scopes.get(scope).map_or("", |scope| scope.prefix.as_str());
            stage.name.value = format!("{prefix}{}", stage.name.value);
            frame.stages.push(stage);
            Some(Local::Stage(index))
        };
        if let (Some(local), Some(scope)) = (local, frame.scopes.get_mut(scope)) {
            scope.names.insert(entry.key.value.clone(), local);
        }
    }
}

/// `use`, `with`, and when.
fn template(
    r: &mut Reader<'_, '_>,
    entry: &Entry,
    parent: usize,
    frame: &mut Frame<'_, '_>,
) -> Option<Local> {
    const KEYS: &[&str] = &["use", "with", "needs", "if", "secrets"];
    let good_name = r.name(&entry.key, "a stage");
    let fields = r.fields(&entry.value, "a stage", Stage::KEYS)?;
    for key in fields.present().iter().filter(|key| !KEYS.contains(&key.value.as_str())) {
        if Stage::KEYS.contains(&key.value.as_str()) {
            let message = format!("`{}` has no meaning beside `use`", key.value);
            let report = r.problems.report(codes::KEY_NOT_FOR_VERB, key.place, message);
            report.help(format!(
                "it may have {}; all else stands in the template",
                listed(KEYS.iter().copied())
            ));
        }
    }
    let place = fields.entry("use").map_or(entry.key.place, |entry| entry.value.place);
    // What a use says is read where its first stage stands.
    r.stage = Some(frame.stages.len());
    let mut call = Call {
        parent,
        name: entry.key.clone(),
        place,
        needs: fields.get("needs").map(|node| needs(r, node)).unwrap_or_default(),
        condition: fields.read("if", r, condition),
        with: Vec::new(),
        stages: frame.stages.len()..frame.stages.len(),
    };
    let given = given(r, &fields);
    r.stage = None;
    let secrets = fields.get("secrets").map(|node| r.one_or_many(node, Reader::text)).unwrap_or_default();
    let file =
        fields.read("use", r, |r, node| reference(r, node, frame.open.last().map(|(file, _)| file)))?;
    if !good_name || !may_open(r, &file, place, frame) {
        return None;
    }
    let tree = frame.library.tree(r, &file, place)?;
    // What is used inside another repository was let in with it.
    let repository = |file: &FileRef| match file {
        FileRef::Same(_) => None,
        FileRef::Other { repository, reference, .. } => Some((repository.clone(), reference.clone())),
    };
    let here = frame.open.last().and_then(|(open, _)| repository(open));
    let foreign = repository(&file) != here;
    frame.open.push((file, Some(place)));
    let local = opened(r, &tree, &mut call, given, frame);
    frame.open.pop();
    if let (Some(Local::Call(_)), true) = (local, foreign) {
        only_given_secrets(r, &call, &secrets, frame);
    } else if let Some(first) = secrets.first() {
        let message = "stages of a template of the same repository name their secrets themselves";
        r.problems.report(codes::TEMPLATE_SECRET, first.place, message).help("leave `secrets` out");
    }
    local
}

/// Neither in a circle, nor too deep, nor too often.
fn may_open(r: &mut Reader<'_, '_>, file: &FileRef, place: Place, frame: &mut Frame<'_, '_>) -> bool {
    if let Some(at) = frame.open.iter().position(|(open, _)| open == file) {
        let message = format!("the template `{file}` uses itself");
        let mut report = r.problems.report(codes::TEMPLATE_CYCLE, place, message);
        for (open, used) in frame.open.iter().skip(at + 1) {
            if let Some(used) = used {
                report = report.related(*used, format!("`{open}` is used here"));
            }
        }
        report.help("take one of these uses away");
        return false;
    }
    if frame.open.len() > MAX_DEPTH {
        let message = format!("templates may use each other {MAX_DEPTH} levels deep");
        r.problems.report(codes::TEMPLATE_LIMIT, place, message);
        return false;
    }
    frame.library.uses += 1;
    if frame.library.uses > MAX_USES {
        if frame.library.uses == MAX_USES + 1 {
            let message = format!("a pipeline may use templates {MAX_USES} times");
            r.problems.report(codes::TEMPLATE_LIMIT, place, message);
        }
        return false;
    }
    true
}

/// The file's stages, in a new scope.
fn opened(
    r: &mut Reader<'_, '_>,
    tree: &Node,
    call: &mut Call,
    given: Vec<(Spanned<String>, Node)>,
    frame: &mut Frame<'_, '_>,
) -> Option<Local> {
    let fields = r.fields(tree, "a template", Template::KEYS)?;
    let inputs: Vec<Input> = match fields.get("inputs") {
        Some(node) => r
            .entries(node, "a mapping from names to inputs")
            .iter()
            .filter_map(|entry| input(r, entry))
            .collect(),
        None => Vec::new(),
    };
    call.with = arguments(r, &inputs, given, call.place);
    let index = frame.scopes.len();
    let outer = frame.scopes.get(call.parent).map_or("", |scope| scope.prefix.as_str());
    let name = format!("{outer}{}", call.name.value);
    r.scope = index;
    let mut scope = Scope {
        call: Some(call.clone()),
        prefix: format!("{name} / "),
        env: fields.get("env").map(|node| r.env(node, Naming::Variables)).unwrap_or_default(),
        defaults: fields.read("defaults", r, defaults),
        inputs,
        outputs: Vec::new(),
        names: HashMap::new(),
    };
    if let Some(node) = fields.get("outputs") {
        scope.outputs = r.values(node, Naming::Names, Role::TemplateOutput);
    }
    frame.scopes.push(scope);
    let first = frame.stages.len();
    if let Some(node) = fields.require("stages", r, |_, node| Some(node.clone())) {
        stages(r, &node, index, frame);
        r.scope = index;
        if matches!(&node.kind, Kind::Map(entries) if entries.is_empty()) {
            r.problems.report(codes::NO_STAGES, node.place, "the template has no stage");
        }
    }
    r.scope = call.parent;
    call.stages = first..frame.stages.len();
    // The only stage of a template is known by the name of its use alone.
    let only = frame.scopes.get(index).is_some_and(|scope| {
        scope.names.len() == 1 && scope.names.values().all(|local| matches!(local, Local::Stage(_)))
    });
    if let ([stage], true) = (frame.stages.get_mut(first..).unwrap_or_default(), only) {
        stage.name.value = name;
    }
    let kept = frame.scopes.get_mut(index)?;
    kept.call = Some(call.clone());
    Some(Local::Call(index))
}

/// Stages that come from another repository get no secret that their use does not name.
fn only_given_secrets(
    r: &mut Reader<'_, '_>,
    call: &Call,
    secrets: &[Spanned<String>],
    frame: &Frame<'_, '_>,
) {
    for stage in frame.stages.get(call.stages.clone()).unwrap_or_default() {
        for secret in stage.secret_names() {
            if !secrets.iter().any(|given| given.value == secret.value) {
                let message = format!(
                    "stage `{}` of another repository would get the secret `{}`, which its use does not name",
                    stage.name.value, secret.value
                );
                let report = r.problems.report(codes::TEMPLATE_SECRET, secret.place, message);
                report
                    .related(call.place, "used here")
                    .help(format!("add `secrets: [{}]` beside `use` if it may have it", secret.value));
            }
        }
    }
}
