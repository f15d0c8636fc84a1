//! What a scalar means in YAML 1.2's core schema, which GitHub Actions reads by: `True`, `0x1F`, `0o17` and
//! `.inf` have their meaning there, and a number is a number however it is written (`3.10` is 3.1).

use super::Scalar;

/// A scalar's meaning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Core {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
}

impl Scalar {
    /// The scalar by the core schema.
    pub(crate) fn core(&self) -> Core {
        if !self.plain {
            return Core::Text(self.text.clone());
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Core::Null,
            "true" | "True" | "TRUE" => Core::Bool(true),
            "false" | "False" | "FALSE" => Core::Bool(false),
            text => number(text).map_or_else(|| Core::Text(text.to_owned()), Core::Number),
        }
    }
}

impl Core {
    /// The text where text is asked for: what a workflow's `env` makes of a number.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(true) => "true".to_owned(),
            Self::Bool(false) => "false".to_owned(),
            Self::Number(number) => number_text(number),
            Self::Text(text) => text,
        }
    }
}

fn number(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i32::from_str_radix(unsigned(digits)?, 16).ok().map(f64::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i32::from_str_radix(unsigned(digits)?, 8).ok().map(f64::from);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, text.get(1..)?),
        b'+' => (1.0, text.get(1..)?),
        _ => (1.0, text),
    };
    match rest {
        ".inf" | ".Inf" | ".INF" => return Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if rest == text => return Some(f64::NAN),
        _ => {}
    }
    // Rust reads more than YAML (`inf`, `infinity`, `nan`); digits, dots and exponents are the same.
    let digits = rest.bytes().any(|byte| byte.is_ascii_digit());
    let shape = rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' | b'+'));
    let starts = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    (digits && shape && starts).then(|| text.parse().ok()).flatten()
}

/// Digits only: `from_str_radix` itself would accept a sign.
fn unsigned(digits: &str) -> Option<&str> {
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(digits)
}

/// A number as text: fifteen significant digits, and an exponent where there are more.
pub(crate) fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    // `1.23450000000000e2` -> digits and exponent.
    let scientific = format!("{number:.14e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return number.to_string() };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    if !(-5..15).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}E{sign}{:02}", exponent.unsigned_abs());
    }
    // Rounded to fifteen digits, then written plainly.
    let rounded: f64 = scientific.parse().unwrap_or(number);
    rounded.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Core {
        Scalar { text: text.to_owned(), plain: true }.core()
    }

    #[test]
    fn the_core_schema() {
        for (text, value) in [
            ("TRUE", Core::Bool(true)),
            ("False", Core::Bool(false)),
            ("yes", Core::Text("yes".into())),
            ("Null", Core::Null),
            ("", Core::Null),
            ("0x1F", Core::Number(31.0)),
            ("0o17", Core::Number(15.0)),
            ("010", Core::Number(10.0)),
            ("-12e03", Core::Number(-12000.0)),
            (".5", Core::Number(0.5)),
            ("5.", Core::Number(5.0)),
            ("+.Inf", Core::Number(f64::INFINITY)),
            ("inf", Core::Text("inf".into())),
            ("1.2.3", Core::Text("1.2.3".into())),
            ("0x-1", Core::Text("0x-1".into())),
            ("-", Core::Text("-".into())),
            (".", Core::Text(".".into())),
            ("1_000", Core::Text("1_000".into())),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
        assert!(matches!(plain(".nan"), Core::Number(number) if number.is_nan()));
        assert_eq!(Scalar { text: "1".into(), plain: false }.core(), Core::Text("1".into()));
    }

    #[test]
    fn numbers_as_text() {
        for (number, text) in [
            (3.1, "3.1"),
            (18.0, "18"),
            (-0.5, "-0.5"),
            (0.1 + 0.2, "0.3"),
            (1e15, "1E+15"),
            (123456789012345.0, "123456789012345"),
            (0.00001, "0.00001"),
            (1e-7, "1E-07"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }
}
