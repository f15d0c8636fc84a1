//! Versions that an input asks for: `20`, `20.x`, `3.12`, `>=1.21 <1.23`, `^18.2`, `~1.22.0`, `lts/*`, `stable`; and
//! the best one of those that there are. Pure.

/// A version as numbers; what follows them (`-rc.1`, `+7`) is left out of account, but tells that it is not a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u64; 3]);

impl Version {
    /// Reads the first version in a line such as `go version go1.22.1 linux/amd64` or `v20.11.0`.
    pub(super) fn find(text: &str) -> Option<Self> {
        text.split(|c: char| c.is_whitespace() || c == '"').find_map(|word| {
            let word = word.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let mut numbers = [0; 3];
            let mut count = 0;
            for (place, part) in numbers.iter_mut().zip(word.splitn(3, '.')) {
                let digits: &str = part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                *place = digits.parse().ok()?;
                count += 1;
            }
            (count > 0).then_some(Self(numbers))
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// What is asked for: any of these, of each all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted(Vec<Vec<(Version, Option<Version>)>>);

impl Wanted {
    /// Reads a version spec.
    pub(super) fn new(spec: &str) -> Result<Self, String> {
        let alternatives = spec.split("||").map(|one| Self::all_of(one.trim()).ok_or(one));
        alternatives.collect::<Result<Vec<_>, _>>().map(Self).map_err(|one| {
            format!("`{}` is no version: `20`, `20.x`, `>=18 <21`, `^20.1`, `~1.22` are", one.trim())
        })
    }

    fn all_of(spec: &str) -> Option<Vec<(Version, Option<Version>)>> {
        if let Some((from, to)) = spec.split_once(" - ") {
            let (from, to) = (span(from.trim())?, span(to.trim())?);
            return Some(vec![(from.0, to.1)]);
        }
        // `>= 1.2` is one thing.
        let mut words: Vec<String> = Vec::new();
        for word in spec.split([' ', ',']).filter(|word| !word.is_empty()) {
            match words.last_mut().filter(|last| last.chars().all(|c| "<>=^~".contains(c))) {
                Some(last) => last.push_str(word),
                None => words.push(word.to_owned()),
            }
        }
        let ranges: Option<Vec<_>> = words.iter().map(|word| one(word)).collect();
        ranges.filter(|ranges| !ranges.is_empty())
    }

    /// Whether it is asked for.
    pub(super) fn takes(&self, version: Version) -> bool {
        let within =
            |(from, to): &(Version, Option<Version>)| version >= *from && to.is_none_or(|to| version < to);
        self.0.iter().any(|all| all.iter().all(within))
    }
}

const ZERO: Version = Version([0; 3]);

fn one(word: &str) -> Option<(Version, Option<Version>)> {
    let is_any =
        ["*", "x", "X", "latest", "current", "node", "stable", "lts/*", "lts", "oldstable"].contains(&word);
    if is_any {
        return Some((ZERO, None));
    }
    let at = word.find(|c: char| !"<>=^~".contains(c))?;
    let (sign, rest) = word.split_at(at);
    let (from, to) = span(rest)?;
    let Version([major, minor, patch]) = from;
    Some(match sign {
        "" | "=" | "==" => (from, to),
        ">=" => (from, None),
        ">" => (to?, None),
        "<" => (ZERO, Some(from)),
        "<=" => (ZERO, to),
        "^" if major > 0 => (from, Some(Version([major.checked_add(1)?, 0, 0]))),
        "^" if minor > 0 => (from, Some(Version([0, minor.checked_add(1)?, 0]))),
        "^" => (from, Some(Version([0, 0, patch.checked_add(1)?]))),
        "~" if rest.contains('.') => (from, Some(Version([major, minor.checked_add(1)?, 0]))),
        "~" => (from, to),
        _ => return None,
    })
}

/// The versions that a partial one stands for: from the first to before the second.
fn span(text: &str) -> Option<(Version, Option<Version>)> {
    let text = text.trim_start_matches(['v', 'V']);
    let text = text.split(['-', '+']).next()?;
    let mut numbers = [0u64; 3];
    let mut given = 0;
    for part in text.split('.') {
        if matches!(part, "x" | "X" | "*") {
            break;
        }
        let place = numbers.get_mut(given);
        // `17.0.2.1` of Java: the fourth is left out of account.
        let number = part.parse().ok()?;
        if let Some(place) = place {
            *place = number;
            given += 1;
        }
    }
    let last = given.checked_sub(1)?;
    let mut next = numbers;
    if let Some(place) = next.get_mut(last) {
        *place = place.checked_add(1)?;
    }
    Some((Version(numbers), Some(Version(next))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_take_what_they_name() {
        for (spec, taken, refused) in [
            ("20", "20.11.1", "21.0.0"),
            ("20.x", "20.0.0", "19.9.9"),
            ("v20.11", "20.11.9", "20.12.0"),
            ("20.11.1", "20.11.1", "20.11.2"),
            (">=18 <21", "20.1.0", "21.0.0"),
            (">= 18", "99.0.0", "17.9.9"),
            (">3.10", "3.11.0", "3.10.5"),
            ("<=3.10", "3.10.9", "3.11.0"),
            ("^18.2.0", "18.9.0", "19.0.0"),
            ("^0.2.1", "0.2.9", "0.3.0"),
            ("~1.22.1", "1.22.9", "1.23.0"),
            ("18 || 20", "20.1.0", "19.0.0"),
            ("1.20 - 1.22", "1.22.5", "1.23.0"),
            ("17.0.2+8", "17.0.2", "17.0.3"),
        ] {
            let wanted = Wanted::new(spec).unwrap();
            assert!(wanted.takes(Version::find(taken).unwrap()), "{spec} {taken}");
            assert!(!wanted.takes(Version::find(refused).unwrap()), "{spec} {refused}");
        }
        assert!(Wanted::new("lts/*").unwrap().takes(Version::find("1").unwrap()));
        for bad in ["", "pypy3.9", ">", "a.b", "20 ||", "99999999999999999999"] {
            assert!(Wanted::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, version) in [
            ("v20.11.1", "20.11.1"),
            ("Python 3.12.2+", "3.12.2"),
            ("go version go1.22 linux/amd64", "1.22.0"),
            ("openjdk version \"17.0.10\" 2024-01-16", "17.0.10"),
            ("openjdk version \"1.8.0_392\"", "1.8.0"),
        ] {
            assert_eq!(Version::find(text).unwrap().to_string(), version, "{text}");
        }
        assert_eq!(Version::find("sh: node: not found"), None);
    }
}
