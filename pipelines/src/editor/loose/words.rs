//! What a line is made of: its key, its comment, its quotes.

/// The key at the beginning of a line, and where its colon is.
pub(super) fn key(rest: &str) -> Option<(String, usize)> {
    let bytes = rest.as_bytes();
    let colon = match bytes.first()? {
        quote @ (b'"' | b'\'') => {
            let close = closing(rest, 1, *quote)?;
            let gap = rest.get(close + 1..)?;
            close + 1 + gap.len() - gap.trim_start_matches(' ').len()
        }
        b'{' | b'[' | b'|' | b'>' | b'#' | b'%' | b'@' | b'`' => return None,
        _ => {
            let mut from = 0;
            loop {
                let at = from + rest.get(from..)?.find(':')?;
                if matches!(bytes.get(at + 1), None | Some(b' ' | b'\r' | b'\t')) {
                    break at;
                }
                from = at + 1;
            }
        }
    };
    if bytes.get(colon) != Some(&b':') || !matches!(bytes.get(colon + 1), None | Some(b' ' | b'\r' | b'\t')) {
        return None;
    }
    let text = rest.get(..colon)?.trim_end();
    if comment(text).is_some() || text.is_empty() {
        return None;
    }
    Some((unquoted(text).to_owned(), colon))
}

/// Where a comment begins in a line's value.
pub(super) fn comment(text: &str) -> Option<usize> {
    if text.starts_with('#') {
        return Some(0);
    }
    text.find(" #")
}

/// Where quotes close that were opened before `from`.
pub(super) fn closing(text: &str, from: usize, quote: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            byte if *byte == quote => {
                // Twice is the quote itself.
                if quote == b'\'' && bytes.get(at + 1) == Some(&quote) {
                    at += 1;
                } else {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// A word without the quotes around it.
pub(crate) fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote) {
            return inside.strip_suffix(quote).unwrap_or(inside);
        }
    }
    text
}
