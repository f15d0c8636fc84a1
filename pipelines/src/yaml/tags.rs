//! Tags of values. The native language has none; workflow files have those of YAML's core schema. What a tag does not
//! allow is reported, and reading goes on.

use granit_parser::{Event, ScalarStyle, Span, Tag};

use super::{Core, Dialect, Scalar};
use crate::{
    codes,
    diagnostic::{Place, Problems},
};

/// What a tag makes of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TagRead {
    /// Nothing that the value does not say itself.
    AsWritten,
    /// Text, whatever it looks like.
    Text,
    /// Reported.
    Refused,
}

/// What a node's tag makes of it; tags that are not part of the language are reported.
pub(super) fn read(
    problems: &mut Problems<'_>,
    dialect: &Dialect,
    event: &Event<'_>,
    span: &Span,
) -> Option<TagRead> {
    let tag = event.tag()?;
    let range = span.tag_span().and_then(|span| span.byte_range());
    let place = range.map_or_else(Place::default, |range| Place::new(range.start, range.end));
    if dialect.core_tags
        && let Some(read) = core(problems, tag, event, span)
    {
        return Some(read);
    }
    let text = problems.text().get(place.start..place.end).unwrap_or("!").to_owned();
    let message = format!("`{text}` is read as a YAML tag, and tags are not part of the language");
    let help = "put the whole value in quotes if it is text or an expression that begins with `!`";
    problems.report(codes::TAG, place, message).help(help);
    Some(TagRead::Refused)
}

/// The tags of YAML's core schema. What does not fit its tag is reported where the value begins.
fn core(problems: &mut Problems<'_>, tag: &Tag, event: &Event<'_>, span: &Span) -> Option<TagRead> {
    let name = core_name(tag)?;
    let Event::Scalar(text, style, ..) = event else {
        return matches!(name, "map" | "seq").then_some(TagRead::AsWritten);
    };
    let scalar = Scalar { text: text.to_string(), plain: *style == ScalarStyle::Plain };
    let fits = match name {
        "str" => return Some(TagRead::Text),
        "bool" => matches!(scalar.core(), Core::Bool(_)),
        "int" => matches!(scalar.core(), Core::Number(_)) && !scalar.text.contains(['.', 'e', 'E']),
        "float" => matches!(scalar.core(), Core::Number(_)),
        "null" => matches!(scalar.core(), Core::Null),
        _ => return None,
    };
    if !fits {
        let range = span.byte_range().unwrap_or_default();
        let message = format!("`{text}` does not fit its tag `!!{name}`");
        problems.report(codes::TAG, Place::new(range.start, range.end), message);
        return Some(TagRead::Refused);
    }
    Some(TagRead::AsWritten)
}

/// The name of a tag of the core schema.
fn core_name(tag: &Tag) -> Option<&str> {
    let whole = (tag.handle(), tag.suffix());
    match whole {
        ("tag:yaml.org,2002:" | "!!", name) => Some(name),
        (_, suffix) => suffix.strip_prefix("tag:yaml.org,2002:"),
    }
}
