//! `on`: what starts a pipeline.

use serde_json::Value;

use crate::{
    InputKind, codes,
    diagnostic::{Place, Spanned},
    native::{
        file::{Dispatch, Input, Manual, On, PullRequest, Push, Release, Schedule, Upstream},
        reader::{Fields, Reader},
    },
    schedule,
    yaml::{Entry, Kind, Node},
};

pub(super) fn on(r: &mut Reader<'_, '_>, entry: &Entry) -> On {
    let mut on = On::default();
    match &entry.value.kind {
        Kind::Map(_) => full(r, &entry.value, &mut on),
        Kind::List(items) => items.iter().for_each(|item| by_name(r, item, &mut on)),
        Kind::Scalar(_) | Kind::Broken => by_name(r, &entry.value, &mut on),
    }
    if matches!(&entry.value.kind, Kind::Map(entries) if entries.is_empty()) {
        r.problems.report(
            codes::NO_TRIGGER,
            entry.key.place,
            "`on` is empty, so nothing starts this pipeline",
        );
    }
    on
}

/// `on: push`, for triggers that need no settings.
fn by_name(r: &mut Reader<'_, '_>, node: &Node, on: &mut On) {
    let names = On::KEYS.iter().map(|key| (*key, *key)).collect::<Vec<_>>();
    match r.word(node, &names) {
        Some("push") => on.push = Some(Push::default()),
        Some("tag") => on.tag = Some(Vec::new()),
        Some("pull_request") => {
            on.pull_request = Some(Spanned::new(PullRequest::of_every_branch(), node.place));
        }
        Some("release") => on.release = Some(vec!["published"]),
        Some("repository_dispatch") => on.repository_dispatch = Some(Vec::new()),
        Some("manual") => on.manual = Some(Manual::default()),
        Some("schedule") => {
            let report = r.problems.report(codes::BAD_VALUE, node.place, "a schedule needs its time");
            report.help("write `on: {schedule: [{cron: \"0 3 * * *\"}]}`");
        }
        Some(_) => {
            let message = "it must be said which pipelines are meant";
            let report = r.problems.report(codes::BAD_VALUE, node.place, message);
            report.help("write `on: {pipeline: {names: [build]}}`");
        }
        None => {}
    }
}

fn full(r: &mut Reader<'_, '_>, node: &Node, on: &mut On) {
    let Some(fields) = r.fields(node, "`on`", On::KEYS) else { return };
    on.push = fields.read("push", r, |r, node| {
        if node.is_null() {
            return Some(Push::default());
        }
        let fields = r.fields(node, "`on.push`", Push::KEYS)?;
        let [branches, paths, paths_ignore] = filters(r, &fields);
        Some(Push { branches, paths, paths_ignore })
    });
    on.tag = fields
        .get("tag")
        .map(|node| if node.is_null() { Vec::new() } else { r.one_or_many(node, Reader::pattern) });
    if let Some(list) = &on.tag {
        warn_only_negative(r, list);
    }
    on.pull_request = fields.entry("pull_request").and_then(|entry| {
        let value = if entry.value.is_null() {
            PullRequest::of_every_branch()
        } else {
            let fields = r.fields(&entry.value, "`on.pull_request`", PullRequest::KEYS)?;
            let [branches, paths, paths_ignore] = filters(r, &fields);
            let types = words(r, &fields, "types", PULL_REQUEST_TYPES).unwrap_or(CHANGES.to_vec());
            PullRequest { types, branches, paths, paths_ignore }
        };
        Some(Spanned::new(value, entry.key.place))
    });
    on.release = fields.read("release", r, |r, node| {
        if node.is_null() {
            return Some(vec!["published"]);
        }
        let fields = r.fields(node, "`on.release`", Release::KEYS)?;
        Some(words(r, &fields, "types", RELEASE_TYPES).unwrap_or(vec!["published"]))
    });
    on.repository_dispatch = fields.read("repository_dispatch", r, |r, node| {
        if node.is_null() {
            return Some(Vec::new());
        }
        let fields = r.fields(node, "`on.repository_dispatch`", Dispatch::KEYS)?;
        Some(fields.get("types").map(|node| r.one_or_many(node, Reader::pattern)).unwrap_or_default())
    });
    on.pipeline = fields.get("pipeline").map(|node| r.one_or_many(node, upstream)).unwrap_or_default();
    on.schedule = fields.get("schedule").map(|node| r.one_or_many(node, schedule_entry)).unwrap_or_default();
    on.manual = fields.read("manual", r, |r, node| {
        if node.is_null() {
            return Some(Manual::default());
        }
        let fields = r.fields(node, "`on.manual`", Manual::KEYS)?;
        let Some(node) = fields.get("inputs") else { return Some(Manual::default()) };
        let entries = r.entries(node, "a mapping from names to inputs");
        Some(Manual { inputs: entries.iter().filter_map(|entry| input(r, entry)).collect() })
    });
}

/// What starts a pipeline on a pull request when nothing is said: there is something new to be looked at.
const CHANGES: &[&str] = &["opened", "reopened", "synchronize"];
const PULL_REQUEST_TYPES: &[&str] = &[
    "opened",
    "reopened",
    "synchronize",
    "closed",
    "edited",
    "labeled",
    "unlabeled",
    "assigned",
    "unassigned",
    "ready_for_review",
    "converted_to_draft",
    "review_requested",
    "review_request_removed",
    "locked",
    "unlocked",
    "milestoned",
    "demilestoned",
    "enqueued",
    "dequeued",
    "auto_merge_enabled",
    "auto_merge_disabled",
];
const RELEASE_TYPES: &[&str] =
    &["published", "unpublished", "created", "edited", "deleted", "prereleased", "released"];

