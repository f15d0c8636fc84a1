//! Reusable workflows: reads what a workflow calls, and what that calls, and checks each call.
//!
//! A called file is checked like any other, by itself; of its mistakes the first is told where it is called, because
//! a diagnostic names places of one file. Depth and number of files are bounded, and a circle is found by the files
//! that are being read.

use std::collections::BTreeMap;

use crate::{
    Diagnostic, FileRef, InputKind, Setting, SourceFile,
    actions::{names, permissions, read, seam, start},
    codes,
    diagnostic::{Place, Problems, Spanned},
    nearest::{did_you_mean, listed},
    yaml::{Core, Dialect, Entry, Node},
};

/// How deep workflows may call each other.
const MAX_DEPTH: usize = 10;
/// How many files a workflow may call in all.
const MAX_FILES: usize = 50;

/// A workflow that is called.
pub(super) struct Called {
    /// As people know it: `./.github/workflows/x.yml` or `owner/name/.github/workflows/x.yml@v1`.
    pub name: String,
    pub root: Node,
    /// What its own jobs call, by their ids.
    pub calls: BTreeMap<String, Self>,
    /// The text, for places in it.
    text: String,
    /// Where it lies.
    pub file: FileRef,
}

impl Called {
    /// Reports with the called file's own places.
    pub(super) fn source(&self) -> SourceFile<'_> {
        SourceFile { path: &self.name, text: &self.text }
    }

    pub(super) fn trigger(&self) -> Option<&Node> {
        self.root.at(&["on", "workflow_call"])
    }
}

/// Reads all that a workflow calls.
pub(super) fn load(
    path: &str,
    root: &Node,
    setting: Setting<'_>,
    policy: permissions::Policy,
    problems: &mut Problems<'_>,
) -> BTreeMap<String, Called> {
    let mut loader = Loader { setting, policy, files: 0, open: vec![FileRef::Same(path.to_owned())] };
    let granted = permissions::read(root.get("permissions"));
    loader.calls(root, None, granted.as_ref(), problems)
}

struct Loader<'s> {
    setting: Setting<'s>,
    policy: permissions::Policy,
    files: usize,
    /// The files that are being read, the outermost first.
    open: Vec<FileRef>,
}

impl Loader<'_> {
    fn calls(
        &mut self,
        root: &Node,
        home: Option<&FileRef>,
        granted: Option<&permissions::Levels>,
        problems: &mut Problems<'_>,
    ) -> BTreeMap<String, Called> {
        let mut all = BTreeMap::new();
        for Entry { key, value: job } in root.get("jobs").map_or(&[][..], Node::entries) {
            let Some(uses) = job.get("uses").and_then(Node::name) else { continue };
            let own = permissions::read(job.get("permissions"));
            let granted = own.as_ref().or(granted);
            if let Some(called) = self.call(key, job, &uses, home, granted, problems) {
                all.insert(key.value.clone(), called);
            }
        }
        all
    }

    fn call(
        &mut self,
        id: &Spanned<String>,
        job: &Node,
        uses: &Spanned<String>,
        home: Option<&FileRef>,
        granted: Option<&permissions::Levels>,
        problems: &mut Problems<'_>,
    ) -> Option<Called> {
        let file = match names::workflow(&uses.value, home) {
            Ok(file) => file,
            Err(help) => {
                let message = format!("`{}` names no workflow", uses.value);
                problems.report(codes::BAD_USES, uses.place, message).help(help);
                return None;
            }
        };
        self.files += 1;
        if self.open.contains(&file) || self.open.len() > MAX_DEPTH || self.files > MAX_FILES {
            let message = if self.open.contains(&file) {
                format!("`{}` calls itself in the end", uses.value)
            } else if self.files > MAX_FILES {
                format!("more than {MAX_FILES} files are called")
            } else {
                format!("workflows call each other more than {MAX_DEPTH} levels deep")
            };
            problems.report(codes::CALL_DEPTH, uses.place, message);
            return None;
        }
        let text = match self.setting.files.read(&file) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("`{}` cannot be read: {why}", uses.value);
                problems.report(codes::CALLED_UNREADABLE, uses.place, message);
                return None;
            }
        };
        let source = SourceFile { path: &uses.value, text: &text };
        let mut inner = Problems::new(&source);
        let root = read(&mut inner, &Dialect::ACTIONS);
        let root = root.filter(|_| !inner.has_errors());
        let Some(root) = root else {
            invalid(&inner.finish(), uses.place, problems);
            return None;
        };
        let on = root.get("on");
        if on.is_none_or(|on| start::trigger_names(on).iter().all(|name| name != "workflow_call")) {
            let message = format!("`{}` cannot be called: it is not started by `workflow_call`", uses.value);
            problems.report(codes::NOT_CALLABLE, uses.place, message).help("add `workflow_call` to its `on`");
            return None;
        }
        let trigger = root.at(&["on", "workflow_call"]);
        inputs(trigger, job, uses, problems);
        secrets(trigger, job, uses, problems);
        let own = permissions::read(root.get("permissions"));
        permissions::check(&root, uses, id.place, granted, self.policy, problems);
        self.open.push(file.clone());
        let calls = self.calls(&root, Some(&file), own.as_ref().or(granted), &mut inner);
        self.open.pop();
        let broken = inner.has_errors();
        if broken {
            invalid(&inner.finish(), uses.place, problems);
            return None;
        }
        Some(Called { name: uses.value.clone(), root, calls, text, file })
    }
}

