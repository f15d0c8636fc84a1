//! Walks a file's tree along the table and reports what does not fit, all of it at once.
//!
//! The order of the rules is GitHub's, so that the same places are named: of several forms of a mapping the keys
//! decide, the first that only one has; values that are not text are read as text where text is expected; an
//! expression stands wherever its place has any reach, whatever it may turn out to be.

use super::{
    Def, MapDef, Reach,
    Shape::{self, Any, Bool, Filled, List, Map, Null, Number, Text, Words},
    events::{EVENTS, EventDef, Filters},
    table,
};
use crate::{
    actions::seam,
    codes,
    diagnostic::{Place, Problems},
    nearest::{did_you_mean, listed},
    yaml::{Core, Entry, Kind, Node, Scalar},
};

/// Nearest words are looked for this often; a file with more mistakes has other troubles.
const MAX_HINTS: usize = 200;

struct Reader<'p, 'a> {
    problems: &'p mut Problems<'a>,
    hints: usize,
}

/// Reports all that does not fit.
pub(in crate::actions) fn validate(root: &Node, problems: &mut Problems<'_>) {
    let mut reader = Reader { problems, hints: 0 };
    reader.value(root, &table::ROOT, Reach::NOTHING);
}

impl Reader<'_, '_> {
    fn value(&mut self, node: &Node, def: &'static Def, reach: Reach) {
        let reach = reach.and(def.reach);
        if std::ptr::eq(def, &table::ON) {
            return self.on(node);
        }
        match &node.kind {
            Kind::Broken => {}
            Kind::Scalar(scalar) => self.scalar(node, scalar, def, reach),
            Kind::List(items) => {
                let item = def.shapes.iter().find_map(|shape| match shape {
                    List(item) => Some(*item),
                    Any => Some(table::ANYTHING),
                    _ => None,
                });
                match item {
                    Some(item) => items.iter().for_each(|node| self.value(node, item, reach)),
                    None => self.wrong_kind(node, def),
                }
            }
            Kind::Map(entries) => {
                let maps: Vec<&'static MapDef> = def.shapes.iter().filter_map(map_of).collect();
                if def.shapes.iter().any(|shape| matches!(shape, Any)) {
                    for Entry { key, value } in entries {
                        self.key_expression(&key.value, key.place, reach);
                        self.value(value, table::ANYTHING, reach);
                    }
                } else if maps.is_empty() {
                    self.wrong_kind(node, def);
                } else {
                    self.map(node, entries, def, maps, reach);
                }
            }
        }
    }

