//! Actions of the same repository: what steps give them, against what they declare. GitHub says of an input that nobody
//! declares only that it is unexpected, in the log, and of one that is missing nothing; so these are warnings. An action
//! that cannot be read is let be: an earlier step may bring it.

use std::collections::HashMap;

use super::{check::flat, names};
use crate::{
    FileRef, Setting, SourceFile, codes,
    diagnostic::{Problems, Spanned},
    nearest::{did_you_mean, listed},
    yaml::{self, Core, Dialect, Node},
};

/// The most actions that are read for one workflow.
const MAX_FILES: usize = 50;
/// What a container action may be given beside its inputs.
const OF_CONTAINERS: [&str; 2] = ["args", "entrypoint"];

/// The inputs of an action.
struct Action {
    inputs: Vec<Input>,
}

struct Input {
    name: String,
    /// Required, and without a default.
    needed: bool,
}

/// Checks all steps that use an action of the same repository.
pub(super) fn check(root: &Node, setting: Setting<'_>, problems: &mut Problems<'_>) {
    let mut known: HashMap<String, Option<Action>> = HashMap::new();
    let jobs = root.get("jobs").map_or(&[][..], Node::entries);
    for step in jobs.iter().flat_map(|job| flat(&job.value)) {
        let Some(uses) = step.get("uses").and_then(Node::name).filter(|uses| names::is_local(&uses.value))
        else {
            continue;
        };
        let Some(folder) = folder(&uses.value) else { continue };
        if !known.contains_key(&folder) && known.len() >= MAX_FILES {
            continue;
        }
        let action = known.entry(folder).or_insert_with_key(|folder| read(folder, setting));
        if let Some(action) = action {
            given(step, &uses, action, problems);
        }
    }
}

/// `./x/y/` and `$/x/y` as `x/y`; none where it leads out of the repository.
fn folder(uses: &str) -> Option<String> {
    let path = names::path(uses)?.replace('\\', "/");
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.contains(&"..")).then(|| parts.join("/"))
}

fn read(folder: &str, setting: Setting<'_>) -> Option<Action> {
    let place = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let text = ["action.yml", "action.yaml"]
        .iter()
        .find_map(|name| setting.files.read(&FileRef::Same(place(name))).ok())?;
    let source = SourceFile { path: folder, text: &text };
    let node = yaml::parse(&mut Problems::new(&source), &Dialect::ACTIONS)?;
    // A file that describes no action is somebody else's mistake.
    node.get("runs")?;
    let is = |node: &Node, key: &str| node.get(key).and_then(Node::core) == Some(Core::Bool(true));
    let inputs = node.get("inputs").map_or(&[][..], Node::entries).iter().map(|entry| Input {
        name: entry.key.value.clone(),
        needed: is(&entry.value, "required") && entry.value.get("default").is_none(),
    });
    Some(Action { inputs: inputs.collect() })
}

fn given(step: &Node, uses: &Spanned<String>, action: &Action, problems: &mut Problems<'_>) {
    let with = step.get("with");
    let given = with.map_or(&[][..], Node::entries);
    let declared = || action.inputs.iter().map(|input| input.name.as_str());
    for entry in given {
        let name = entry.key.value.as_str();
        let known = declared().chain(OF_CONTAINERS).any(|one| one.eq_ignore_ascii_case(name));
        if known || super::seam::holds_expression(name) {
            continue;
        }
        let message = format!("`{}` declares no input `{name}`", uses.value);
        let help =
            did_you_mean(name, declared()).unwrap_or_else(|| format!("it declares {}", listed(declared())));
        problems.report(codes::ACTION_INPUT, entry.key.place, message).help(help);
    }
    // Where an expression tells what is given nothing is known of it.
    if with.is_some_and(Node::is_templated) && given.is_empty() {
        return;
    }
    for input in action.inputs.iter().filter(|input| input.needed) {
        if !given.iter().any(|entry| entry.key.value.eq_ignore_ascii_case(&input.name)) {
            let message =
                format!("`{}` requires the input `{}`, and it is not given", uses.value, input.name);
            problems.report(codes::ACTION_INPUT, uses.place, message).help("give it under `with`");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{FileRef, Files, Setting, SourceFile, check_in};

    struct Tree;

    impl Files for Tree {
        fn read(&self, file: &FileRef) -> Result<String, String> {
            match file.to_string().as_str() {
                "ci/greet/action.yaml" => {
                    Ok("inputs: {who: {required: true}, how: {required: true, default: x}}\nruns: \
                                              {using: composite, steps: []}\n"
                        .to_owned())
                }
                "action.yml" => Ok("runs: {using: docker, image: Dockerfile}\n".to_owned()),
                "ci/broken/action.yml" => Ok("runs: [".to_owned()),
                _ => Err("it is not there".to_owned()),
            }
        }
    }

    fn found(steps: &str) -> Vec<String> {
        let text =
            format!("on: push\njobs: {{a: {{runs-on: debian, timeout-minutes: 1, steps: [{steps}]}}}}\n");
        let file = SourceFile { path: ".github/workflows/w.yml", text: &text };
        let found = check_in(&file, Setting { files: &Tree, ..Setting::default() });
        found
            .into_iter()
            .map(|one| format!("{} {} ({})", one.code, one.message, one.help.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn what_an_action_is_given_is_what_it_declares() {
        for right in [
            "{uses: ./ci/greet, with: {WHO: x}}",
            "{uses: ./ci/greet/, with: {who: x, how: y}}",
            "{uses: ./, with: {args: x}}",
            "{uses: ./ci/broken, with: {a: b}}",
            "{uses: ./brought/by/a/step, with: {a: b}}",
            "{uses: ./../outside, with: {a: b}}",
        ] {
            assert_eq!(found(right), [""; 0], "{right}");
        }
        assert_eq!(
            found("{uses: $/ci/greet, with: {hwo: x}}, {uses: ./, with: {a: b}}"),
            [
                "TG1910 `$/ci/greet` requires the input `who`, and it is not given (give it under `with`)",
                "TG1910 `$/ci/greet` declares no input `hwo` (did you mean `who`?)",
                "TG1910 `./` declares no input `a` (it declares nothing)",
            ]
        );
    }
}
