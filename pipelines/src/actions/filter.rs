//! Filter patterns over branches, tags and paths, as GitHub documents them.
//!
//! `*` is any text without `/`, `**` any text at all, `[a-z]` one sign of a set; `?` and `+` repeat the sign or set
//! before them (none or one, one or more); `\` makes the next sign ordinary; `!` at the beginning takes away. Matching
//! follows all possibilities side by side, so it takes time in proportion to pattern and text, whatever they are. Many
//! patterns over many paths still add up, so a list counts its steps and gives up where they are too many.

use std::cell::Cell;

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 1024;
/// The most steps that a list may take over all that it is asked: a part of a pattern at a sign of a text.
const MAX_STEPS: usize = 1 << 27;

/// A list of patterns, read in order.
#[derive(Debug, Clone)]
pub(crate) struct FilterList {
    list: Vec<Filter>,
    /// The steps that it may still take; none when it has given up.
    left: Cell<usize>,
}

#[derive(Debug, Clone)]
struct Filter {
    takes_away: bool,
    parts: Vec<Part>,
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    One(Signs),
    /// `x?`
    Maybe(Signs),
    /// `x+`
    Many(Signs),
    /// `*`
    InSegment,
    /// `**`
    Anything,
    /// `**/`: any number of whole segments, none too.
    Segments,
}

/// What one sign of the text may be: a sign, or ranges of them.
#[derive(Debug, Clone, PartialEq)]
enum Signs {
    This(char),
    Among(Vec<(char, char)>),
}

impl Signs {
    fn has(&self, c: char) -> bool {
        match self {
            Self::This(sign) => *sign == c,
            Self::Among(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)),
        }
    }
}

impl FilterList {
    /// Reads a list. Patterns that cannot be read are left out; [`check`] reports them.
    pub(crate) fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        let list = patterns.into_iter().filter_map(|pattern| read(pattern).ok()).collect();
        Self { list, left: Cell::new(MAX_STEPS) }
    }

    /// Whether it took too many steps, so that what it said counts for nothing.
    pub(crate) fn gave_up(&self) -> bool {
        self.left.get() == 0
    }

    fn matches(&self, filter: &Filter, text: &str) -> bool {
        !self.gave_up() && filter.matches(text, &self.left)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether the list asks for this: the last pattern that matches decides.
    pub(crate) fn wants(&self, text: &str) -> bool {
        self.list
            .iter()
            .rev()
            .find(|filter| self.matches(filter, text))
            .is_some_and(|filter| !filter.takes_away)
    }

    /// Whether a list of what is to be ignored has this. Here `!` means everything but what follows.
    pub(crate) fn ignores(&self, text: &str) -> bool {
        self.list.iter().any(|filter| self.matches(filter, text) != filter.takes_away)
    }
}

/// Why a pattern cannot be read.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    read(pattern).map(drop)
}

impl Filter {
    fn matches(&self, text: &str, left: &Cell<usize>) -> bool {
        // `at[n]`: all parts before the n-th have been used up by the text so far. A second row is for `**/`, inside
        // of which a segment has begun that is not over.
        let length = self.parts.len();
        let mut at = vec![false; length + 1];
        let mut inside = vec![false; length + 1];
        mark(&mut at, 0);
        self.skip(&mut at);
        for c in text.chars() {
            left.set(left.get().saturating_sub(length));
            if left.get() == 0 {
                return false;
            }
            let mut next = vec![false; length + 1];
            let mut next_inside = vec![false; length + 1];
            let mut any = false;
            for (index, part) in self.parts.iter().enumerate() {
                let here = at.get(index) == Some(&true);
                if !here && inside.get(index) != Some(&true) {
                    continue;
                }
                any = true;
                match part {
                    Part::One(signs) | Part::Maybe(signs) if here && signs.has(c) => {
                        mark(&mut next, index + 1)
                    }
                    // After the first it may be enough, or not.
                    Part::Many(signs) if signs.has(c) => {
                        mark(&mut next, index + 1);
                        mark(&mut next_inside, index);
                    }
                    Part::InSegment if here && c != '/' => mark(&mut next, index),
                    Part::Anything if here => mark(&mut next, index),
                    Part::Segments => {
                        mark(&mut next_inside, index);
                        if c == '/' && inside.get(index) == Some(&true) {
                            mark(&mut next, index + 1);
                        }
                    }
                    _ => {}
                }
            }
            if !any {
                return false;
            }
            self.skip(&mut next);
            (at, inside) = (next, next_inside);
        }
        at.last() == Some(&true)
    }

    /// Goes on past parts that may be nothing.
    fn skip(&self, at: &mut [bool]) {
        for (index, part) in self.parts.iter().enumerate() {
            let optional = matches!(part, Part::Maybe(_) | Part::InSegment | Part::Anything | Part::Segments);
            if optional && at.get(index) == Some(&true) {
                mark(at, index + 1);
            }
        }
    }
}

fn mark(list: &mut [bool], at: usize) {
    if let Some(place) = list.get_mut(at) {
        *place = true;
    }
}

fn read(pattern: &str) -> Result<Filter, String> {
    if pattern.len() > MAX_LENGTH {
        return Err(format!("a pattern may have {MAX_LENGTH} bytes, this one has {}", pattern.len()));
    }
    let (takes_away, body) = match pattern.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    if body.is_empty() {
        return Err("the pattern is empty".to_owned());
    }
    Ok(Filter { takes_away, parts: parts(body)? })
}