    /// The nearest right word.
    fn hint<'w>(&mut self, wrong: &str, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
        self.hints += 1;
        if self.hints > MAX_HINTS { None } else { did_you_mean(wrong, words) }
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar, def: &Def, reach: Reach) {
        let core = scalar.core();
        if let Core::Text(text) = &core
            && seam::holds_expression(text)
        {
            return self.template(node, text, def.condition, reach);
        }
        let text = core.clone().into_text();
        if !def.shapes.iter().any(|shape| fits(shape, &core, &text)) {
            return self.wrong_value(node, &text, def);
        }
        if def.condition && !text.trim().is_empty() {
            self.findings(node, &text, true, reach);
        }
    }

    /// Text with `${{ }}`.
    fn template(&mut self, node: &Node, text: &str, condition: bool, reach: Reach) {
        let only = seam::whole(text);
        if only.is_some_and(seam::is_insert) {
            let message = "`insert` stands in place of a key";
            self.problems.report(codes::BAD_EXPRESSION, node.place, message);
        } else if reach.is_empty() && seam::parts(text).is_some() && seam::literal(text).is_none() {
            let message = "an expression has no meaning at this place, the value must stand here as it is";
            self.problems.report(codes::NOT_TEMPLATED, node.place, message).help("write the value itself");
        } else {
            self.findings(node, text, condition, reach);
        }
    }

    /// Reported where the value begins, which is where GitHub reports it; the very place is shown beside.
    fn findings(&mut self, node: &Node, text: &str, condition: bool, reach: Reach) {
        for finding in seam::check(text, condition, reach) {
            let place = seam::inside(self.problems, node.place, text, finding.place);
            let report = self.problems.report(finding.code, node.place, finding.message);
            let report = report.maybe_help(finding.help);
            if let Some(place) = place {
                report.related(place, "here");
            }
        }
    }

    fn map(
        &mut self,
        node: &Node,
        entries: &[Entry],
        def: &Def,
        mut maps: Vec<&'static MapDef>,
        reach: Reach,
    ) {
        let all = maps.clone();
        let mut has_insert = false;
        for Entry { key, value } in entries {
            if self.key_expression(&key.value, key.place, reach) {
                has_insert = true;
                self.value(value, table::ANYTHING, reach);
                continue;
            }
            if maps.iter().any(|map| find(map, &key.value).is_some()) {
                maps.retain(|map| find(map, &key.value).is_some());
                if let Some(child) = maps.first().and_then(|map| find(map, &key.value)) {
                    self.value(value, child.value, reach);
                }
            } else if let Some(others) = maps.first().and_then(|map| map.others) {
                if key.value.is_empty() {
                    self.problems.report(codes::UNEXPECTED_VALUE, key.place, "a name here must not be empty");
                }
                self.value(value, others, reach);
            } else {
                self.unknown_key(&key.value, key.place, &maps, &all, def);
            }
        }
        match maps.as_slice() {
            [one] if !has_insert => {
                let given = |name: &str| entries.iter().any(|entry| entry.key.value == name);
                for missing in one.keys.iter().filter(|key| key.required && !given(key.name)) {
                    let message = match def.what.contains(" or ") {
                        true => format!("the key `{}` is missing here", missing.name),
                        false => format!("the key `{}` is missing in {}", missing.name, def.what),
                    };
                    self.problems.report(codes::KEY_MISSING, node.place, message);
                }
            }
            [_, _, ..] => {
                let choices = all.iter().filter_map(|map| map.keys.iter().find(|key| key.required));
                let choices = listed(choices.map(|key| key.name));
                let message = format!("{} has one of the keys {choices}, and this has none", def.what);
                self.problems.report(codes::KIND_UNCLEAR, node.place, message);
            }
            _ => {}
        }
    }

    /// Whether a key is an expression; one that may not be is reported.
    fn key_expression(&mut self, key: &str, place: Place, reach: Reach) -> bool {
        if !seam::holds_expression(key) {
            return false;
        }
        if reach.is_empty() {
            let message = "an expression has no meaning in place of this key";
            self.problems.report(codes::NOT_TEMPLATED, place, message);
        } else if !seam::whole(key).is_some_and(seam::is_insert) {
            for finding in seam::check(key, false, reach) {
                self.problems.report(finding.code, place, finding.message).maybe_help(finding.help);
            }
        }
        true
    }

    fn unknown_key(&mut self, key: &str, place: Place, maps: &[&MapDef], all: &[&MapDef], def: &Def) {
        let names = |maps: &[&MapDef]| -> Vec<&'static str> {
            maps.iter().flat_map(|map| map.keys.iter().map(|key| key.name)).collect()
        };
        let elsewhere = names(all).contains(&key);
        let message = if elsewhere {
            format!("`{key}` does not go together with the keys before it in {}", def.what)
        } else {
            format!("{} has no key `{key}`", def.what)
        };
        let known = names(maps);
        let help = if elsewhere {
            let own = maps.first().and_then(|map| map.keys.iter().find(|key| key.required));
            own.map(|own| format!("what has `{}` has no `{key}`", own.name))
        } else {
            let near = self.hint(key, known.iter().copied());
            near.or_else(|| (known.len() <= 12).then(|| format!("it has {}", listed(known.iter().copied()))))
        };
        self.problems.report(codes::UNEXPECTED_KEY, place, message).maybe_help(help);
    }

    fn wrong_kind(&mut self, node: &Node, def: &Def) {
        let message = format!("expected {}, found {}", def.what, node.describe());
        self.problems.report(codes::UNEXPECTED_VALUE, node.place, message);
    }

    fn wrong_value(&mut self, node: &Node, text: &str, def: &Def) {
        let words: Vec<&str> = def
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Words(words) => Some(words.iter().copied()),
                _ => None,
            })
            .flatten()
            .collect();
        let found = if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", shortened(text)) };
        let message = format!("expected {}, found {found}", def.what);
        let help = self.hint(text, words);
        self.problems.report(codes::UNEXPECTED_VALUE, node.place, message).maybe_help(help);
    }

    fn on(&mut self, node: &Node) {
        match &node.kind {
            Kind::Broken => {}
            Kind::Scalar(scalar) => self.event_name(&scalar.core().into_text(), node.place),
            Kind::List(items) => {
                for item in items {
                    match &item.kind {
                        Kind::Scalar(scalar) => self.event_name(&scalar.core().into_text(), item.place),
                        Kind::Broken => {}
                        _ => {
                            let message = format!("expected the name of an event, found {}", item.describe());
                            self.problems.report(codes::UNEXPECTED_VALUE, item.place, message);
                        }
                    }
                }
            }
            Kind::Map(entries) => {
                for Entry { key, value } in entries {
                    match EVENTS.iter().find(|event| event.name == key.value) {
                        Some(event) => self.event(event, value),
                        None => self.event_name(&key.value, key.place),
                    }
                }
            }
        }
    }

    fn event_name(&mut self, name: &str, place: Place) {
        if seam::holds_expression(name) {
            let message = "`on` has no expressions: it is read before anything has happened";
            self.problems.report(codes::NOT_TEMPLATED, place, message);
        } else if EVENTS.iter().all(|event| event.name != name) {
            let message = match name {
                "" => "`on` names no event".to_owned(),
                _ => format!("no event is called `{}`", shortened(name)),
            };
            let help = self.hint(name, EVENTS.iter().map(|event| event.name));
            self.problems.report(codes::UNKNOWN_EVENT, place, message).maybe_help(help);
        }
    }

    fn event(&mut self, event: &EventDef, node: &Node) {
        match event.name {
            "schedule" => return self.value(node, &table::SCHEDULE, Reach::NOTHING),
            "workflow_call" => return self.value(node, &table::CALL, Reach::NOTHING),
            "workflow_dispatch" => return self.dispatch(node),
            _ => {}
        }
        match &node.kind {
            Kind::Broken => {}
            Kind::Scalar(scalar) if scalar.core() == Core::Null => {}
            Kind::Map(entries) => {
                for Entry { key, value } in entries {
                    self.event_key(event, &key.value, key.place, value);
                }
            }
            _ => {
                let what = if event.filters == Filters::NONE && event.types.is_empty() {
                    "nothing"
                } else {
                    "nothing or a mapping of filters"
                };
                let message = format!("expected {what} for `{}`, found {}", event.name, node.describe());
                self.problems.report(codes::UNEXPECTED_VALUE, node.place, message);
            }
        }
    }

    fn event_key(&mut self, event: &EventDef, key: &str, place: Place, value: &Node) {
        let known: Vec<&str> = filter_keys(event).collect();
        if !known.contains(&key) && FILTERS.contains(&key) {
            let message = format!("`{}` has no filter `{key}`, it is ignored", event.name);
            let help = match known.is_empty() {
                true => "it is started whatever there is here; an `if` can tell more of the event".to_owned(),
                false => format!("it has {}", listed(known.iter().copied())),
            };
            self.problems.report(codes::KEY_IGNORED, place, message).help(help);
            return;
        }
        if !known.contains(&key) {
            let message = format!("`on.{}` has no filter `{key}`", event.name);
            let help = self
                .hint(key, known.iter().copied())
                .unwrap_or_else(|| format!("it has {}", listed(known.iter().copied())));
            self.problems.report(codes::UNEXPECTED_KEY, place, message).help(help);
            return;
        }
        if key != "types" || event.filters.has(Filters::FREE_TYPES) {
            return self.value(value, &table::ONE_OR_MORE, Reach::NOTHING);
        }
        let one = |reader: &mut Self, node: &Node| match &node.kind {
            Kind::Broken => {}
            Kind::Scalar(scalar) if event.types.contains(&scalar.text.as_str()) => {}
            Kind::Scalar(scalar) => {
                let message = format!("`{}` is no activity of `{}`", shortened(&scalar.text), event.name);
                let help = reader
                    .hint(&scalar.text, event.types.iter().copied())
                    .unwrap_or_else(|| format!("it has {}", listed(event.types.iter().copied())));
                reader.problems.report(codes::UNEXPECTED_VALUE, node.place, message).help(help);
            }
            _ => {
                let message = format!("expected an activity of `{}`, found {}", event.name, node.describe());
                reader.problems.report(codes::UNEXPECTED_VALUE, node.place, message);
            }
        };
        match &value.kind {
            Kind::List(items) => items.iter().for_each(|item| one(self, item)),
            _ => one(self, value),
        }
    }

    /// Keys beside `inputs` are let through, as GitHub does.
    fn dispatch(&mut self, node: &Node) {
        let Kind::Map(entries) = &node.kind else {
            return self.value(node, &table::DISPATCH, Reach::NOTHING);
        };
        for Entry { key, value } in entries {
            let map = table::DISPATCH.shapes.iter().find_map(map_of);
            if let Some(known) = map.and_then(|map| find(map, &key.value)) {
                self.value(value, known.value, Reach::NOTHING);
            } else {
                let message = format!("`workflow_dispatch` has no key `{}`, it is ignored", key.value);
                let help = self.hint(&key.value, ["inputs"]);
                self.problems.report(codes::KEY_IGNORED, key.place, message).maybe_help(help);
            }
        }
    }
}

