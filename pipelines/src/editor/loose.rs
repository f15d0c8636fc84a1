//! A YAML text that need not be right, read by its indentation and brackets: which keys there are, and below which.
//!
//! One pass, without recursion, over the lines; what makes no sense is passed over. The text up to a cursor is read
//! by the same pass, which then tells where its end is ([`super::spot`]).

use std::ops::Range;

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
        let document =
            Node { parent: 0, key: None, place: 0..0, value: 0..0, children: Vec::new(), column: -1 };
        let mut reader = Reader { text, nodes: vec![document], open: vec![0], at: 0 };
        let end = reader.read();
        Self { nodes: reader.nodes, end: end.unwrap_or(End::Lines(reader.open)) }
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

struct Reader<'t> {
    text: &'t str,
    nodes: Vec<Node>,
    open: Vec<usize>,
    at: usize,
}

impl<'t> Reader<'t> {
    /// Reads all lines. What was open at the end, if it was not the lines alone.
    fn read(&mut self) -> Option<End> {
        while self.at < self.text.len() {
            if let Some(end) = self.line() {
                return Some(end);
            }
        }
        None
    }

    fn line_end(&self, from: usize) -> usize {
        self.text.get(from..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |at| from + at)
    }

    fn slice(&self, range: Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }

    fn column(&self, node: usize) -> isize {
        self.nodes.get(node).map_or(-1, |node| node.column)
    }

    fn top(&self) -> usize {
        self.open.last().copied().unwrap_or_default()
    }

