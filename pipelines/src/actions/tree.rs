//! Views of a tree that was found to be well formed: what is not there or has another shape is simply nothing.

use crate::{
    diagnostic::{Place, Spanned},
    yaml::{Core, Entry, Kind, Node, Scalar},
};

impl Node {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key.value == key).map(|entry| &entry.value)
    }

    /// The value at the end of a path of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// A mapping's entries.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A list's items.
    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// A scalar's meaning.
    pub(super) fn core(&self) -> Option<Core> {
        self.scalar().map(Scalar::core)
    }

    /// A scalar as text.
    pub(super) fn text(&self) -> Option<String> {
        self.core().map(Core::into_text)
    }

    /// A scalar as text, with its place.
    pub(super) fn spanned(&self) -> Option<Spanned<String>> {
        self.text().map(|text| Spanned::new(text, self.place))
    }

    /// A scalar as text, where a template can only be a text in quotes.
    pub(super) fn name(&self) -> Option<Spanned<String>> {
        let text = self.text()?;
        let text = super::seam::literal(&text).unwrap_or(text);
        Some(Spanned::new(text, self.place))
    }

    /// A scalar that is not empty as text.
    pub(super) fn filled(&self) -> Option<String> {
        self.text().filter(|text| !text.is_empty())
    }

    /// One text or a list of them.
    pub(super) fn texts(&self) -> Vec<Spanned<String>> {
        match &self.kind {
            Kind::Scalar(_) => self.spanned().into_iter().collect(),
            Kind::List(items) => items.iter().filter_map(Self::spanned).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it is written as nothing.
    pub(super) fn is_nothing(&self) -> bool {
        self.core() == Some(Core::Null)
    }

    /// Whether there is an expression anywhere in it.
    pub(super) fn is_templated(&self) -> bool {
        match &self.kind {
            Kind::Broken => false,
            Kind::Scalar(scalar) => super::seam::holds_expression(&scalar.text),
            Kind::List(items) => items.iter().any(Self::is_templated),
            Kind::Map(entries) => entries
                .iter()
                .any(|entry| super::seam::holds_expression(&entry.key.value) || entry.value.is_templated()),
        }
    }

    /// What an expression told, as if it stood at this place. Its text is text, whatever is in it.
    pub(super) fn told(value: &serde_json::Value, place: Place) -> Self {
        use serde_json::Value;
        let scalar = |text: String, plain: bool| Kind::Scalar(Scalar { text, plain });
        let kind = match value {
            Value::Array(items) => Kind::List(items.iter().map(|item| Self::told(item, place)).collect()),
            Value::Object(map) => Kind::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: Spanned::new(key.clone(), place),
                        value: Self::told(value, place),
                    })
                    .collect(),
            ),
            Value::String(text) => scalar(super::seam::quoted(text).0, false),
            plain => scalar(crate::expand::text_of(plain), true),
        };
        Self { kind, place }
    }

    /// The whole as JSON; numbers that JSON does not have are text.
    pub(super) fn json(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Broken => serde_json::Value::Null,
            Kind::Scalar(scalar) => match scalar.core() {
                Core::Null => serde_json::Value::Null,
                Core::Bool(value) => value.into(),
                Core::Number(number) => json_number(number),
                Core::Text(text) => text.into(),
            },
            Kind::List(items) => items.iter().map(Self::json).collect(),
            Kind::Map(entries) => {
                entries.iter().map(|entry| (entry.key.value.clone(), entry.value.json())).collect()
            }
        }
    }
}

fn json_number(number: f64) -> serde_json::Value {
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        // Exact: a whole number below 2^53.
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        return (number as i64).into();
    }
    match serde_json::Number::from_f64(number) {
        Some(number) => number.into(),
        None => crate::yaml::number_text(number).into(),
    }
}
