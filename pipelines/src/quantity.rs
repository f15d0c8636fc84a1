//! Durations and sizes as people write them.

/// Milliseconds of a duration such as `500ms`, `30s`, `10m`, `1h30m`, `30d`.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[..length])?;
        total = total.checked_add(number.checked_mul(*unit)?)?;
        rest = &rest[length..];
    }
    (!text.is_empty()).then_some(total)
}

/// Bytes of a size such as `512MiB`, `2GiB`, `500MB`.
pub(crate) fn size_bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("B", 1),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..digits].parse().ok()?;
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == text[digits..].trim_start())?;
    #[expect(clippy::cast_precision_loss, reason = "units are powers that a double holds exactly")]
    let bytes = number * *unit as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within 2^53")]
    (bytes.is_finite() && (0.0..9.0e15).contains(&bytes)).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("30d", Some(2_592_000_000)),
            ("0s", Some(0)),
            ("10", None),
            ("", None),
            ("m", None),
            ("10 m", None),
            ("1w", None),
            ("99999999999999999999s", None),
            ("9999999999999999999d", None),
        ] {
            assert_eq!(duration_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("512MiB", Some(512 << 20)),
            ("1.5GiB", Some(3 << 29)),
            ("500MB", Some(500_000_000)),
            ("1 KiB", Some(1024)),
            ("512", None),
            ("512M", None),
            ("MiB", None),
            ("-1MiB", None),
            ("1e9TiB", None),
        ] {
            assert_eq!(size_bytes(text), bytes, "{text}");
        }
    }
}
