//! Goes through an XML document and tells what comes by. Only what reports need: no namespaces, no entities beside
//! the predefined ones, and no document that nests deeper than [`DEEPEST`].

use std::borrow::Cow;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesRef, BytesStart, Event},
};

/// Nested elements at most.
const DEEPEST: usize = 128;

/// An element's attributes.
pub(super) struct Attributes<'a, 'b>(&'a BytesStart<'b>);

impl Attributes<'_, '_> {
    /// The value of an attribute. One that is malformed is taken as it is written.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let found = self
            .0
            .attributes()
            .with_checks(false)
            .flatten()
            .find(|one| one.key.local_name().as_ref() == name)?;
        Some(match found.normalized_value(XmlVersion::Implicit1_0) {
            Ok(value) => value.into_owned(),
            Err(_) => found.value.into_owned(),
        })
    }

    /// The value of an attribute that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.trim().parse().ok()
    }
}

/// Hears what comes by.
pub(super) trait Visitor {
    /// An element begins. The first one is the root; an error refuses the document.
    fn start(&mut self, name: &str, attributes: &Attributes<'_, '_>) -> Result<(), String>;
    /// An element ends.
    fn end(&mut self, name: &str);
    /// Text; an element's may come in pieces.
    fn text(&mut self, _text: &str) {}
}

/// Goes through a document.
pub(super) fn walk(bytes: &[u8], visitor: &mut impl Visitor) -> Result<(), String> {
    // Bytes that are no UTF-8 become the replacement character: the counts are right all the same.
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(&text);
    let (mut depth, mut seen) = (0usize, false);
    loop {
        let at = reader.buffer_position();
        let event = reader
            .read_event()
            .map_err(|error| format!("it is no well-formed XML, at byte {at}: {error}"))?;
        match event {
            Event::Start(element) => {
                depth += 1;
                if depth > DEEPEST {
                    return Err(format!("its elements are nested more than {DEEPEST} deep"));
                }
                seen = true;
                visitor.start(element.local_name().as_ref(), &Attributes(&element))?;
            }
            Event::Empty(element) => {
                seen = true;
                visitor.start(element.local_name().as_ref(), &Attributes(&element))?;
                visitor.end(element.local_name().as_ref());
            }
            Event::End(element) => {
                depth = depth.saturating_sub(1);
                visitor.end(element.local_name().as_ref());
            }
            Event::Text(text) => visitor.text(&text.xml10_content()),
            Event::CData(text) => visitor.text(&text.xml10_content()),
            Event::GeneralRef(reference) => visitor.text(&resolve(&reference)),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    match (seen, depth) {
        (false, _) => Err("it holds no XML element".to_owned()),
        (true, 0) => Ok(()),
        (true, _) => Err("it ends in the middle".to_owned()),
    }
}

/// What a reference stands for; one that nobody defined stands for itself.
fn resolve<'a>(reference: &'a BytesRef<'_>) -> Cow<'a, str> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Cow::Owned(character.to_string());
    }
    Cow::Borrowed(match &**reference {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "apos" => "'",
        "quot" => "\"",
        other => return Cow::Owned(format!("&{other};")),
    })
}
