//! A stage, all but its verb.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    pipeline::{LONGEST_HOURS, concurrency},
    results::{artifact, cache, fetch, report},
    services::{network, resources, service},
    steps::shell,
    verbs::verb,
};
use crate::{
    codes,
    diagnostic::{Place, Spanned},
    expressions::holds_expression,
    native::{
        file::{Duration, Emits, Matrix, Need, Retry, Secret, Stage, shape::ExitCodes},
        reader::{Reader, Role},
        words::{Naming, is_name, is_variable},
    },
    plan::{NeedState, RetryWhen},
    yaml::{Entry, Kind, Node},
};

pub(super) fn stage(r: &mut Reader<'_, '_>, entry: &Entry) -> Stage {
    r.name(&entry.key, "a stage");
    let mut stage = empty(entry.key.clone());
    let Some(fields) = r.fields(&entry.value, "a stage", Stage::KEYS) else { return stage };
    stage.keys = fields.present();
    stage.needs = fields.get("needs").map(|node| needs(r, node)).unwrap_or_default();
    stage.condition = fields.read("if", r, condition);
    stage.image = fields.read("image", r, Reader::template);
    stage.matrix = fields.entry("matrix").and_then(|entry| matrix(r, entry));
    let count = |r: &mut Reader<'_, '_>, node: &Node| {
        r.integer(node, 1, 256).and_then(|count| u32::try_from(count).ok())
    };
    stage.max_parallel = fields.read("max_parallel", r, count);
    stage.fail_fast = fields.read("fail_fast", r, Reader::flag).unwrap_or_default();
    stage.concurrency = fields.read("concurrency", r, concurrency);
    stage.shell = fields.read("shell", r, shell);
    stage.working_directory = fields.read("working_directory", r, Reader::path);
    stage.network = fields.read("network", r, network);
    stage.emits =
        fields.entry("emits").and_then(|entry| Some(Spanned::new(emits(r, &entry.value)?, entry.key.place)));
    if let Some(node) = fields.get("outputs") {
        stage.outputs = r.values(node, Naming::Names, Role::Output);
    }
    stage.runs_on = fields.get("runs_on").map(|node| r.one_or_many(node, Reader::text));
    stage.env = fields.get("env").map(|node| r.env(node, Naming::Variables)).unwrap_or_default();
    stage.secrets = fields.get("secrets").map(|node| r.one_or_many(node, secret)).unwrap_or_default();
    if let Some(node) = fields.get("services") {
        let entries = r.entries(node, "a mapping from names to services");
        stage.services = entries.iter().filter_map(|entry| service(r, entry)).collect();
    }
    stage.timeout = fields.read("timeout", r, |r, node| r.positive_duration(node, LONGEST_HOURS));
    stage.retry = fields.read("retry", r, retry);
    stage.continue_on_error = fields.read("continue_on_error", r, Reader::flag).unwrap_or_default();
    stage.artifacts =
        fields.get("artifacts").map(|node| r.list(node, "a list of artifacts", artifact)).unwrap_or_default();
    stage.fetch = fields.get("fetch").map(|node| r.one_or_many(node, fetch)).unwrap_or_default();
    stage.cache = fields.get("cache").map(|node| r.one_or_many(node, cache)).unwrap_or_default();
    stage.reports = fields.get("reports").map(|node| r.one_or_many(node, report)).unwrap_or_default();
    stage.resources = fields.read("resources", r, resources);
    stage.checkout = fields.read("checkout", r, Reader::flag);
    stage.verb = verb(r, &fields, &entry.key);
    let artifacts: Vec<_> = stage.artifacts.iter().map(|artifact| &artifact.name).collect();
    repeated(r, "artifacts have the name", &artifacts);
    let secrets: Vec<_> = stage.secrets.iter().map(|secret| &secret.env).collect();
    repeated(r, "secrets have the variable", &secrets);
    stage
}

fn empty(name: Spanned<String>) -> Stage {
    Stage {
        name,
        keys: Vec::new(),
        scope: 0,
        needs: Vec::new(),
        condition: None,
        image: None,
        matrix: None,
        max_parallel: None,
        fail_fast: false,
        concurrency: None,
        shell: None,
        working_directory: None,
        network: None,
        emits: None,
        outputs: Vec::new(),
        runs_on: None,
        env: Vec::new(),
        secrets: Vec::new(),
        services: Vec::new(),
        timeout: None,
        retry: None,
        continue_on_error: false,
        artifacts: Vec::new(),
        fetch: Vec::new(),
        cache: Vec::new(),
        reports: Vec::new(),
        resources: None,
        checkout: None,
        verb: None,
    }
}

