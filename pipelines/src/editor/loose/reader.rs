//! Lines and what stands behind a key: the nodes that are open are told by columns.

use std::ops::Range;

use super::{
    End, Loose, Node,
    words::{closing, comment, key},
};

/// Goes through the text once.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) nodes: Vec<Node>,
    open: Vec<usize>,
    pub(super) at: usize,
}

impl<'t> Reader<'t> {
    /// Reads all lines.
    pub(super) fn read(text: &'t str) -> Loose {
        let document =
            Node { parent: 0, key: None, place: 0..0, value: 0..0, children: Vec::new(), column: -1 };
        let mut reader = Self { text, nodes: vec![document], open: vec![0], at: 0 };
        let mut end = None;
        while end.is_none() && reader.at < text.len() {
            end = reader.line();
        }
        Loose { nodes: reader.nodes, end: end.unwrap_or(End::Lines(reader.open)) }
    }

    pub(super) fn line_end(&self, from: usize) -> usize {
        self.text.get(from..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |at| from + at)
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }

    fn column(&self, node: usize) -> isize {
        self.nodes.get(node).map_or(-1, |node| node.column)
    }

    fn top(&self) -> usize {
        self.open.last().copied().unwrap_or_default()
    }

    pub(super) fn add(
        &mut self,
        parent: usize,
        key: Option<String>,
        place: Range<usize>,
        column: isize,
    ) -> usize {
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
}
