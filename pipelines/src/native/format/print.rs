//! Lines from blocks.
//!
//! A cursor goes through the text from entry to entry. What it passes between two of them is looked at: the rest of a
//! line may be a comment, whole lines may be comments or blank, and nothing else may be there, else printing gives up.
//! Comments belong to the entry below them; those at the end of a block, indented like it, to the block.

use super::blocks::{Block, Entry, Leaf, LeafKind};

/// In which order the keys of the file and of its stages stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Usual,
    AsWritten,
}

/// The keys of a file, be it a pipeline, a template, or what a stage wrote.
const FILE: &[&str] = &["name", "on", "inputs", "env", "defaults", "concurrency", "outputs", "stages"];
/// The keys of a stage: when it runs, where, with what, what it does, what it leaves, and what if it fails.
const STAGE: &[&str] = &[
    "needs",
    "if",
    "matrix",
    "max_parallel",
    "fail_fast",
    "concurrency",
    "image",
    "runs_on",
    "network",
    "shell",
    "working_directory",
    "checkout",
    "env",
    "secrets",
    "services",
    "fetch",
    "cache",
    "run",
    "build",
    "push",
    "deploy",
    "smoke",
    "use",
    "with",
    "emits",
    "outputs",
    "artifacts",
    "reports",
    "resources",
    "timeout",
    "retry",
    "continue_on_error",
];

/// What a mapping is, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    File,
    Stages,
    Stage,
    Other,
}

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

struct Printer<'t> {
    text: &'t str,
    /// Everything before is printed.
    at: usize,
    order: Order,
}

/// What stands between two entries.
#[derive(Debug, Default)]
struct Between {
    /// The comment on the line of the first, with the blanks before it.
    beside: String,
    /// Comments and blank lines above the second, no two blank ones in a row.
    above: Vec<String>,
    /// What stands on the line of the second before it.
    lead: String,
}

/// One entry of a mapping, printed.
struct Chunk {
    rank: usize,
    /// Comments above, and a blank line before them.
    above: Vec<String>,
    body: Vec<String>,
}

