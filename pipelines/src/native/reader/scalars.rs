//! Texts, flags, numbers, durations, sizes and words.

use super::{Reader, Role};
use crate::{
    codes,
    diagnostic::Spanned,
    expressions::holds_expression,
    native::file::{Duration, Size},
    nearest::{did_you_mean, listed},
    quantity::{duration_ms, size_bytes},
    yaml::{Kind, Node, Scalar},
};

impl Reader<'_, '_> {
    fn scalar<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n Scalar> {
        match &node.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            _ => {
                self.wrong_type(node, expected);
                None
            }
        }
    }

    /// Text that is not empty and has no place for expressions.
    pub(crate) fn text(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.raw_text(node)?;
        if holds_expression(&text.value) {
            let message = "expressions have no place here: this is read before any run exists";
            self.problems.report(codes::NO_EXPRESSION_HERE, text.place, message);
            return None;
        }
        Some(text)
    }

    /// Text that may hold expressions.
    pub(crate) fn template(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.raw_text(node)?;
        self.note(&text, Role::Template);
        Some(text)
    }

    /// Text of any kind, as it is written.
    pub(crate) fn raw_text(&mut self, node: &Node) -> Option<Spanned<String>> {
        let scalar = self.scalar(node, "text")?;
        if scalar.text.trim().is_empty() {
            self.problems.report(codes::BAD_VALUE, node.place, "the text is empty");
            return None;
        }
        Some(Spanned::new(scalar.text.clone(), node.place))
    }

    pub(crate) fn flag(&mut self, node: &Node) -> Option<bool> {
        let scalar = self.scalar(node, "`true` or `false`")?;
        let value = scalar.boolean();
        if value.is_none() {
            let quoted = matches!(scalar.text.as_str(), "true" | "false");
            let help = quoted.then(|| "write it without quotes".to_owned());
            let message = format!("expected `true` or `false`, found the text `{}`", scalar.text);
            self.bad(codes::WRONG_TYPE, node.place, message, help);
        }
        value
    }

    /// A whole number within bounds.
    pub(crate) fn integer(&mut self, node: &Node, least: i64, most: i64) -> Option<i64> {
        let expected = format!("a whole number from {least} to {most}");
        let scalar = self.scalar(node, &expected)?;
        let value = scalar.number().and_then(|number| number.as_i64());
        let value = value.filter(|value| (least..=most).contains(value));
        if value.is_none() {
            let message = format!("expected {expected}, found `{}`", scalar.text);
            self.bad(codes::BAD_VALUE, node.place, message, None);
        }
        value
    }

    /// A number within bounds.
    pub(crate) fn number(&mut self, node: &Node, least: f64, most: f64) -> Option<f64> {
        let expected = match (least, most) {
            (f64::MIN, f64::MAX) => "a number".to_owned(),
            _ => format!("a number from {least} to {most}"),
        };
        let scalar = self.scalar(node, &expected)?;
        let value =
            scalar.text.parse::<f64>().ok().filter(|value| scalar.plain && (least..=most).contains(value));
        if value.is_none() {
            let message = format!("expected {expected}, found `{}`", scalar.text);
            self.bad(codes::BAD_VALUE, node.place, message, None);
        }
        value
    }

    pub(crate) fn duration(&mut self, node: &Node) -> Option<Spanned<Duration>> {
        let scalar = self.scalar(node, "a duration such as `10m`")?;
        let value = duration_ms(&scalar.text);
        if value.is_none() {
            let message = format!("`{}` is no duration", scalar.text);
            let help = match scalar.number() {
                Some(number) => format!("say of what: `{number}s`, `{number}m`, …"),
                None => {
                    "write a number with a unit, or several: `500ms`, `30s`, `10m`, `1h30m`, `30d`".to_owned()
                }
            };
            self.bad(codes::BAD_DURATION, node.place, message, Some(help));
        }
        value.map(|ms| Spanned::new(Duration(ms), node.place))
    }

    /// A duration that is not zero and at most `most` hours.
    pub(crate) fn positive_duration(&mut self, node: &Node, most_hours: u64) -> Option<Spanned<Duration>> {
        let duration = self.duration(node)?;
        let most = most_hours.saturating_mul(3_600_000);
        if duration.value.0 == 0 || duration.value.0 > most {
            let message = format!("the duration must be more than nothing and at most {most_hours}h");
            self.bad(codes::BAD_DURATION, node.place, message, None);
            return None;
        }
        Some(duration)
    }

    pub(crate) fn size(&mut self, node: &Node) -> Option<Spanned<Size>> {
        let scalar = self.scalar(node, "a size such as `512MiB`")?;
        let value = size_bytes(&scalar.text).filter(|bytes| *bytes > 0);
        if value.is_none() {
            let message = format!("`{}` is no size", scalar.text);
            let help = "write a number with a unit: `512MiB`, `2GiB`, `500MB`";
            self.bad(codes::BAD_SIZE, node.place, message, Some(help.to_owned()));
        }
        value.map(|bytes| Spanned::new(Size(bytes), node.place))
    }

    /// One of these words.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node, words: &[(&'static str, T)]) -> Option<T> {
        let names = words.iter().map(|(name, _)| *name);
        let text = self.scalar(node, &format!("one of {}", listed(names.clone())))?.text.as_str();
        let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let message = format!("`{text}` is not one of {}", listed(names.clone()));
            self.bad(codes::BAD_VALUE, node.place, message, did_you_mean(text, names));
        }
        found
    }
}
