//! `base.name`, `base[index]`, `base.*`.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{text::equal_folded, value::Value};

/// The element of a list or mapping, null when there is none. Of what a filter let through: the elements of all.
pub(super) fn element<'a>(base: Value<'a>, index: &Value<'_>, minds_case: bool) -> Value<'a> {
    match base {
        Value::Filtered(list) => {
            Value::Filtered(list.into_iter().filter_map(|item| find(item, index, minds_case)).collect())
        }
        other => find(other, index, minds_case).unwrap_or(Value::Null),
    }
}

/// What it costs to find an element, in about bytes that are looked at.
pub(super) fn cost(base: &Value<'_>, index: &Value<'_>) -> usize {
    let found_at_once = match (base, index) {
        (Value::Tree(Cow::Borrowed(Json::Array(_))), _) => true,
        (Value::Tree(Cow::Borrowed(Json::Object(map))), Value::Text(name)) => map.contains_key(&**name),
        _ => false,
    };
    index.width() + if found_at_once { 0 } else { base.width() }
}

fn find<'a>(base: Value<'a>, index: &Value<'_>, minds_case: bool) -> Option<Value<'a>> {
    match base {
        Value::Tree(Cow::Borrowed(Json::Array(list))) => list.get(position(index)?).map(Value::borrowed),
        Value::Tree(Cow::Owned(Json::Array(list))) => {
            list.into_iter().nth(position(index)?).map(Value::owned)
        }
        Value::Filtered(list) => list.into_iter().nth(position(index)?),
        Value::Tree(Cow::Borrowed(Json::Object(map))) => {
            let key = key(index, map.keys(), minds_case, |name| map.contains_key(name))?;
            map.get(&key).map(Value::borrowed)
        }
        Value::Tree(Cow::Owned(Json::Object(mut map))) => {
            let key = key(index, map.keys(), minds_case, |name| map.contains_key(name))?;
            map.remove(&key).map(Value::owned)
        }
        _ => None,
    }
}

/// The key of a mapping that an index means.
fn key<'k>(
    index: &Value<'_>,
    mut keys: impl Iterator<Item = &'k String>,
    minds_case: bool,
    has: impl Fn(&str) -> bool,
) -> Option<String> {
    let name = index.is_primitive().then(|| index.text())?;
    if has(&name) {
        return Some(name.into_owned());
    }
    if minds_case { None } else { keys.find(|key| equal_folded(key, &name)).cloned() }
}

/// The place in a list that an index means.
fn position(index: &Value<'_>) -> Option<usize> {
    let number = index.number().floor();
    if !(0.0..=f64::from(i32::MAX)).contains(&number) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the range just checked"
    )]
    Some(number as usize)
}

/// All elements of a list or mapping; of what a filter let through: all elements of all.
pub(super) fn filter(base: Value<'_>) -> Vec<Value<'_>> {
    match base {
        Value::Filtered(list) => list.into_iter().flat_map(elements).collect(),
        other => elements(other),
    }
}

fn elements(base: Value<'_>) -> Vec<Value<'_>> {
    match base {
        Value::Tree(Cow::Borrowed(Json::Array(list))) => list.iter().map(Value::borrowed).collect(),
        Value::Tree(Cow::Borrowed(Json::Object(map))) => map.values().map(Value::borrowed).collect(),
        Value::Tree(Cow::Owned(Json::Array(list))) => list.into_iter().map(Value::owned).collect(),
        Value::Tree(Cow::Owned(Json::Object(map))) => {
            map.into_iter().map(|(_, value)| Value::owned(value)).collect()
        }
        Value::Filtered(list) => list,
        _ => Vec::new(),
    }
}
