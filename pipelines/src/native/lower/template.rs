//! Uses of templates: reading the file, its inputs, and its stages in a scope of their own.
//!
//! All files are read through [`crate::Files`], each once. Bounded are how deep templates use each other, how many
//! files there are and how often templates are used; a circle is reported with the uses that close it.

use std::{collections::HashMap, rc::Rc};

use serde_json::Value;

use super::{
    pipeline::defaults,
    stage::{condition, needs, stage},
    triggers::input,
};
use crate::{
    FileRef, Files, InputKind, codes,
    diagnostic::{Place, Spanned},
    expressions::{expression_of, holds_expression, literal},
    native::{
        expand::MAX_STAGES,
        file::{Call, Input, Local, Scope, Stage, Template},
        reader::{Fields, Reader, Role},
        words::Naming,
    },
    nearest::{did_you_mean, listed},
    yaml::{self, Entry, Kind, Node},
};

/// How deep templates may use each other.
const MAX_DEPTH: usize = 5;
/// The most files of one pipeline beside its own.
const MAX_FILES: usize = 32;
/// The most uses of templates in one pipeline.
const MAX_USES: usize = 64;

/// The other files of a pipeline.
pub(crate) struct Library<'f> {
    files: &'f dyn Files,
    /// What was read, with the number of the file.
    read: HashMap<FileRef, Option<Rc<Node>>>,
    uses: usize,
}

impl<'f> Library<'f> {
    pub(crate) fn new(files: &'f dyn Files) -> Self {
        Self { files, read: HashMap::new(), uses: 0 }
    }

    /// The tree of a file, if it has one. What is wrong with it is reported once.
    fn tree(&mut self, r: &mut Reader<'_, '_>, file: &FileRef, place: Place) -> Option<Rc<Node>> {
        if let Some(known) = self.read.get(file) {
            return known.clone();
        }
        let tree = self.load(r, file, place).map(Rc::new);
        self.read.insert(file.clone(), tree.clone());
        tree
    }

    fn load(&mut self, r: &mut Reader<'_, '_>, file: &FileRef, place: Place) -> Option<Node> {
        if self.read.len() >= MAX_FILES {
            let message = format!("the pipeline uses more than {MAX_FILES} other files");
            r.problems.report(codes::TEMPLATE_LIMIT, place, message);
            return None;
        }
        let unreadable = |r: &mut Reader<'_, '_>, why: &str| {
            let message = format!("the template `{file}` cannot be read: {why}");
            r.problems.report(codes::TEMPLATE_UNREADABLE, place, message);
        };
        let text = match self.files.read(file) {
            Ok(text) => text,
            Err(why) => {
                unreadable(r, &why);
                return None;
            }
        };
        let Some(number) = r.problems.add(file.to_string(), text) else {
            unreadable(r, "other files cannot be read here");
            return None;
        };
        r.problems.turn_to(number);
        let tree = yaml::parse(r.problems, &yaml::Dialect::NATIVE);
        r.problems.turn_to(0);
        let mut tree = tree?;
        stamp(&mut tree, number);
        Some(tree)
    }
}

/// Says of every place in which file it is. Trees are not deep.
fn stamp(node: &mut Node, file: u16) {
    node.place.file = file;
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| stamp(item, file)),
        Kind::Map(entries) => {
            for entry in entries {
                entry.key.place.file = file;
                stamp(&mut entry.value, file);
            }
        }
        Kind::Scalar(_) | Kind::Broken => {}
    }
}

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
    let file = fields.read("use", r, |r, node| reference(r, node, frame))?;
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

