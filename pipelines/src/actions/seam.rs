//! The one place where this front end meets the expression engine.

use std::collections::BTreeMap;

use serde_json::Value;

pub(super) use crate::expressions::holds_expression;
use crate::{
    actions::schema::Reach,
    diagnostic::{Place, Problems},
    expressions::{self, Finding, check_lenient, split_lenient},
    lenient::{self, Reads},
    plan::Template,
};

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    /// What stands between `${{` and `}}`, trimmed.
    Expression(&'t str),
}

impl<'t> Part<'t> {
    pub(super) fn expression(&self) -> Option<&'t str> {
        match self {
            Self::Text(_) => None,
            Self::Expression(text) => Some(text),
        }
    }
}

/// Cuts a template into its parts.
pub(super) fn parts(text: &str) -> Option<Vec<Part<'_>>> {
    let parts = split_lenient(text).ok()?;
    let cut = |part| match part {
        expressions::Part::Text(range) => Part::Text(text.get(range).unwrap_or_default()),
        expressions::Part::Expression(range) => Part::Expression(text.get(range).unwrap_or_default().trim()),
    };
    Some(parts.into_iter().map(cut).collect())
}

/// The expression that a template is nothing but.
pub(super) fn whole(text: &str) -> Option<&str> {
    match parts(text)?.as_slice() {
        [Part::Expression(inner)] => Some(inner),
        _ => None,
    }
}

/// A template of text and expressions as the one expression that it is: `format('a-{0}', x)`. What is no template stays
/// as it is.
pub(super) fn as_format(text: &str) -> String {
    let parts = parts(text).unwrap_or_default();
    let (mut pattern, mut arguments) = (String::new(), Vec::new());
    for part in &parts {
        match part {
            Part::Text(text) => {
                pattern.push_str(&text.replace('\'', "''").replace('{', "{{").replace('}', "}}"));
            }
            Part::Expression(expression) => {
                pattern.push_str(&format!("{{{}}}", arguments.len()));
                arguments.push(*expression);
            }
        }
    }
    match arguments.is_empty() {
        true => text.to_owned(),
        false => format!("format('{pattern}', {})", arguments.join(", ")),
    }
}

/// The text that a template stands for when it is nothing but a text in quotes: `${{ '{{' }}`.
pub(super) fn literal(text: &str) -> Option<String> {
    let inner = whole(text)?.strip_prefix('\'')?.strip_suffix('\'')?;
    let unescaped = inner.replace("''", "");
    (!unescaped.contains('\'')).then(|| inner.replace("''", "'"))
}

