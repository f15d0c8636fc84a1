//! Triggers: filters that exclude each other, patterns, schedules, declared inputs.

use crate::{
    actions::{
        cron, filter,
        schema::{EVENTS, EventDef, filter_keys},
    },
    codes,
    diagnostic::Problems,
    nearest::did_you_mean,
    schedule,
    yaml::{Core, Entry, Node},
};

/// The most inputs of a manual run.
const MAX_INPUTS: usize = 25;

pub(super) fn check(on: &Node, problems: &mut Problems<'_>) {
    for Entry { key, value } in on.entries() {
        match key.value.as_str() {
            "schedule" => value.items().iter().for_each(|time| schedule_of(time, problems)),
            "workflow_dispatch" => dispatch(value, problems),
            "workflow_call" => called(value, problems),
            name => {
                if let Some(event) = EVENTS.iter().find(|event| event.name == name) {
                    filters(event, value, problems);
                }
            }
        }
    }
}

fn filters(event: &EventDef, node: &Node, problems: &mut Problems<'_>) {
    for Entry { key, value } in node.entries() {
        let name = key.value.as_str();
        let positive = name.trim_end_matches("-ignore");
        // Others were reported, or are no patterns.
        let patterns = matches!(positive, "branches" | "tags" | "paths" | "names" | "versions");
        if !patterns || filter_keys(event).all(|key| key != name) {
            continue;
        }
        if positive != name
            && let Some(other) = node.entries().iter().find(|entry| entry.key.value == positive)
        {
            // Reported at the later of the two.
            let (first, second) = match other.key.place.start < key.place.start {
                true => (&other.key, key),
                false => (key, &other.key),
            };
            let message = format!("`on.{}` has either `{positive}` or `{name}`", event.name);
            let report = problems.report(codes::FILTER_CONFLICT, second.place, message);
            report
                .related(first.place, "the other one")
                .help(format!("put what is to be left out under `{positive}` with `!` in front"));
        }
        for pattern in value.texts() {
            if let Err(why) = filter::check(&pattern.value) {
                let message = format!("`{}` is no pattern: {why}", pattern.value);
                problems.report(codes::BAD_FILTER, pattern.place, message);
            }
        }
    }
}

fn schedule_of(time: &Node, problems: &mut Problems<'_>) {
    if let Some(text) = time.get("cron").and_then(Node::spanned)
        && let Err(why) = cron::check(&text.value)
    {
        let help =
            "they are minute, hour, day of month, month, day of week: `0 3 * * *` is every night at three";
        problems.report(codes::WORKFLOW_SCHEDULE, text.place, why).help(help);
    }
    if let Some(zone) = time.get("timezone").and_then(Node::spanned)
        && let Err((message, help)) = schedule::check_time_zone(&zone.value)
    {
        problems.report(codes::WORKFLOW_SCHEDULE, zone.place, message).maybe_help(help);
    }
}

fn dispatch(node: &Node, problems: &mut Problems<'_>) {
    let inputs = node.get("inputs").map_or(&[][..], Node::entries);
    if inputs.len() > MAX_INPUTS {
        let place = inputs.get(MAX_INPUTS).map_or(node.place, |entry| entry.key.place);
        let message = format!("a manual run has {MAX_INPUTS} inputs at most, this one has {}", inputs.len());
        problems.report(codes::WORKFLOW_INPUT, place, message);
    }
    for Entry { key, value } in inputs {
        let kind = value.get("type").and_then(Node::text).unwrap_or_else(|| "string".to_owned());
        let options = value.get("options").map(Node::texts);
        match (&options, kind.as_str()) {
            (None, "choice") => {
                let message = format!("`{}` is a choice without `options`", key.value);
                problems.report(codes::WORKFLOW_INPUT, value.place, message);
            }
            (Some(options), "choice") if options.is_empty() => {
                let message = format!("`{}` is a choice of nothing", key.value);
                problems.report(codes::WORKFLOW_INPUT, value.place, message);
            }
            (Some(_), kind) if kind != "choice" => {
                let message = format!("`{}` has `options`, and only a choice has those", key.value);
                problems.report(codes::WORKFLOW_INPUT, value.place, message).help("add `type: choice`");
            }
            _ => {}
        }
        if let Some(default) = value.get("default") {
            default_of(&kind, default, problems);
            let given = default.text().unwrap_or_default();
            if let Some(options) = options.filter(|options| kind == "choice" && !options.is_empty())
                && !given.is_empty()
                && options.iter().all(|option| option.value != given)
            {
                let message = format!("the default `{given}` is none of the options");
                let help = did_you_mean(&given, options.iter().map(|option| option.value.as_str()));
                problems.report(codes::KEY_IGNORED, default.place, message).maybe_help(help);
            }
        }
    }
}

fn called(node: &Node, problems: &mut Problems<'_>) {
    for Entry { key: _, value } in node.get("inputs").map_or(&[][..], Node::entries) {
        let kind = value.get("type").and_then(Node::text).unwrap_or_default();
        if let Some(default) = value.get("default").filter(|default| !default.is_templated()) {
            default_of(&kind, default, problems);
        }
    }
}

/// A default must be of its input's type.
fn default_of(kind: &str, default: &Node, problems: &mut Problems<'_>) {
    let wanted = match (kind, default.core()) {
        ("boolean", Some(core)) if !matches!(core, Core::Bool(_)) => "`true` or `false`",
        ("number", Some(core)) if !matches!(core, Core::Number(_)) => "a number",
        _ => return,
    };
    let message = format!("the input is {wanted}, and its default is not");
    problems.report(codes::WORKFLOW_INPUT, default.place, message);
}
