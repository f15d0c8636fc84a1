//! What runs, but is dangerous or not what it looks like.

use std::collections::HashSet;

use super::steps::flat;
use crate::{
    actions::{names, schema::shortened, seam},
    codes,
    diagnostic::Problems,
    yaml::{Core, Entry, Kind, Node},
};

pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    let jobs = root.get("jobs").map_or(&[][..], Node::entries);
    let mut pins = HashSet::new();
    for Entry { value: job, .. } in jobs {
        images(job, problems);
        let steps = flat(job);
        for step in &steps {
            if let Some(run) = step.get("run") {
                script(run, problems);
            }
            if let Some(uses) = step.get("uses") {
                pinned(uses, &mut pins, problems);
            }
            if let Some(with) = step.get("with") {
                shortened_numbers(with, problems);
            }
        }
        for variables in [job.get("env"), root.get("env")].into_iter().flatten() {
            shortened_numbers(variables, problems);
        }
    }
    target_checkout(root, jobs, problems);
    let own: Vec<&Entry> = jobs.iter().filter(|job| job.value.get("runs-on").is_some()).collect();
    if let Some(first) =
        own.first().filter(|_| own.iter().all(|job| job.value.get("timeout-minutes").is_none()))
    {
        let message = "no job says how long it may take";
        let report = problems.report(codes::NO_TIMEOUT, first.key.place, message);
        report.help("give jobs `timeout-minutes`; without it a job that hangs is stopped after six hours");
    }
}

/// Properties of events that whoever causes the event chooses freely.
const CHOSEN_BY_OTHERS: &[&str] = &[
    "github.head_ref",
    "github.event.issue.title",
    "github.event.issue.body",
    "github.event.discussion.title",
    "github.event.discussion.body",
    "github.event.comment.body",
    "github.event.review.body",
    "github.event.review_comment.body",
    "github.event.pull_request.title",
    "github.event.pull_request.body",
    "github.event.pull_request.head.ref",
    "github.event.pull_request.head.label",
    "github.event.pull_request.head.repo.default_branch",
    "github.event.head_commit.message",
    "github.event.head_commit.author.email",
    "github.event.head_commit.author.name",
    "github.event.workflow_run.head_branch",
    "github.event.workflow_run.head_commit.message",
    "github.event.workflow_run.head_commit.author.email",
    "github.event.workflow_run.head_commit.author.name",
    "github.event.workflow_run.display_title",
];

/// The same inside lists: `github.event.commits[0].message`, `github.event.pages.*.page_name`.
const CHOSEN_IN_LISTS: &[(&str, &[&str])] = &[
    ("github.event.commits", &[".message", ".author.email", ".author.name"]),
    ("github.event.pages", &[".page_name"]),
];

fn script(run: &Node, problems: &mut Problems<'_>) {
    let Some(text) = run.text() else { return };
    for expression in seam::parts(&text).unwrap_or_default().iter().filter_map(seam::Part::expression) {
        let plain: String = expression.to_lowercase().replace("['", ".").replace("']", "");
        let chosen = CHOSEN_BY_OTHERS.iter().any(|path| mentions(&plain, path))
            || CHOSEN_IN_LISTS
                .iter()
                .any(|(list, ends)| plain.contains(list) && ends.iter().any(|end| plain.contains(end)));
        if chosen {
            let message =
                format!("`${{{{ {} }}}}` pastes what others write into a script", shortened(expression));
            let report = problems.report(codes::EVENT_IN_SCRIPT, run.place, message);
            report.help("put it under `env` of the step and use the variable, in quotes, in the script");
        }
    }
}

/// Whether an expression reads this very path, not a longer name that begins like it.
fn mentions(expression: &str, path: &str) -> bool {
    expression.match_indices(path).any(|(at, _)| {
        let after = expression.get(at + path.len()..).and_then(|rest| rest.chars().next());
        after.is_none_or(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'))
    })
}

/// Owners whose actions are the platform's own.
const PLATFORM: [&str; 2] = ["actions", "github"];

fn pinned(uses: &Node, seen: &mut HashSet<String>, problems: &mut Problems<'_>) {
    let Some(name) = uses.text() else { return };
    let Some(remote) = names::remote(&name).filter(|_| !name.starts_with("docker://")) else { return };
    let commit =
        remote.reference.len() == 40 && remote.reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !commit && !PLATFORM.contains(&remote.owner) && !names::is_local(&name) && seen.insert(name.clone()) {
        let message = format!("`{name}` may be another program tomorrow");
        let report = problems.report(codes::ACTION_NOT_PINNED, uses.place, message);
        report.help("name a commit of forty digits, and the version behind it in a comment");
    }
}

fn images(job: &Node, problems: &mut Problems<'_>) {
    let services = job.get("services").map_or(&[][..], Node::entries).iter().map(|entry| &entry.value);
    for container in job.get("container").into_iter().chain(services) {
        let image = if container.entries().is_empty() { Some(container) } else { container.get("image") };
        let Some(image) = image.filter(|image| !image.is_templated()) else { continue };
        let name = image.text().unwrap_or_default();
        let bare = name.strip_prefix("docker://").unwrap_or(&name);
        if !bare.is_empty() && is_moving(bare) {
            let message = format!("`{name}` may be another image tomorrow");
            let report = problems.report(codes::CONTAINER_NOT_PINNED, image.place, message);
            report.help("name a version or a digest");
        }
    }
}

/// No tag and no digest, or `latest`.
fn is_moving(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

/// `3.10` in `with` or `env` is 3.1.
fn shortened_numbers(map: &Node, problems: &mut Problems<'_>) {
    for Entry { key, value } in map.entries() {
        let Kind::Scalar(scalar) = &value.kind else { continue };
        if let Core::Number(number) = scalar.core()
            && scalar.text.ends_with('0')
            && scalar.text.contains('.')
        {
            let read = crate::yaml::number_text(number);
            let message = format!("`{}` is read as the number {read}", scalar.text);
            let report = problems.report(codes::NUMBER_SHORTENED, value.place, message);
            report.help(format!("write `{}: \"{}\"`", key.value, scalar.text));
        }
    }
}

/// Code of a pull request, with the secrets of the repository.
fn target_checkout(root: &Node, jobs: &[Entry], problems: &mut Problems<'_>) {
    let on = root.get("on").map(|on| match on.entries() {
        [] => on.texts().into_iter().map(|text| text.value).collect::<Vec<_>>(),
        entries => entries.iter().map(|entry| entry.key.value.clone()).collect(),
    });
    if !on.unwrap_or_default().iter().any(|event| event == "pull_request_target") {
        return;
    }
    for step in jobs.iter().flat_map(|job| flat(&job.value)) {
        let checkout =
            step.get("uses").and_then(Node::text).is_some_and(|uses| uses.starts_with("actions/checkout@"));
        let reference = step.at(&["with", "ref"]).or_else(|| step.at(&["with", "repository"]));
        let Some(reference) = reference.filter(|_| checkout) else { continue };
        let text = reference.text().unwrap_or_default().to_lowercase();
        if ["head_ref", "pull_request.head", "pull_request.merge_commit_sha", "refs/pull/"]
            .iter()
            .any(|part| text.contains(part))
        {
            let message =
                "this checks out what the pull request brings, in a run that has the repository's secrets";
            let report = problems.report(codes::UNTRUSTED_CHECKOUT, reference.place, message);
            report.help("use `pull_request` for whatever runs or builds that code");
        }
    }
}
