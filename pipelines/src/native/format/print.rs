//! Lines from blocks.
//!
//! A cursor goes through the text from entry to entry; [`super::comments`] looks at what it passes between two of them,
//! and [`super::values`] prints what is no mapping and no list. What would have to be guessed ends printing.

use super::{
    blocks::{Block, Entry, Leaf, LeafKind},
    order::{Order, Role, rank},
};

/// The file anew. None when there is something that would have to be guessed.
pub(super) fn print(text: &str, root: &Block, order: Order) -> Option<String> {
    let Block::Map(entries) = root else { return None };
    let mut printer = Printer { text, at: 0, order };
    let mut lines = printer.map(entries, 0, Role::File, None)?;
    // What is left is comments and blank lines.
    let rest = printer.between(text.len())?;
    if !rest.beside.is_empty() {
        lines.last_mut()?.push_str(&rest.beside);
    }
    lines.extend(rest.above);
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.push(String::new());
    Some(lines.join("\n"))
}

pub(super) struct Printer<'t> {
    pub(super) text: &'t str,
    /// Everything before is printed.
    pub(super) at: usize,
    order: Order,
}

/// One entry of a mapping, printed.
struct Chunk {
    rank: usize,
    /// Comments above, and a blank line before them.
    above: Vec<String>,
    body: Vec<String>,
}