impl Printer<'_> {
    /// Passes everything up to `end`.
    fn between(&mut self, end: usize) -> Option<Between> {
        let start = self.at;
        let passed = self.text.get(start..end)?;
        self.at = end;
        let mut between = Between::default();
        let Some((first, rest)) = passed.split_once('\n') else {
            between.lead = passed.to_owned();
            // The end of the file may have a comment and no line break.
            if end == self.text.len() && passed.trim_start().starts_with('#') {
                between.beside = passed.trim_end().to_owned();
            }
            return Some(between);
        };
        let mut lines: Vec<&str> = rest.split('\n').collect();
        // At the very beginning the first line is a whole one, else the rest of one.
        if start == 0 {
            lines.insert(0, first);
        } else {
            match first.trim_end() {
                "" => {}
                comment if comment.trim_start().starts_with('#') && comment.starts_with([' ', '\t']) => {
                    between.beside = comment.to_owned();
                }
                _ => return None,
            }
        }
        let lead = lines.pop()?;
        match lead.trim_start().starts_with('#') {
            true if end == self.text.len() => lines.push(lead),
            true => return None,
            false => between.lead = lead.to_owned(),
        }
        for line in lines {
            match line.trim() {
                "" if between.above.last().is_some_and(String::is_empty) => {}
                "" => between.above.push(String::new()),
                comment if comment.starts_with('#') => between.above.push(comment.to_owned()),
                _ => return None,
            }
        }
        Some(between)
    }

    /// The column of a place.
    fn column(&self, at: usize) -> usize {
        let line = self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |found| found + 1);
        at - line
    }

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
            chunks.push(Chunk { rank: self.rank(key, role), above, body });
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

    fn rank(&self, key: &str, role: Role) -> usize {
        let keys = match (self.order, role) {
            (Order::Usual, Role::File) => FILE,
            (Order::Usual, Role::Stage) => STAGE,
            _ => return 0,
        };
        keys.iter().position(|known| *known == key).unwrap_or(keys.len())
    }

    /// Comments at the end of a block that are indented like it.
    #[expect(clippy::option_option, reason = "nothing to guess, and nothing there")]
    fn own_rest(&mut self, column: usize, outer: Option<usize>) -> Option<Option<Between>> {
        if outer.is_none_or(|outer| column <= outer) {
            return Some(None);
        }
        let rest = self.text.get(self.at..)?;
        let mut end = 0;
        let mut seen = rest.find('\n').map_or(rest.len(), |at| at + 1);
        if !rest.get(..seen)?.trim().is_empty() && !rest.trim_start().starts_with('#') {
            return Some(None);
        }
        for line in rest.get(seen..)?.split_inclusive('\n') {
            let indent = line.len() - line.trim_start_matches(' ').len();
            let inner = line.trim();
            if inner.starts_with('#') && indent >= column {
                end = seen + line.trim_end().len();
            } else if !inner.is_empty() {
                break;
            }
            seen += line.len();
        }
        if end == 0 {
            return Some(None);
        }
        let start = self.at;
        let passed = self.text.get(start..start + end)?;
        self.at = start + end;
        let mut rest = Between::default();
        let (first, lines) = passed.split_once('\n')?;
        rest.beside = first.trim_end().to_owned();
        for line in lines.split('\n') {
            match line.trim() {
                "" if rest.above.last().is_some_and(String::is_empty) => {}
                line => rest.above.push(line.to_owned()),
            }
        }
        Some(Some(rest))
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

    /// A value of one or more lines; later ones keep their indentation against the first.
    fn leaf(&mut self, leaf: &Leaf, head: &str, indent: usize, column: usize) -> Option<Vec<String>> {
        let source = self.text.get(leaf.start..leaf.end)?;
        self.at = leaf.end;
        let simple =
            |text: &str| text.len() > 2 && !text.contains(['"', '\\', '\n', '\t']) && !text.contains("''");
        let inner = source.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        if let (LeafKind::SingleQuoted, Some(inner)) = (leaf.kind, inner.filter(|_| simple(source))) {
            return Some(vec![format!("{head}\"{inner}\"")]);
        }
        let mut source_lines = source.split('\n');
        let mut lines = vec![format!("{head}{}", source_lines.next()?.trim_end())];
        for line in source_lines {
            let inner = line.trim_start_matches(' ');
            let before = line.len() - inner.len();
            let inner = inner.trim_end();
            if inner.is_empty() {
                lines.push(String::new());
                continue;
            }
            lines.push(indented(inner, indent + before.saturating_sub(column).max(1)));
        }
        Some(lines)
    }

    /// `|` and `>`: the lines below, indented anew, all else as it is.
    fn block_scalar(&mut self, head: &str, indent: usize, column: usize) -> Option<Vec<String>> {
        let rest = self.text.get(self.at..)?;
        let (first, below) = rest.split_once('\n')?;
        let mut words = first.split_whitespace().peekable();
        let anchor = words.next_if(|word| word.starts_with('&'));
        let marks = words.next()?;
        // Where the indentation is told as a number, or blank lines at the end count, all stays as it is.
        if !matches!(marks, "|" | "|-" | ">" | ">-")
            || words.next().is_some_and(|word| !word.starts_with('#'))
        {
            return None;
        }
        let comment = first.find(" #").map_or("", |at| first[at..].trim_end());
        let anchor = anchor.map_or_else(String::new, |anchor| format!("{anchor} "));
        let mut lines = vec![format!("{head} {anchor}{marks}{comment}")];
        let mut content: Vec<&str> = Vec::new();
        let mut own = None;
        for line in below.split('\n') {
            let blank = line.trim_matches(' ').is_empty();
            let depth = line.len() - line.trim_start_matches(' ').len();
            match own {
                _ if blank => {}
                None if depth <= column => break,
                None => own = Some(depth),
                Some(_) if depth <= column => break,
                Some(own) if depth < own => return None,
                Some(_) => {}
            }
            content.push(line);
        }
        let own = own?;
        while content.last().is_some_and(|line| line.trim_matches(' ').is_empty()) {
            content.pop();
        }
        let taken: usize = content.iter().map(|line| line.len() + 1).sum();
        self.at += first.len() + taken.min(rest.len() - first.len());
        for line in content {
            match line.get(own..) {
                None | Some("") => lines.push(String::new()),
                Some(inner) => lines.push(format!("{}{inner}", " ".repeat(indent + 2))),
            }
        }
        Some(lines)
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

fn indented(line: &str, indent: usize) -> String {
    if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(indent)) }
}

fn starts_blank(lines: &[String]) -> bool {
    lines.first().is_some_and(String::is_empty)
}
