//! All keys that a workflow file may have, at whatever depth, for whoever must have something to show for each.

use std::collections::{BTreeSet, HashSet};

use super::{Def, EVENTS, MapDef, Shape, filter_keys, table};

/// The keys, events and their filters included.
pub fn keys() -> BTreeSet<&'static str> {
    let mut found = Keys::default();
    for root in [&table::ROOT, &table::SCHEDULE, &table::DISPATCH, &table::CALL] {
        found.of(root);
    }
    for event in EVENTS {
        found.keys.insert(event.name);
        found.keys.extend(filter_keys(event));
    }
    found.keys
}

#[derive(Default)]
struct Keys {
    keys: BTreeSet<&'static str>,
    /// The tables refer to themselves.
    seen: HashSet<*const Def>,
}

impl Keys {
    fn of(&mut self, def: &'static Def) {
        if !self.seen.insert(def) {
            return;
        }
        for shape in def.shapes {
            match shape {
                Shape::List(item) => self.of(item),
                Shape::Map(map) => self.of_map(map),
                _ => {}
            }
        }
    }

    fn of_map(&mut self, map: &'static MapDef) {
        for key in map.keys {
            self.keys.insert(key.name);
            self.of(key.value);
        }
        if let Some(others) = map.others {
            self.of(others);
        }
    }
}
