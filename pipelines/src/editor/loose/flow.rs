//! Brackets and braces, over as many lines as they take.

use super::{
    Bracket, End,
    reader::Reader,
    words::{closing, key, unquoted},
};

impl Reader<'_> {
    /// Brackets, to their end or to where they were plainly forgotten.
    pub(super) fn flow(&mut self, owner: usize, start: usize, column: isize) -> Option<End> {
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
