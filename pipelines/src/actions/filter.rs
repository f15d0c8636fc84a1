//! Filter patterns over branches, tags and paths, as GitHub documents them.
//!
//! `*` is any text without `/`, `**` any text at all, `[a-z]` one sign of a set; `?` and `+` repeat the sign or set
//! before them (none or one, one or more); `\` makes the next sign ordinary; `!` at the beginning takes away. Each
//! pattern becomes one regular expression without look-around, so matching takes linear time.

use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 1024;

/// A list of patterns, read in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct FilterList {
    list: Vec<Filter>,
}

#[derive(Debug, Clone)]
struct Filter {
    takes_away: bool,
    regex: Regex,
}

impl FilterList {
    /// Reads a list. Patterns that cannot be read are left out; [`check`] reports them.
    pub(crate) fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        Self { list: patterns.into_iter().filter_map(|pattern| read(pattern).ok()).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether the list asks for this: the last pattern that matches decides.
    pub(crate) fn wants(&self, text: &str) -> bool {
        self.list
            .iter()
            .rev()
            .find(|filter| filter.regex.is_match(text))
            .is_some_and(|filter| !filter.takes_away)
    }

    /// Whether a list of what is to be ignored has this. Here `!` means everything but what follows.
    pub(crate) fn ignores(&self, text: &str) -> bool {
        self.list.iter().any(|filter| filter.regex.is_match(text) != filter.takes_away)
    }
}

/// Why a pattern cannot be read.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    read(pattern).map(drop)
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
    let regex = RegexBuilder::new(&translate(body)?)
        .dot_matches_new_line(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|_| "it is too large".to_owned())?;
    Ok(Filter { takes_away, regex })
}

fn translate(body: &str) -> Result<String, String> {
    let mut out = String::from("^");
    let mut chars = body.chars().peekable();
    let mut at_segment = true;
    // Whether what stands before can be repeated.
    let mut single = false;
    while let Some(c) = chars.next() {
        let mut segment = false;
        match c {
            '*' => {
                let mut stars = 1;
                while chars.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                if stars == 1 {
                    out.push_str("[^/]*");
                } else if at_segment && chars.next_if_eq(&'/').is_some() {
                    // `**/` is also nothing at all.
                    out.push_str("(?:.+/)?");
                    segment = true;
                } else {
                    out.push_str(".*");
                }
                single = false;
            }
            '?' | '+' => {
                if !single {
                    return Err(format!("`{c}` repeats the sign before it, and there is none to repeat"));
                }
                out.push(c);
                single = false;
            }
            '[' => {
                out.push_str(&set(&mut chars)?);
                single = true;
            }
            '\\' => {
                let next = chars.next().ok_or("`\\` has nothing behind it")?;
                out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
                single = true;
            }
            c => {
                out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
                segment = c == '/';
                single = true;
            }
        }
        at_segment = segment;
    }
    out.push('$');
    Ok(out)
}

/// What stands between `[` and `]`: signs, and ranges of letters or digits.
fn set(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut out = String::from("[");
    let mut any = false;
    loop {
        let c = chars.next().ok_or("`[` is not closed by `]`")?;
        match c {
            ']' if any => break,
            ']' => return Err("`[]` holds no sign".to_owned()),
            '\\' => {
                let next = chars.next().ok_or("`[` is not closed by `]`")?;
                push(&mut out, next);
            }
            first => {
                let is_range = chars.peek() == Some(&'-') && {
                    let mut ahead = chars.clone();
                    ahead.next();
                    ahead.peek().is_some_and(|next| *next != ']')
                };
                push(&mut out, first);
                if is_range {
                    chars.next();
                    let last = chars.next().ok_or("`[` is not closed by `]`")?;
                    if last < first {
                        return Err(format!("`{first}-{last}` runs backwards"));
                    }
                    out.push('-');
                    push(&mut out, last);
                }
            }
        }
        any = true;
    }
    out.push(']');
    Ok(out)
}

fn push(out: &mut String, c: char) {
    if matches!(c, '[' | ']' | '\\' | '^' | '-' | '&' | '~') {
        out.push('\\');
    }
    out.push(c);
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
        assert!(wants(&["**.js"], "a/b.js") && wants(&["a**b"], "a/x/b"));
        assert!(!wants(&["a.b"], "axb"));
    }

    #[test]
    fn repetition_sets_and_escapes() {
        assert!(wants(&["v[12].[0-9]+"], "v1.10") && !wants(&["v[12].[0-9]+"], "v3.1"));
        assert!(wants(&["*.jsx?"], "a.js") && wants(&["*.jsx?"], "a.jsx") && !wants(&["*.jsx?"], "a.jsxx"));
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

    #[test]
    fn what_is_no_pattern_says_why() {
        for bad in ["", "!", "a[", "[]", "[z-a]", "+a", "*?", "a\\"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"[a-z]+".repeat(150)).is_ok());
        assert!(check(&"a".repeat(2000)).is_err());
    }
}
