//! The five verbs.

use super::steps::{commands, steps};
use crate::{
    codes,
    diagnostic::Spanned,
    native::{
        file::{Build, Check, Compose, Deploy, Duration, PushImage, Smoke, Stage, Verb},
        image,
        reader::{Fields, Reader, Role},
        words::{Naming, is_name, is_variable},
    },
    nearest::listed,
    yaml::{Kind, Node},
};

const VERBS: [&str; 5] = ["run", "build", "push", "deploy", "smoke"];

/// The stage's one verb.
pub(super) fn verb(r: &mut Reader<'_, '_>, fields: &Fields<'_>, name: &Spanned<String>) -> Option<Verb> {
    debug_assert!(VERBS.iter().all(|verb| Stage::KEYS.contains(verb)));
    let given: Vec<_> = VERBS.iter().filter_map(|verb| fields.entry(verb)).collect();
    match given.as_slice() {
        [] => {
            let message = format!("stage `{}` does nothing", name.value);
            let report = r.problems.report(codes::NO_VERB, name.place, message);
            report.help(format!("give it one of the keys {}", listed(VERBS)));
        }
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                let message = format!(
                    "stage `{}` does two things: `{}` and `{}`",
                    name.value, first.key.value, other.key.value
                );
                let report = r.problems.report(codes::MANY_VERBS, other.key.place, message);
                report
                    .related(first.key.place, "the first one")
                    .help("make a stage of each and order them by `needs`");
            }
        }
    }
    let run = fields.get("run").map(|node| Verb::Run(steps(r, node)));
    let build = fields.read("build", r, build).map(|build| Verb::Build(Box::new(build)));
    let push = fields.read("push", r, push).map(|push| Verb::Push(Box::new(push)));
    let deploy = fields.read("deploy", r, deploy).map(|deploy| Verb::Deploy(Box::new(deploy)));
    let smoke = fields.read("smoke", r, smoke).map(|smoke| Verb::Smoke(Box::new(smoke)));
    run.or(build).or(push).or(deploy).or(smoke)
}

fn build(r: &mut Reader<'_, '_>, node: &Node) -> Option<Build> {
    let mut build = Build {
        context: ".".to_owned(),
        dockerfile: "Dockerfile".to_owned(),
        target: None,
        args: Vec::new(),
        labels: Vec::new(),
    };
    if matches!(node.kind, Kind::Scalar(_)) {
        build.context = r.path(node)?.value;
        return Some(build);
    }
    let fields = r.fields(node, "`build`", Build::KEYS)?;
    if let Some(context) = fields.read("context", r, Reader::path) {
        build.context = context.value;
    }
    if let Some(dockerfile) = fields.read("dockerfile", r, Reader::path) {
        build.dockerfile = dockerfile.value;
    }
    build.target = fields.read("target", r, Reader::text);
    build.args = fields.get("args").map(|node| r.env(node, Naming::Variables)).unwrap_or_default();
    build.labels = fields.get("labels").map(|node| r.env(node, Naming::Labels)).unwrap_or_default();
    Some(build)
}

fn push(r: &mut Reader<'_, '_>, node: &Node) -> Option<PushImage> {
    let fields = r.fields(node, "`push`", PushImage::KEYS)?;
    let from = fields.read("from", r, Reader::text);
    let repository = fields.require("repository", r, Reader::template);
    if let Some(repository) = &repository
        && let Err((message, help)) = image::check_repository(&repository.value)
    {
        r.bad(codes::BAD_IMAGE, repository.place, message, help);
    }
    let tags = fields.get("tags").map(|node| r.one_or_many(node, Reader::template)).unwrap_or_default();
    for tag in &tags {
        if let Err(message) = image::check_tag(&tag.value) {
            r.bad(codes::BAD_IMAGE, tag.place, message, None);
        }
    }
    let credentials = fields.read("credentials", r, Reader::text);
    if let Some(name) = credentials.as_ref().filter(|name| !is_variable(&name.value)) {
        let message = format!("`{}` is no name of a secret", name.value);
        let help = "put `user:password` into a secret of the repository and name that secret here";
        r.bad(codes::BAD_NAME, name.place, message, Some(help.to_owned()));
    }
    Some(PushImage { from, repository: repository?, tags, credentials })
}

/// The name of an environment: lower case, as on the server.
fn environment(r: &mut Reader<'_, '_>, node: &Node) -> Option<Spanned<String>> {
    let text = r.raw_text(node)?;
    r.note(&text, Role::Environment);
    let literal = !text.value.contains("${{");
    let good = is_name(&text.value)
        && text.value.len() <= 63
        && !text.value.contains(|c: char| c.is_ascii_uppercase());
    if literal && !good {
        let message = format!("`{}` is no name of an environment", text.value);
        let help = "such a name has at most 63 lower-case letters, digits, `-` and `_`";
        r.bad(codes::BAD_NAME, text.place, message, Some(help.to_owned()));
    }
    Some(text)
}

