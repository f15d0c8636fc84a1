//! Keys of mappings: each must be plain text, new in its mapping, and no merge key.

use std::collections::HashMap;

use super::{Dialect, Kind, Node};
use crate::{
    codes,
    diagnostic::{Place, Problems, Spanned},
};

/// A key that waits for its value.
pub(super) enum Key {
    Text(Spanned<String>),
    /// Reported already; its value is read and dropped.
    Bad,
}

/// Checks a key as soon as it is read: it must be text, new in its map, and no merge key.
pub(super) fn read_key(
    problems: &mut Problems<'_>,
    dialect: &Dialect,
    seen: &mut HashMap<String, Place>,
    node: Node,
) -> Key {
    let place = node.place;
    let scalar = match node.kind {
        Kind::Scalar(scalar) => scalar,
        Kind::Broken => return Key::Bad,
        Kind::List(_) | Kind::Map(_) => {
            problems.report(codes::BAD_KEY, place, "a key must be plain text");
            return Key::Bad;
        }
    };
    if scalar.plain && scalar.text == "<<" {
        let report =
            problems.report(codes::MERGE_KEY, place, "merge keys (`<<`) are not part of the language");
        report
            .help("use an alias for a whole value (`env: *common`), or `defaults` for what all stages share");
        return Key::Bad;
    }
    let folded = if dialect.fold_keys { scalar.text.to_ascii_lowercase() } else { scalar.text.clone() };
    if let Some(first) = seen.get(&folded).copied() {
        let message = format!("the key `{}` is given twice", scalar.text);
        let report = problems.report(codes::DUPLICATE_KEY, place, message);
        let help = match dialect.fold_keys {
            true => "remove or rename one of the two; keys that differ only in case are the same",
            false => "remove or rename one of the two",
        };
        report.related(first, "first given here").help(help);
        return Key::Bad;
    }
    seen.insert(folded, place);
    Key::Text(Spanned::new(scalar.text, place))
}
