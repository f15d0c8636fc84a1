//! Values that are neither mappings nor lists: copied as they stand, but for their indentation.

use super::{
    blocks::{Leaf, LeafKind},
    print::{Printer, indented},
};

impl Printer<'_> {
    /// A value of one or more lines; later ones keep their indentation against the first.
    pub(super) fn leaf(
        &mut self,
        leaf: &Leaf,
        head: &str,
        indent: usize,
        column: usize,
    ) -> Option<Vec<String>> {
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
    pub(super) fn block_scalar(&mut self, head: &str, indent: usize, column: usize) -> Option<Vec<String>> {
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
}
