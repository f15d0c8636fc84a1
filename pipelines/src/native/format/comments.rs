//! What stands between entries: the rest of a line may be a comment, whole lines may be comments or blank, and nothing else
//! may be there, else printing gives up. Comments belong to the entry below them; those at the end of a block, indented
//! like it, to the block.

use super::print::Printer;

/// What stands between two entries.
#[derive(Debug, Default)]
pub(super) struct Between {
    /// The comment on the line of the first, with the blanks before it.
    pub(super) beside: String,
    /// Comments and blank lines above the second, no two blank ones in a row.
    pub(super) above: Vec<String>,
    /// What stands on the line of the second before it.
    pub(super) lead: String,
}

impl Printer<'_> {
    /// Passes everything up to `end`.
    pub(super) fn between(&mut self, end: usize) -> Option<Between> {
        let start = self.at;
        let passed = self.text.get(start..end)?;
        self.at = end;
        let mut between = Between::default();
        // The end of the file may have a comment and no line break. Else nothing leads to anything there: an anchor of
        // nothing would be lost.
        let at_end = end == self.text.len();
        let last = passed.rsplit('\n').next().unwrap_or_default().trim_start();
        if at_end && !last.is_empty() && !last.starts_with('#') {
            return None;
        }
        let Some((first, rest)) = passed.split_once('\n') else {
            match at_end && last.starts_with('#') {
                true => between.beside = passed.trim_end().to_owned(),
                false => between.lead = passed.to_owned(),
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
            true if at_end => lines.push(lead),
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
    pub(super) fn column(&self, at: usize) -> usize {
        let line = self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |found| found + 1);
        at - line
    }

    /// Comments at the end of a block that are indented like it.
    #[expect(clippy::option_option, reason = "nothing to guess, and nothing there")]
    pub(super) fn own_rest(&mut self, column: usize, outer: Option<usize>) -> Option<Option<Between>> {
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
}
