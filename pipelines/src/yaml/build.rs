//! From parser events to the tree, within budgets.
//!
//! The parser works through the file without recursion and bounds its own nesting; the tree is built on an
//! explicit stack. Four budgets hold: bytes before anything else, depth, nodes, and the text of nodes. An alias costs
//! as much of them as what it stands for, charged before it is copied (and so does the copy kept for an anchor). So no
//! input can make the tree large, and an alias inside its own anchor finds nothing, because an anchor counts only once
//! its node is complete.
//!
//! A mistake that leaves the rest readable (a duplicate key, a merge key, a tag) is reported and reading goes
//! on; only the parser's own errors and the budgets end it.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle};

use super::{
    Dialect, Entry, Kind, MAX_NODES, Node, Scalar,
    keys::{Key, read_key},
    places, syntax,
    tags::{self, TagRead},
};
use crate::{
    codes,
    diagnostic::{Place, Problems},
};

/// Reads the file's one document. None, with a report, when there is no tree to work on.
pub(crate) fn parse(problems: &mut Problems<'_>, dialect: &Dialect) -> Option<Node> {
    let text = problems.text();
    if text.len() > dialect.max_bytes {
        let (size, most) = (text.len(), dialect.max_bytes);
        let message = if most < 1024 {
            format!("the file has {size} bytes; {} may have {most}", dialect.file)
        } else {
            format!("the file has {} KiB; {} may have {}", size.div_ceil(1024), dialect.file, most / 1024)
        };
        problems.report(codes::TOO_LARGE, Place::new(0, 0), message);
        return None;
    }
    let mut options = Options::default();
    options.emit_comments = false;
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = dialect.max_depth;
    options.block_nesting_limit = dialect.max_depth;
    let mut builder = Builder {
        problems,
        dialect,
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
        bytes: 0,
        kept: 0,
        kept_bytes: 0,
    };
    for item in Parser::new_from_str_with_options(text, options) {
        match item {
            Ok((event, span)) => builder.event(event, &span).ok()?,
            Err(error) => {
                let open = builder.open.last().filter(|open| open.flow).map(|open| open.place);
                syntax::report(builder.problems, dialect, &error, open);
                return None;
            }
        }
    }
    if builder.root.is_none() {
        let report = problems.report(codes::EMPTY, Place::new(0, text.len()), "the file holds no pipeline");
        report.help(dialect.least);
        return None;
    }
    builder.root
}

/// Reading ends here; the reason is reported.
struct Stop;

struct Builder<'p, 'a> {
    problems: &'p mut Problems<'a>,
    dialect: &'p Dialect,
    /// Collections that are not complete, outermost first.
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Anchor>,
    nodes: usize,
    /// Of the text of all nodes.
    bytes: usize,
    /// Nodes copied for anchors.
    kept: usize,
    /// The same of their text.
    kept_bytes: usize,
}

struct Open {
    anchor: usize,
    place: Place,
    /// Written in brackets or braces.
    flow: bool,
    /// Nodes and bytes counted when it began.
    nodes_before: usize,
    bytes_before: usize,
    /// Levels below it so far.
    height: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, Place>, key: Option<Key> },
}

struct Anchor {
    node: Node,
    size: Size,
    height: usize,
}

/// How much a node is, with all that is in it.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    bytes: usize,
}

