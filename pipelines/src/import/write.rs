//! Drafts as YAML text: blocks for mappings, brackets for short lists of plain things, `|` for scripts. Every line
//! knows the path of keys that it was written for, so that a diagnostic leads back to what caused it.

use super::draft::Yaml;

/// A list that is longer in brackets goes over several lines.
const LONGEST_FLOW: usize = 80;

/// YAML text; for each of its lines the keys (or indexes) that lead there.
pub(super) struct Written {
    pub text: String,
    pub paths: Vec<Vec<String>>,
}

pub(super) fn write(value: &Yaml, head: &str) -> Written {
    let mut writer = Writer { out: String::new(), paths: Vec::new(), path: Vec::new() };
    for line in head.lines() {
        writer.line(line);
    }
    if let Yaml::Map(entries) = value {
        for (index, (key, value)) in entries.iter().enumerate() {
            // The stages are what one looks for.
            if index > 0 && key == "stages" {
                writer.line("");
            }
            writer.entry(0, "", key, value);
        }
    }
    Written { text: writer.out, paths: writer.paths }
}

struct Writer {
    out: String,
    paths: Vec<Vec<String>>,
    path: Vec<String>,
}

impl Writer {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
        self.paths.push(self.path.clone());
    }

    /// A key and its value; `lead` is what stands before the key in its first line beside the indentation.
    fn entry(&mut self, indent: usize, lead: &str, key: &str, value: &Yaml) {
        self.path.push(key.to_owned());
        // Everybody writes `on` without quotes, and here it is text.
        let name = if key == "on" { "on".to_owned() } else { scalar(key) };
        let head = format!("{}{lead}{name}:", " ".repeat(indent));
        let inner = indent + lead.len() + 2;
        self.value(&head, inner, value);
        self.path.pop();
    }

    /// A value behind its key or dash.
    fn value(&mut self, head: &str, inner: usize, value: &Yaml) {
        match value {
            Yaml::Nothing => self.line(head),
            Yaml::Plain(text) => self.line(&format!("{head} {text}")),
            Yaml::Text(text) => match block(text) {
                Some(sign) => {
                    self.line(&format!("{head} {sign}"));
                    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                        let line = if line.is_empty() {
                            String::new()
                        } else {
                            format!("{}{line}", " ".repeat(inner))
                        };
                        // As it is: spaces at the end of a script's line are part of it.
                        self.out.push_str(&line);
                        self.out.push('\n');
                        self.paths.push(self.path.clone());
                    }
                }
                None => self.line(&format!("{head} {}", scalar(text))),
            },
            Yaml::Map(entries) if entries.is_empty() => self.line(&format!("{head} {{}}")),
            Yaml::Map(entries) => {
                self.line(head);
                for (key, value) in entries {
                    self.entry(inner, "", key, value);
                }
            }
            Yaml::List(items) => match flow(items) {
                Some(text) => self.line(&format!("{head} {text}")),
                None => {
                    self.line(head);
                    for (index, item) in items.iter().enumerate() {
                        self.path.push(index.to_string());
                        self.item(inner, item);
                        self.path.pop();
                    }
                }
            },
        }
    }

    fn item(&mut self, indent: usize, item: &Yaml) {
        match item {
            Yaml::Map(entries) if !entries.is_empty() => {
                for (index, (key, value)) in entries.iter().enumerate() {
                    let (indent, lead) = if index == 0 { (indent, "- ") } else { (indent + 2, "") };
                    self.entry(indent, lead, key, value);
                }
            }
            other => self.value(&format!("{}-", " ".repeat(indent)), indent + 2, other),
        }
    }
}

/// A list in brackets, where that is short and all of it is plain.
fn flow(items: &[Yaml]) -> Option<String> {
    let mut words = Vec::new();
    for item in items {
        match item {
            Yaml::Plain(text) => words.push(text.clone()),
            Yaml::Text(text) if block(text).is_none() => {
                let word = scalar(text);
                // What is plain in a line of its own may mean something in brackets.
                words.push(if word == *text && text.contains([',', '[', ']', '{', '}']) {
                    quoted(text)
                } else {
                    word
                });
            }
            _ => return None,
        }
    }
    let text = format!("[{}]", words.join(", "));
    (text.len() <= LONGEST_FLOW).then_some(text)
}