    fn add(&mut self, parent: usize, key: Option<String>, place: Range<usize>, column: isize) -> usize {
        let index = self.nodes.len();
        let value = place.end..place.end;
        self.nodes.push(Node { parent, key, place, value, children: Vec::new(), column });
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.push(index);
        }
        index
    }

    fn line(&mut self) -> Option<End> {
        let begin = self.at;
        let end = self.line_end(begin);
        self.at = end + 1;
        let line = self.slice(begin..end);
        let indent = line.len() - line.trim_start_matches(' ').len();
        let mut start = begin + indent;
        let body = line.trim();
        if body.is_empty() || body.starts_with('#') || matches!(body, "---" | "...") {
            return None;
        }
        loop {
            let rest = self.slice(start..end);
            let column = isize::try_from(start - begin).unwrap_or_default();
            if rest == "-" || rest.starts_with("- ") {
                // A list may stand in the column of its key.
                while self.open.len() > 1
                    && (self.column(self.top()) > column
                        || self.column(self.top()) == column
                            && self.nodes.get(self.top()).is_some_and(Node::is_item))
                {
                    self.open.pop();
                }
                let item = self.add(self.top(), None, start..start + 1, column);
                self.open.push(item);
                let inner = rest.get(1..).unwrap_or_default();
                start += 1 + inner.len() - inner.trim_start_matches(' ').len();
                if start >= end {
                    return None;
                }
                continue;
            }
            let Some((key, colon)) = key(rest) else {
                let owner = self.top();
                return self.value(owner, start, end, self.column(owner));
            };
            while self.open.len() > 1 && self.column(self.top()) >= column {
                self.open.pop();
            }
            let node = self.add(self.top(), Some(key), start..start + colon, column);
            self.open.push(node);
            let after = rest.get(colon + 1..).unwrap_or_default();
            let value = start + colon + 1 + after.len() - after.trim_start_matches(' ').len();
            return self.value(node, value, end, column);
        }
    }

    /// What stands behind a key or dash, from `start` to the end of the line or beyond.
    fn value(&mut self, owner: usize, mut start: usize, end: usize, column: isize) -> Option<End> {
        // Anchors and tags stand before what they are about.
        while self.slice(start..end).starts_with(['&', '!']) {
            let word = self.slice(start..end).find(' ').unwrap_or(end - start);
            start += word;
            start += self.slice(start..end).len() - self.slice(start..end).trim_start_matches(' ').len();
        }
        let text = self.slice(start..end);
        match text.bytes().next() {
            Some(b'{' | b'[') => return self.flow(owner, start, column),
            Some(b'|' | b'>') => return self.block(owner, end, column),
            Some(quote @ (b'"' | b'\'')) => {
                let inside = start + 1;
                let close = closing(self.text, inside, quote);
                let more = close.is_some() || self.at <= self.text.len();
                if more && close.is_none_or(|close| close >= end) {
                    return self.quoted(owner, close, column);
                }
            }
            _ => {}
        }
        let length = comment(text).unwrap_or(text.len());
        let value = start..start + text.get(..length).unwrap_or_default().trim_end().len();
        if let Some(node) = self.nodes.get_mut(owner)
            && node.value.is_empty()
        {
            node.value = value;
        }
        None
    }

    /// Quotes that do not close in their line. Where nothing closes them, they are being typed, or were forgotten: that
    /// is so when a line follows that does not belong to their value.
    fn quoted(&mut self, owner: usize, close: Option<usize>, column: isize) -> Option<End> {
        if let Some(close) = close {
            self.at = self.line_end(close) + 1;
            return None;
        }
        let rest = self.text.get(self.at..)?;
        let deeper = |line: &str| {
            let indent = line.len() - line.trim_start_matches(' ').len();
            line.trim().is_empty() || isize::try_from(indent).unwrap_or_default() > column
        };
        if !rest.lines().all(deeper) {
            return None;
        }
        self.at = self.text.len();
        Some(End::Text(owner))
    }

    /// Passes over the lines of a block scalar: all that are indented more than what it belongs to.
    fn block(&mut self, owner: usize, header_end: usize, column: isize) -> Option<End> {
        if header_end >= self.text.len() {
            return Some(End::Lines(self.open.clone()));
        }
        loop {
            let end = self.line_end(self.at);
            let line = self.slice(self.at..end);
            let indent = line.len() - line.trim_start_matches(' ').len();
            let deeper = isize::try_from(indent).unwrap_or_default() > column;
            let blank = line.trim().is_empty();
            if end >= self.text.len() {
                // The last line, which may be the one with the cursor.
                return if deeper {
                    self.at = self.text.len();
                    Some(End::Text(owner))
                } else {
                    None
                };
            }
            if !blank && !deeper {
                return None;
            }
            self.at = end + 1;
        }
    }

    /// Brackets, to their end or to where they were plainly forgotten.
    fn flow(&mut self, owner: usize, start: usize, column: isize) -> Option<End> {
        let mut brackets: Vec<Bracket> = Vec::new();
        let mut at = start;
        while let Some(byte) = self.text.as_bytes().get(at).copied() {
            match byte {
                b'{' | b'[' => {
                    let owner = match brackets.last() {
                        None => owner,
                        Some(Bracket { entry: Some(entry), .. }) => *entry,
                        Some(bracket) => {
                            let owner = bracket.owner;
                            self.add(owner, None, at..at, column)
                        }
                    };
                    brackets.push(Bracket { owner, is_map: byte == b'{', entry: None, word: at + 1 });
                }
                b'}' | b']' => {
                    self.finish_word(&mut brackets, at);
                    brackets.pop();
                    let Some(bracket) = brackets.last_mut() else {
                        self.at = self.line_end(at) + 1;
                        return None;
                    };
                    bracket.word = at + 1;
                }
                b',' => {
                    self.finish_word(&mut brackets, at);
                    if let Some(bracket) = brackets.last_mut() {
                        bracket.entry = None;
                        bracket.word = at + 1;
                    }
                }
                b':' if matches!(
                    self.text.as_bytes().get(at + 1),
                    None | Some(b' ' | b'\n' | b'\r' | b',' | b'}')
                ) =>
                {
                    if let Some(bracket) = brackets.last_mut().filter(|one| one.is_map && one.entry.is_none())
                    {
                        let (parent, word) = (bracket.owner, bracket.word);
                        bracket.word = at + 1;
                        let entry = self.named(parent, word, at, column);
                        if let Some(bracket) = brackets.last_mut() {
                            bracket.entry = Some(entry);
                        }
                    }
                }
                b'"' | b'\''
                    if brackets.last().is_some_and(|one| self.slice(one.word..at).trim().is_empty()) =>
                {
                    match closing(self.text, at + 1, byte) {
                        Some(close) => at = close,
                        None => return Some(End::Flow(brackets)),
                    }
                }
                b'#' if self.slice(at.saturating_sub(1)..at).trim().is_empty() => at = self.line_end(at) - 1,
                b'\n' if self.forgotten(at + 1, column) => {
                    self.at = at + 1;
                    return None;
                }
                _ => {}
            }
            at += 1;
        }
        self.at = self.text.len();
        Some(End::Flow(brackets))
    }

    /// A line that is not inside brackets by its looks: indented no more than their key, and with a key of its own.
    fn forgotten(&self, start: usize, column: isize) -> bool {
        let line = self.slice(start..self.line_end(start));
        let indent = line.len() - line.trim_start_matches(' ').len();
        isize::try_from(indent).unwrap_or_default() <= column
            && key(line.trim_start_matches(' ').trim_start_matches("- ")).is_some()
    }

    /// The word before a comma or bracket: a key without a value, or an item of a list.
    fn finish_word(&mut self, brackets: &mut [Bracket], at: usize) {
        let Some(bracket) = brackets.last() else { return };
        let word = bracket.word..at;
        let text = self.slice(word.clone());
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return;
        }
        let from = word.start + text.len() - text.trim_start().len();
        let value = from..from + trimmed.len();
        match (bracket.entry, bracket.is_map) {
            (Some(entry), _) => {
                if let Some(node) = self.nodes.get_mut(entry) {
                    node.value = value;
                }
            }
            (None, true) => {
                let owner = bracket.owner;
                self.named(owner, word.start, at, 0);
            }
            (None, false) => {
                let owner = bracket.owner;
                let item = self.add(owner, None, value.start..value.start, 0);
                if let Some(node) = self.nodes.get_mut(item) {
                    node.value = value;
                }
            }
        }
    }

    /// A key in brackets.
    fn named(&mut self, parent: usize, from: usize, to: usize, column: isize) -> usize {
        let text = self.slice(from..to);
        let start = from + text.len() - text.trim_start().len();
        let key = unquoted(text.trim()).to_owned();
        let place = start..start + text.trim().len();
        self.add(parent, Some(key), place, column)
    }
}

