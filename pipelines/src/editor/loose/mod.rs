//! A YAML text that need not be right, read by its indentation and brackets: which keys there are, and below which.
//!
//! One pass, without recursion, over the lines; what makes no sense is passed over. The text up to a cursor is read
//! by the same pass, which then tells where its end is ([`super::spot`]).

mod flow;
mod reader;
mod words;

use std::ops::Range;

use reader::Reader;

pub(super) use words::unquoted;

/// A key of a mapping or an item of a list.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub parent: usize,
    /// None: an item of a list.
    pub key: Option<String>,
    /// The key's bytes, or the item's dash or first byte.
    pub place: Range<usize>,
    /// What stands behind it, where that is plain text.
    pub value: Range<usize>,
    pub children: Vec<usize>,
    column: isize,
}

impl Node {
    pub(super) fn is_item(&self) -> bool {
        self.key.is_none()
    }
}

/// The nodes; the first one is the document.
#[derive(Debug, Clone)]
pub(super) struct Loose {
    pub nodes: Vec<Node>,
    /// Where the text ended.
    pub end: End,
}

/// What was open where the text ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    /// Between lines, or in one that was read to its end: the open nodes, outermost first.
    Lines(Vec<usize>),
    /// In brackets.
    Flow(Vec<Bracket>),
    /// In the text of a block, or in quotes.
    Text(usize),
}

/// An open bracket.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bracket {
    /// The key or item whose value it is.
    pub owner: usize,
    pub is_map: bool,
    /// The key whose value is being written.
    pub entry: Option<usize>,
    /// Where the word being written begins.
    pub word: usize,
}

impl Loose {
    pub(super) fn parse(text: &str) -> Self {
        Reader::read(text)
    }

    /// The node below another by its keys.
    pub(super) fn find(&self, from: usize, keys: &[&str]) -> Option<usize> {
        keys.iter().try_fold(from, |node, key| {
            let children = &self.nodes.get(node)?.children;
            children.iter().copied().find(|child| self.key(*child) == Some(key))
        })
    }

    pub(super) fn key(&self, node: usize) -> Option<&str> {
        self.nodes.get(node)?.key.as_deref()
    }

    /// The column that a node begins in; that of the document is -1.
    pub(super) fn column_of(&self, node: usize) -> isize {
        self.nodes.get(node).map_or(-1, |node| node.column)
    }

    /// The keys below a node.
    pub(super) fn keys(&self, node: usize) -> impl Iterator<Item = &str> {
        let children = self.nodes.get(node).map_or(&[][..], |node| node.children.as_slice());
        children.iter().filter_map(|child| self.key(*child))
    }

    /// From the document to a node, itself included, the document left out.
    pub(super) fn chain(&self, node: usize) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut at = node;
        while at != 0 {
            chain.push(at);
            at = self.nodes.get(at).map_or(0, |node| node.parent);
        }
        chain.reverse();
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All nodes as `a.b.[].c=value`.
    fn shown(text: &str) -> Vec<String> {
        let loose = Loose::parse(text);
        (1..loose.nodes.len())
            .map(|node| {
                let path: Vec<_> =
                    loose.chain(node).iter().map(|one| loose.key(*one).unwrap_or("[]").to_owned()).collect();
                let value = &text[loose.nodes[node].value.clone()];
                if value.is_empty() { path.join(".") } else { format!("{}={value}", path.join(".")) }
            })
            .collect()
    }

    #[test]
    fn keys_and_items_are_found_by_indentation() {
        let text = "on: push # always\nstages:\n  a:\n    needs:\n    - x\n    - y\n    run:\n      - name: n\n        run: z\n  \"b c\":\n    image: 'q: r'\n";
        assert_eq!(
            shown(text),
            [
                "on=push",
                "stages",
                "stages.a",
                "stages.a.needs",
                "stages.a.needs.[]=x",
                "stages.a.needs.[]=y",
                "stages.a.run",
                "stages.a.run.[]",
                "stages.a.run.[].name=n",
                "stages.a.run.[].run=z",
                "stages.b c",
                "stages.b c.image='q: r'",
            ]
        );
    }

    #[test]
    fn brackets_are_read_across_lines() {
        assert_eq!(
            shown("a: {b: [x, {c: 1}], d: \"},\",\n    e}\nf: g\n"),
            ["a", "a.b", "a.b.[]=x", "a.b.[]", "a.b.[].c=1", "a.d=\"},\"", "a.e", "f=g"]
        );
    }

    #[test]
    fn scripts_are_not_read_as_keys() {
        assert_eq!(
            shown("run: |\n  a: b\n\n  c: d\nnext: \"x\n  y: z\"\nlast: 1\n"),
            ["run", "next", "last=1"]
        );
    }

    #[test]
    fn brackets_that_were_forgotten_end_at_the_next_key() {
        assert_eq!(
            shown("stages:\n  a: {needs: [b,\n  c:\n    run: x\n"),
            ["stages", "stages.a", "stages.a.needs", "stages.a.needs.[]=b", "stages.c", "stages.c.run=x"]
        );
    }

    #[test]
    fn the_end_is_told() {
        assert!(matches!(Loose::parse("a: {b: [").end, End::Flow(brackets) if brackets.len() == 2));
        assert!(matches!(Loose::parse("a: |\n  x").end, End::Text(1)));
        assert!(matches!(Loose::parse("a: |\n  x\nb").end, End::Lines(_)));
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_read(text in "[ab:{}\\[\\],\"'|#&!\n -]{0,80}") {
            let loose = Loose::parse(&text);
            for (index, node) in loose.nodes.iter().enumerate().skip(1) {
                proptest::prop_assert!(node.parent < index);
                proptest::prop_assert!(text.get(node.value.clone()).is_some() && text.get(node.place.clone()).is_some());
            }
        }
    }
}
