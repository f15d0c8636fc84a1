//! Lenient values, and how they become numbers, text and each other.
//!
//! Numbers are doubles, NaN and infinities among them. Lists and mappings are borrowed from the contexts where they
//! can be: that saves copying a whole event for one of its names, and two values are the same mapping only when
//! they stand at the same place, as GitHub has it.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{
    numbers::{format_number, parse_number},
    text::{compare_folded, equal_folded},
};
use crate::expressions::{Comparison, json_number};

#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    /// A list or mapping.
    Tree(Cow<'a, Json>),
    /// What a filter (`.*`) let through.
    Filtered(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    pub(super) fn borrowed(value: &'a Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(_) | Json::Object(_) => Self::Tree(Cow::Borrowed(value)),
        }
    }

    pub(super) fn owned(value: Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::Text(Cow::Owned(text)),
            Json::Array(_) | Json::Object(_) => Self::Tree(Cow::Owned(value)),
        }
    }

    /// The same as JSON, which has no NaN and no infinity: null in their place.
    pub(crate) fn into_json(self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(value),
            Self::Number(number) => json_number(number),
            Self::Text(text) => Json::String(text.into_owned()),
            Self::Tree(tree) => tree.into_owned(),
            Self::Filtered(list) => Json::Array(list.into_iter().map(Self::into_json).collect()),
        }
    }

    pub(crate) fn is_primitive(&self) -> bool {
        !matches!(self, Self::Tree(_) | Self::Filtered(_))
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Option<Vec<Value<'_>>> {
        match self {
            Self::Tree(tree) => tree.as_array().map(|list| list.iter().map(Value::borrowed).collect()),
            Self::Filtered(list) => Some(list.clone()),
            _ => None,
        }
    }

    pub(crate) fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Tree(_) | Self::Filtered(_) => true,
        }
    }

    /// The value within text; lists and mappings are only named.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Number(number) => Cow::Owned(format_number(*number)),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Tree(tree) if tree.is_object() => Cow::Borrowed("Object"),
            Self::Tree(_) | Self::Filtered(_) => Cow::Borrowed("Array"),
        }
    }

    pub(super) fn number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Number(number) => *number,
            Self::Text(text) => parse_number(text),
            Self::Tree(_) | Self::Filtered(_) => f64::NAN,
        }
    }

    /// The name of its type, for messages.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Tree(tree) if tree.is_object() => "a mapping",
            Self::Tree(_) | Self::Filtered(_) => "a list",
        }
    }

    /// How much there is to look at, in about bytes: its text, or its elements but not what is in them.
    pub(super) fn width(&self) -> usize {
        const ELEMENT: usize = 16;
        match self {
            Self::Text(text) => text.len(),
            Self::Tree(tree) => match &**tree {
                Json::Array(list) => ELEMENT * list.len(),
                Json::Object(map) => ELEMENT * map.len(),
                _ => ELEMENT,
            },
            Self::Filtered(list) => list.iter().map(|item| ELEMENT + item.width()).sum(),
            _ => ELEMENT,
        }
    }

    /// What it takes of memory beyond what it borrows, as GitHub counts: two bytes for each unit of UTF-16.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(Cow::Owned(text)) => text_size(text),
            Self::Tree(Cow::Owned(tree)) => tree_size(tree),
            Self::Filtered(list) => list.iter().map(|item| 8 + item.size()).sum(),
            _ => 0,
        }
    }
}

pub(super) fn text_size(text: &str) -> usize {
    2 * if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

fn tree_size(tree: &Json) -> usize {
    8 + match tree {
        Json::String(text) => text_size(text),
        Json::Array(list) => list.iter().map(tree_size).sum(),
        Json::Object(map) => map.iter().map(|(name, value)| text_size(name) + tree_size(value)).sum(),
        _ => 0,
    }
}

/// Whether the comparison holds. Values of two types are compared as numbers; text does not mind case; lists and
/// mappings equal only themselves.
pub(super) fn compare(operator: Comparison, left: &Value<'_>, right: &Value<'_>) -> bool {
    match operator {
        Comparison::Equal => equal(left, right),
        Comparison::NotEqual => !equal(left, right),
        Comparison::Less => order(left, right).is_some_and(std::cmp::Ordering::is_lt),
        Comparison::Greater => order(left, right).is_some_and(std::cmp::Ordering::is_gt),
        Comparison::LessOrEqual => equal(left, right) || compare(Comparison::Less, left, right),
        Comparison::GreaterOrEqual => equal(left, right) || compare(Comparison::Greater, left, right),
    }
}

pub(super) fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => equal_folded(a, b),
        (Value::Tree(Cow::Borrowed(a)), Value::Tree(Cow::Borrowed(b))) => std::ptr::eq(*a, *b),
        _ if left.is_primitive() && right.is_primitive() => left.number() == right.number(),
        _ => false,
    }
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => Some(compare_folded(a, b)),
        _ if left.is_primitive() && right.is_primitive() => left.number().partial_cmp(&right.number()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mappings_equal_only_themselves() {
        let json = json!({"a": {"b": 1}, "c": {"b": 1}});
        let (a, c) = (Value::borrowed(&json["a"]), Value::borrowed(&json["c"]));
        assert!(equal(&a, &a.clone()) && !equal(&a, &c));
        assert!(!equal(&a, &Value::owned(json["a"].clone())));
        assert!(!equal(&Value::Number(0.0), &a) && !equal(&Value::Null, &a));
    }

    #[test]
    fn null_is_equal_to_null_and_false_to_false_without_numbers() {
        assert!(compare(Comparison::LessOrEqual, &Value::Null, &Value::Null));
        assert!(compare(Comparison::Less, &Value::Bool(false), &Value::Bool(true)));
        assert!(!compare(Comparison::GreaterOrEqual, &Value::Number(f64::NAN), &Value::Number(f64::NAN)));
    }
}