/// The key at the beginning of a line, and where its colon is.
fn key(rest: &str) -> Option<(String, usize)> {
    let bytes = rest.as_bytes();
    let colon = match bytes.first()? {
        quote @ (b'"' | b'\'') => {
            let close = closing(rest, 1, *quote)?;
            let gap = rest.get(close + 1..)?;
            close + 1 + gap.len() - gap.trim_start_matches(' ').len()
        }
        b'{' | b'[' | b'|' | b'>' | b'#' | b'%' | b'@' | b'`' => return None,
        _ => {
            let mut from = 0;
            loop {
                let at = from + rest.get(from..)?.find(':')?;
                if matches!(bytes.get(at + 1), None | Some(b' ' | b'\r' | b'\t')) {
                    break at;
                }
                from = at + 1;
            }
        }
    };
    if bytes.get(colon) != Some(&b':') || !matches!(bytes.get(colon + 1), None | Some(b' ' | b'\r' | b'\t')) {
        return None;
    }
    let text = rest.get(..colon)?.trim_end();
    if comment(text).is_some() || text.is_empty() {
        return None;
    }
    Some((unquoted(text).to_owned(), colon))
}

/// Where a comment begins in a line's value.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with('#') {
        return Some(0);
    }
    text.find(" #")
}

/// Where quotes close that were opened before `from`.
fn closing(text: &str, from: usize, quote: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            byte if *byte == quote => {
                // Twice is the quote itself.
                if quote == b'\'' && bytes.get(at + 1) == Some(&quote) {
                    at += 1;
                } else {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// A word without the quotes around it.
pub(super) fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote) {
            return inside.strip_suffix(quote).unwrap_or(inside);
        }
    }
    text
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
