//! Where the entries of a file's block collections stand.
//!
//! Everything else (scalars, aliases, collections in brackets) is a leaf: a range of the text that is copied as it is.
//! Built from the parser's events without recursion; the parser bounds the nesting.

use granit_parser::{Event, Options, Parser, ScalarStyle, StructureStyle};

use crate::yaml::Dialect;

/// A value; ranges are bytes of the text.
#[derive(Debug)]
pub(super) enum Block {
    Leaf(Leaf),
    Map(Vec<Entry>),
    List(Vec<Block>),
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The key as it is written.
    pub key: std::ops::Range<usize>,
    pub value: Block,
}

#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub start: usize,
    pub end: usize,
    pub kind: LeafKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeafKind {
    /// Nothing is written.
    Nothing,
    /// Text in single quotes.
    SingleQuoted,
    /// A scalar with `|` or `>`; its range is that of the lines below.
    Block,
    Other,
}

impl Block {
    /// Where its first character stands.
    pub(super) fn start(&self) -> Option<usize> {
        match self {
            Self::Leaf(leaf) => Some(leaf.start),
            Self::Map(entries) => entries.first().map(|entry| entry.key.start),
            Self::List(items) => items.first().and_then(Self::start),
        }
    }
}

/// A collection that is not complete.
enum Open {
    Map { entries: Vec<Entry>, key: Option<std::ops::Range<usize>> },
    List(Vec<Block>),
}

/// The document's value. None for what the formatter leaves alone.
pub(super) fn read(text: &str) -> Option<Block> {
    let mut options = Options::default();
    options.emit_comments = false;
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = Dialect::NATIVE.max_depth;
    options.block_nesting_limit = Dialect::NATIVE.max_depth;
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    // Inside of brackets: where they began, and how many are open.
    let mut flow: Option<(usize, usize)> = None;
    for item in Parser::new_from_str_with_options(text, options) {
        let (event, span) = item.ok()?;
        let range = span.byte_range();
        if event.tag().is_some() {
            return None;
        }
        if let Some((start, depth)) = flow.as_mut() {
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => *depth += 1,
                Event::SequenceEnd | Event::MappingEnd => *depth -= 1,
                _ => {}
            }
            if *depth == 0 {
                let leaf = Leaf { start: *start, end: range?.end, kind: LeafKind::Other };
                flow = None;
                attach(Block::Leaf(leaf), &mut open, &mut root)?;
            }
            continue;
        }
        match event {
            Event::SequenceStart(StructureStyle::Flow, ..)
            | Event::MappingStart(StructureStyle::Flow, ..) => {
                flow = Some((range?.start, 1));
            }
            Event::SequenceStart(..) => open.push(Open::List(Vec::new())),
            Event::MappingStart(..) => open.push(Open::Map { entries: Vec::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => {
                let block = match open.pop()? {
                    Open::List(items) => Block::List(items),
                    Open::Map { entries, .. } => Block::Map(entries),
                };
                attach(block, &mut open, &mut root)?;
            }
            Event::Scalar(_, style, ..) => {
                let range = range?;
                let kind = match style {
                    ScalarStyle::Plain if range.is_empty() => LeafKind::Nothing,
                    ScalarStyle::SingleQuoted => LeafKind::SingleQuoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => LeafKind::Block,
                    _ => LeafKind::Other,
                };
                let leaf = Leaf { start: range.start, end: range.end, kind };
                attach(Block::Leaf(leaf), &mut open, &mut root)?;
            }
            Event::Alias(..) | Event::UnresolvedAlias(..) => {
                let range = range?;
                let leaf = Leaf { start: range.start, end: range.end, kind: LeafKind::Other };
                attach(Block::Leaf(leaf), &mut open, &mut root)?;
            }
            _ => {}
        }
    }
    root
}

fn attach(block: Block, open: &mut [Open], root: &mut Option<Block>) -> Option<()> {
    match open.last_mut() {
        None => *root = Some(block),
        Some(Open::List(items)) => items.push(block),
        Some(Open::Map { entries, key }) => match key.take() {
            Some(key) => entries.push(Entry { key, value: block }),
            None => match block {
                Block::Leaf(leaf) if leaf.kind != LeafKind::Block && leaf.kind != LeafKind::Nothing => {
                    *key = Some(leaf.start..leaf.end);
                }
                _ => return None,
            },
        },
    }
    Some(())
}
