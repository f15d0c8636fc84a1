//! Reading other systems' YAML over the located tree, leniently: a value of an unexpected shape is simply not there.
//!
//! Merge keys (`<<: *base`), which the native language refuses, are common there. They are renamed before parsing, to
//! a key of the same length, and followed by [`fields`].

use std::borrow::Cow;

use super::Note;
use crate::{
    Diagnostic, SourceFile,
    diagnostic::{Place, Problems},
    yaml::{self, Entry, Kind, Node},
};

/// What a merge key is called while it is read.
const MERGE: &str = "<!";
/// A report with more lines is read by nobody.
const MOST_NOTES: usize = 200;

/// The tree of a file.
pub(crate) fn tree(file: &SourceFile<'_>) -> Result<Node, Vec<Diagnostic>> {
    let text = without_merge_keys(file.text);
    let file = SourceFile { path: file.path, text: &text };
    let mut problems = Problems::new(&file);
    // Tags and such are passed over: only a file without a tree cannot be read.
    parse(&mut problems).ok_or_else(|| problems.finish())
}

/// The names that a script reads as `$NAME` or `${NAME…}`, as often as it does; empty where no name follows.
pub(super) fn shell_variables(script: &str) -> impl Iterator<Item = &str> {
    script.split('$').skip(1).map(|part| {
        let name = part.trim_start_matches('{');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        name.get(..end).unwrap_or_default()
    })
}

/// The located tree.
pub(super) fn parse(problems: &mut Problems<'_>) -> Option<Node> {
    yaml::parse(problems, &yaml::Dialect::ACTIONS)
}

fn without_merge_keys(text: &str) -> Cow<'_, str> {
    if !text.contains("<<:") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let key = line.trim_start_matches([' ', '-', '{']);
        if key.starts_with("<<:") {
            let lead = line.len() - key.len();
            out.push_str(line.get(..lead).unwrap_or_default());
            out.push_str(MERGE);
            out.push_str(key.get(2..).unwrap_or_default());
        } else {
            out.push_str(line);
        }
    }
    Cow::Owned(out)
}

/// The entries of a mapping, those of merged ones included; the mapping's own come first and win.
pub(crate) fn fields(node: &Node) -> Vec<&Entry> {
    let mut found: Vec<&Entry> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match &node.kind {
            Kind::Map(entries) => {
                for entry in entries.iter().filter(|entry| entry.key.value != MERGE) {
                    if seen.insert(entry.key.value.as_str()) {
                        found.push(entry);
                    }
                }
                open.extend(
                    entries.iter().rev().filter(|entry| entry.key.value == MERGE).map(|entry| &entry.value),
                );
            }
            Kind::List(items) => open.extend(items.iter().rev()),
            _ => {}
        }
    }
    found
}

/// The value of a key.
pub(crate) fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    fields(node)
        .into_iter()
        .find(|entry| entry.key.value == key)
        .map(|entry| &entry.value)
        .filter(|one| !one.is_null())
}

/// The text of a scalar, as it is written.
pub(crate) fn text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
        _ => None,
    }
}

pub(super) fn get_text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    text(get(node, key)?)
}

pub(super) fn flag(node: &Node) -> Option<bool> {
    match &node.kind {
        Kind::Scalar(scalar) => scalar.boolean(),
        _ => None,
    }
}

/// The items of a list; a value alone is a list of one.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        Kind::Scalar(scalar) if scalar.is_null() => &[],
        _ => std::slice::from_ref(node),
    }
}

/// The texts of a list, lists inside it included.
pub(crate) fn texts(node: &Node) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open: Vec<&Node> = items(node).iter().rev().collect();
    while let Some(node) = open.pop() {
        match &node.kind {
            Kind::List(items) => open.extend(items.iter().rev()),
            _ => found.extend(text(node)),
        }
    }
    found
}

pub(super) fn get_texts<'n>(node: &'n Node, key: &str) -> Vec<&'n str> {
    get(node, key).map(texts).unwrap_or_default()
}

/// Names and values of a mapping, or of a list of `NAME=value`.
pub(super) fn variables(node: &Node) -> Vec<(String, Place, &Node)> {
    match &node.kind {
        Kind::Map(_) => {
            fields(node).into_iter().map(|one| (one.key.value.clone(), one.key.place, &one.value)).collect()
        }
        _ => items(node)
            .iter()
            .filter_map(|item| Some((text(item)?.split_once('=')?.0.to_owned(), item.place, item)))
            .collect(),
    }
}

/// Collects what could not be carried over.
pub(super) struct Notes {
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
    text: String,
    /// Where the document begins that is being read, for files of several.
    pub base: usize,
    list: Vec<Note>,
}

impl Notes {
    pub(super) fn new(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        Self { lines, text: text.to_owned(), base: 0, list: Vec::new() }
    }

    pub(super) fn add(&mut self, place: Place, what: impl Into<String>, todo: impl Into<String>) {
        let start = place.start + self.base;
        let line = self.lines.partition_point(|one| *one <= start).saturating_sub(1);
        let begin = self.lines.get(line).copied().unwrap_or_default();
        let column = self.text.get(begin..start).map_or(0, |text| text.chars().count()) + 1;
        let (what, todo) = (shortened(what.into()), shortened(todo.into()));
        self.list.push(Note { line: line + 1, column, what, todo });
    }

    /// All of them in the order of the file, each once.
    pub(super) fn finish(mut self) -> Vec<Note> {
        self.list.sort();
        self.list.dedup();
        self.list.truncate(MOST_NOTES);
        self.list
    }
}

/// One line that can be read.
fn shortened(text: String) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= 300 {
        return line;
    }
    line.chars().take(299).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keys_are_followed_and_places_stay() {
        let text = "a: &a {x: 1, y: 2}\nb: &b\n  z: 3\nc:\n  <<: [*a, *b]\n  y: 4\n";
        let file = SourceFile { path: "p.yml", text };
        let tree = tree(&file).unwrap();
        let c = get(&tree, "c").unwrap();
        let all: Vec<_> = fields(c).iter().map(|one| (one.key.value.as_str(), text_of(&one.value))).collect();
        assert_eq!(all, [("y", "4"), ("x", "1"), ("z", "3")]);
        assert_eq!(text.get(get(c, "y").unwrap().place.start..).unwrap().chars().next(), Some('4'));
    }

    fn text_of(node: &Node) -> &str {
        text(node).unwrap()
    }

    #[test]
    fn notes_tell_line_and_column_once() {
        let mut notes = Notes::new("a\nü b\n");
        notes.add(Place::new(5, 6), "b", "x");
        notes.add(Place::new(5, 6), "b", "x");
        notes.add(Place::new(0, 1), "a", "x");
        let all: Vec<_> =
            notes.finish().into_iter().map(|note| (note.line, note.column, note.what)).collect();
        assert_eq!(all, [(1, 1, "a".to_owned()), (2, 3, "b".to_owned())]);
    }
}
