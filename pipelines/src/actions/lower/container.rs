//! A job's container and its services.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Sink, When, options, variables::named};
use crate::{
    codes, expand,
    plan::{Container, Credentials, Resources, Service, Template},
    shell,
    yaml::{Entry, Node},
};

/// A job's own container.
pub(super) struct JobContainer {
    /// Empty: the machine's image.
    pub image: Template,
    pub container: Container,
    pub resources: Resources,
}

/// `container`.
pub(super) fn of_job(node: Option<&Node>, sink: &mut Sink<'_, '_>) -> JobContainer {
    let mut made = JobContainer {
        image: Template::default(),
        container: Container::default(),
        resources: Resources::default(),
    };
    let Some(node) = node else { return made };
    let Some(parts) = parts(node, sink) else { return made };
    made.image = parts.image;
    made.container = parts.container;
    // The first program is always the runner's own, as it is on GitHub.
    if !std::mem::take(&mut made.container.entrypoint).is_empty() {
        let options = node.get("options").unwrap_or(node);
        let message = "`--entrypoint` has no effect here: steps are all that a job's container runs";
        sink.report(codes::KEY_IGNORED, options.place, message);
    }
    if !std::mem::take(&mut made.container.ports).is_empty() {
        let ports = node.get("ports").unwrap_or(node);
        let message = "`ports` of a job's own container have no effect here: steps run inside it, and nobody else \
                       reaches it but its services, by every port";
        sink.report(codes::KEY_IGNORED, ports.place, message);
    }
    made.container.env = parts.env;
    made.container.env.extend(parts.options.env);
    made.resources = Resources {
        cpus: parts.options.cpus,
        memory_bytes: parts.options.memory_bytes,
        pids: parts.options.pids,
    };
    made
}

/// The keys of a service.
const KEYS: [&str; 8] =
    ["image", "options", "env", "ports", "volumes", "credentials", "entrypoint", "command"];

/// `services` that stand in the file.
pub(super) fn services(node: Option<&Node>, sink: &mut Sink<'_, '_>) -> Vec<Service> {
    node.map_or(&[][..], Node::entries).iter().filter_map(|entry| service(entry, sink)).collect()
}

/// `services` that one expression tells, for a stage whose place in its matrix is in the contexts. It must be one that
/// can be evaluated before the run, because containers of a run are known before it.
pub(super) fn told_services(node: &Node, sink: &mut Sink<'_, '_>) -> Vec<Service> {
    let Some(text) = node.filled() else { return Vec::new() };
    match sink.when(&text) {
        When::Now => {}
        When::WithEvent => return Vec::new(),
        When::InTheRun => {
            sink.unsupported(node, "services that an expression tells as a whole while the workflow runs");
            return Vec::new();
        }
    }
    match expand::value(&text, sink.contexts) {
        Ok(Value::Object(map)) => {
            let told = Node::told(&Value::Object(map), node.place);
            let mut services = Vec::new();
            for entry in told.entries() {
                if is_service(entry, sink) {
                    services.extend(service(entry, sink));
                }
            }
            services
        }
        Ok(Value::Null) => Vec::new(),
        Ok(_) => {
            sink.report(
                codes::UNEXPECTED_VALUE,
                node.place,
                "this is to be a mapping of services, and it is not",
            );
            Vec::new()
        }
        Err(error) => {
            sink.report(codes::BAD_EXPRESSION, node.place, error.to_string());
            Vec::new()
        }
    }
}

/// Whether what an expression told has the form of a service.
fn is_service(entry: &Entry, sink: &mut Sink<'_, '_>) -> bool {
    let name = &entry.key.value;
    let wrong = match (entry.value.scalar(), entry.value.entries()) {
        (Some(_), _) => None,
        (None, []) => Some(format!("the service `{name}` is to be an image or a mapping, and it is not")),
        (None, parts) => parts
            .iter()
            .find(|part| !KEYS.contains(&part.key.value.as_str()))
            .map(|part| format!("the service `{name}` has no `{}`", part.key.value)),
    };
    if let Some(message) = &wrong {
        sink.report(codes::UNEXPECTED_VALUE, entry.value.place, message.clone());
    }
    wrong.is_none()
}

