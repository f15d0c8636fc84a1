//! What a scalar means: the core schema of YAML 1.2, without its surprises.
//!
//! Only `true` and `false` are booleans (not `yes`, `on`, `True`), and a number is one only if writing it again
//! gives the same text: `3.10` is not 3.1, and `0755` is not 755. Everything else is text.

use serde_json::{Number, Value};

use super::Scalar;

impl Scalar {
    /// Nothing, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null")
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match (self.plain, self.text.as_str()) {
            (true, "true") => Some(true),
            (true, "false") => Some(false),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<Number> {
        if !self.plain {
            return None;
        }
        let number = match self.text.parse::<i64>() {
            Ok(whole) => Number::from(whole),
            Err(_) => Number::from_f64(self.text.parse().ok()?)?,
        };
        (number.to_string() == self.text).then_some(number)
    }

    /// The value as JSON, numbers only where that loses nothing.
    pub(crate) fn value(&self) -> Value {
        if self.is_null() {
            Value::Null
        } else if let Some(boolean) = self.boolean() {
            Value::Bool(boolean)
        } else if let Some(number) = self.number() {
            Value::Number(number)
        } else {
            Value::String(self.text.clone())
        }
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self.value() {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            _ => "text",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_what_they_look_like_and_never_lose_digits() {
        let plain = |text: &str| Scalar { text: text.to_owned(), plain: true }.value();
        for (text, value) in [
            ("3", json!(3)),
            ("-4", json!(-4)),
            ("3.5", json!(3.5)),
            ("3.10", json!("3.10")),
            ("0755", json!("0755")),
            ("1e3", json!("1e3")),
            ("true", json!(true)),
            ("yes", json!("yes")),
            ("", json!(null)),
            ("~", json!(null)),
            ("inf", json!("inf")),
            ("NaN", json!("NaN")),
            ("99999999999999999999", json!("99999999999999999999")),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
        assert_eq!(Scalar { text: "3".into(), plain: false }.value(), json!("3"));
    }
}
