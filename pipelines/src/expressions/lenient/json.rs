//! Values to JSON, as GitHub prints it: two spaces a level, and nothing between brackets that hold nothing.

use std::fmt::Write;

use serde_json::Value as Json;

use super::{numbers::format_number, value::Value};

/// The value as JSON; `grown` is told how much longer it has become, and may stop it.
pub(super) fn print(
    value: &Value<'_>,
    grown: &mut dyn FnMut(usize) -> Result<(), String>,
) -> Result<String, String> {
    let mut printer = Printer { out: String::new(), told: 0, grown };
    printer.value(value, 0)?;
    Ok(printer.out)
}

struct Printer<'g> {
    out: String,
    /// How much of it was told of.
    told: usize,
    grown: &'g mut dyn FnMut(usize) -> Result<(), String>,
}

impl Printer<'_> {
    fn value(&mut self, value: &Value<'_>, level: usize) -> Result<(), String> {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => self.out.push_str(&format_number(*number)),
            Value::Text(text) => quote(text, &mut self.out),
            Value::Tree(tree) => match &**tree {
                Json::Object(map) => {
                    let pairs = map.iter().map(|(name, value)| (Some(name.as_str()), Value::borrowed(value)));
                    self.list(('{', '}'), pairs, level)?;
                }
                Json::Array(list) => {
                    self.list(('[', ']'), list.iter().map(|value| (None, Value::borrowed(value))), level)?;
                }
                other => self.value(&Value::borrowed(other), level)?,
            },
            Value::Filtered(list) => {
                self.list(('[', ']'), list.iter().map(|value| (None, value.clone())), level)?;
            }
        }
        self.tell()
    }

    fn list<'v>(
        &mut self,
        (open, close): (char, char),
        items: impl Iterator<Item = (Option<&'v str>, Value<'v>)>,
        level: usize,
    ) -> Result<(), String> {
        self.out.push(open);
        let mut empty = true;
        for (name, value) in items {
            if !empty {
                self.out.push(',');
            }
            empty = false;
            self.line(level + 1);
            if let Some(name) = name {
                quote(name, &mut self.out);
                self.out.push_str(": ");
            }
            self.value(&value, level + 1)?;
        }
        if !empty {
            self.line(level);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, level: usize) {
        self.out.push('\n');
        for _ in 0..level {
            self.out.push_str("  ");
        }
    }

    fn tell(&mut self) -> Result<(), String> {
        let more = self.out.len() - self.told;
        self.told = self.out.len();
        (self.grown)(more)
    }
}

/// Text in quotes. What ends a line in JavaScript is escaped beside what must be.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prints_with_two_spaces() {
        let value = json!({"b": [1, 2.5, []], "a": {}, "c": {"x": "\"\\\n\u{1}é\u{2028}"}});
        let text = print(&Value::borrowed(&value), &mut |_| Ok(())).unwrap();
        let expected = "{\n  \"b\": [\n    1,\n    2.5,\n    []\n  ],\n  \"a\": {},\n  \"c\": {\n    \"x\": \"\\\"\\\\\\n\\u0001é\\u2028\"\n  }\n}";
        assert_eq!(text, expected);
    }

    #[test]
    fn is_stopped_while_it_grows() {
        let value = json!(vec!["x"; 1000]);
        let mut left = 100_usize;
        let mut grown = |more: usize| {
            left = left.checked_sub(more).ok_or("full")?;
            Ok(())
        };
        assert_eq!(print(&Value::borrowed(&value), &mut grown), Err("full".to_owned()));
    }
}
