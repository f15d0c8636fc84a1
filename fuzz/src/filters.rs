//! Filter patterns: those of workflows against regular expressions made of them, those of the native language for what
//! they say of themselves.

use regex::Regex;
use tidegate_pipelines::{Compiled, Patterns, Setting, SourceFile, check_pattern, compile};

use crate::{events, quoted};

/// The most patterns and texts of one input.
const MOST: usize = 4;

/// Lines: patterns, an empty one, and texts.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let patterns: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).take(MOST).collect();
    let texts: Vec<&str> = lines.take(MOST).collect();
    native(&patterns, &texts);
    if !patterns.is_empty() && patterns.iter().all(|pattern| !pattern.contains("${{")) {
        workflow(&patterns, &texts);
    }
}

fn native(patterns: &[&str], texts: &[&str]) {
    let list = Patterns::new(patterns.iter().copied());
    let readable: Vec<&str> = patterns.iter().copied().filter(|one| check_pattern(one).is_ok()).collect();
    let same = Patterns::new(readable.iter().copied());
    for text in texts {
        assert_eq!(list.matches(text), same.matches(text), "what cannot be read is left out");
    }
}

fn workflow(patterns: &[&str], texts: &[&str]) {
    let simple: Option<Vec<(bool, Regex)>> = patterns.iter().map(|pattern| simple(pattern)).collect();
    for text in texts {
        let wanted = starts("branches", patterns, text);
        let ignored = starts("branches-ignore", patterns, text);
        let Some(list) = &simple else {
            assert_eq!((wanted, ignored), (None, None), "{patterns:?} cannot be read");
            continue;
        };
        let last = list.iter().rev().find(|(_, regex)| regex.is_match(text));
        assert_eq!(
            wanted,
            Some(last.is_some_and(|(takes_away, _)| !takes_away)),
            "{patterns:?} and {text:?}"
        );
        let any = list.iter().any(|(takes_away, regex)| regex.is_match(text) != *takes_away);
        assert_eq!(ignored, Some(!any), "{patterns:?} ignoring {text:?}");
    }
}

/// Whether a push to this branch starts a workflow with the filter; None: the file has mistakes.
fn starts(filter: &str, patterns: &[&str], branch: &str) -> Option<bool> {
    let patterns = patterns.iter().map(|pattern| quoted(pattern)).collect::<Vec<_>>().join(", ");
    let text = format!(
        "on: {{push: {{{filter}: [{patterns}]}}}}\njobs: {{a: {{runs-on: x, container: \"x:1\", steps: [{{run: x}}]}}}}\n"
    );
    let file = SourceFile { path: ".github/workflows/p.yml", text: &text };
    match compile(&file, &events::push(branch), Setting::default()).result {
        Some(Compiled::Plan(_)) => Some(true),
        Some(Compiled::NotTriggered { .. }) => Some(false),
        None => None,
    }
}

/// A pattern as a regular expression, and whether it takes away.
fn simple(pattern: &str) -> Option<(bool, Regex)> {
    let (takes_away, body) = pattern.strip_prefix('!').map_or((false, pattern), |rest| (true, rest));
    if body.is_empty() || pattern.len() > 1024 {
        return None;
    }
    let signs: Vec<char> = body.chars().collect();
    let one = |sign: char| format!("\\u{{{:X}}}", u32::from(sign));
    let mut out = String::new();
    // Whether `?` or `+` may follow.
    let mut single = false;
    // Whether a segment begins here.
    let mut segment = true;
    let mut at = 0;
    while at < signs.len() {
        let sign = signs[at];
        at += 1;
        let begins = std::mem::take(&mut segment);
        match sign {
            '*' => {
                let stars = 1 + signs[at..].iter().take_while(|sign| **sign == '*').count();
                at += stars - 1;
                single = false;
                match (stars, signs.get(at)) {
                    (1, _) => out.push_str("[^/]*"),
                    (_, Some('/')) if begins => {
                        at += 1;
                        out.push_str("(?:.+/)?");
                        segment = true;
                    }
                    _ => out.push_str(".*"),
                }
            }
            '?' | '+' if single => {
                out.push(sign);
                single = false;
            }
            '?' | '+' => return None,
            '[' => {
                let mut set = String::new();
                loop {
                    let mut first = *signs.get(at)?;
                    at += 1;
                    match first {
                        ']' if set.is_empty() => return None,
                        ']' => break,
                        '\\' => {
                            first = *signs.get(at)?;
                            at += 1;
                        }
                        _ => {}
                    }
                    set.push_str(&one(first));
                    if signs.get(at) == Some(&'-') && signs.get(at + 1).is_some_and(|last| *last != ']') {
                        let last = signs[at + 1];
                        if last < first {
                            return None;
                        }
                        at += 2;
                        set.push_str(&format!("-{}", one(last)));
                    }
                }
                out.push_str(&format!("[{set}]"));
                single = true;
            }
            '\\' => {
                out.push_str(&one(*signs.get(at)?));
                at += 1;
                single = true;
            }
            sign => {
                out.push_str(&one(sign));
                single = true;
                segment = sign == '/';
            }
        }
    }
    Some((takes_away, Regex::new(&format!("^(?s:{out})$")).ok()?))
}
