//! GitLab CI files: jobs become stages, `extends` and `default` are worked in, the order of `stages` becomes `needs`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    draft::{Accepts, Draft, Names, Stage, Step, Yaml, duration, map},
    gitlab_rules::{Runs, rules},
    reading::{Notes, fields, flag, get, get_text, get_texts, items, text, texts, tree, variables},
};
use crate::{
    Diagnostic, SourceFile,
    native::is_variable,
    yaml::{Entry, Kind, Node},
};

/// Keys of the file that are no jobs.
const GLOBAL: &[&str] = &[
    "default",
    "include",
    "stages",
    "variables",
    "workflow",
    "image",
    "services",
    "cache",
    "before_script",
    "after_script",
    "pages",
    "spec",
    "types",
];
const DEFAULT_STAGES: &[&str] = &["build", "test", "deploy"];
/// `extends` goes no deeper.
const MOST_PARENTS: usize = 12;

/// A job with what it extends: values of a key are looked up from the first to the last.
struct Job<'n> {
    entry: &'n Entry,
    layers: Vec<&'n Node>,
}

impl<'n> Job<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        self.layers.iter().find_map(|layer| get(layer, key))
    }

    fn text(&self, key: &str) -> Option<&'n str> {
        self.get(key).and_then(text)
    }
}

pub(super) fn read(file: &SourceFile<'_>, notes: &mut Notes) -> Result<Draft, Vec<Diagnostic>> {
    let root = tree(file)?;
    let all = fields(&root);
    let mut draft = Draft::default();
    if let Some(include) = get(&root, "include") {
        notes.add(include.place, "included files were not read", "import them too, and copy their stages");
    }
    let default = get(&root, "default");
    let jobs: Vec<Job<'_>> = all
        .iter()
        .filter(|one| !GLOBAL.contains(&one.key.value.as_str()) || one.key.value == "pages")
        .filter(|one| !one.key.value.starts_with('.') && matches!(one.value.kind, Kind::Map(_)))
        .map(|entry| Job { entry, layers: layers(entry, &root, default) })
        .collect();
    let mut names = Names::default();
    let own: BTreeMap<&str, String> =
        jobs.iter().map(|job| (job.entry.key.value.as_str(), names.of(&job.entry.key.value))).collect();
    for (name, place, value) in get(&root, "variables").map(variables).unwrap_or_default() {
        match get_text(value, "value").or_else(|| text(value)) {
            Some(text) if is_variable(&name) => {
                draft.env.insert(name, text.to_owned());
            }
            _ => notes.add(
                place,
                format!("the variable `{name}` was not carried over"),
                "its name or value is none that there can be here",
            ),
        }
    }
    if let Some(workflow) = get(&root, "workflow") {
        notes.add(
            workflow.place,
            "`workflow` was not carried over",
            "say under `on` what starts the pipeline",
        );
    }
    let order = order(&root);
    let mut used = BTreeSet::new();
    for job in &jobs {
        let Some(name) = own.get(job.entry.key.value.as_str()) else { continue };
        let Some(stage) = self::job(name, job, &root, notes, &mut used) else { continue };
        let mut stage = Stage { place: job.entry.key.place, ..stage };
        needs(job, &jobs, &order, &own, &mut stage, notes);
        draft.stages.push(stage);
    }
    let kept: BTreeSet<String> = draft.stages.iter().map(|stage| stage.name.clone()).collect();
    for stage in &mut draft.stages {
        stage.needs.retain(|(need, _)| kept.contains(need));
    }
    for (name, native) in CI {
        if used.contains(*name) {
            draft.env.entry((*name).to_owned()).or_insert_with(|| format!("${{{{ {native} }}}}"));
        }
    }
    draft.on = triggers(file.text);
    Ok(draft)
}

/// Variables of GitLab that have a counterpart.
const CI: &[(&str, &str)] = &[
    ("CI_COMMIT_SHA", "git.sha"),
    ("CI_COMMIT_SHORT_SHA", "git.short_sha"),
    ("CI_COMMIT_BRANCH", "git.branch"),
    ("CI_COMMIT_TAG", "git.tag"),
    ("CI_COMMIT_REF_NAME", "git.branch || git.tag"),
    ("CI_COMMIT_MESSAGE", "git.message"),
    ("CI_COMMIT_AUTHOR", "git.author"),
    ("CI_COMMIT_BEFORE_SHA", "git.before"),
    ("CI_DEFAULT_BRANCH", "event.default_branch"),
    ("CI_PROJECT_PATH", "event.repository"),
    ("CI_MERGE_REQUEST_IID", "event.pull_request.number"),
    ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "event.pull_request.base_branch"),
    ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "event.pull_request.head_branch"),
    ("GITLAB_USER_LOGIN", "event.actor"),
];