fn service(entry: &Entry, sink: &mut Sink<'_, '_>) -> Option<Service> {
    let parts = parts(&entry.value, sink)?;
    let command = match entry.value.get("command").and_then(Node::filled) {
        None => Vec::new(),
        Some(text) => command(&text, entry.value.get("command")?, sink),
    };
    let mut container = parts.container;
    if let Some(node) = entry.value.get("entrypoint")
        && let Some(text) = node.filled()
    {
        container.entrypoint = self::command(&text, node, sink);
    }
    let mut env = parts.env;
    env.extend(parts.options.env);
    Some(Service {
        name: entry.key.value.clone(),
        image: parts.image,
        env,
        command,
        ready: parts.options.health.ready(),
        container,
    })
}

fn command(text: &str, node: &Node, sink: &mut Sink<'_, '_>) -> Vec<Template> {
    match shell::words(text) {
        Ok(words) => words.into_iter().map(Template).collect(),
        Err(why) => {
            sink.report(codes::CONTAINER_OPTION, node.place, why);
            Vec::new()
        }
    }
}

struct Parts {
    image: Template,
    env: BTreeMap<String, Template>,
    container: Container,
    options: options::Options,
}

fn parts(node: &Node, sink: &mut Sink<'_, '_>) -> Option<Parts> {
    let image = if node.entries().is_empty() { node.text() } else { node.get("image").and_then(Node::text) };
    let image = image.unwrap_or_default();
    let image = image.strip_prefix("docker://").unwrap_or(&image).to_owned();
    if node.scalar().is_some() && image.is_empty() {
        return None;
    }
    let asked = node.get("options").and_then(Node::filled).map(|text| options::read(&text));
    let options = match asked.transpose() {
        Ok(options) => options.unwrap_or_default(),
        Err(why) => {
            let place = node.get("options").map_or(node.place, |options| options.place);
            sink.report(codes::CONTAINER_OPTION, place, why);
            options::Options::default()
        }
    };
    if !options.ignored.is_empty()
        && let Some(place) = node.get("options").map(|options| options.place)
    {
        let list: Vec<&str> = options.ignored.iter().map(String::as_str).collect();
        let message = format!("{} has no effect here", crate::nearest::listed(list));
        sink.report(codes::KEY_IGNORED, place, message);
    }
    node.get("volumes").map_or(&[][..], Node::items).iter().for_each(|volume| check_volume(volume, sink));
    let ports = node.get("ports").map(Node::texts).unwrap_or_default();
    let credentials = node.get("credentials").and_then(|node| {
        let username = Template(node.get("username")?.filled()?);
        Some(Credentials { username, password: Template(node.get("password")?.filled()?) })
    });
    let container = Container {
        env: BTreeMap::new(),
        user: options.user.clone().map(Template),
        entrypoint: options.entrypoint.clone().map(Template).into_iter().collect(),
        credentials,
        ports: ports.into_iter().map(|port| Template(port.value)).collect(),
    };
    Some(Parts { image: Template(image), env: named(node.get("env"), sink), container, options })
}

/// A volume without a source is a folder of the container like any other. One of the host is never given, and one
/// with a name has nobody to share it with.
fn check_volume(volume: &Node, sink: &mut Sink<'_, '_>) {
    let text = volume.text().unwrap_or_default();
    if let Some((source, _)) = text.split_once(':') {
        let message = if source.starts_with(['/', '.', '~', '\\']) || source.contains('/') {
            format!("`{text}` would give the container files of the host")
        } else {
            format!("`{text}` names a volume, and nothing outlives a stage here")
        };
        sink.report(codes::CONTAINER_OPTION, volume.place, message);
    }
}
