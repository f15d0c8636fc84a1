//! Mappings of variables: `env` and `with`, each entry of which is a template. Where an expression stands for the
//! mapping, or for part of it (`insert`), it is evaluated now if it can be, else when its stage or step begins.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Sink, When};
use crate::{
    actions::seam,
    codes, expand,
    plan::{Late, Template},
    yaml::{Entry, Node},
};

/// Templates by name.
type Named = BTreeMap<String, Template>;

/// Variables in their layers.
#[derive(Debug, Default)]
pub(super) struct Variables {
    pub known: Named,
    /// Each over those before.
    pub more: Vec<Late<Named>>,
}

impl Variables {
    fn add(&mut self, name: String, value: Template) {
        let layer = match self.more.last_mut() {
            None => &mut self.known,
            Some(Late::Known(layer)) => layer,
            Some(Late::Told(_)) => {
                self.more.push(Late::Known(Named::from([(name, value)])));
                return;
            }
        };
        layer.insert(name, value);
    }

    /// Puts others over these.
    pub(super) fn extend(&mut self, others: Self) {
        others.known.into_iter().for_each(|(name, value)| self.add(name, value));
        for layer in others.more {
            match layer {
                Late::Known(layer) => layer.into_iter().for_each(|(name, value)| self.add(name, value)),
                told @ Late::Told(_) => self.more.push(told),
            }
        }
    }
}

/// The variables of a mapping.
pub(super) fn variables(node: Option<&Node>, sink: &mut Sink<'_, '_>) -> Variables {
    let mut all = Variables::default();
    let Some(node) = node else { return all };
    if node.scalar().is_some() {
        insert(node, &mut all, sink);
    }
    for Entry { key, value } in node.entries() {
        if seam::whole(&key.value).is_some_and(seam::is_insert) {
            insert(value, &mut all, sink);
            continue;
        }
        let Some(name) = name(&key.value, value, sink) else { continue };
        if let Some(text) = value.text() {
            all.add(name, Template(text));
        }
    }
    all
}

/// The same where all names must be known before the run.
pub(super) fn named(node: Option<&Node>, sink: &mut Sink<'_, '_>) -> Named {
    let all = variables(node, sink);
    if let Some(node) = node.filter(|_| !all.more.is_empty()) {
        sink.unsupported(node, "variables of a container that an expression tells while the workflow runs");
    }
    all.known
}

/// A name, which an expression may tell.
fn name(key: &str, value: &Node, sink: &mut Sink<'_, '_>) -> Option<String> {
    if !seam::holds_expression(key) {
        return Some(key.to_owned());
    }
    match sink.when(key) {
        When::Now => match seam::text(key, sink.contexts) {
            Ok(name) => return Some(name).filter(|name| !name.is_empty()),
            Err(why) => sink.report(codes::BAD_EXPRESSION, value.place, why),
        },
        When::WithEvent => {}
        When::InTheRun => {
            sink.unsupported(value, "a variable whose name an expression tells while the workflow runs");
        }
    }
    None
}

fn insert(node: &Node, all: &mut Variables, sink: &mut Sink<'_, '_>) {
    let Some(text) = node.text().filter(|text| !text.is_empty()) else { return };
    match sink.when(&text) {
        When::Now => {}
        When::WithEvent => return,
        When::InTheRun => return all.more.push(Late::Told(Template(text))),
    }
    match expand::value(&text, sink.contexts) {
        Ok(Value::Object(map)) => {
            for (key, value) in map {
                all.add(key, seam::quoted(&expand::text_of(&value)));
            }
        }
        Ok(Value::Null) => {}
        Ok(_) => sink.report(codes::UNEXPECTED_VALUE, node.place, "this is to be a mapping, and it is not"),
        Err(error) => sink.report(codes::BAD_EXPRESSION, node.place, error.to_string()),
    }
}