/// The sign of a block scalar, for text of several lines that can be one.
fn block(text: &str) -> Option<&'static str> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let readable = |c: char| {
        c == '\n'
            || c == '\t'
            || !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{feff}')
    };
    // The first line decides the indentation, and the last one how it ends.
    let starts = body.lines().next().is_some_and(|line| !line.is_empty() && !line.starts_with([' ', '\t']));
    let ends = !body.ends_with('\n');
    if !body.contains('\n') || !starts || !ends || !text.chars().all(readable) {
        return None;
    }
    // A line of spaces alone would be less than the block's indentation, or more.
    if body.lines().any(|line| !line.is_empty() && line.trim().is_empty()) {
        return None;
    }
    Some(if text.ends_with('\n') { "|" } else { "|-" })
}

/// A text of one line, in quotes where YAML would read something else.
fn scalar(text: &str) -> String {
    let first = text.chars().next();
    let safe_first = first
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '$' | '(' | '~' | '^' | '+'));
    let safe = safe_first
        && text.chars().all(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !is_word(text);
    if safe { text.to_owned() } else { quoted(text) }
}

/// Words and numbers that are not text when they stand without quotes, here or in other YAML readers.
fn is_word(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "~" | "yes" | "no" | "on" | "off" | "y" | "n"
    ) || text.parse::<f64>().is_ok()
        || text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | ':' | '.' | '-'))
}

/// In double quotes, with everything escaped that must be.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SourceFile,
        diagnostic::Problems,
        import::reading,
        yaml::{Kind, Node},
    };

    fn back(node: &Node) -> Yaml {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.is_null() => Yaml::Nothing,
            Kind::Scalar(scalar) if scalar.value().is_string() => Yaml::Text(scalar.text.clone()),
            Kind::Scalar(scalar) => Yaml::Plain(scalar.text.clone()),
            Kind::List(items) => Yaml::List(items.iter().map(back).collect()),
            Kind::Map(entries) => {
                Yaml::Map(entries.iter().map(|one| (one.key.value.clone(), back(&one.value))).collect())
            }
            Kind::Broken => panic!("broken"),
        }
    }

    fn read_back(text: &str) -> Yaml {
        let file = SourceFile { path: "p.yml", text };
        let mut problems = Problems::new(&file);
        let tree = reading::parse(&mut problems).unwrap_or_else(|| panic!("{text}"));
        assert!(!problems.has_errors(), "{text}");
        back(&tree)
    }

    #[test]
    fn lists_scripts_and_mappings_look_as_people_write_them() {
        let value = Yaml::Map(vec![
            ("on".into(), Yaml::Map(vec![("push".into(), Yaml::Nothing)])),
            ("a b".into(), Yaml::texts(["x", "1,2"])),
            (
                "run".into(),
                Yaml::List(vec![
                    Yaml::text("make\ntest\n"),
                    Yaml::Map(vec![
                        ("run".into(), Yaml::text("x\n\n  y")),
                        ("k".into(), Yaml::Plain("1".into())),
                    ]),
                ]),
            ),
        ]);
        let written = write(&value, "# head");
        assert_eq!(
            written.text,
            "# head\non:\n  push:\na b: [x, \"1,2\"]\nrun:\n  - |\n    make\n    test\n  - run: |-\n      x\n\n        y\n    k: 1\n"
        );
        assert_eq!(written.paths.len(), written.text.lines().count());
        assert_eq!(written.paths[9], ["run", "1", "run"]);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(texts in proptest::collection::vec("[a-c0-9 #:'\"\\\\,\\[\\]{}|>&*!%@`?~\t\n\r\u{85}\u{1}ü-]{0,12}", 1..5)) {
            let keys = texts.iter().enumerate().map(|(index, text)| (format!("{text}{index}"), Yaml::text(text)));
            let value = Yaml::Map(vec![
                ("list".into(), Yaml::texts(&texts)),
                ("items".into(), Yaml::List(texts.iter().map(|text| Yaml::List(vec![Yaml::text(text), Yaml::Map(vec![("k".into(), Yaml::text(text))])])).collect())),
                ("map".into(), Yaml::Map(keys.collect())),
            ]);
            let written = write(&value, "");
            proptest::prop_assert_eq!(read_back(&written.text), value, "{}", written.text);
            proptest::prop_assert_eq!(written.paths.len(), written.text.split('\n').count() - 1);
        }
    }
}
