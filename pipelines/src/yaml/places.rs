//! Where values stand. The parser tells where the text of a block begins, and people look for it at its `|`.

use granit_parser::{Event, ScalarStyle, Span};

use crate::diagnostic::Place;

/// Where what the parser told of stands.
pub(super) fn of(text: &str, event: &Event<'_>, span: &Span) -> Place {
    let mut place = span.byte_range().map_or_else(Place::default, |range| Place::new(range.start, range.end));
    // Nothing stands behind the colon, not on it.
    if place.start == place.end && text.as_bytes().get(place.start) == Some(&b':') {
        place = Place::new(place.start + 1, place.end + 1);
    }
    if let Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) = event {
        place.start = header(text, place.start);
    }
    place
}

/// Whether this is a block of text at the end of a file that ends in the middle of a line: there is no line break then
/// that would be part of the text, although the parser adds one.
pub(super) fn ends_open(source: &str, place: Place, style: ScalarStyle, text: &str) -> bool {
    let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
    let at_end = source.get(place.end..).is_some_and(|rest| rest.trim().is_empty());
    let last = source.lines().next_back().unwrap_or_default().trim();
    block
        && at_end
        && text.ends_with('\n')
        && !source.ends_with(['\n', '\r'])
        && text.trim_end().ends_with(last)
}

/// Where a block of text begins: at its `|` or `>`, on the last line above its content that is not blank.
fn header(text: &str, content: usize) -> usize {
    let above = text.get(..content).unwrap_or_default();
    // The content's own indentation is no line of its own.
    let lines = above.get(..above.rfind('\n').unwrap_or_default()).unwrap_or_default().trim_end();
    let start = lines.rfind('\n').map_or(0, |end| end + 1);
    let line = lines.get(start..).unwrap_or_default();
    let mut at = 0;
    while let Some(found) = line.get(at..).and_then(|rest| rest.find(['|', '>'])) {
        let here = at + found;
        let rest = line.get(here + 1..).unwrap_or_default();
        let rest = rest.trim_start_matches(['+', '-', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        let opens = line.get(..here).is_none_or(|before| before.is_empty() || before.ends_with([' ', '\t']));
        if opens && (rest.is_empty() || rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#')) {
            return start + here;
        }
        at = here + 1;
    }
    content
}
