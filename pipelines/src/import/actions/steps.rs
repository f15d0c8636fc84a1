//! The steps of a GitHub Actions job: scripts, with their expressions as variables, and the actions that everybody
//! uses as what they are here.

use super::{
    Workflow, condition_of,
    expressions::{Piece, Value, is_given, pieces, variable_of},
    minutes, truth,
};
use crate::{
    diagnostic::Place,
    import::{
        draft::{self, Stage, Step, Yaml, map},
        reading::{Notes, get, get_text, items, text, variables},
    },
    yaml::Node,
};

/// What hosted machines run; it has no tools, so a note goes with it.
const PLAIN_IMAGE: &str = "ubuntu:24.04";

/// GitHub's variables by their names here.
const VARIABLES: &[(&str, &str)] = &[
    ("GITHUB_OUTPUT", "TIDEGATE_OUTPUT"),
    ("GITHUB_ENV", "TIDEGATE_ENV"),
    ("GITHUB_PATH", "TIDEGATE_PATH"),
    ("GITHUB_SHA", "TIDEGATE_SHA"),
    ("GITHUB_REPOSITORY", "TIDEGATE_REPOSITORY"),
    ("GITHUB_ACTOR", "TIDEGATE_ACTOR"),
    ("GITHUB_RUN_NUMBER", "TIDEGATE_RUN_NUMBER"),
    ("GITHUB_RUN_ID", "TIDEGATE_RUN_ID"),
    ("GITHUB_WORKSPACE", "PWD"),
];

pub(super) fn read(
    job: &Node,
    directory: Option<&str>,
    workflow: &Workflow<'_>,
    stage: &mut Stage,
    notes: &mut Notes,
) {
    let mut checked_out = false;
    for node in get(job, "steps").map(items).unwrap_or_default() {
        if let Some(uses) = get(node, "uses") {
            checked_out |= text(uses).is_some_and(|text| text.starts_with("actions/checkout"));
            action(node, uses, workflow, stage, notes);
        } else if let Some(run) = get(node, "run") {
            script(node, run, directory, workflow, stage, notes);
        }
    }
    if !checked_out && stage.steps.iter().all(|step| step.name.as_deref() != Some("not carried over")) {
        stage.checkout = Some(false);
    }
    if stage.image.is_none() {
        stage.image = Some(PLAIN_IMAGE.to_owned());
        let place = get(job, "runs-on").map_or(job.place, |node| node.place);
        notes.add(
            place,
            format!("`{}` runs in {PLAIN_IMAGE}, which has few tools", stage.name),
            "name an image that has what its commands need",
        );
    }
    if stage.steps.is_empty() {
        let text = "echo 'this stage has nothing that could be carried over' >&2\nexit 1\n";
        stage.steps.push(Step { name: Some("not carried over".to_owned()), ..Step::script(text) });
    }
}

fn script(
    node: &Node,
    run: &Node,
    directory: Option<&str>,
    workflow: &Workflow<'_>,
    stage: &mut Stage,
    notes: &mut Notes,
) {
    let mut step = Step { id: get_text(node, "id").map(str::to_owned), ..Step::default() };
    step.name = get(node, "name").and_then(text).filter(|name| !name.contains("${{")).map(str::to_owned);
    for (name, _, value) in get(node, "env").map(variables).unwrap_or_default() {
        if let [Piece::Expression(expression)] = pieces(text(value).unwrap_or_default()).as_slice()
            && let Ok(Value::Secret(secret)) = workflow.translate(expression)
        {
            stage.secrets.insert(name, secret);
        } else if let Some(value) = workflow.template(value, &format!("the value `{name}`"), notes) {
            step.env.insert(name, value);
        }
    }
    step.run = with_variables(run, workflow, stage, &mut step, notes);
    let folder = get(node, "working-directory").and_then(text).or(directory);
    step.working_directory =
        folder.map(|folder| folder.trim_start_matches("./").to_owned()).filter(|one| !one.is_empty());
    step.timeout = minutes(node, "timeout-minutes", notes);
    step.continue_on_error = truth(node, "continue-on-error", notes);
    match get_text(node, "shell") {
        None | Some("bash") => {}
        Some(known @ ("sh" | "python")) => step.shell = Some(Yaml::text(known)),
        Some(other) => {
            let place = get(node, "shell").map_or(node.place, |node| node.place);
            notes.add(
                place,
                format!("the shell `{other}` was not carried over"),
                "`shell` may be a list: a program and its arguments",
            );
        }
    }
    if let Some(condition) = get(node, "if") {
        when(condition, &mut step, workflow, notes);
    }
    stage.steps.push(step);
}