impl Printer<'_> {
    /// A mapping whose keys begin at `indent`. `outer` is the column that it was indented from.
    fn map(
        &mut self,
        entries: &[Entry],
        indent: usize,
        role: Role,
        outer: Option<usize>,
    ) -> Option<Vec<String>> {
        let column = self.column(entries.first()?.key.start);
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut header = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let between = self.between(entry.key.start)?;
            if !between.lead.trim().is_empty() || self.column(entry.key.start) != column {
                return None;
            }
            let mut above: Vec<String> = between.above.iter().map(|line| indented(line, indent)).collect();
            match chunks.last_mut() {
                Some(before) => before.body.last_mut()?.push_str(&between.beside),
                None if !between.beside.is_empty() => return None,
                None => {}
            }
            if index == 0 && role == Role::File {
                // What stands at the top of a file and apart from its first key belongs to the file.
                let apart = above.iter().rposition(String::is_empty).map_or(0, |at| at + 1);
                let own = above.split_off(apart);
                header = std::mem::replace(&mut above, own);
            }
            let key = self.text.get(entry.key.clone())?;
            let body = self.entry(entry, indent, role)?;
            chunks.push(Chunk { rank: rank(self.order, key, role), above, body });
        }
        let mut lines = header;
        while lines.first().is_some_and(String::is_empty) {
            lines.remove(0);
        }
        // Stable, so what has no place of its own stays where it was.
        chunks.sort_by_key(|chunk| chunk.rank);
        if let Some(first) = chunks.first_mut() {
            let blank = first.above.iter().take_while(|line| line.is_empty()).count();
            first.above.drain(..blank);
        }
        let mut long_before = false;
        for (index, chunk) in chunks.into_iter().enumerate() {
            let long = chunk.body.len() > 1;
            if role == Role::Stages && index > 0 && (long || long_before) && !starts_blank(&chunk.above) {
                lines.push(String::new());
            }
            long_before = long;
            lines.extend(chunk.above);
            lines.extend(chunk.body);
        }
        if let Some(rest) = self.own_rest(column, outer)? {
            lines.last_mut()?.push_str(&rest.beside);
            lines.extend(rest.above.iter().map(|line| indented(line, indent)));
        }
        Some(lines)
    }

    /// `key: value`; the first line has the key.
    fn entry(&mut self, entry: &Entry, indent: usize, role: Role) -> Option<Vec<String>> {
        let key = self.text.get(entry.key.clone())?;
        if key.contains('\n') {
            return None;
        }
        let column = self.column(entry.key.start);
        self.at = entry.key.end;
        let colon = self.text.get(self.at..)?.find(':')?;
        if !self.text.get(self.at..self.at + colon)?.trim_matches(' ').is_empty() {
            return None;
        }
        self.at += colon + 1;
        let head = format!("{}{key}:", " ".repeat(indent));
        let inner = match (role, key) {
            (Role::File, "stages") => Role::Stages,
            (Role::Stages, _) => Role::Stage,
            _ => Role::Other,
        };
        self.value(&entry.value, head, indent, column, inner)
    }

    /// A value behind `head`, which is `key:` or `-`. `column` is where that stood.
    fn value(
        &mut self,
        value: &Block,
        head: String,
        indent: usize,
        column: usize,
        role: Role,
    ) -> Option<Vec<String>> {
        match value {
            Block::Leaf(leaf) if leaf.kind == LeafKind::Nothing => {
                // An anchor of nothing would be lost.
                Some(vec![head])
            }
            Block::Leaf(Leaf { kind: LeafKind::Block, .. }) => self.block_scalar(&head, indent, column),
            Block::Leaf(leaf) => {
                let gap = self.text.get(self.at..leaf.start)?;
                let anchor = gap.trim();
                let plain =
                    anchor.is_empty() || (anchor.starts_with('&') && !anchor.contains(char::is_whitespace));
                if !plain {
                    return None;
                }
                let anchor = if anchor.is_empty() { String::new() } else { format!("{anchor} ") };
                self.leaf(leaf, &format!("{head} {anchor}"), indent, column)
            }
            Block::Map(_) | Block::List(_) => {
                let start = value.start()?;
                // The rest of the line: an anchor, a comment.
                let line = self.text.get(self.at..start)?;
                let (first, _) = line.split_once('\n')?;
                let (anchor, comment) = match first.find(" #").or(first.find("\t#")) {
                    Some(at) => (first[..at].trim(), first[first[..at].trim_end().len()..].trim_end()),
                    None => (first.trim(), ""),
                };
                if !anchor.is_empty() && (!anchor.starts_with('&') || anchor.contains(char::is_whitespace)) {
                    return None;
                }
                let anchor = if anchor.is_empty() { String::new() } else { format!(" {anchor}") };
                self.at += first.len();
                let mut lines = vec![format!("{head}{anchor}{comment}")];
                lines.extend(match value {
                    Block::Map(entries) => self.map(entries, indent + 2, role, Some(column))?,
                    Block::List(items) => self.list(items, indent + 2, Some(column))?,
                    Block::Leaf(_) => return None,
                });
                Some(lines)
            }
        }
    }

    /// A list whose dashes stand at `indent`.
    fn list(&mut self, items: &[Block], indent: usize, outer: Option<usize>) -> Option<Vec<String>> {
        let mut lines: Vec<String> = Vec::new();
        let mut column = None;
        for item in items {
            let start = item.start()?;
            if matches!(item, Block::List(_))
                || matches!(item, Block::Leaf(leaf) if leaf.kind == LeafKind::Nothing)
            {
                return None;
            }
            let scalar = matches!(item, Block::Leaf(leaf) if leaf.kind == LeafKind::Block);
            let between = self.between(if scalar { self.dash_above(start)? + 1 } else { start })?;
            // The dash, and an anchor behind it.
            let mark = between.lead.trim();
            let anchor = mark.strip_prefix('-')?.trim();
            if !anchor.is_empty() && (!anchor.starts_with('&') || anchor.contains(char::is_whitespace)) {
                return None;
            }
            let dash = between.lead.len() - between.lead.trim_start().len();
            if *column.get_or_insert(dash) != dash {
                return None;
            }
            match lines.last_mut() {
                Some(last) => last.push_str(&between.beside),
                None if !between.beside.is_empty() => return None,
                None => {}
            }
            let above = between.above.iter().map(|line| indented(line, indent));
            lines.extend(above.skip_while(|line| line.is_empty() && lines.is_empty()).collect::<Vec<_>>());
            let head = format!("{}-", " ".repeat(indent));
            match item {
                Block::Map(entries) if anchor.is_empty() => {
                    // The first key stands beside the dash.
                    let mut inner = self.map(entries, indent + 2, Role::Other, Some(dash))?;
                    let first = inner.first_mut()?;
                    *first = format!("{head} {}", first.trim_start());
                    lines.extend(inner);
                }
                Block::Leaf(_) if scalar => lines.extend(self.block_scalar(&head, indent, dash)?),
                Block::Leaf(leaf) => {
                    let anchor = if anchor.is_empty() { String::new() } else { format!("{anchor} ") };
                    lines.extend(self.leaf(leaf, &format!("{head} {anchor}"), indent, dash)?);
                }
                _ => return None,
            }
        }
        if let Some(rest) = self.own_rest(column?, outer)? {
            lines.last_mut()?.push_str(&rest.beside);
            lines.extend(rest.above.iter().map(|line| indented(line, indent)));
        }
        Some(lines)
    }

    /// The dash before a scalar with `|` or `>` whose lines begin at `start`: on the last line above that is not blank.
    fn dash_above(&self, start: usize) -> Option<usize> {
        let passed = self.text.get(self.at..start)?;
        let above = passed.get(..passed.rfind('\n')?)?.trim_end();
        let line = above.rfind('\n').map_or(0, |at| at + 1);
        let dash = line + (above.len() - line - above.get(line..)?.trim_start().len());
        above.get(dash..)?.starts_with('-').then_some(self.at + dash)
    }
}

pub(super) fn indented(line: &str, indent: usize) -> String {
    if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(indent)) }
}

fn starts_blank(lines: &[String]) -> bool {
    lines.first().is_some_and(String::is_empty)
}