/// Reports names that are there twice.
fn repeated(r: &mut Reader<'_, '_>, what: &str, names: &[&Spanned<String>]) {
    let mut seen: HashMap<&str, Place> = HashMap::new();
    for name in names {
        if let Some(first) = seen.get(name.value.as_str()) {
            let message = format!("two {what} `{}`", name.value);
            r.problems.report(codes::REPEATED, name.place, message).related(*first, "the first one");
        } else {
            seen.insert(&name.value, name.place);
        }
    }
}

pub(super) fn needs(r: &mut Reader<'_, '_>, node: &Node) -> Vec<Need> {
    if matches!(node.kind, Kind::Map(_)) {
        let words = [
            ("succeeded", NeedState::Succeeded),
            ("failed", NeedState::Failed),
            ("finished", NeedState::Finished),
        ];
        let entries = r.entries(node, "names of stages");
        let need = |entry: &Entry| {
            let accepts = r.word(&entry.value, &words).unwrap_or_default();
            Need { stage: entry.key.clone(), accepts }
        };
        return entries.iter().map(need).collect();
    }
    let names = r.one_or_many(node, Reader::text);
    let references: Vec<_> = names.iter().collect();
    repeated(r, "needs have the name", &references);
    names.into_iter().map(|stage| Need { stage, accepts: NeedState::Succeeded }).collect()
}

/// An expression, with or without `${{ }}` around it.
pub(super) fn condition(r: &mut Reader<'_, '_>, node: &Node) -> Option<Spanned<String>> {
    let mut text = r.raw_text(node)?;
    let inner = text.value.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    let inner = inner.filter(|inner| !inner.contains("${{")).unwrap_or(&text.value).trim().to_owned();
    text.value = inner;
    r.note(&text, Role::Condition);
    Some(text)
}

fn secret(r: &mut Reader<'_, '_>, node: &Node) -> Option<Secret> {
    let (name, env) = if matches!(node.kind, Kind::Map(_)) {
        let fields = r.fields(node, "a secret", Secret::KEYS)?;
        let env = fields.read("env", r, Reader::text);
        let name = fields.require("name", r, Reader::text)?;
        (name.clone(), env.unwrap_or(name))
    } else {
        let name = r.text(node)?;
        (name.clone(), name)
    };
    for text in [&name, &env] {
        if !is_variable(&text.value) {
            let message = format!("`{}` is no name for a secret or variable", text.value);
            let help = "such a name has letters, digits and `_`, and does not begin with a digit";
            r.bad(codes::BAD_NAME, text.place, message, Some(help.to_owned()));
            return None;
        }
    }
    Some(Secret { name, env })
}

/// A program and its arguments; one text is for the shell.
pub(super) fn command_words(r: &mut Reader<'_, '_>, node: &Node) -> Option<Vec<String>> {
    if matches!(node.kind, Kind::List(_)) {
        let words = r.list(node, "a list of words", Reader::text);
        if words.is_empty() {
            r.problems.report(codes::BAD_VALUE, node.place, "the command is empty");
            return None;
        }
        return Some(words.into_iter().map(|word| word.value).collect());
    }
    let text = r.text(node)?;
    Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), text.value])
}

pub(super) fn retry(r: &mut Reader<'_, '_>, node: &Node) -> Option<Retry> {
    let attempts = |r: &mut Reader<'_, '_>, node: &Node| {
        r.integer(node, 1, 10).and_then(|count| u32::try_from(count).ok())
    };
    if matches!(node.kind, Kind::Scalar(_)) {
        let max = attempts(r, node)?;
        return Some(Retry { max, when: vec![RetryWhen::Infrastructure], backoff: Duration(0) });
    }
    let fields = r.fields(node, "`retry`", Retry::KEYS)?;
    let max = fields.require("max", r, attempts);
    let when = fields.get("when").map(|node| r.one_or_many(node, retry_when));
    let backoff = fields.read("backoff", r, |r, node| r.positive_duration(node, 24));
    Some(Retry {
        max: max?,
        when: when.unwrap_or_else(|| vec![RetryWhen::Infrastructure]),
        backoff: backoff.map_or(Duration(0), |duration| duration.value),
    })
}

fn retry_when(r: &mut Reader<'_, '_>, node: &Node) -> Option<RetryWhen> {
    if matches!(node.kind, Kind::Map(_)) {
        let fields = r.fields(node, "an ending to try again", ExitCodes::KEYS)?;
        let code = |r: &mut Reader<'_, '_>, node: &Node| {
            r.integer(node, 1, 255).and_then(|code| i32::try_from(code).ok())
        };
        return fields
            .require("exit_codes", r, |r, node| Some(r.one_or_many(node, code)))
            .map(RetryWhen::ExitCodes);
    }
    let words = [("infrastructure", 0), ("timeout", 1), ("failure", 2)];
    Some(match r.word(node, &words)? {
        0 => RetryWhen::Infrastructure,
        1 => RetryWhen::Timeout,
        _ => RetryWhen::Failure,
    })
}

