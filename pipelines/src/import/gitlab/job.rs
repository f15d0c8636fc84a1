//! A job as a stage: its commands, where they run, and how often.

use std::collections::BTreeSet;

use super::{
    Job, files,
    rules::{Runs, rules},
    variables,
};
use crate::{
    import::{
        draft::{self, Stage, Step, Yaml, duration, map},
        reading::{self, Notes, fields, flag, get, get_text, get_texts, items, text, texts},
    },
    native::is_variable,
    yaml::{Kind, Node},
};

/// A job as a stage, without its needs. None, with a note, where nothing of it can run here.
pub(super) fn stage(
    name: &str,
    job: &Job<'_>,
    root: &Node,
    notes: &mut Notes,
    used: &mut BTreeSet<&'static str>,
) -> Option<Stage> {
    let place = job.entry.key.place;
    for key in ["trigger", "bridge"] {
        if let Some(node) = job.get(key) {
            notes.add(
                node.place,
                format!("`{name}` starts another pipeline"),
                "let the other pipeline say under `on` what starts it",
            );
            return None;
        }
    }
    let mut stage = Stage { name: name.to_owned(), ..Stage::default() };
    let global = |key: &str| job.get(key).or_else(|| get(root, key));
    let lines = |key: &str, notes: &mut Notes| -> Vec<String> {
        let Some(node) = (if key == "script" { job.get(key) } else { global(key) }) else {
            return Vec::new();
        };
        if items(node).iter().any(|item| matches!(item.kind, Kind::Broken)) {
            notes.add(
                node.place,
                format!("`{key}` of `{name}` has lines that could not be read"),
                "write them out",
            );
        }
        texts(node).into_iter().map(str::to_owned).collect()
    };
    let mut script = lines("before_script", notes);
    script.extend(lines("script", notes));
    if script.is_empty() {
        notes.add(place, format!("`{name}` has no script"), "write its commands");
        return None;
    }
    stage.steps.push(Step::script(command(&script)));
    let after = lines("after_script", notes);
    if !after.is_empty() {
        stage.steps.push(Step {
            name: Some("after".to_owned()),
            when: Some("always"),
            ..Step::script(command(&after))
        });
    }
    let everything = format!("{}\n{}", script.join("\n"), after.join("\n"));
    variables::read_by(&everything, place, notes, used);
    stage.image = global("image")
        .and_then(|node| get_text(node, "name").or_else(|| text(node)))
        .map(variables::in_image);
    if stage.image.is_none() {
        stage.image = Some("debian:12".to_owned());
        notes.add(
            place,
            format!("`{name}` names no image, and runs in debian:12"),
            "name one that has what its commands need",
        );
    }
    for service in global("services").map(items).unwrap_or_default() {
        services(service, &mut stage);
    }
    for (name, place, value) in job.get("variables").map(reading::variables).unwrap_or_default() {
        match text(value) {
            Some(text) if is_variable(&name) => {
                stage.env.insert(name, text.to_owned());
            }
            _ => notes.add(
                place,
                format!("the variable `{name}` was not carried over"),
                "its name or value is none that there can be here",
            ),
        }
    }
    stage.runs_on = job.get("tags").map(texts).unwrap_or_default().into_iter().map(str::to_owned).collect();
    let group = job.text("resource_group").filter(|group| !group.contains('$'));
    stage.concurrency = group.map(|group| map([("group", Some(Yaml::text(group)))]));
    stage.timeout = job.text("timeout").and_then(span).map(duration);
    retry(job, &mut stage);
    if let Some(node) = job.get("allow_failure") {
        stage.continue_on_error = flag(node).unwrap_or(true);
    }
    parallel(job, &mut stage, notes);
    files::results(job, &mut stage, notes);
    for cache in global("cache").map(items).unwrap_or_default() {
        files::cache(cache, &mut stage, notes);
    }
    match rules(job.entry, &|key| job.get(key), notes) {
        Runs::Always => {}
        Runs::If(condition) => stage.condition = Some(condition),
        Runs::AfterFailure => stage.condition = Some("failure()".to_owned()),
        Runs::Whatever => stage.condition = Some("always()".to_owned()),
        Runs::Never => {
            notes.add(place, format!("`{name}` never runs"), "it was left out");
            return None;
        }
    }
    for (key, todo) in [
        (
            "environment",
            "make a `deploy` stage for the environment: its rules and its gate are on the server",
        ),
        ("coverage", "let the tests write a report, and name it under `reports`"),
        ("secrets", "put the secret on the server, and name it under `secrets`"),
        ("release", "do it with commands"),
        ("interruptible", "use `concurrency` with `cancel_superseded`"),
        ("id_tokens", "use a secret"),
    ] {
        if let Some(node) = job.get(key) {
            notes.add(node.place, format!("`{key}` of `{name}` was not carried over"), todo);
        }
    }
    Some(stage)
}