/// The file behind `use`. In a template of another repository `./` is that repository, at the same commit.
fn reference(r: &mut Reader<'_, '_>, node: &Node, frame: &Frame<'_, '_>) -> Option<FileRef> {
    let text = r.text(node)?;
    let wrong = |r: &mut Reader<'_, '_>, message: String, help: &str| {
        r.bad(codes::TEMPLATE_REFERENCE, text.place, message, Some(help.to_owned()));
    };
    let forms = "write `./ci/test.yml`, or `owner/repository/ci/test.yml@` and a full commit";
    let bad_path = |path: &str| {
        path.is_empty()
            || path.starts_with('/')
            || path.split(['/', '\\']).any(|part| part == ".." || part.is_empty())
    };
    if let Some(path) = text.value.strip_prefix("./") {
        if bad_path(path) {
            wrong(r, format!("`{}` is no file of the repository", text.value), forms);
            return None;
        }
        return Some(match frame.open.last() {
            Some((FileRef::Other { repository, reference, .. }, _)) => FileRef::Other {
                repository: repository.clone(),
                path: path.to_owned(),
                reference: reference.clone(),
            },
            _ => FileRef::Same(path.to_owned()),
        });
    }
    let Some((path, commit)) = text.value.split_once('@') else {
        wrong(r, format!("`{}` names no template", text.value), forms);
        return None;
    };
    let parts: Vec<&str> = path.splitn(3, '/').collect();
    let [owner, name, path] = parts.as_slice() else {
        wrong(r, format!("`{}` names no template", text.value), forms);
        return None;
    };
    if bad_path(path) || owner.is_empty() || name.is_empty() {
        wrong(r, format!("`{}` names no template", text.value), forms);
        return None;
    }
    let pinned =
        commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !pinned {
        let message =
            format!("`{commit}` may be another commit tomorrow: a template of another repository is pinned");
        let help = format!(
            "name the full commit, forty lower-case hex digits: `git ls-remote https://…/{owner}/{name} {commit}` tells it"
        );
        wrong(r, message, &help);
        return None;
    }
    Some(FileRef::Other {
        repository: format!("{owner}/{name}"),
        path: (*path).to_owned(),
        reference: commit.to_owned(),
    })
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

/// The values under `with`: the name, and the node with its text.
fn given(r: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Vec<(Spanned<String>, Node)> {
    let Some(node) = fields.get("with") else { return Vec::new() };
    let entries = r.entries(node, "a mapping from names of inputs to values");
    for entry in entries {
        if let Kind::Scalar(scalar) = &entry.value.kind {
            r.note(&Spanned::new(scalar.text.clone(), entry.value.place), Role::Argument);
        }
    }
    entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
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

/// Every declared input as an expression of whoever uses the template: as given, else its default, else null.
fn arguments(
    r: &mut Reader<'_, '_>,
    inputs: &[Input],
    given: Vec<(Spanned<String>, Node)>,
    place: Place,
) -> Vec<(String, Spanned<String>)> {
    for (name, _) in given.iter().filter(|(name, _)| !inputs.iter().any(|one| one.name.value == name.value)) {
        let known = inputs.iter().map(|input| input.name.value.as_str());
        let help = did_you_mean(&name.value, known.clone())
            .unwrap_or_else(|| format!("its inputs are {}", listed(known)));
        let message = format!("the template has no input `{}`", name.value);
        r.problems.report(codes::TEMPLATE_INPUT, name.place, message).help(help);
    }
    let mut list = Vec::new();
    for input in inputs {
        let name = &input.name.value;
        let value = match given.iter().find(|(given, _)| given.value == *name) {
            Some((_, node)) => argument(r, input, node),
            None if input.default.is_some() => {
                input.default.as_ref().map(|default| Spanned::new(literal(&default.value), default.place))
            }
            None if input.required => {
                let message = format!("the template requires the input `{name}`");
                let report = r.problems.report(codes::TEMPLATE_INPUT, place, message);
                report.related(input.name.place, "declared here").help("give it under `with`");
                None
            }
            None => None,
        };
        let value = value.unwrap_or_else(|| Spanned::new("null".to_owned(), place));
        list.push((name.clone(), value));
    }
    list
}

/// One value as an expression. Text with `${{ }}` beside other text is text.
fn argument(r: &mut Reader<'_, '_>, input: &Input, node: &Node) -> Option<Spanned<String>> {
    let Kind::Scalar(scalar) = &node.kind else {
        r.wrong_type(node, "a plain value");
        return None;
    };
    if holds_expression(&scalar.text) {
        // What cannot be read is reported where all expressions are checked.
        return expression_of(&scalar.text).ok().map(|text| Spanned::new(text, node.place));
    }
    let (value, expected) = match input.kind {
        InputKind::Boolean => (scalar.boolean().map(Value::Bool), "`true` or `false`"),
        InputKind::Number => {
            let number = scalar.text.parse::<f64>().ok().filter(|number| scalar.plain && number.is_finite());
            (number.map(crate::expressions::json_number), "a number")
        }
        InputKind::Choice if !input.choices.iter().any(|choice| choice.value == scalar.text) => {
            let choices = input.choices.iter().map(|choice| choice.value.as_str());
            let message = format!("the input `{}` is one of {}", input.name.value, listed(choices.clone()));
            let report = r.problems.report(codes::TEMPLATE_INPUT, node.place, message);
            report.related(input.name.place, "declared here").maybe_help(did_you_mean(&scalar.text, choices));
            return None;
        }
        _ => (Some(Value::String(scalar.text.clone())), "text"),
    };
    if value.is_none() {
        let message = format!("the input `{}` is {expected}, found `{}`", input.name.value, scalar.text);
        let report = r.problems.report(codes::TEMPLATE_INPUT, node.place, message);
        report.related(input.name.place, "declared here");
    }
    value.map(|value| Spanned::new(literal(&value), node.place))
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