fn matrix(r: &mut Reader<'_, '_>, entry: &Entry) -> Option<Spanned<Matrix>> {
    if let Some(whole) = told(r, &entry.value) {
        let matrix = Matrix { broken: whole.is_none(), whole, ..Matrix::default() };
        return Some(Spanned::new(matrix, entry.key.place));
    }
    let Kind::Map(entries) = &entry.value.kind else {
        r.wrong_type(&entry.value, "a mapping from names to lists of values");
        return None;
    };
    let mut matrix = Matrix::default();
    let written = |node: &Node| if let Kind::List(items) = &node.kind { items.len() } else { 1 };
    for Entry { key, value } in entries {
        if let Some(expression) = told(r, value) {
            matrix.broken |= expression.is_none();
            match key.value.as_str() {
                "include" => matrix.told_include = expression,
                "exclude" => matrix.told_exclude = expression,
                name => {
                    axis_name(r, name, key.place);
                    matrix.axes.push((key.clone(), Vec::new()));
                    matrix.told.extend(expression.map(|expression| (name.to_owned(), expression)));
                }
            }
            continue;
        }
        match key.value.as_str() {
            "include" => {
                matrix.include = r.list(value, "a list of mappings", combination);
                matrix.broken |= matrix.include.len() < written(value);
            }
            "exclude" => {
                matrix.exclude = r.list(value, "a list of mappings", combination);
                matrix.broken |= matrix.exclude.len() < written(value);
            }
            name => {
                axis_name(r, name, key.place);
                let values = r.list(value, "a list of values", matrix_value);
                matrix.broken |= values.len() < written(value);
                matrix.axes.push((key.clone(), values));
            }
        }
    }
    Some(Spanned::new(matrix, entry.key.place))
}

/// A file, or a file and what its stages may have.
fn emits(r: &mut Reader<'_, '_>, node: &Node) -> Option<Emits> {
    if matches!(node.kind, Kind::Scalar(_)) {
        let file = r.path(node)?;
        return Some(Emits { file, secrets: Vec::new(), environments: Vec::new(), runs_on: Vec::new() });
    }
    let fields = r.fields(node, "`emits`", Emits::KEYS)?;
    let file = fields.require("file", r, Reader::path);
    let list = |r: &mut Reader<'_, '_>, key| {
        fields.get(key).map(|node| r.one_or_many(node, Reader::text)).unwrap_or_default()
    };
    let (secrets, environments) = (list(r, "secrets"), list(r, "environments"));
    Some(Emits { file: file?, secrets, environments, runs_on: list(r, "runs_on") })
}

/// The expression that tells a matrix or a list of one, if the value is one: some, and in it what could be read.
fn told(r: &mut Reader<'_, '_>, node: &Node) -> Option<Option<String>> {
    let Kind::Scalar(scalar) = &node.kind else { return None };
    if !holds_expression(&scalar.text) {
        return None;
    }
    let text = Spanned::new(scalar.text.clone(), node.place);
    r.note(&text, Role::Matrix);
    let inner = text.value.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    Some(inner.map(|inner| inner.trim().to_owned()))
}

fn axis_name(r: &mut Reader<'_, '_>, name: &str, place: Place) {
    if !is_name(name) {
        let message = format!("`{name}` is no name for a list of the matrix");
        let help = "such a name has letters, digits, `-` and `_`";
        r.bad(codes::BAD_NAME, place, message, Some(help.to_owned()));
    }
}

fn combination(r: &mut Reader<'_, '_>, node: &Node) -> Option<Vec<(Spanned<String>, Value)>> {
    let entries = r.entries(node, "a mapping from names to values");
    let mut values = Vec::new();
    for entry in entries {
        axis_name(r, &entry.key.value, entry.key.place);
        values.push((entry.key.clone(), matrix_value(r, &entry.value)?));
    }
    (!values.is_empty()).then_some(values)
}

/// A plain value. It becomes part of the stage's key, so it is short and has no control characters.
fn matrix_value(r: &mut Reader<'_, '_>, node: &Node) -> Option<Value> {
    if matches!(node.kind, Kind::List(_) | Kind::Map(_)) {
        r.wrong_type(node, "a plain value");
        return None;
    }
    let text = r.text(node)?;
    if text.value.len() > 100 || text.value.chars().any(char::is_control) {
        let message = "a value of a matrix has at most 100 characters, on one line";
        r.problems.report(codes::BAD_MATRIX, node.place, message);
        return None;
    }
    match &node.kind {
        Kind::Scalar(scalar) => Some(scalar.value()),
        _ => None,
    }
}
