//! Scripts and steps.

use std::collections::HashMap;

use crate::{
    codes,
    diagnostic::{Place, Spanned},
    expressions::holds_expression,
    native::{
        file::{Commands, Step},
        reader::Reader,
        words::Naming,
    },
    plan::StepWhen,
    yaml::{Kind, Node},
};

use super::{
    pipeline::LONGEST_HOURS,
    stage::{command_words, condition},
};

/// A script, or a list of scripts and steps.
pub(super) fn steps(r: &mut Reader<'_, '_>, node: &Node) -> Vec<Step> {
    let steps = match &node.kind {
        Kind::List(items) if items.is_empty() => {
            r.problems.report(codes::BAD_VALUE, node.place, "the list of steps is empty");
            Vec::new()
        }
        _ => {
            let mut index = 0;
            r.one_or_many(node, |r, node| {
                r.step = Some(index);
                index += 1;
                let read = step(r, node, index - 1);
                r.step = None;
                read
            })
        }
    };
    let mut seen: HashMap<&str, Place> = HashMap::new();
    for id in steps.iter().filter_map(|step| step.id.as_ref()) {
        if let Some(first) = seen.get(id.value.as_str()) {
            let message = format!("two steps have the id `{}`", id.value);
            r.problems.report(codes::REPEATED, id.place, message).related(*first, "the first one");
        } else {
            seen.insert(&id.value, id.place);
        }
    }
    steps
}

fn step(r: &mut Reader<'_, '_>, node: &Node, index: usize) -> Option<Step> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(Step {
            index,
            condition: None,
            run: script(r, node)?,
            name: None,
            id: None,
            env: Vec::new(),
            working_directory: None,
            timeout: None,
            when: StepWhen::Success,
            continue_on_error: false,
            shell: None,
        });
    }
    let fields = r.fields(node, "a step", Step::KEYS)?;
    let run = fields.require("run", r, script);
    let id = fields.read("id", r, Reader::text);
    let id = id.filter(|id| r.name(id, "a step"));
    let words =
        [("success", StepWhen::Success), ("failure", StepWhen::Failure), ("always", StepWhen::Always)];
    if let (Some(when), Some(condition)) = (fields.entry("when"), fields.entry("if")) {
        let message = "a step has `when` or `if`, not both";
        let report = r.problems.report(codes::EXCLUSIVE, when.key.place, message);
        report
            .related(condition.key.place, "the condition")
            .help("ask in the condition: `always() && …`, `failure() && …`");
    }
    let step = Step {
        index,
        condition: fields.read("if", r, condition),
        run: Spanned::new(String::new(), node.place),
        name: fields.read("name", r, Reader::text),
        id,
        env: fields.get("env").map(|node| r.env(node, Naming::Variables)).unwrap_or_default(),
        working_directory: fields.read("working_directory", r, Reader::path),
        timeout: fields.read("timeout", r, |r, node| r.positive_duration(node, LONGEST_HOURS)),
        when: fields.read("when", r, |r, node| r.word(node, &words)).unwrap_or_default(),
        continue_on_error: fields.read("continue_on_error", r, Reader::flag).unwrap_or_default(),
        shell: fields.read("shell", r, shell),
    };
    Some(Step { run: run?, ..step })
}

/// A script. Nothing is ever pasted into it: whoever names a branch or a pull request would else write commands.
fn script(r: &mut Reader<'_, '_>, node: &Node) -> Option<Spanned<String>> {
    let text = r.raw_text(node)?;
    if holds_expression(&text.value) {
        let source = r.problems.source(text.place).unwrap_or_default();
        let mut place = text.place;
        if let Some(at) = source.find("${{") {
            place.start += at;
            place.end = place.start + source[at..].find("}}").map_or(3, |end| end + 2);
        }
        let report = r.problems.report(
            codes::EXPRESSION_IN_SCRIPT,
            place,
            "a script holds no expressions: they would paste text that others may choose into a shell",
        );
        report.help(
            "put it under `env`, for example `env: {VALUE: \"${{ … }}\"}`, and write `\"$VALUE\"` here",
        );
    }
    Some(text)
}

/// `sh`, `bash`, `python`, or a program and its arguments.
pub(super) fn shell(r: &mut Reader<'_, '_>, node: &Node) -> Option<Vec<String>> {
    if matches!(node.kind, Kind::List(_)) {
        return command_words(r, node);
    }
    let known: [(&str, &[&str]); 3] =
        [("sh", &["/bin/sh", "-e"]), ("bash", &["bash", "-eo", "pipefail"]), ("python", &["python3"])];
    r.word(node, &known).map(|words| words.iter().map(|word| (*word).to_owned()).collect())
}

/// `{image, run}`
pub(super) fn commands(r: &mut Reader<'_, '_>, node: &Node) -> Option<Commands> {
    let fields = r.fields(node, "commands", Commands::KEYS)?;
    let image = fields.read("image", r, Reader::template);
    let run = fields.require("run", r, |r, node| Some(steps(r, node)))?;
    Some(Commands { image, run })
}
