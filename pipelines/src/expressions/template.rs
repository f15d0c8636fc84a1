//! Text with `${{ }}` in it.

use std::ops::Range;

use super::Fault;
use crate::diagnostic::Place;

/// A piece of a template; ranges are bytes of its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// Literal text.
    Text(Range<usize>),
    /// What stands between `${{` and `}}`.
    Expression(Range<usize>),
}

/// Whether there is anything to evaluate.
pub(crate) fn holds_expression(text: &str) -> bool {
    text.contains("${{")
}

/// Cuts a template into its parts. Text in quotes inside an expression may hold `}}`.
pub(crate) fn split(text: &str) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${{") {
        let open = at + found;
        if open > at {
            parts.push(Part::Text(at..open));
        }
        let inside = open + 3;
        let Some(length) = closing(&text[inside..]) else {
            return Err(Fault::new(Place::new(open, inside), "`${{` has no closing `}}`"));
        };
        parts.push(Part::Expression(inside..inside + length));
        at = inside + length + 2;
    }
    if at < text.len() {
        parts.push(Part::Text(at..text.len()));
    }
    Ok(parts)
}

fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'}') if text.as_bytes().get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        split(text)
            .unwrap()
            .into_iter()
            .map(|part| match part {
                Part::Text(range) | Part::Expression(range) => &text[range],
            })
            .collect()
    }

    #[test]
    fn cuts_at_the_right_braces() {
        assert_eq!(pieces("a-${{ git.sha }}-b"), ["a-", " git.sha ", "-b"]);
        assert_eq!(pieces("${{'}}'}}"), ["'}}'"]);
        assert_eq!(pieces("$ {{ x }} }}"), ["$ {{ x }} }}"]);
        assert_eq!(split("x ${{ 'a }}").unwrap_err().place, Place::new(2, 5));
        assert_eq!(pieces(""), Vec::<&str>::new());
    }
}
