//! `on`: what starts a pipeline.

use serde_json::Value;

use crate::{
    InputKind, codes,
    diagnostic::{Place, Spanned},
    native::{
        file::{Input, Manual, On, PullRequest, Push, Schedule},
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
    let names = [("push", 0), ("tag", 1), ("pull_request", 2), ("manual", 3), ("schedule", 4)];
    match r.word(node, &names) {
        Some(0) => on.push = Some(Push::default()),
        Some(1) => on.tag = Some(Vec::new()),
        Some(2) => on.pull_request = Some(Spanned::new(PullRequest::default(), node.place)),
        Some(3) => on.manual = Some(Manual::default()),
        Some(_) => {
            let report = r.problems.report(codes::BAD_VALUE, node.place, "a schedule needs its time");
            report.help("write `on: {schedule: [{cron: \"0 3 * * *\"}]}`");
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
            PullRequest::default()
        } else {
            let fields = r.fields(&entry.value, "`on.pull_request`", PullRequest::KEYS)?;
            let [branches, paths, paths_ignore] = filters(r, &fields);
            PullRequest { branches, paths, paths_ignore }
        };
        Some(Spanned::new(value, entry.key.place))
    });
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

fn input(r: &mut Reader<'_, '_>, entry: &Entry) -> Option<Input> {
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