/// A step's condition; one that only asks how the steps before ended is a word here.
fn when(node: &Node, step: &mut Step, workflow: &Workflow<'_>, notes: &mut Notes) {
    let Some(condition) = condition_of(node, workflow, notes) else { return };
    match condition.as_str() {
        "always()" => step.when = Some("always"),
        "failure()" => step.when = Some("failure"),
        "success()" => {}
        _ => step.condition = Some(condition),
    }
}

/// A script whose expressions are variables: nothing is ever pasted into a shell here.
fn with_variables(
    run: &Node,
    workflow: &Workflow<'_>,
    stage: &mut Stage,
    step: &mut Step,
    notes: &mut Notes,
) -> String {
    let mut script = String::new();
    for piece in pieces(text(run).unwrap_or_default()) {
        let expression = match piece {
            Piece::Text(text) => {
                script.push_str(text);
                continue;
            }
            Piece::Expression(expression) => expression,
        };
        let mut name = variable_of(expression);
        match workflow.translate(expression) {
            Ok(Value::Secret(secret)) => {
                name.clone_from(&secret);
                stage.secrets.insert(secret.clone(), secret);
            }
            Ok(Value::Env(own)) => name = own,
            _ if is_given(&name) => {}
            Ok(Value::Expression(native)) => {
                step.env.insert(name.clone(), format!("${{{{ {native} }}}}"));
            }
            Err(why) => notes.add(
                run.place,
                format!("the script reads `${{{{{expression}}}}}`: {why}"),
                format!("set ${name} under `env`, or earlier in the script"),
            ),
        }
        script.push_str(&format!("${{{name}}}"));
    }
    if script.contains("${{") {
        // Left open, so no expression at all; here even its beginning is refused.
        script = script.replace("${{", "$ {{");
    }
    for (theirs, ours) in VARIABLES {
        script = script.replace(theirs, ours);
    }
    if script.contains("GITHUB_") {
        notes.add(
            run.place,
            "the script reads variables of GitHub's runner",
            "docs/language/verbs.md lists the variables there are",
        );
    }
    if script.trim().is_empty() { "true\n".to_owned() } else { script }
}

/// An action that has a counterpart, or a note.
fn action(node: &Node, uses: &Node, workflow: &Workflow<'_>, stage: &mut Stage, notes: &mut Notes) {
    let whole = text(uses).unwrap_or_default();
    let action = whole.split('@').next().unwrap_or(whole);
    let with = get(node, "with");
    let given = |key: &str| with.and_then(|with| get(with, key));
    match action {
        "actions/checkout" => {
            for key in ["ref", "repository", "submodules", "lfs", "path", "token"] {
                if let Some(node) = given(key) {
                    notes.add(
                        node.place,
                        format!("`{key}` of actions/checkout was not carried over"),
                        "every stage has the run's commit checked out; do the rest in a script",
                    );
                }
            }
        }
        "actions/setup-node" => image(stage, "node", given("node-version"), "22", uses.place, notes),
        "actions/setup-python" => image(stage, "python", given("python-version"), "3.13", uses.place, notes),
        "actions/setup-go" => image(stage, "golang", given("go-version"), "1.24", uses.place, notes),
        "actions/setup-java" => {
            image(stage, "eclipse-temurin", given("java-version"), "21", uses.place, notes)
        }
        "actions/cache" | "actions/cache/restore" | "actions/cache/save" => {
            cache(with, uses.place, workflow, stage, notes)
        }
        "actions/upload-artifact" => upload(node, with, stage, notes),
        "actions/download-artifact" => download(with, uses.place, workflow, stage, notes),
        "docker/build-push-action"
        | "docker/login-action"
        | "docker/setup-buildx-action"
        | "docker/setup-qemu-action"
        | "docker/metadata-action" => {
            notes.add(
                uses.place,
                format!("{action} was left out"),
                "make a stage with `build`, and one with `push` that needs it",
            );
        }
        _ => notes.add(
            uses.place,
            format!("the action {whole} was left out"),
            "do the same with commands, in an image that has the tool",
        ),
    }
}

/// The image that has what a set-up action would install.
fn image(
    stage: &mut Stage,
    name: &str,
    version: Option<&Node>,
    default: &str,
    place: Place,
    notes: &mut Notes,
) {
    if let Some(taken) = &stage.image {
        notes.add(
            place,
            format!("the stage runs in {taken}, and needs {name} too"),
            "use an image that has both",
        );
        return;
    }
    let text = version.and_then(text).unwrap_or(default);
    let exact = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    let tag = match pieces(text).as_slice() {
        [Piece::Expression(expression)] if expression.trim().starts_with("matrix.") => {
            format!("${{{{ {} }}}}", expression.trim())
        }
        _ => {
            let plain = text.trim_start_matches(['^', '~', '>', '=', 'v']).trim_end_matches(".x");
            if exact(plain) && !plain.is_empty() && !plain.starts_with("lts") {
                plain.to_owned()
            } else {
                let place = version.map_or(place, |node| node.place);
                notes.add(
                    place,
                    format!("the version `{text}` of {name} became {default}"),
                    "name the image's tag that you want",
                );
                default.to_owned()
            }
        }
    };
    stage.image = Some(format!("{name}:{tag}"));
}

