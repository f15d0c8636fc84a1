//! Line coverage: Cobertura's XML and LCOV's trace files.

use super::{
    Summary, cut,
    xml::{Attributes, Visitor, walk},
};

/// Puts the numbers together; nothing covers more lines than there are.
fn summary(lines: u64, covered: u64) -> Summary {
    let covered = covered.min(lines);
    let percent = if lines == 0 { 0.0 } else { covered as f64 * 100.0 / lines as f64 };
    Summary::Coverage { lines, covered, percent }
}

/// Reads Cobertura's XML. Its root sums up; where it does not, the lines of classes are counted.
pub(super) fn cobertura(bytes: &[u8]) -> Result<Summary, String> {
    let mut found = Cobertura::default();
    walk(bytes, &mut found)?;
    match found.stated {
        Some((lines, covered)) => Ok(summary(lines, covered)),
        None => Ok(summary(found.lines, found.covered)),
    }
}

#[derive(Default)]
struct Cobertura {
    stated: Option<(u64, u64)>,
    lines: u64,
    covered: u64,
    /// Lines of methods come again among those of their class.
    methods: u32,
    rooted: bool,
}

impl Visitor for Cobertura {
    fn start(&mut self, name: &str, attributes: &Attributes<'_, '_>) -> Result<(), String> {
        if !self.rooted {
            self.rooted = true;
            if name != "coverage" {
                return Err(format!(
                    "its root is <{}>, and that of a Cobertura report is <coverage>",
                    cut(name, 60)
                ));
            }
            self.stated = attributes.number("lines-valid").zip(attributes.number("lines-covered"));
        }
        match name {
            "method" => self.methods += 1,
            "line" if self.methods == 0 => {
                self.lines += 1;
                self.covered += u64::from(attributes.number("hits").is_some_and(|hits| hits > 0));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) {
        if name == "method" {
            self.methods = self.methods.saturating_sub(1);
        }
    }
}

/// Reads an LCOV trace file. A record's own sums count; where it has none, its lines do.
pub(super) fn lcov(bytes: &[u8]) -> Result<Summary, String> {
    let text = String::from_utf8_lossy(bytes);
    let (mut lines, mut covered) = (0u64, 0u64);
    let mut record = Record::default();
    let mut records = 0u64;
    for line in text.lines() {
        let line = line.trim();
        if let Some(data) = line.strip_prefix("DA:") {
            let hits = data.split(',').nth(1).map_or(0, |hits| hits.trim().parse().unwrap_or(0i64));
            record.lines += 1;
            record.covered += u64::from(hits > 0);
        } else if let Some(found) = line.strip_prefix("LF:") {
            record.found = found.trim().parse().ok();
        } else if let Some(hit) = line.strip_prefix("LH:") {
            record.hit = hit.trim().parse().ok();
        } else if line == "end_of_record" {
            records += 1;
            let (found, hit) = std::mem::take(&mut record).sums();
            lines = lines.saturating_add(found);
            covered = covered.saturating_add(hit);
        }
    }
    if records == 0 {
        return Err("it holds no record of LCOV (`SF:…` to `end_of_record`)".to_owned());
    }
    Ok(summary(lines, covered))
}

#[derive(Default)]
struct Record {
    lines: u64,
    covered: u64,
    found: Option<u64>,
    hit: Option<u64>,
}

impl Record {
    fn sums(self) -> (u64, u64) {
        match (self.found, self.hit) {
            (Some(found), Some(hit)) => (found, hit.min(found)),
            _ => (self.lines, self.covered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_coverage_py_writes() {
        let text = r#"<?xml version="1.0" ?><!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
            <coverage version="7.6" lines-valid="200" lines-covered="150" line-rate="0.75"><packages/></coverage>"#;
        assert_eq!(cobertura(text.as_bytes()).unwrap(), summary(200, 150));
    }

    #[test]
    fn lines_are_counted_once_where_the_root_does_not_sum_up() {
        let text = r#"<coverage line-rate="0.5"><class><methods><method><lines><line number="1" hits="1"/></lines></method></methods>
            <lines><line number="1" hits="1"/><line number="2" hits="0"/></lines></class></coverage>"#;
        assert_eq!(cobertura(text.as_bytes()).unwrap(), summary(2, 1));
        assert!(cobertura(b"<testsuites/>").unwrap_err().contains("<coverage>"));
    }

    #[test]
    fn lcov_sums_its_records() {
        let text = "TN:\nSF:a.rs\nDA:1,5\nDA:2,0\nDA:3,1,checksum\nend_of_record\nSF:b.rs\nLF:10\nLH:99\nend_of_record\n";
        assert_eq!(lcov(text.as_bytes()).unwrap(), summary(13, 12));
        assert!(lcov(b"hello").is_err());
        let most = format!("LF:{0}\nLH:{0}\nend_of_record\n", u64::MAX).repeat(2);
        assert_eq!(lcov(most.as_bytes()).unwrap(), summary(u64::MAX, u64::MAX));
    }

    #[test]
    fn nothing_covers_more_than_there_is() {
        let text = r#"<coverage lines-valid="0" lines-covered="5"/>"#;
        assert_eq!(
            cobertura(text.as_bytes()).unwrap(),
            Summary::Coverage { lines: 0, covered: 0, percent: 0.0 }
        );
    }
}
