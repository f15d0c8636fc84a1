//! Versions as tags name them: semantic ones, and those of PEP 440. Pure, in time that is linear in the text.

use std::sync::LazyLock;

use regex::Regex;

/// A longer text is no version.
const LONGEST: usize = 256;

// The patterns are constants that the tests compile.
static SEMVER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^[v=]?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$").ok()
});
static PEP440: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)^v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)",
        r"(?:[-_.]?(alpha|beta|preview|pre|a|b|c|rc)[-_.]?([0-9]*))?",
        r"(?:-([0-9]+)|[-_.]?(post|rev|r)[-_.]?([0-9]*))?",
        r"(?:[-_.]?(dev)[-_.]?([0-9]*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$"
    ))
    .ok()
});

/// A semantic version.
pub struct Semver {
    numbers: [String; 3],
    before: Option<String>,
}

impl Semver {
    /// Reads one, with or without a `v`.
    pub fn read(text: &str) -> Option<Self> {
        let found = SEMVER.as_ref()?.captures(Some(text).filter(|text| text.len() <= LONGEST)?)?;
        let part = |group: usize| found.get(group).map(|part| part.as_str().to_owned());
        Some(Self { numbers: [part(1)?, part(2)?, part(3)?], before: part(4) })
    }

    /// Whether it is no version before a release.
    pub fn is_final(&self) -> bool {
        self.before.is_none()
    }

    /// What patterns may name.
    pub fn fields(&self, raw: &str) -> Vec<(&'static str, String)> {
        let [major, minor, patch] = self.numbers.clone();
        let before = self.before.as_ref().map(|before| format!("-{before}")).unwrap_or_default();
        let version = format!("{major}.{minor}.{patch}{before}");
        vec![
            ("raw", raw.to_owned()),
            ("version", version),
            ("major", major),
            ("minor", minor),
            ("patch", patch),
        ]
    }
}

/// A version by PEP 440.
pub struct Pep440 {
    numbers: Vec<String>,
    version: String,
    is_final: bool,
}

impl Pep440 {
    /// Reads one, however it is spelt.
    pub fn read(text: &str) -> Option<Self> {
        let found = PEP440.as_ref()?.captures(Some(text).filter(|text| text.len() <= LONGEST)?)?;
        let part = |group: usize| found.get(group).map(|part| part.as_str().to_lowercase());
        let number = |text: &str| match text.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => digits.to_owned(),
        };
        let numbers: Vec<String> = part(2)?.split('.').map(number).collect();
        let mut version = part(1)
            .map(|epoch| number(&epoch))
            .filter(|epoch| epoch != "0")
            .map(|epoch| format!("{epoch}!"))
            .unwrap_or_default();
        version.push_str(&numbers.join("."));
        if let Some(word) = part(3) {
            let word = match word.as_str() {
                "a" | "alpha" => "a",
                "b" | "beta" => "b",
                _ => "rc",
            };
            version.push_str(&format!("{word}{}", number(&part(4).unwrap_or_default())));
        }
        if let Some(post) = part(5).or_else(|| part(6).and_then(|_| part(7))) {
            version.push_str(&format!(".post{}", number(&post)));
        }
        if part(8).is_some() {
            version.push_str(&format!(".dev{}", number(&part(9).unwrap_or_default())));
        }
        if let Some(local) = part(10) {
            version.push_str(&format!("+{}", local.replace(['-', '_'], ".")));
        }
        let is_final = [3, 5, 6, 8].iter().all(|group| found.get(*group).is_none());
        Some(Self { numbers, version, is_final })
    }

    /// Whether it is a release itself: none before one, and none after one.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// What patterns may name.
    pub fn fields(&self, raw: &str) -> Vec<(&'static str, String)> {
        let number = |at: usize| self.numbers.get(at).cloned().unwrap_or_else(|| "0".to_owned());
        vec![
            ("raw", raw.to_owned()),
            ("version", self.version.clone()),
            ("major", number(0)),
            ("minor", number(1)),
            ("patch", number(2)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_spelt_in_one_way() {
        let pep = |text: &str| Pep440::read(text).map(|found| (found.version.clone(), found.is_final()));
        for (text, version, is_final) in [
            ("1.0", "1.0", true),
            ("v1.0.0-alpha.2", "1.0.0a2", false),
            ("1!2.03", "1!2.3", true),
            ("1.0-1", "1.0.post1", false),
            ("1.0rev3.DEV", "1.0.post3.dev0", false),
            ("1.0+Ab-1", "1.0+ab.1", true),
        ] {
            assert_eq!(pep(text), Some((version.to_owned(), is_final)), "{text}");
        }
        assert!(pep("x").is_none() && pep(&"1.".repeat(500)).is_none());
        let semver = |text: &str| Semver::read(text).map(|found| found.fields(text).swap_remove(1).1);
        assert_eq!(semver("v1.2.3-a.b+c"), Some("1.2.3-a.b".to_owned()));
        assert!(semver("1.2").is_none() && semver("01.2.3").is_none());
    }
}