fn command(lines: &[String]) -> String {
    let text: Vec<&str> = lines.iter().map(|line| line.trim_end_matches('\n')).collect();
    // A beginning of an expression is refused in scripts; it is none here.
    format!("{}\n", text.join("\n").replace("${{", "$ {{"))
}

fn services(node: &Node, stage: &mut Stage) {
    let Some(image) = get_text(node, "name").or_else(|| text(node)) else { return };
    // As GitLab does: the image's path without its tag.
    let base = image.split(['@']).next().unwrap_or(image);
    let path = base.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(base, |(path, _)| path);
    let host = get_text(node, "alias").map_or_else(|| path.replace('/', "-"), str::to_owned);
    let words = |key: &str| get_texts(node, key).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let env = get(node, "variables").map(reading::variables).unwrap_or_default().into_iter();
    let env: Vec<(String, Yaml)> =
        env.filter_map(|(name, _, value)| Some((name, Yaml::text(text(value)?)))).collect();
    let service = map([
        ("image", Some(Yaml::text(image))),
        ("env", Some(Yaml::Map(env))),
        ("command", Some(Yaml::texts(words("command")))),
    ]);
    stage.services.push((draft::name(&host), service));
}

/// `1h 30m`, `2 hours`, `90 minutes`.
pub(super) fn span(text: &str) -> Option<u64> {
    let mut seconds = 0_u64;
    let mut number = String::new();
    let mut unit = String::new();
    for character in text.chars().chain(std::iter::once('0')).chain(std::iter::once(' ')) {
        if character.is_ascii_digit() && !unit.is_empty() {
            let each = match unit.as_str() {
                "s" | "sec" | "second" | "seconds" => 1,
                "m" | "min" | "mins" | "minute" | "minutes" => 60,
                "h" | "hr" | "hrs" | "hour" | "hours" => 3600,
                "d" | "day" | "days" => 86_400,
                "w" | "week" | "weeks" => 604_800,
                "mo" | "month" | "months" => 2_592_000,
                "y" | "yr" | "year" | "years" => 31_536_000,
                _ => return None,
            };
            seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(each)?)?;
            (number, unit) = (String::new(), String::new());
        }
        match character {
            c if c.is_ascii_digit() => number.push(c),
            c if c.is_alphabetic() => unit.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    Some(seconds).filter(|seconds| *seconds > 0)
}

fn retry(job: &Job<'_>, stage: &mut Stage) {
    let Some(node) = job.get("retry") else { return };
    let count = get_text(node, "max").or_else(|| text(node)).and_then(|text| text.parse::<u32>().ok());
    let Some(count) = count.filter(|count| *count > 0) else { return };
    let mut when: BTreeSet<&str> = BTreeSet::new();
    for reason in get_texts(node, "when") {
        when.insert(match reason {
            "job_execution_timeout" | "stuck_or_timeout_failure" => "timeout",
            "always" | "script_failure" | "unknown_failure" => "failure",
            _ => "infrastructure",
        });
    }
    if when.is_empty() {
        when.insert("failure");
    }
    stage.retry = Some(map([
        ("max", Some(Yaml::Plain((count + 1).min(10).to_string()))),
        ("when", Some(Yaml::texts(when))),
    ]));
}

fn parallel(job: &Job<'_>, stage: &mut Stage, notes: &mut Notes) {
    let Some(node) = job.get("parallel") else { return };
    let Some(matrix) = get(node, "matrix") else {
        notes.add(
            node.place,
            format!("`{}` ran several times at once", stage.name),
            "give it a `matrix` that splits the work",
        );
        return;
    };
    let [one] = items(matrix) else {
        notes.add(
            matrix.place,
            format!("the matrix of `{}` has several parts", stage.name),
            "write its combinations under `matrix.include`",
        );
        return;
    };
    let axes: Vec<(String, Yaml)> = fields(one)
        .into_iter()
        .map(|axis| (axis.key.value.clone(), Yaml::texts(texts(&axis.value))))
        .collect();
    // GitLab's scripts read the values as variables.
    for (name, _) in &axes {
        if is_variable(name) {
            stage.env.insert(name.clone(), format!("${{{{ matrix.{name} }}}}"));
        }
        if let Some(image) = &mut stage.image {
            *image = image
                .replace(&format!("${{{name}}}"), &format!("${{{{ matrix.{name} }}}}"))
                .replace(&format!("${name}"), &format!("${{{{ matrix.{name} }}}}"));
        }
    }
    stage.matrix = Some(Yaml::Map(axes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("1h 30m", Some(5400)),
            ("2 hours", Some(7200)),
            ("90 minutes", Some(5400)),
            ("1 week", Some(604_800)),
            ("3 mins 4 sec", Some(184)),
            ("never", None),
            ("", None),
        ] {
            assert_eq!(span(text), seconds, "{text}");
        }
    }
}