fn deploy(r: &mut Reader<'_, '_>, node: &Node) -> Option<Deploy> {
    let fields = r.fields(node, "`deploy`", Deploy::KEYS)?;
    let environment = fields.require("environment", r, environment);
    let image = fields.read("image", r, Reader::template);
    let compose = fields.read("compose", r, compose);
    let command = fields.read("command", r, commands);
    let given = ["compose", "command"].into_iter().filter(|key| fields.get(key).is_some()).count();
    if given != 1 {
        let message = format!("a deployment is carried out by exactly one driver, here are {given}");
        let report = r.problems.report(codes::NO_DRIVER, fields.place, message);
        report.help("give it `compose: {file: …}` or `command: {image: …, run: …}`");
    }
    Some(Deploy { environment: environment?, image, compose, command })
}

fn compose(r: &mut Reader<'_, '_>, node: &Node) -> Option<Compose> {
    let fields = r.fields(node, "`compose`", Compose::KEYS)?;
    let file = fields.require("file", r, Reader::path);
    let project = fields.read("project", r, Reader::template);
    let host = fields.read("host", r, Reader::template);
    if let Some(host) =
        host.as_ref().filter(|host| !host.value.starts_with("ssh://") && !host.value.starts_with("${{"))
    {
        let message = format!("`{}` is no host to deploy to", host.value);
        r.bad(
            codes::BAD_VALUE,
            host.place,
            message,
            Some("write `ssh://user@host` or `ssh://user@host:port`".into()),
        );
    }
    let wait = fields.read("wait", r, |r, node| r.positive_duration(node, 24));
    Some(Compose { file: file?, project, host, wait: wait.map_or(Duration(60_000), |wait| wait.value) })
}

fn smoke(r: &mut Reader<'_, '_>, node: &Node) -> Option<Smoke> {
    let fields = r.fields(node, "`smoke`", Smoke::KEYS)?;
    let environment = fields.require("environment", r, environment);
    let checks = fields.get("checks").map(|node| r.one_or_many(node, check)).unwrap_or_default();
    let commands = fields.read("commands", r, commands);
    let something = fields.get("commands").is_some()
        || matches!(fields.get("checks"), Some(node) if !matches!(&node.kind, Kind::List(items) if items.is_empty()));
    if !something {
        let report =
            r.problems.report(codes::NOTHING_TO_CHECK, fields.place, "this smoke stage checks nothing");
        report.help("add `checks: [{url: \"${{ environment.url }}/health\"}]` or `commands`");
    }
    Some(Smoke { environment: environment?, checks, commands })
}

fn check(r: &mut Reader<'_, '_>, node: &Node) -> Option<Check> {
    let fields = r.fields(node, "a check", Check::KEYS)?;
    let url = fields.require("url", r, Reader::template);
    if let Some(url) = &url
        && !["http://", "https://", "${{"].iter().any(|start| url.value.starts_with(start))
    {
        let message = format!("`{}` is no absolute URL", url.value);
        let help = "begin with `https://`, `http://` or `${{ environment.url }}`";
        r.bad(codes::BAD_VALUE, url.place, message, Some(help.to_owned()));
    }
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map(|name| (name, name));
    let status = |r: &mut Reader<'_, '_>, node: &Node| {
        r.integer(node, 100, 599).and_then(|status| u16::try_from(status).ok())
    };
    let name = fields.read("name", r, Reader::text);
    let method = fields.read("method", r, |r, node| r.word(node, &methods));
    let status = fields.get("status").map(|node| r.one_or_many(node, status));
    let body_contains = fields.read("body_contains", r, Reader::template);
    let headers = fields.get("headers").map(|node| r.env(node, Naming::Labels)).unwrap_or_default();
    let max_latency = fields.read("max_latency", r, |r, node| r.positive_duration(node, 1));
    let deadline = fields.read("deadline", r, |r, node| r.positive_duration(node, 24));
    let interval = fields.read("interval", r, |r, node| r.positive_duration(node, 1));
    Some(Check {
        url: url?,
        name,
        method: method.unwrap_or("GET").to_owned(),
        status: status.unwrap_or_else(|| vec![200]),
        body_contains,
        headers,
        max_latency,
        deadline: deadline.map_or(Duration(30_000), |deadline| deadline.value),
        interval: interval.map_or(Duration(1000), |interval| interval.value),
    })
}
