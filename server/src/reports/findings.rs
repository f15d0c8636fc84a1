//! Findings that are told again in a later report, wherever their lines have moved to.
//!
//! A finding is known by its rule and the fingerprints that its scanner gives it; without those by its rule, its file and
//! its message, in which numbers count for nothing. A fingerprint may come several times: two of them are new where
//! there was one.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use tidegate_pipelines::plan::RiskLevel;

/// Findings of a report that can be compared.
pub const MOST: usize = 50_000;
/// Bytes of a stored finding.
const RECORD: usize = 17;

/// A finding as it is kept to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its fingerprint.
    pub id: [u8; 16],
    /// How bad it is.
    pub risk: RiskLevel,
}

/// The fingerprint of a finding.
pub(super) fn id<'f>(
    rule: &str,
    scanners: impl IntoIterator<Item = (&'f str, &'f str)>,
    file: Option<&str>,
    message: &str,
) -> [u8; 16] {
    let mut hash = Sha256::new();
    // Each part with its length before it, so that no two lists of parts are the same bytes.
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part(rule);
    let mut scanners = scanners.into_iter().peekable();
    if scanners.peek().is_some() {
        for (name, value) in scanners {
            part(name);
            part(value);
        }
    } else {
        part("");
        part(file.unwrap_or_default().trim_start_matches("./"));
        part(&without_numbers(message));
    }
    let digest = hash.finalize();
    let mut id = [0; 16];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    id
}

fn without_numbers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.trim().chars() {
        let c = if c.is_ascii_digit() { '0' } else { c };
        if c != '0' || !plain.ends_with('0') {
            plain.push(c);
        }
    }
    plain
}

/// Findings as they are stored.
pub fn encode(findings: &[Known]) -> Vec<u8> {
    findings.iter().flat_map(|finding| finding.id.into_iter().chain([finding.risk as u8])).collect()
}

/// Findings as they were stored.
pub fn decode(bytes: &[u8]) -> Vec<Known> {
    let records = bytes.chunks_exact(RECORD).filter_map(|record| {
        let (id, risk) = record.split_first_chunk::<16>()?;
        let risk = match risk.first()? {
            0 => RiskLevel::Low,
            1 => RiskLevel::Medium,
            2 => RiskLevel::High,
            _ => RiskLevel::Critical,
        };
        Some(Known { id: *id, risk })
    });
    records.collect()
}

/// What was found before; each finding of it makes one later finding an old one.
#[derive(Default)]
pub(super) struct Before(HashMap<[u8; 16], u64>);

impl Before {
    /// Adds the findings of a report.
    pub(super) fn add(&mut self, findings: &[Known]) {
        for finding in findings {
            *self.0.entry(finding.id).or_default() += 1;
        }
    }

    /// Whether a finding is new. To be asked once for each.
    pub(super) fn is_new(&mut self, finding: &Known) -> bool {
        match self.0.get_mut(&finding.id) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_known_again_wherever_its_line_is() {
        let plain = |message: &str| id("R1", [], Some("./src/a.py"), message);
        assert_eq!(plain("unused variable at line 10"), plain(" unused variable at line 9 "));
        assert_ne!(plain("unused variable x"), plain("unused variable y"));
        assert_ne!(plain("m"), id("R2", [], Some("src/a.py"), "m"));
        assert_ne!(plain("m"), id("R1", [], Some("src/b.py"), "m"));
        // What the scanner says goes before all of that.
        let said = |value: &str, file: &str| id("R1", [("hash", value)], Some(file), "m");
        assert_eq!(said("1", "a"), said("1", "b"));
        assert_ne!(said("1", "a"), said("2", "a"));
        // Parts cannot run into each other.
        assert_ne!(id("ab", [], Some("c"), "m"), id("a", [], Some("bc"), "m"));
    }

    #[test]
    fn what_is_stored_comes_back() {
        use RiskLevel::{Critical, High, Low, Medium};
        let all = [Low, Medium, High, Critical].map(|risk| Known { id: [risk as u8; 16], risk });
        assert_eq!(decode(&encode(&all)), all);
        assert_eq!(encode(&all).len(), 4 * RECORD);
        assert_eq!(decode(&[1, 2, 3]), []);
    }

    #[test]
    fn the_second_of_two_is_new_where_there_was_one() {
        let finding = Known { id: [7; 16], risk: RiskLevel::Low };
        let mut before = Before::default();
        before.add(&[finding]);
        assert_eq!([before.is_new(&finding), before.is_new(&finding)], [false, true]);
    }
}