/// Tells the first mistake of a called file where it is called.
pub(super) fn invalid(found: &[Diagnostic], place: Place, problems: &mut Problems<'_>) {
    let mut errors = found.iter().filter(|diagnostic| diagnostic.is_error());
    let Some(first) = errors.next() else { return };
    let more = errors.count();
    let (file, line, column) = (&first.file, first.span.line, first.span.column);
    let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
    let message =
        format!("the called workflow has mistakes: {file}:{line}:{column}: {}{rest}", first.message);
    problems.report(codes::CALLED_INVALID, place, message).maybe_help(first.help.clone());
}

/// The type of a declared input.
pub(super) fn kind(declaration: &Node) -> InputKind {
    match declaration.get("type").and_then(Node::text).as_deref() {
        Some("boolean") => InputKind::Boolean,
        Some("number") => InputKind::Number,
        _ => InputKind::String,
    }
}

fn is_required(declaration: &Node) -> bool {
    declaration.get("required").and_then(Node::core) == Some(Core::Bool(true))
}

fn entries<'n>(trigger: Option<&'n Node>, key: &str) -> &'n [Entry] {
    trigger.and_then(|trigger| trigger.get(key)).map_or(&[], Node::entries)
}

fn find<'n>(entries: &'n [Entry], name: &str) -> Option<&'n Entry> {
    entries.iter().find(|entry| entry.key.value.eq_ignore_ascii_case(name))
}

fn inputs(trigger: Option<&Node>, job: &Node, uses: &Spanned<String>, problems: &mut Problems<'_>) {
    let declared = entries(trigger, "inputs");
    let given = job.get("with").map_or(&[][..], Node::entries);
    for Entry { key, value: declaration } in declared {
        let Some(value) = find(given, &key.value) else {
            if is_required(declaration) {
                let message = format!("`{}` requires the input `{}`", uses.value, key.value);
                problems.report(codes::CALL_INPUT, uses.place, message).help("give it under `with`");
            }
            continue;
        };
        let value = &value.value;
        let wanted = match (kind(declaration), value.core()) {
            (InputKind::Boolean, Some(core)) if !matches!(core, Core::Bool(_)) => "`true` or `false`",
            (InputKind::Number, Some(core)) if !matches!(core, Core::Number(_)) => "a number",
            _ => continue,
        };
        if !value.is_templated() || value.text().is_some_and(|text| seam::literal(&text).is_some()) {
            let message = format!("the input `{}` is {wanted}, and this is not", key.value);
            problems.report(codes::CALL_INPUT, value.place, message);
        }
    }
    undeclared("input", declared, given, uses, codes::CALL_INPUT, problems);
}

fn secrets(trigger: Option<&Node>, job: &Node, uses: &Spanned<String>, problems: &mut Problems<'_>) {
    let node = job.get("secrets");
    // `secrets: inherit`
    if node.is_some_and(|node| node.scalar().is_some()) {
        return;
    }
    let given = node.map_or(&[][..], Node::entries);
    required_secrets(trigger, given, uses, problems);
    undeclared("secret", entries(trigger, "secrets"), given, uses, codes::CALL_SECRET, problems);
}

fn required_secrets(
    trigger: Option<&Node>,
    given: &[Entry],
    uses: &Spanned<String>,
    problems: &mut Problems<'_>,
) {
    for Entry { key, value } in entries(trigger, "secrets") {
        if is_required(value) && find(given, &key.value).is_none() {
            let message = format!("`{}` requires the secret `{}`", uses.value, key.value);
            let help = "give it under `secrets`, or write `secrets: inherit`";
            problems.report(codes::CALL_SECRET, uses.place, message).help(help);
        }
    }
}

fn undeclared(
    what: &str,
    declared: &[Entry],
    given: &[Entry],
    uses: &Spanned<String>,
    code: codes::Code,
    problems: &mut Problems<'_>,
) {
    for Entry { key, value } in given {
        if seam::holds_expression(&key.value) || find(declared, &key.value).is_some() {
            continue;
        }
        let message = format!("`{}` declares no {what} `{}`", uses.value, key.value);
        let names = declared.iter().map(|entry| entry.key.value.as_str());
        let help = did_you_mean(&key.value, names.clone())
            .unwrap_or_else(|| format!("it declares {}", listed(names)));
        problems.report(code, value.place, message).help(help);
    }
}
