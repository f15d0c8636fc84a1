//! Names with dots between them, read backwards from the cursor.

use std::ops::Range;

use super::loose::unquoted;

/// The names before the word being written, and that word: `stages.build.ou` is `stages`, `build` and `ou`.
pub(super) fn names_before(written: &str) -> (Vec<String>, &str) {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let tail = |text: &str| {
        text.char_indices().rev().take_while(|(_, c)| is_word(*c)).last().map_or(text.len(), |(at, _)| at)
    };
    let start = tail(written);
    let (mut before, word) = written.split_at_checked(start).unwrap_or((written, ""));
    let mut path = Vec::new();
    while let Some(rest) = before.strip_suffix('.') {
        if let Some(inside) = rest.strip_suffix(']') {
            let Some(open) = inside.rfind('[') else { break };
            path.push(unquoted(inside.get(open + 1..).unwrap_or_default()).to_owned());
            before = inside.get(..open).unwrap_or_default();
            // A name may follow directly; as if a dot stood between.
            let start = tail(before);
            if start < before.len() {
                path.push(before.get(start..).unwrap_or_default().to_owned());
                before = before.get(..start).unwrap_or_default();
            }
            continue;
        }
        let start = tail(rest);
        path.push(rest.get(start..).unwrap_or_default().to_owned());
        before = rest.get(..start).unwrap_or_default();
    }
    path.reverse();
    (path, word)
}

/// The names up to the end of the word under the cursor, for hover.
pub(super) fn name_at(
    text: &str,
    expression: Range<usize>,
    offset: usize,
) -> Option<(Vec<String>, Range<usize>)> {
    let rest = text.get(offset..)?;
    let more = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
    let end = offset + more;
    let (mut path, word) = names_before(text.get(expression.start..end)?);
    if word.is_empty() {
        return None;
    }
    path.push(word.to_owned());
    Some((path, end - word.len()..end))
}