/// `insert`, which stands in place of a key.
pub(super) fn is_insert(expression: &str) -> bool {
    expression
        .strip_prefix("insert")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// All that is wrong with a template, or with a condition, at a place with this reach.
pub(super) fn check(text: &str, condition: bool, reach: Reach) -> Vec<Finding> {
    let allowed = reach.allowed();
    let asks = reach.holds(Reach::JOB_STATUS) || reach.holds(Reach::STEP_STATUS);
    if condition && !asks && !holds_expression(text) {
        // The engine tells conditions by the status functions that they may call; these may call none.
        let mut findings = check_lenient(&format!("${{{{{text}}}}}"), &allowed);
        for finding in &mut findings {
            finding.place.start = finding.place.start.saturating_sub(3);
            finding.place.end = finding.place.end.saturating_sub(3);
        }
        return findings;
    }
    check_lenient(text, &allowed)
}

/// Where a part of a value is in the file, if the value stands there as it is read and is more than the part.
pub(super) fn inside(problems: &Problems<'_>, place: Place, text: &str, part: Place) -> Option<Place> {
    let written = problems.text().get(place.start..place.end)?;
    let text = text.trim_end();
    // Folded, escaped and indented text stands there in another form.
    let offset = place.start + written.find(text)?;
    let end = part.end.min(text.len());
    (part.start < end && (part.start, end) != (0, text.len()))
        .then(|| Place::new(offset + part.start, offset + end))
}

/// A name that an expression reads, with what stands behind it as far as that is written down: `steps`, `build`,
/// `outputs`, `x`. Places and ranges are bytes of the text.
pub(super) struct Path {
    pub names: Vec<(String, Place)>,
    /// The expression that it stands in.
    pub expression: std::ops::Range<usize>,
}

/// All names that a template, or (with `condition`) an `if`, reads, in their order. What cannot be read is reported
/// elsewhere.
pub(super) fn paths(text: &str, condition: bool) -> Vec<Path> {
    let mut found = Vec::new();
    let mut read = |range: std::ops::Range<usize>| {
        let Ok(parsed) = expressions::parse_lenient(text.get(range.clone()).unwrap_or_default()) else {
            return;
        };
        expressions::paths(&parsed, &mut |names| {
            let places = names.iter().map(|(name, place)| {
                ((*name).to_owned(), Place::new(range.start + place.start, range.start + place.end))
            });
            found.push(Path { names: places.collect(), expression: range.clone() });
        });
    };
    if !holds_expression(text) {
        if condition {
            read(0..text.len());
        }
        return found;
    }
    for part in split_lenient(text).unwrap_or_default() {
        if let expressions::Part::Expression(range) = part {
            read(range);
        }
    }
    found
}

/// What a template or condition reads; nothing where it cannot be read.
pub(super) fn reads(text: &str, condition: bool) -> Reads {
    lenient::reads(text, condition).unwrap_or_default()
}

/// Whether a template reads only contexts of which this holds.
pub(super) fn reads_only(text: &str, known: impl Fn(&str) -> bool) -> bool {
    !holds_expression(text) || reads(text, false).contexts.iter().all(|context| known(context))
}

/// A template that stands for a text as it is. Only facts of the run that are yet to be written into it are let be
/// ([`super::contexts::MARKS`]).
pub(super) fn quoted(text: &str) -> Template {
    let mut template = crate::expand::literal(text);
    for (_, mark) in super::contexts::MARKS {
        template.0 = template.0.replace(&crate::expand::literal(mark).0, mark);
    }
    template
}

/// The text of an early template, or why it has none.
pub(super) fn text(template: &str, contexts: &BTreeMap<String, Value>) -> Result<String, String> {
    crate::expand::text(template, contexts).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_cut_at_the_right_braces() {
        assert_eq!(parts("a${{ x }}b").unwrap(), [Part::Text("a"), Part::Expression("x"), Part::Text("b")]);
        assert_eq!(whole("${{ '}}' }}"), Some("'}}'"));
        assert!(parts("${{ 'a }}").is_none());
        assert_eq!(literal("${{ '${{ it''s }}' }}").as_deref(), Some("${{ it's }}"));
        assert_eq!(literal("${{ 'a' && 'b' }}"), None);
        assert!(is_insert("insert") && !is_insert("inserted"));
    }

    #[test]
    fn text_and_expressions_are_one_expression() {
        assert_eq!(as_format("it's {${{ a }}}-${{ b || c }}"), "format('it''s {{{0}}}-{1}', a, b || c)");
        assert_eq!(as_format("a == 'b'"), "a == 'b'");
        assert_eq!(as_format("${{ 'a }}"), "${{ 'a }}");
    }

    #[test]
    fn what_a_template_reads_is_told() {
        let known = |context: &str| matches!(context, "github" | "matrix");
        assert!(reads_only("${{ matrix.os }}-${{ github.sha }}", known) && reads_only("plain", |_| false));
        assert!(!reads_only("${{ matrix.os || needs.a.outputs.b }}", known));
    }

    #[test]
    fn text_that_was_told_is_never_read_again() {
        let contexts = BTreeMap::from([("github".to_owned(), serde_json::json!({ "run_id": 7 }))]);
        for told in ["a ${{ github.token }} b", "${{ '", "${{", "$ {{ }}", "${{ github.run_id }}${{ x }}"] {
            let wanted = told.replace("${{ github.run_id }}", "7");
            assert_eq!(text(&quoted(told).0, &contexts).unwrap(), wanted, "{told}");
        }
    }
}