impl Builder<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Stop> {
        let place = places::of(self.problems.text(), &event, span);
        let tag = tags::read(self.problems, self.dialect, &event, span);
        let tagged = tag.is_some();
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                let end = self.problems.text().len();
                let message = "the file holds a second document, and a pipeline is one";
                self.problems.report(codes::EMPTY, Place::new(place.start, end), message);
                return Err(Stop);
            }
            Event::Scalar(mut text, style, anchor, _) => {
                if places::ends_open(self.problems.text(), place, style, &text) {
                    text.to_mut().pop();
                }
                let size = Size { nodes: 1, bytes: text.len() };
                self.charge(size, 0, place)?;
                // `!!str 1` is text, as if it stood in quotes.
                let plain = style == ScalarStyle::Plain && tag != Some(TagRead::Text);
                // `!cancelled()` is a tag with nothing behind it.
                let node = if tagged && plain && text.is_empty() {
                    Node { kind: Kind::Broken, place }
                } else {
                    Node { kind: Kind::Scalar(Scalar { text: text.into_owned(), plain }), place }
                };
                self.remember(anchor, &node, size, 0)?;
                self.attach(node, 0);
            }
            Event::SequenceStart(style, anchor, _) => {
                self.begin(anchor, place, style, OpenKind::List(Vec::new()))?;
            }
            Event::MappingStart(style, anchor, _) => {
                self.begin(
                    anchor,
                    place,
                    style,
                    OpenKind::Map { entries: Vec::new(), seen: HashMap::new(), key: None },
                )?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(place)?,
            Event::Alias(id) => self.alias(id, place)?,
            Event::UnresolvedAlias(name) => {
                let message = format!("no anchor `&{name}` is defined before this alias");
                self.problems.report(codes::UNKNOWN_ALIAS, place, message);
                self.attach(Node { kind: Kind::Broken, place }, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        anchor: usize,
        place: Place,
        style: StructureStyle,
        kind: OpenKind,
    ) -> Result<(), Stop> {
        let (nodes_before, bytes_before) = (self.nodes, self.bytes);
        self.charge(Size { nodes: 1, bytes: 0 }, 0, place)?;
        let flow = style == StructureStyle::Flow;
        self.open.push(Open { anchor, place, flow, nodes_before, bytes_before, height: 0, kind });
        Ok(())
    }

    fn end(&mut self, place: Place) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let kind = match open.kind {
            OpenKind::List(items) => Kind::List(items),
            OpenKind::Map { entries, .. } => Kind::Map(entries),
        };
        // A block ends where the next thing begins; the place ends with its last visible character.
        let text = self.problems.text();
        let inside = text.get(open.place.start..place.end.max(open.place.start)).unwrap_or_default();
        let node =
            Node { kind, place: Place::new(open.place.start, open.place.start + inside.trim_end().len()) };
        let size = Size { nodes: self.nodes - open.nodes_before, bytes: self.bytes - open.bytes_before };
        self.remember(open.anchor, &node, size, open.height + 1)?;
        self.attach(node, open.height + 1);
        Ok(())
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<(), Stop> {
        let Some(anchor) = self.anchors.get(&id) else {
            let message = "this alias stands inside the value that it names";
            self.problems.report(codes::UNKNOWN_ALIAS, place, message);
            self.attach(Node { kind: Kind::Broken, place }, 0);
            return Ok(());
        };
        let (size, height) = (anchor.size, anchor.height);
        self.charge(size, height, place)?;
        if let Some(node) = self.anchors.get(&id).map(|anchor| anchor.node.clone()) {
            self.attach(node, height);
        }
        Ok(())
    }

    /// Counts what is about to be added, `height` levels of it below this one.
    fn charge(&mut self, size: Size, height: usize, place: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(size.nodes);
        self.bytes = self.bytes.saturating_add(size.bytes);
        self.within(self.nodes, self.bytes, place)?;
        if self.open.len() + height > self.dialect.max_depth {
            let message = syntax::too_deep(self.dialect);
            self.problems.report(codes::TOO_LARGE, place, message);
            return Err(Stop);
        }
        Ok(())
    }

    /// The budgets of nodes and of their text. Aliases may stand for as much text as a file may have beside.
    fn within(&mut self, nodes: usize, bytes: usize, place: Place) -> Result<(), Stop> {
        let message = if nodes > MAX_NODES {
            format!("the file has more than {MAX_NODES} values, counting each use of an alias")
        } else if bytes > self.dialect.max_bytes.saturating_mul(2) {
            let most = self.dialect.max_bytes / 1024;
            format!("aliases stand for more than {most} KiB of text here, counting each use")
        } else {
            return Ok(());
        };
        self.problems.report(codes::TOO_LARGE, place, message);
        Err(Stop)
    }

    fn remember(&mut self, anchor: usize, node: &Node, size: Size, height: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.kept = self.kept.saturating_add(size.nodes);
            self.kept_bytes = self.kept_bytes.saturating_add(size.bytes);
            self.within(self.kept, self.kept_bytes, node.place)?;
            self.anchors.insert(anchor, Anchor { node: node.clone(), size, height });
        }
        Ok(())
    }

    /// Puts a complete node where it belongs: the root, a list's item, a key or its value.
    fn attach(&mut self, node: Node, height: usize) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.height = open.height.max(height);
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, seen, key } => match key.take() {
                Some(Key::Text(key)) => entries.push(Entry { key, value: node }),
                Some(Key::Bad) => {}
                None => *key = Some(read_key(self.problems, self.dialect, seen, node)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceFile;

    fn read(text: &str) -> (Option<Node>, Vec<crate::Diagnostic>) {
        let file = SourceFile { path: "p.yml", text };
        let mut problems = Problems::new(&file);
        let node = parse(&mut problems, &Dialect::NATIVE);
        (node, problems.finish())
    }

    fn codes_of(text: &str) -> Vec<String> {
        read(text).1.into_iter().map(|diagnostic| diagnostic.code).collect()
    }

    #[test]
    fn duplicate_keys_are_reported_with_both_places() {
        let (_, diagnostics) = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(diagnostics.len(), 1);
        assert_eq!((diagnostics[0].span.line, diagnostics[0].related[0].span.line), (3, 1));
    }

    #[test]
    fn aliases_are_expanded() {
        let (node, diagnostics) = read("a: &x {k: [1, 2]}\nb: *x\n");
        assert_eq!(diagnostics, []);
        let Some(Node { kind: Kind::Map(entries), .. }) = node else { panic!() };
        assert_eq!(entries[0].value, entries[1].value);
    }

    #[test]
    fn what_the_language_leaves_out_is_named() {
        assert_eq!(codes_of("a: &x {k: 1}\nb:\n  <<: *x\n  c: 2\n"), ["TG0105"]);
        assert_eq!(codes_of("if: !cancelled()\n"), ["TG0107"]);
        assert_eq!(codes_of("a: *nowhere\n"), ["TG0108"]);
        assert_eq!(codes_of("a: &a [*a]\n"), ["TG0108"]);
        assert_eq!(codes_of("? [a]\n: b\n"), ["TG0106"]);
        assert_eq!(codes_of("a: 1\n---\nb: 2\n"), ["TG0103"]);
        assert_eq!(codes_of("# nothing\n"), ["TG0103"]);
        assert_eq!(codes_of("a: [1, 2\n"), ["TG0101"]);
    }

    #[test]
    fn a_billion_laughs_end_at_the_budget() {
        let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..12 {
            let uses = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{uses}]\n"));
        }
        assert_eq!(codes_of(&text), ["TG0102"]);
    }

    /// The tree of a file has no more text than twice what the file may have, whatever aliases say.
    #[test]
    fn text_that_is_used_many_times_ends_at_the_budget() {
        let long = "x".repeat(Dialect::NATIVE.max_bytes / 4);
        assert_eq!(codes_of(&format!("a: &a {long}\nb: [{}]\n", ["*a"; 3].join(", "))), [""; 0]);
        assert_eq!(codes_of(&format!("a: &a {long}\nb: [{}]\n", ["*a"; 30].join(", "))), ["TG0102"]);
        let kept: String =
            (0..40).map(|level| format!("a{}: &a{} [*a{level}]\n", level + 1, level + 1)).collect();
        assert_eq!(codes_of(&format!("a0: &a0 {long}\n{kept}")), ["TG0102"]);
        fn text(node: &Node) -> usize {
            match &node.kind {
                Kind::Scalar(scalar) => scalar.text.len(),
                Kind::List(items) => items.iter().map(text).sum(),
                Kind::Map(entries) => {
                    entries.iter().map(|entry| entry.key.value.len() + text(&entry.value)).sum()
                }
                Kind::Broken => 0,
            }
        }
        let (node, _) = read(&format!("a: &a {}\nb: [{}]\n", "x".repeat(1000), ["*a"; 250].join(", ")));
        assert_eq!(text(&node.unwrap()), 2 + 251 * 1000);
    }

    #[test]
    fn deep_nesting_ends_at_the_budget() {
        assert_eq!(codes_of(&"[".repeat(100_000)), ["TG0102"]);
        let aliases: String =
            (1..70).map(|level| format!("a{level}: &a{level} [*a{}]\n", level - 1)).collect();
        assert_eq!(codes_of(&format!("a0: &a0 [x]\n{aliases}")), ["TG0102"]);
        assert_eq!(codes_of(&" ".repeat(Dialect::NATIVE.max_bytes + 1)), ["TG0102"]);
    }

    #[test]
    fn a_block_of_text_has_the_line_breaks_that_are_there() {
        let text_of = |text: &str| match read(text).0.map(|node| node.kind) {
            Some(Kind::Map(entries)) => match &entries[0].value.kind {
                Kind::Scalar(scalar) => scalar.text.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        for (text, wanted) in [
            ("a: |\n  x\n  y", "x\ny"),
            ("a: |\n  x\n  y\n", "x\ny\n"),
            ("a: >\n  x\n  y", "x y"),
            ("a: |-\n  x", "x"),
            ("a: |+\n  x\n\n", "x\n\n"),
            ("a: |\n  x\n# end", "x\n"),
            ("a: |\n  x\nb: y", "x\n"),
        ] {
            assert_eq!(text_of(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_block_of_text_begins_with_its_sign_and_nothing_behind_the_colon() {
        let text = "a: |\n  x\nb: >-2 # | no\n\n    y\n'c | d': &e |+\n  z\nf:\ng:\n";
        let (node, _) = read(text);
        let Some(Node { kind: Kind::Map(entries), .. }) = node else { panic!() };
        let starts: Vec<_> = entries.iter().map(|entry| &text[entry.value.place.start..]).collect();
        let begins = ["|\n  x", ">-2 #", "|+\n", "\ng:", "\n"];
        assert_eq!(starts.len(), begins.len());
        for (found, wanted) in starts.iter().zip(begins) {
            assert!(found.starts_with(wanted), "{found:?}, not {wanted:?}");
        }
    }

    #[test]
    fn a_block_ends_with_its_last_character() {
        let text = "a:\n  b: 1\n\n\nc: 2\n";
        let (node, _) = read(text);
        let Some(Node { kind: Kind::Map(entries), .. }) = node else { panic!() };
        let place = entries[0].value.place;
        assert_eq!(&text[place.start..place.end], "b: 1");
    }
}