fn parts(body: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut chars = body.chars().peekable();
    let mut at_segment = true;
    while let Some(c) = chars.next() {
        let mut segment = false;
        match c {
            '*' => {
                let mut stars = 1;
                while chars.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                if stars == 1 {
                    parts.push(Part::InSegment);
                } else if at_segment && chars.next_if_eq(&'/').is_some() {
                    parts.push(Part::Segments);
                    segment = true;
                } else {
                    parts.push(Part::Anything);
                }
            }
            '?' | '+' => match parts.pop() {
                Some(Part::One(signs)) => {
                    parts.push(if c == '?' { Part::Maybe(signs) } else { Part::Many(signs) });
                }
                _ => return Err(format!("`{c}` repeats the sign before it, and there is none to repeat")),
            },
            '[' => parts.push(Part::One(set(&mut chars)?)),
            '\\' => {
                let next = chars.next().ok_or("`\\` has nothing behind it")?;
                parts.push(Part::One(Signs::This(next)));
            }
            c => {
                parts.push(Part::One(Signs::This(c)));
                segment = c == '/';
            }
        }
        at_segment = segment;
    }
    Ok(parts)
}

/// What stands between `[` and `]`: signs, and ranges of letters or digits.
fn set(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Signs, String> {
    const OPEN: &str = "`[` is not closed by `]`";
    let mut ranges = Vec::new();
    loop {
        let first = match chars.next().ok_or(OPEN)? {
            ']' if !ranges.is_empty() => return Ok(Signs::Among(ranges)),
            ']' => return Err("`[]` holds no sign".to_owned()),
            '\\' => chars.next().ok_or(OPEN)?,
            first => first,
        };
        let mut ahead = chars.clone();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|last| last != ']');
        if !is_range {
            ranges.push((first, first));
            continue;
        }
        chars.next();
        let last = chars.next().ok_or(OPEN)?;
        if last < first {
            return Err(format!("`{first}-{last}` runs backwards"));
        }
        ranges.push((first, last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(patterns: &[&str], text: &str) -> bool {
        FilterList::new(patterns.iter().copied()).wants(text)
    }

    #[test]
    fn stars() {
        assert!(wants(&["rel/*"], "rel/1") && !wants(&["rel/*"], "rel/1/x") && wants(&["rel/**"], "rel/1/x"));
        assert!(
            wants(&["**/x.md"], "x.md") && wants(&["**/x.md"], "a/b/x.md") && !wants(&["**/x.md"], "ax.md")
        );
        assert!(
            !wants(&["**/x.md"], "/x.md") && wants(&["a/**/**/b"], "a/b") && wants(&["a/**/b"], "a/x/y/b")
        );
        assert!(wants(&["**.js"], "a/b.js") && wants(&["a**b"], "a/x/b"));
        assert!(!wants(&["a.b"], "axb"));
    }

    #[test]
    fn repetition_sets_and_escapes() {
        assert!(wants(&["v[12].[0-9]+"], "v1.10") && !wants(&["v[12].[0-9]+"], "v3.1"));
        assert!(wants(&["*.jsx?"], "a.js") && wants(&["*.jsx?"], "a.jsx") && !wants(&["*.jsx?"], "a.jsxx"));
        assert!(
            wants(&["a+b"], "aab")
                && !wants(&["a+b"], "b")
                && !wants(&["a+b"], "axb")
                && wants(&["ab?c"], "ac")
        );
        assert!(wants(&["\\*"], "*") && !wants(&["\\*"], "a"));
        assert!(wants(&["[a\\]]"], "]") && wants(&["[-a]"], "-"));
    }

    #[test]
    fn the_last_match_decides_and_ignoring_is_its_own_thing() {
        let list = ["rel/**", "!rel/old/**", "rel/old/keep"];
        assert!(wants(&list, "rel/1") && !wants(&list, "rel/old/1") && wants(&list, "rel/old/keep"));
        assert!(!wants(&["!wip"], "main"));
        let ignored = FilterList::new(["docs/**"]);
        assert!(ignored.ignores("docs/a") && !ignored.ignores("src/a"));
    }

    /// However long patterns and texts are, no more than the steps that are allowed are taken, and few when few do.
    #[test]
    fn steps_are_counted_and_bounded() {
        let taken = |list: &FilterList| MAX_STEPS - list.left.get();
        let list = FilterList::new(["src/**", "!src/x/*.md"]);
        assert!(list.wants("src/a/b.rs") && taken(&list) < 300, "{}", taken(&list));
        // As many signs as parts, and each part alive to the end: the product, and not more.
        let stars = "*a".repeat(200);
        let list = FilterList::new([stars.as_str()]);
        assert!(!list.wants(&"a".repeat(150)));
        assert_eq!(taken(&list), 400 * 150);
        list.left.set(400 * 200);
        assert!(!list.wants(&"a".repeat(150)) && !list.gave_up());
        assert!(!list.wants(&"a".repeat(150)) && list.gave_up(), "no more than what was left");
        assert!(!list.wants("a") && !list.ignores("a"));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for bad in ["", "!", "a[", "[]", "[z-a]", "+a", "*?", "a\\"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"[a-z]+".repeat(150)).is_ok());
        assert!(check(&"a".repeat(2000)).is_err());
    }
}