impl PullRequest {
    fn of_every_branch() -> Self {
        Self { types: CHANGES.to_vec(), ..Self::default() }
    }
}

/// One of these words or several.
fn words(
    r: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    key: &'static str,
    known: &'static [&'static str],
) -> Option<Vec<&'static str>> {
    let known: Vec<_> = known.iter().map(|word| (*word, *word)).collect();
    fields.get(key).map(|node| r.one_or_many(node, |r, node| r.word(node, &known)))
}

/// `{names, statuses, branches}`
fn upstream(r: &mut Reader<'_, '_>, node: &Node) -> Option<Upstream> {
    let fields = r.fields(node, "`on.pipeline`", Upstream::KEYS)?;
    let names = fields.require("names", r, |r, node| Some(r.one_or_many(node, Reader::text)))?;
    if names.is_empty() {
        r.problems.report(codes::BAD_VALUE, fields.place, "the list of names is empty");
    }
    let statuses = words(r, &fields, "statuses", &["succeeded", "failed", "cancelled"]);
    let branches =
        fields.get("branches").map(|node| r.one_or_many(node, Reader::pattern)).unwrap_or_default();
    warn_only_negative(r, &branches);
    Some(Upstream { names, statuses: statuses.unwrap_or(vec!["succeeded"]), branches })
}

fn filters(r: &mut Reader<'_, '_>, fields: &Fields<'_>) -> [Vec<Spanned<String>>; 3] {
    ["branches", "paths", "paths_ignore"].map(|key| {
        let list = fields.get(key).map(|node| r.one_or_many(node, Reader::pattern)).unwrap_or_default();
        if key != "paths_ignore" {
            warn_only_negative(r, &list);
        }
        list
    })
}

fn warn_only_negative(r: &mut Reader<'_, '_>, list: &[Spanned<String>]) {
    if let Some(first) = list.first().filter(|_| list.iter().all(|pattern| pattern.value.starts_with('!'))) {
        let message = "every pattern of this list takes away, which is read as: everything but these";
        r.problems.report(codes::ONLY_NEGATIVE, first.place, message).help("put `\"**\"` first to say so");
    }
}

fn schedule_entry(r: &mut Reader<'_, '_>, node: &Node) -> Option<Schedule> {
    let fields = r.fields(node, "a schedule", Schedule::KEYS)?;
    let cron = fields.require("cron", r, Reader::text);
    let time_zone = fields.read("time_zone", r, Reader::text);
    if let Some(zone) = &time_zone
        && let Err((message, help)) = schedule::check_time_zone(&zone.value)
    {
        r.bad(codes::BAD_TIME_ZONE, zone.place, message, help);
    }
    if let Some(cron) = &cron
        && let Err((message, help)) = schedule::check_cron(&cron.value)
    {
        r.bad(codes::BAD_CRON, cron.place, message, help);
    }
    Some(Schedule { cron: cron?, time_zone })
}

pub(super) fn input(r: &mut Reader<'_, '_>, entry: &Entry) -> Option<Input> {
    if !r.name(&entry.key, "an input") {
        return None;
    }
    let mut input = Input {
        name: entry.key.clone(),
        kind: InputKind::String,
        default: None,
        required: false,
        choices: Vec::new(),
        description: None,
    };
    if entry.value.is_null() {
        return Some(input);
    }
    let fields = r.fields(&entry.value, "an input", Input::KEYS)?;
    let kinds = [
        ("string", InputKind::String),
        ("boolean", InputKind::Boolean),
        ("number", InputKind::Number),
        ("choice", InputKind::Choice),
        ("environment", InputKind::Environment),
    ];
    let kind = fields.read("type", r, |r, node| r.word(node, &kinds));
    let implied = if fields.get("choices").is_some() { InputKind::Choice } else { InputKind::String };
    input.kind = kind.unwrap_or(implied);
    input.required = fields.read("required", r, Reader::flag).unwrap_or_default();
    input.description = fields.read("description", r, Reader::text);
    input.choices = fields.get("choices").map(|node| r.one_or_many(node, Reader::text)).unwrap_or_default();
    input.default = fields.read("default", r, |r, node| default_value(r, node, &input));
    check_input(r, &input, entry.key.place);
    Some(input)
}

fn default_value(r: &mut Reader<'_, '_>, node: &Node, input: &Input) -> Option<Spanned<Value>> {
    let value = match input.kind {
        InputKind::Boolean => Value::Bool(r.flag(node)?),
        InputKind::Number => crate::expressions::json_number(r.number(node, f64::MIN, f64::MAX)?),
        InputKind::String if matches!(&node.kind, Kind::Scalar(scalar) if scalar.text.is_empty() && !scalar.plain) => {
            Value::String(String::new())
        }
        _ => Value::String(r.text(node)?.value),
    };
    Some(Spanned::new(value, node.place))
}

fn check_input(r: &mut Reader<'_, '_>, input: &Input, place: Place) {
    if input.kind == InputKind::Choice && input.choices.is_empty() {
        let report = r.problems.report(codes::BAD_INPUT, place, "a choice needs `choices` to choose from");
        report.help("add them, for example `choices: [patch, minor]`");
    }
    if input.kind != InputKind::Choice && !input.choices.is_empty() {
        r.problems.report(codes::BAD_INPUT, place, "only an input of `type: choice` has `choices`");
    }
    if let (InputKind::Choice, Some(default)) = (input.kind, &input.default)
        && !input.choices.iter().any(|choice| default.value == choice.value)
    {
        let message = format!("the default {} is not one of the choices", default.value);
        r.problems.report(codes::BAD_INPUT, default.place, message);
    }
}
