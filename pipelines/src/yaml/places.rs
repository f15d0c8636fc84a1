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
