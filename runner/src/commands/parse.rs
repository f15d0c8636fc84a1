//! One line as a command: `::name key=value,key=value::data`, or the older `##[name key=value;]data`.
//!
//! In keys' values and in data some characters are written `%XX`, because they would end them. Names and keys do not
//! mind case.

use std::collections::BTreeMap;

/// A command, as it was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name, in lower case.
    pub name: String,
    /// Its properties by key, in lower case; ones without a value are left out.
    pub properties: BTreeMap<String, String>,
    /// What follows.
    pub data: String,
}

impl Command {
    /// A property that is not empty.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }
}

/// Reads a line. None: it is no command, or one of a name that is not `known` (asked in lower case).
pub fn parse(line: &str, known: &dyn Fn(&str) -> bool) -> Option<Command> {
    colons(line, known).or_else(|| brackets(line, known))
}

/// `::name key=value,…::data`, after white space.
fn colons(line: &str, known: &dyn Fn(&str) -> bool) -> Option<Command> {
    let rest = line.trim_start().strip_prefix("::")?;
    let (head, data) = rest.split_once("::")?;
    command(
        head,
        data,
        ',',
        known,
        |text| unescape(text, &["0D", "0A", "3A", "2C", "25"]),
        |text| unescape(text, &["0D", "0A", "25"]),
    )
}

/// `##[name key=value;…]data`, anywhere in the line.
fn brackets(line: &str, known: &dyn Fn(&str) -> bool) -> Option<Command> {
    let (_, rest) = line.split_once("##[")?;
    let (head, data) = rest.split_once(']')?;
    let unescaped = |text: &str| unescape(text, &["3B", "0D", "0A", "5D", "25"]);
    command(head, data, ';', known, unescaped, unescaped)
}

fn command(
    head: &str,
    data: &str,
    separator: char,
    known: &dyn Fn(&str) -> bool,
    property: impl Fn(&str) -> String,
    whole: impl Fn(&str) -> String,
) -> Option<Command> {
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    let name = name.to_lowercase();
    if !known(&name) {
        return None;
    }
    let properties = properties
        .trim()
        .split(separator)
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim().to_lowercase(), property(value)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    Some(Command { name, properties, data: whole(data) })
}

/// Puts characters back that were written as `%` and one of these codes.
fn unescape(text: &str, codes: &[&str]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).filter(|code| codes.contains(code));
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(byte.map_or('%', char::from));
        rest = &rest[at + if byte.is_some() { 3 } else { 1 }..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Option<Command> {
        parse(line, &|name| name == "say")
    }

    fn said(properties: &[(&str, &str)], data: &str) -> Option<Command> {
        let properties =
            properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Some(Command { name: "say".to_owned(), properties, data: data.to_owned() })
    }

    #[test]
    fn both_forms_and_their_escapes() {
        assert_eq!(read("  ::say a=1,B=x=y,c=,::hello"), said(&[("a", "1"), ("b", "x=y")], "hello"));
        assert_eq!(read("::SAY::"), said(&[], ""));
        assert_eq!(read("::say a=%2C%3A%25%0A::%3A%0A%252C"), said(&[("a", ",:%\n")], "%3A\n%2C"));
        assert_eq!(read("at the end ##[say a=1;b=%5D;]%5D%3B"), said(&[("a", "1"), ("b", "]")], "];"));
        assert_eq!(read("::say::100% %zz %0"), said(&[], "100% %zz %0"));
    }

    #[test]
    fn what_is_no_command_is_left_alone() {
        for line in [
            "",
            "say",
            "::",
            "::say",
            "x ::say::",
            "::other::",
            ":: say::",
            "##[say",
            "##[other]x",
            "std::say::x",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in "(::|##\\[)?[sSay :=,;%0-9A-F\\]é]{0,60}") {
            let _ = read(&line);
        }
    }
}