/// What a job's values are looked up in: itself, what it extends (the last one first), the defaults.
fn layers<'n>(entry: &'n Entry, root: &'n Node, default: Option<&'n Node>) -> Vec<&'n Node> {
    let mut layers: Vec<&Node> = Vec::new();
    let mut open = vec![&entry.value];
    while let Some(node) = open.pop() {
        if layers.len() >= MOST_PARENTS || layers.iter().any(|one| std::ptr::eq(*one, node)) {
            continue;
        }
        layers.push(node);
        open.extend(get_texts(node, "extends").into_iter().filter_map(|name| get(root, name)));
    }
    layers.extend(default);
    layers
}

/// The stages in their order, with those that always are.
fn order(root: &Node) -> Vec<String> {
    let named = get(root, "stages").map(texts).unwrap_or_else(|| DEFAULT_STAGES.to_vec());
    let all = std::iter::once(".pre").chain(named).chain(std::iter::once(".post"));
    all.map(str::to_owned).collect()
}

fn job(
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
    ci_variables(&everything, place, notes, used);
    stage.image =
        global("image").and_then(|node| get_text(node, "name").or_else(|| text(node))).map(with_braces);
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
    for (name, place, value) in job.get("variables").map(variables).unwrap_or_default() {
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
    artifacts(job, &mut stage, notes);
    for cache in global("cache").map(items).unwrap_or_default() {
        self::cache(cache, &mut stage, notes);
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

/// Notes variables that have no counterpart, and remembers those that have one.
fn ci_variables(
    script: &str,
    place: crate::diagnostic::Place,
    notes: &mut Notes,
    used: &mut BTreeSet<&'static str>,
) {
    let mut unknown = BTreeSet::new();
    for part in script.split('$').skip(1) {
        let name: String = part
            .trim_start_matches('{')
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        if !name.starts_with("CI_") && !name.starts_with("GITLAB_") {
            continue;
        }
        match CI.iter().find(|(known, _)| *known == name) {
            Some((known, _)) => {
                used.insert(known);
            }
            None => {
                unknown.insert(name);
            }
        }
    }
    if !unknown.is_empty() {
        let list: Vec<String> = unknown.into_iter().collect();
        notes.add(
            place,
            format!("the script reads {}", list.join(", ")),
            "set them under `env`, or as secrets",
        );
    }
}

/// `$NAME` in an image's name is read by GitLab; here it is only text.
fn with_braces(image: &str) -> String {
    image.replace("$CI_COMMIT_SHA", "${{ git.sha }}").replace("$CI_COMMIT_TAG", "${{ git.tag }}")
}

fn services(node: &Node, stage: &mut Stage) {
    let Some(image) = get_text(node, "name").or_else(|| text(node)) else { return };
    // As GitLab does: the image's path without its tag.
    let base = image.split(['@']).next().unwrap_or(image);
    let path = base.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(base, |(path, _)| path);
    let host = get_text(node, "alias").map_or_else(|| path.replace('/', "-"), str::to_owned);
    let words = |key: &str| get_texts(node, key).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let env = get(node, "variables").map(variables).unwrap_or_default().into_iter();
    let env: Vec<(String, Yaml)> =
        env.filter_map(|(name, _, value)| Some((name, Yaml::text(text(value)?)))).collect();
    let service = map([
        ("image", Some(Yaml::text(image))),
        ("env", Some(Yaml::Map(env))),
        ("command", Some(Yaml::texts(words("command")))),
    ]);
    stage.services.push((super::draft::name(&host), service));
}

/// `1h 30m`, `2 hours`, `90 minutes`.
fn span(text: &str) -> Option<u64> {
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

fn artifacts(job: &Job<'_>, stage: &mut Stage, notes: &mut Notes) {
    let Some(node) = job.get("artifacts") else { return };
    let paths = patterns(&get_texts(node, "paths"));
    if !paths.is_empty() {
        let when = match get_text(node, "when") {
            Some("always") => Some("always"),
            Some("on_failure") => Some("failure"),
            _ => None,
        };
        let days = get_text(node, "expire_in").and_then(span).map(|seconds| seconds.div_ceil(86_400));
        stage.artifacts.push(map([
            ("name", Some(Yaml::text("files"))),
            ("paths", Some(Yaml::texts(paths))),
            ("when", when.map(Yaml::text)),
            ("retention", days.map(|days| Yaml::text(format!("{days}d")))),
        ]));
    }
    for report in get(node, "reports").map(fields).unwrap_or_default() {
        let (kind, paths) = match report.key.value.as_str() {
            "junit" => ("junit", texts(&report.value)),
            "coverage_report" => ("cobertura", get_texts(&report.value, "path")),
            "dotenv" => {
                notes.add(
                    report.key.place,
                    "`dotenv` reports were not carried over",
                    "append `name=value` lines to \"$TIDEGATE_OUTPUT\" instead",
                );
                continue;
            }
            other => {
                notes.add(
                    report.key.place,
                    format!("the report `{other}` was not carried over"),
                    "there are `junit`, `cobertura`, `lcov` and `sarif`",
                );
                continue;
            }
        };
        stage.reports.push(map([(kind, Some(Yaml::texts(patterns(&paths))))]));
    }
}

/// Paths as patterns: a folder means all that is in it.
fn patterns(paths: &[&str]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.trim_start_matches("./"))
        .filter(|path| !path.is_empty() && !path.contains('$'))
        .map(|path| {
            let last = path.rsplit('/').next().unwrap_or(path);
            let folder = path.ends_with('/') || !path.contains('*') && !last.contains('.');
            if folder { format!("{}/**", path.trim_end_matches('/')) } else { path.to_owned() }
        })
        .collect()
}

fn cache(node: &Node, stage: &mut Stage, notes: &mut Notes) {
    let paths: Vec<String> = get_texts(node, "paths")
        .into_iter()
        .map(|path| path.trim_end_matches('/').to_owned())
        .filter(|path| !path.is_empty() && !path.contains(['*', '$']))
        .collect();
    if paths.is_empty() {
        return;
    }
    let key = get(node, "key");
    let plain = key.and_then(text).unwrap_or("default");
    let plain = plain
        .replace("$CI_COMMIT_REF_SLUG", "${{ git.branch }}")
        .replace("$CI_COMMIT_REF_NAME", "${{ git.branch }}")
        .replace("${CI_COMMIT_REF_SLUG}", "${{ git.branch }}");
    if let Some(files) = key.and_then(|key| get(key, "files")) {
        notes.add(
            files.place,
            "the cache's key was a hash of files",
            "name a version in the key; an entry is never written again",
        );
    }
    if plain.replace("${{", "").contains('$') {
        notes.add(
            node.place,
            format!("the cache's key `{plain}` reads variables"),
            "it may hold expressions over `git`, `inputs` and `matrix`",
        );
    }
    // An entry is never written again, so the commit is in the key, and the newest entry is taken.
    let begin = format!("{}-", plain.trim_end_matches('-'));
    stage.cache.push(map([
        ("key", Some(Yaml::text(format!("{begin}${{{{ git.short_sha }}}}")))),
        ("restore_keys", Some(Yaml::texts([begin]))),
        ("paths", Some(Yaml::texts(paths))),
    ]));
}

/// `needs` as written; without it, all jobs of the stage before.
fn needs(
    job: &Job<'_>,
    jobs: &[Job<'_>],
    order: &[String],
    own: &BTreeMap<&str, String>,
    stage: &mut Stage,
    notes: &mut Notes,
) {
    let stage_of = |job: &Job<'_>| {
        let name = job.text("stage").unwrap_or("test");
        order.iter().position(|one| one == name)
    };
    let with_files = |name: &str| {
        jobs.iter().any(|one| {
            one.entry.key.value == name
                && one.get("artifacts").is_some_and(|node| !patterns(&get_texts(node, "paths")).is_empty())
        })
    };
    let mut before: Vec<(&str, bool)> = Vec::new();
    if let Some(needs) = job.get("needs") {
        for need in items(needs) {
            let Some(name) = get_text(need, "job").or_else(|| text(need)) else { continue };
            if get(need, "project").is_some() || get(need, "pipeline").is_some() {
                notes.add(
                    need.place,
                    "a need of another project's job was not carried over",
                    "fetch what is needed in a script",
                );
                continue;
            }
            before.push((name, get(need, "artifacts").and_then(flag) != Some(false)));
        }
    } else if let Some(at) = stage_of(job) {
        let all = jobs.iter().filter_map(|one| Some((stage_of(one)?, one)));
        let nearest = all.clone().map(|(rank, _)| rank).filter(|rank| *rank < at).max();
        for (_, one) in all.filter(|(rank, _)| Some(*rank) == nearest) {
            before.push((one.entry.key.value.as_str(), true));
        }
    }
    let wanted = job.get("dependencies").map(texts);
    for (name, files) in before {
        let Some(own) = own.get(name).filter(|own| **own != stage.name) else { continue };
        if stage.needs.iter().any(|(need, _)| need == own) {
            continue;
        }
        stage.needs.push((own.clone(), Accepts::Success));
        let files = wanted.as_ref().map_or(files, |list| list.contains(&name));
        if files && with_files(name) {
            stage.fetch.push(format!("{own}.files"));
        }
    }
}

/// GitLab's pipelines start on pushes, and on what the rules speak of.
fn triggers(text: &str) -> Vec<(String, Yaml)> {
    let mut on = vec![("push".to_owned(), Yaml::Nothing)];
    if text.contains("CI_COMMIT_TAG") || text.contains("tags") {
        on.push(("tag".to_owned(), Yaml::Nothing));
    }
    if text.contains("merge_request") {
        on.push(("pull_request".to_owned(), Yaml::Nothing));
    }
    on.push(("manual".to_owned(), Yaml::Nothing));
    on
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
