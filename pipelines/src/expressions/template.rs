//! Text with `${{ }}` in it.

use std::ops::Range;

use super::Fault;
use crate::{diagnostic::Place, plan::Expressions};

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

/// Cuts a strict template into its parts. Text in quotes inside an expression may hold `}}`.
pub(crate) fn split(text: &str) -> Result<Vec<Part>, Fault> {
    parts(text, Expressions::Strict)
}

/// The same of a lenient one, where only single quotes are quotes.
pub(crate) fn split_lenient(text: &str) -> Result<Vec<Part>, Fault> {
    parts(text, Expressions::Lenient)
}

fn parts(text: &str, rules: Expressions) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${{") {
        let open = at + found;
        if open > at {
            parts.push(Part::Text(at..open));
        }
        let inside = open + 3;
        let Some(length) = closing(&text[inside..], rules) else {
            return Err(Fault::parsing(Place::new(open, inside), "`${{` has no closing `}}`"));
        };
        parts.push(Part::Expression(inside..inside + length));
        at = inside + length + 2;
    }
    if at < text.len() {
        parts.push(Part::Text(at..text.len()));
    }
    Ok(parts)
}

fn closing(text: &str, rules: Expressions) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (None, b'\'') => quote = Some(byte),
            (None, b'"') if rules == Expressions::Strict => quote = Some(byte),
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

    #[test]
    fn lenient_templates_know_single_quotes_only() {
        let text = r#"${{ " }} " }}"#;
        assert_eq!(pieces(text), [r#" " }} " "#]);
        assert_eq!(split_lenient(text), Ok(vec![Part::Expression(3..6), Part::Text(8..13)]));
        assert_eq!(split_lenient("${{ '}}' }}"), Ok(vec![Part::Expression(3..9)]));
    }
}
