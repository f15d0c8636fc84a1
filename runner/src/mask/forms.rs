//! The forms in which a secret may show up in a log.

use std::collections::BTreeSet;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};

/// Shorter values are not hidden: they would hide half of every log.
const SHORTEST: usize = 4;
/// Lines and encodings of a value shorter than this are left alone.
const SHORTEST_PART: usize = 6;

/// Every form of a value; none when it is too short to hide.
pub(super) fn of(value: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    let trimmed = value.trim();
    if trimmed.len() < SHORTEST {
        return forms;
    }
    for whole in [value, trimmed] {
        encodings(whole, &mut forms);
    }
    if trimmed.contains('\n') {
        let lines = trimmed.lines().map(str::trim);
        for line in lines.filter(|line| line.len() >= SHORTEST_PART && !is_boilerplate(line)) {
            encodings(line, &mut forms);
        }
        forms.insert(trimmed.replace('\n', "\r\n").into_bytes());
        forms.insert(trimmed.split_whitespace().collect::<Vec<_>>().join(" ").into_bytes());
    }
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(trimmed) {
        leaves(&json, &mut forms);
    }
    forms
}

/// A line that says nothing by itself, such as `-----BEGIN PRIVATE KEY-----` or `"auths": {`.
fn is_boilerplate(line: &str) -> bool {
    line.starts_with("-----") || line.bytes().filter(u8::is_ascii_alphanumeric).count() < SHORTEST
}

/// The strings in a JSON value.
fn leaves(json: &serde_json::Value, forms: &mut BTreeSet<Vec<u8>>) {
    match json {
        serde_json::Value::String(text) if text.len() >= SHORTEST_PART => encodings(text, forms),
        serde_json::Value::Array(items) => items.iter().for_each(|item| leaves(item, forms)),
        serde_json::Value::Object(entries) => entries.values().for_each(|item| leaves(item, forms)),
        _ => {}
    }
}

/// A text and its usual encodings.
fn encodings(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    forms.insert(text.as_bytes().to_vec());
    if text.len() < SHORTEST_PART {
        return;
    }
    let json = serde_json::Value::from(text).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let escaped: String = text.escape_debug().collect();
    let shell = text.replace('\'', "'\\''");
    let url: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let percent = url.replace('+', "%20");
    let xml = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    for form in [json, escaped, shell, url, percent, xml] {
        forms.insert(form.into_bytes());
    }
    forms.insert(hex::encode(text).into_bytes());
    forms.insert(hex::encode_upper(text).into_bytes());
    forms.insert(STANDARD.encode(text).into_bytes());
    forms.insert(URL_SAFE.encode(text).into_bytes());
    for shift in 0..3 {
        for form in [shifted(text, shift, &STANDARD), shifted(text, shift, &URL_SAFE)] {
            if form.len() >= SHORTEST_PART {
                forms.insert(form);
            }
        }
    }
}

/// The characters of a base64 text that depend on `text` alone, when `shift` bytes stand before it in its group of
/// three.
fn shifted(text: &str, shift: usize, engine: &impl Engine) -> Vec<u8> {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(text.as_bytes());
    let encoded = engine.encode(&bytes).into_bytes();
    // A character carries six bits: the ones that hold a bit of a neighbour are cut at both ends.
    let first = (shift * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    encoded[first.min(last)..last].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_recognised_at_every_position() {
        let secret = "correct horse";
        for before in ["", "a", "ab", "abc", "abcd"] {
            for after in ["", "x", "xy", "xyz"] {
                let text = STANDARD.encode(format!("{before}{secret}{after}"));
                let form = shifted(secret, before.len() % 3, &STANDARD);
                assert!(text.contains(&String::from_utf8(form).unwrap()), "{before:?} {after:?}");
            }
        }
    }

    #[test]
    fn boilerplate_lines_of_a_key_file_are_left_alone() {
        let forms = of("-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----");
        assert!(forms.contains(b"MIIEvQIBADANBg".as_slice()));
        assert!(!forms.contains(b"-----BEGIN KEY-----".as_slice()));
    }
}