/// The filters of all events. One that an event does not have is let through, as GitHub does; what is no filter at all
/// is a mistake, because a filter that is misspelt would let everything through.
const FILTERS: [&str; 8] =
    ["types", "branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore", "workflows"];

/// The keys that an event may have.
pub(in crate::actions) fn filter_keys(event: &EventDef) -> impl Iterator<Item = &'static str> {
    let free = event.filters.has(Filters::FREE_TYPES) || !event.types.is_empty();
    let groups: [(bool, &'static [&'static str]); 6] = [
        (free, &["types"]),
        (event.filters.has(Filters::BRANCHES), &["branches", "branches-ignore"]),
        (event.filters.has(Filters::TAGS), &["tags", "tags-ignore"]),
        (event.filters.has(Filters::PATHS), &["paths", "paths-ignore"]),
        (event.filters.has(Filters::WORKFLOWS), &["workflows"]),
        (event.filters.has(Filters::IMAGES), &["names", "versions"]),
    ];
    groups.into_iter().filter(|(has, _)| *has).flat_map(|(_, keys)| keys.iter().copied())
}

fn map_of(shape: &'static Shape) -> Option<&'static MapDef> {
    match shape {
        Map(map) => Some(map),
        _ => None,
    }
}

fn find(map: &MapDef, name: &str) -> Option<&'static super::Key> {
    map.keys.iter().find(|key| key.name == name)
}

fn fits(shape: &Shape, core: &Core, text: &str) -> bool {
    match shape {
        Any => true,
        Null => *core == Core::Null,
        Bool => matches!(core, Core::Bool(_)),
        Number => matches!(core, Core::Number(_)),
        Text => true,
        Filled => !text.is_empty(),
        Words(words) => words.contains(&text),
        List(_) | Map(_) => false,
    }
}

/// At most a line of it.
pub(in crate::actions) fn shortened(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(80).collect();
    if short.len() < text.trim().len() {
        short.push('…');
    }
    short
}