fn cache(with: Option<&Node>, place: Place, workflow: &Workflow<'_>, stage: &mut Stage, notes: &mut Notes) {
    let given = |key: &str| with.and_then(|with| get(with, key));
    let home = |path: &str| {
        path.trim().strip_prefix("~/").map_or(path.trim().to_owned(), |rest| format!("/root/{rest}"))
    };
    let paths: Vec<String> = given("path")
        .and_then(text)
        .unwrap_or_default()
        .lines()
        .map(home)
        .filter(|path| !path.is_empty() && !path.contains("${{"))
        .collect();
    // Without hashes of files a key names the branch; the cache is then as fresh as its newest entry.
    let mut key = String::new();
    for piece in pieces(given("key").and_then(text).unwrap_or("cache")) {
        match piece {
            Piece::Text(text) => key.push_str(text),
            Piece::Expression(expression) if expression.contains("runner.os") => key.push_str("linux"),
            Piece::Expression(expression) => match workflow.translate(expression) {
                Ok(Value::Expression(native)) => key.push_str(&format!("${{{{ {native} }}}}")),
                _ => key.push_str("${{ git.short_sha }}"),
            },
        }
    }
    if paths.is_empty() {
        notes.add(place, "a cache was left out", "its paths could not be read");
        return;
    }
    if given("key").and_then(text).is_some_and(|key| key.contains("hashFiles")) {
        notes.add(
            place,
            "the cache's key was a hash of files and is one of the commit now",
            "`restore_keys` finds the newest entry; or name a version in the key",
        );
    }
    let begin = key.split("${{").next().unwrap_or_default().to_owned();
    let restore = (!begin.is_empty() && begin != key).then(|| Yaml::texts([begin]));
    stage.cache.push(map([
        ("key", Some(Yaml::text(key))),
        ("restore_keys", restore),
        ("paths", Some(Yaml::texts(paths))),
    ]));
}

fn upload(node: &Node, with: Option<&Node>, stage: &mut Stage, notes: &mut Notes) {
    let given = |key: &str| with.and_then(|with| get(with, key));
    let name = given("name").and_then(text).unwrap_or("artifact");
    let Some(path) = given("path") else { return };
    let paths: Vec<String> = text(path)
        .unwrap_or_default()
        .lines()
        .map(|line| {
            let line = line.trim().trim_start_matches("./");
            let folder = !line.contains('*') && !line.rsplit('/').next().unwrap_or(line).contains('.');
            if folder && !line.is_empty() {
                format!("{}/**", line.trim_end_matches('/'))
            } else {
                line.to_owned()
            }
        })
        .filter(|line| !line.is_empty() && !line.contains("${{"))
        .collect();
    if paths.is_empty() {
        notes.add(path.place, "an artifact was left out: its paths hold expressions", "name the paths");
        return;
    }
    let always = get_text(node, "if").is_some_and(|condition| condition.contains("always()"));
    let days = given("retention-days").and_then(text).and_then(|days| days.parse::<u64>().ok());
    stage.artifacts.push(map([
        ("name", Some(Yaml::text(draft::name(name)))),
        ("paths", Some(Yaml::texts(paths))),
        ("when", always.then(|| Yaml::text("always"))),
        ("retention", days.filter(|days| *days > 0).map(|days| Yaml::text(format!("{days}d")))),
    ]));
    if name.contains("${{") {
        notes.add(
            path.place,
            format!("the artifact's name `{name}` holds an expression"),
            "names are plain; a matrix keeps its artifacts apart by itself",
        );
    }
}

fn download(
    with: Option<&Node>,
    place: Place,
    workflow: &Workflow<'_>,
    stage: &mut Stage,
    notes: &mut Notes,
) {
    let given = |key: &str| with.and_then(|with| get(with, key));
    let name = given("name").and_then(text);
    let wanted: Vec<(&String, &String)> = workflow
        .artifacts
        .iter()
        .filter(|(artifact, from)| name.is_none_or(|name| name == *artifact) && **from != stage.name)
        .collect();
    if wanted.is_empty() {
        notes.add(
            place,
            "an artifact is fetched that no job of this file uploads",
            "see `fetch` in docs/language/results.md",
        );
    }
    for (artifact, from) in wanted {
        stage.fetch.push(format!("{from}.{}", draft::name(artifact)));
    }
    if let Some(path) = given("path") {
        notes.add(
            path.place,
            "a fetched artifact is unpacked at its own paths",
            "move the files in a script where they must be elsewhere",
        );
    }
}
