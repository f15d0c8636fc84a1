//! Where the cursor is: below which keys, and whether a key, a value or an expression is being written.

use std::ops::Range;

use super::loose::{End, Loose, unquoted};

/// A step from a node to one below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seg {
    Key(String),
    Item,
}

/// The cursor's place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spot {
    /// From the document to what is being written: for a value with its key, for a key without it.
    pub path: Vec<Seg>,
    pub what: What,
    /// The bytes of the word being written, up to the cursor.
    pub word: Range<usize>,
    /// Where the mapping begins that a key is written into: its owner's place in the text.
    pub owner: usize,
    /// In brackets.
    pub flow: bool,
}

/// What is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A key; or a plain item of a list, or a value on a line of its own.
    Key,
    /// A value.
    Value,
    /// Free text: a script.
    Text,
}

/// An expression around the cursor: its bytes up to the cursor.
pub(super) fn expression(text: &str, offset: usize, spot: &Spot) -> Option<Range<usize>> {
    let before = text.get(..offset)?;
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let line_text = before.get(line..)?;
    if let Some(open) = line_text.rfind("${{") {
        let inside = line + open + 3;
        return (!before.get(inside..)?.contains("}}")).then_some(inside..offset);
    }
    let in_if = matches!(spot.path.last(), Some(Seg::Key(key)) if key == "if") && spot.what == What::Value;
    in_if.then_some(spot.word.clone()).map(|word| {
        let quoted = text.get(word.clone()).is_some_and(|text| text.starts_with(['"', '\'']));
        if quoted { word.start + 1..word.end } else { word }
    })
}

pub(super) fn spot(text: &str, offset: usize) -> Spot {
    let before = text.get(..offset).unwrap_or_default();
    let loose = Loose::parse(before);
    let path_to = |node: usize| -> Vec<Seg> {
        let segment = |node: &usize| match loose.key(*node) {
            Some(key) => Seg::Key(key.to_owned()),
            None => Seg::Item,
        };
        loose.chain(node).iter().map(segment).collect()
    };
    let start_of = |node: usize| loose.nodes.get(node).map_or(0, |node| node.place.start);
    match &loose.end {
        End::Text(owner) => Spot {
            path: path_to(*owner),
            what: What::Text,
            word: offset..offset,
            owner: start_of(*owner),
            flow: false,
        },
        End::Flow(brackets) => {
            let Some(bracket) = brackets.last() else { return nowhere(offset) };
            let word = trimmed(before, bracket.word, offset);
            let mut path = path_to(bracket.entry.unwrap_or(bracket.owner));
            let what = match (bracket.entry, bracket.is_map) {
                (Some(_), _) => What::Value,
                (None, true) => What::Key,
                (None, false) => {
                    path.push(Seg::Item);
                    What::Value
                }
            };
            Spot { path, what, word, owner: start_of(bracket.owner), flow: true }
        }
        End::Lines(_) => in_line(before, offset, &loose, path_to),
    }
}

fn nowhere(offset: usize) -> Spot {
    Spot { path: Vec::new(), what: What::Text, word: offset..offset, owner: 0, flow: false }
}

/// In a line without brackets: behind a colon there is a value, else a key is being written.
fn in_line(before: &str, offset: usize, loose: &Loose, path_to: impl Fn(usize) -> Vec<Seg>) -> Spot {
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let text = before.get(line..).unwrap_or_default();
    if text.trim_start().starts_with('#') || text.contains(" #") {
        return nowhere(offset);
    }
    // A key that begins in this line and has its colon: the cursor is in its value.
    let here =
        loose.nodes.iter().enumerate().rev().find(|(_, node)| node.key.is_some() && node.place.start >= line);
    if let Some((node, found)) = here {
        // Behind the colon, which follows the key.
        let colon = before.get(found.place.end..).and_then(|rest| rest.find(':'));
        let from = found.place.end + colon.unwrap_or_default() + 1;
        if from <= offset {
            let word = trimmed(before, from, offset);
            return Spot {
                path: path_to(node),
                what: What::Value,
                word,
                owner: found.place.start,
                flow: false,
            };
        }
    }
    let indent = text.len() - text.trim_start_matches(' ').len();
    let mut column = isize::try_from(indent).unwrap_or_default();
    let item = loose
        .nodes
        .iter()
        .enumerate()
        .rev()
        .find(|(at, node)| *at > 0 && node.is_item() && node.place.start >= line);
    if let Some((node, found)) = item {
        let word = trimmed(before, found.place.start + 1, offset);
        return Spot { path: path_to(node), what: What::Key, word, owner: found.place.start, flow: false };
    }
    let word = line + indent..offset;
    // The innermost open node that is indented less.
    let End::Lines(open) = &loose.end else { return nowhere(offset) };
    if before.get(word.clone()) == Some("-") {
        column += 1;
    }
    let parent = open.iter().rev().copied().find(|node| *node == 0 || loose.column_of(*node) < column);
    let parent = parent.unwrap_or_default();
    let owner = loose.nodes.get(parent).map_or(0, |node| node.place.start);
    Spot { path: path_to(parent), what: What::Key, word, owner, flow: false }
}

