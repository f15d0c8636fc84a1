//! Services and their readiness, and the limits of a sandbox.

use super::stage::command_words;
use crate::{
    codes,
    diagnostic::Spanned,
    expressions::compile_regex,
    native::{
        file::{Duration, Ready, Resources, Service, shape::HttpReady},
        reader::Reader,
        words::Naming,
    },
    plan::{Network, ReadyProbe},
    yaml::{Entry, Kind, Node},
};

pub(super) fn service(r: &mut Reader<'_, '_>, entry: &Entry) -> Option<Service> {
    let fields = r.fields(&entry.value, "a service", Service::KEYS)?;
    let good_name = r.name(&entry.key, "a service");
    let image = fields.require("image", r, Reader::template);
    let env = fields.get("env").map(|node| r.env(node, Naming::Variables)).unwrap_or_default();
    let command = fields.get("command").map(|node| r.one_or_many(node, argument)).unwrap_or_default();
    let ready = fields.read("ready", r, ready);
    Some(Service { name: entry.key.clone(), image: image.filter(|_| good_name)?, env, command, ready })
}

/// One argument of a program; quotes with nothing in them are an argument too.
fn argument(r: &mut Reader<'_, '_>, node: &Node) -> Option<Spanned<String>> {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.text.is_empty() && !scalar.plain => {
            Some(Spanned::new(String::new(), node.place))
        }
        _ => r.template(node),
    }
}

fn ready(r: &mut Reader<'_, '_>, node: &Node) -> Option<Ready> {
    let fields = r.fields(node, "`ready`", Ready::KEYS)?;
    let probes = [
        fields.read("exec", r, |r, node| command_words(r, node).map(ReadyProbe::Exec)),
        fields.read("tcp", r, |r, node| port(r, node).map(ReadyProbe::Tcp)),
        fields.read("http", r, http),
        fields.read("log", r, log),
    ];
    let given = ["exec", "tcp", "http", "log"].into_iter().filter(|key| fields.get(key).is_some()).count();
    if given != 1 {
        let message = format!("`ready` asks in exactly one way, here are {given}");
        r.problems
            .report(codes::BAD_VALUE, fields.place, message)
            .help("use one of `exec`, `tcp`, `http` and `log`");
        return None;
    }
    let interval = fields.read("interval", r, |r, node| r.positive_duration(node, 1));
    let timeout = fields.read("timeout", r, |r, node| r.positive_duration(node, 1));
    Some(Ready {
        probe: probes.into_iter().flatten().next()?,
        interval: interval.map_or(Duration(1000), |duration| duration.value),
        timeout: timeout.map_or(Duration(60_000), |duration| duration.value),
    })
}

fn port(r: &mut Reader<'_, '_>, node: &Node) -> Option<u16> {
    r.integer(node, 1, 65_535).and_then(|port| u16::try_from(port).ok())
}

fn http(r: &mut Reader<'_, '_>, node: &Node) -> Option<ReadyProbe> {
    if matches!(node.kind, Kind::Scalar(_)) {
        return Some(ReadyProbe::Http { port: port(r, node)?, path: "/".to_owned() });
    }
    let fields = r.fields(node, "`http`", HttpReady::KEYS)?;
    let path =
        fields.read("path", r, Reader::text).unwrap_or_else(|| Spanned::new("/".to_owned(), node.place));
    if !path.value.starts_with('/') {
        r.problems.report(codes::BAD_VALUE, path.place, "the path of a request begins with `/`");
    }
    Some(ReadyProbe::Http { port: fields.require("port", r, port)?, path: path.value })
}

fn log(r: &mut Reader<'_, '_>, node: &Node) -> Option<ReadyProbe> {
    let text = r.text(node)?;
    // Each may cost as much as its limit allows.
    if r.problems.is_full() {
        return None;
    }
    match compile_regex(&text.value) {
        Ok(_) => Some(ReadyProbe::Log(text.value)),
        Err(message) => {
            r.problems.report(codes::BAD_REGEX, text.place, message);
            None
        }
    }
}

pub(super) fn resources(r: &mut Reader<'_, '_>, node: &Node) -> Option<Resources> {
    let fields = r.fields(node, "`resources`", Resources::KEYS)?;
    let pids = fields.read("pids", r, |r, node| r.integer(node, 1, 1_000_000));
    Some(Resources {
        cpus: fields.read("cpus", r, |r, node| r.number(node, 0.01, 1024.0)),
        memory: fields.read("memory", r, Reader::size),
        pids: pids.and_then(|pids| u32::try_from(pids).ok()),
    })
}

pub(super) fn network(r: &mut Reader<'_, '_>, node: &Node) -> Option<Spanned<Network>> {
    let words = [("none", Network::None), ("services", Network::Services), ("internet", Network::Internet)];
    r.word(node, &words).map(|network| Spanned::new(network, node.place))
}