/// From the first character that is no space.
fn trimmed(text: &str, from: usize, to: usize) -> Range<usize> {
    let word = text.get(from..to).unwrap_or_default();
    to - word.trim_start().len()..to
}

/// The word as it is meant, without an opening quote.
pub(super) fn plain(text: &str) -> &str {
    unquoted(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The spot at `|`, as `path what word`.
    fn at(text: &str) -> String {
        let offset = text.find('¦').unwrap();
        let text = text.replacen('¦', "", 1);
        let spot = spot(&text, offset);
        let path: Vec<String> = spot
            .path
            .iter()
            .map(|seg| match seg {
                Seg::Key(key) => key.clone(),
                Seg::Item => "[]".to_owned(),
            })
            .collect();
        format!("{} {:?} {}", path.join("."), spot.what, &text[spot.word])
    }

    #[test]
    fn keys() {
        assert_eq!(at("¦"), " Key ");
        assert_eq!(at("on: push\nsta¦"), " Key sta");
        assert_eq!(at("stages:\n  a:\n    ima¦\n    run: x\n"), "stages.a Key ima");
        assert_eq!(at("stages:\n  a:\n    run: x\n  ¦"), "stages Key ");
        assert_eq!(at("stages:\n  a:\n    run:\n      - na¦"), "stages.a.run.[] Key na");
        assert_eq!(at("stages:\n  a:\n    run:\n      - run: x\n        na¦"), "stages.a.run.[] Key na");
        assert_eq!(at("stages: {a: {ima¦"), "stages.a Key ima");
        assert_eq!(at("stages:\n  a: {run: x, ¦}\n"), "stages.a Key ");
        assert_eq!(at("stages:\n  a:\n    run: |\n      x\n    ne¦"), "stages.a Key ne");
    }

    #[test]
    fn values() {
        assert_eq!(at("on: pu¦"), "on Value pu");
        assert_eq!(at("on:¦"), "on Value ");
        assert_eq!(at("stages:\n  a:\n    needs: [b, c¦]"), "stages.a.needs.[] Value c");
        assert_eq!(at("stages:\n  a:\n    needs:\n      - b¦"), "stages.a.needs.[] Key b");
        assert_eq!(at("stages:\n  a:\n    run: [{when: fa¦"), "stages.a.run.[].when Value fa");
        assert_eq!(at("on:\n  push¦:\n"), "on Key push");
    }

    #[test]
    fn text_and_comments_are_left_alone() {
        assert!(at("run: |\n  a¦b").starts_with("run Text"));
        assert!(at("a: b # x¦").contains("Text"));
        assert!(at("a: \"x\n  y¦").starts_with("a Text"));
    }

    #[test]
    fn expressions_are_found_in_templates_and_conditions() {
        let inside = |text: &str| {
            let offset = text.find('¦').unwrap();
            let text = text.replacen('¦', "", 1);
            expression(&text, offset, &spot(&text, offset)).map(|range| text[range].to_owned())
        };
        assert_eq!(inside("env: {A: \"${{ git.s¦ }}\"}").as_deref(), Some(" git.s"));
        assert_eq!(inside("a: ${{ x }} ¦"), None);
        assert_eq!(inside("if: succ¦").as_deref(), Some("succ"));
        assert_eq!(inside("if: \"!inp¦\"").as_deref(), Some("!inp"));
        assert_eq!(inside("run: |\n  echo ${{ gi¦").as_deref(), Some(" gi"));
        assert_eq!(inside("name: succ¦"), None);
    }
}
