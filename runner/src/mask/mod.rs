//! Hides secrets in a stream of bytes, however the stream is cut into chunks.
//!
//! Invariants: the output does not depend on where the input was cut; of a secret's forms (see [`forms`]) no whole
//! one ever leaves; overlapping forms are hidden as one. What could still become a form is held back until the next
//! bytes decide, so at most the longest form's length is outstanding.

mod forms;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// What stands in place of a secret.
pub const MASK: &[u8] = b"***";

/// The forms of some secrets, compiled; shared by the streams of an attempt.
#[derive(Clone)]
pub struct Needles {
    automaton: Option<AhoCorasick>,
    /// Sorted, for finding out whether a tail of the input begins one.
    sorted: std::sync::Arc<Vec<Vec<u8>>>,
    longest: usize,
    too_short: usize,
}

impl Needles {
    /// Compiles every form of every value. Values too short to hide are counted in [`Needles::too_short`].
    pub fn new(values: &[String]) -> Self {
        let mut sorted = std::collections::BTreeSet::new();
        let mut too_short = 0;
        for value in values {
            let forms = forms::of(value);
            too_short += usize::from(forms.is_empty() && !value.is_empty());
            sorted.extend(forms);
        }
        let sorted: Vec<Vec<u8>> = sorted.into_iter().collect();
        let automaton = if sorted.is_empty() {
            None
        } else {
            // Overlapping search needs the standard kind. A secret is some kilobytes at most, so building cannot fail
            // for size; if it ever did, nothing may be printed at all, hence the catch-all below.
            AhoCorasick::builder()
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .match_kind(MatchKind::Standard)
                .build(&sorted)
                .ok()
        };
        Self {
            longest: sorted.iter().map(Vec::len).max().unwrap_or(0),
            automaton,
            sorted: sorted.into(),
            too_short,
        }
    }

    /// How many values are too short to be hidden without hiding half the log.
    pub fn too_short(&self) -> usize {
        self.too_short
    }

    /// Masks a whole text.
    pub fn mask(&self, text: &str) -> String {
        let mut masker = Masker::new(self.clone());
        let mut out = Vec::with_capacity(text.len());
        masker.push(text.as_bytes(), &mut out);
        masker.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Where the tail of `text` that may be the beginning of a form starts.
    fn held_from(&self, text: &[u8]) -> usize {
        let first = text.len().saturating_sub(self.longest.saturating_sub(1));
        (first..text.len()).find(|&at| self.begins_a_form(&text[at..])).unwrap_or(text.len())
    }

    /// Whether `tail` is the beginning of a longer form.
    fn begins_a_form(&self, tail: &[u8]) -> bool {
        let next = self.sorted.partition_point(|form| form.as_slice() <= tail);
        self.sorted.get(next).is_some_and(|form| form.starts_with(tail))
    }
}

/// One stream on its way through.
pub struct Masker {
    needles: Needles,
    /// Not yet decided.
    held: Vec<u8>,
    /// How many of the held bytes belong to a form whose mask is out already.
    covered: usize,
}

impl Masker {
    /// A stream from its beginning.
    pub fn new(needles: Needles) -> Self {
        Self { needles, held: Vec::new(), covered: 0 }
    }

    /// From here on other secrets are hidden; what is held back counts as not seen yet.
    pub fn renew(&mut self, needles: Needles) {
        self.needles = needles;
    }

    /// Takes bytes, and appends to `out` what is decided.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.needles.sorted.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        let safe = self.needles.held_from(&self.held);
        self.release(safe, out);
    }

    /// The stream ends: what is held back cannot become a form any more.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(self.held.len(), out);
    }

    /// Lets go of the bytes before `safe`. A form that reaches beyond is masked now, and its rest remembered as
    /// covered, so that a form which overlaps it is hidden with it.
    fn release(&mut self, safe: usize, out: &mut Vec<u8>) {
        let mut clear_from = self.covered;
        for (start, end) in self.hidden() {
            if start >= safe {
                break;
            }
            // Only a stretch that begins with the covered bytes has its mask out already.
            if start >= self.covered {
                out.extend_from_slice(&self.held[clear_from..start]);
                out.extend_from_slice(MASK);
            }
            clear_from = end;
        }
        if clear_from < safe {
            out.extend_from_slice(&self.held[clear_from..safe]);
            clear_from = safe;
        }
        self.covered = clear_from - safe;
        self.held.drain(..safe);
    }

    /// The stretches to hide: covered bytes and forms, merged where they overlap, in order.
    fn hidden(&self) -> Vec<(usize, usize)> {
        let Some(automaton) = &self.needles.automaton else {
            return vec![(0, self.held.len())];
        };
        let mut found: Vec<(usize, usize)> =
            automaton.find_overlapping_iter(&self.held).map(|found| (found.start(), found.end())).collect();
        if self.covered > 0 {
            found.push((0, self.covered));
        }
        found.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(found.len());
        for (start, end) in found {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(secrets: &[&str], pieces: &[&[u8]]) -> String {
        let values: Vec<String> = secrets.iter().map(|one| (*one).to_owned()).collect();
        let mut masker = Masker::new(Needles::new(&values));
        let mut out = Vec::new();
        for piece in pieces {
            masker.push(piece, &mut out);
        }
        masker.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_secret_across_chunks_is_hidden() {
        assert_eq!(
            masked(&["hunter22"], &[b"the word is hun", b"ter", b"22, they say"]),
            "the word is ***, they say"
        );
    }

    #[test]
    fn overlapping_secrets_are_hidden_as_one() {
        assert_eq!(masked(&["abcdef", "defghi"], &[b"x abcdefghi y"]), "x *** y");
        assert_eq!(masked(&["abcdef", "defghi"], &[b"x abcdef", b"ghi y"]), "x *** y");
        assert_eq!(masked(&["aaaa"], &[b"aa", b"aaa", b"aaab"]), "***b");
    }

    #[test]
    fn every_line_of_a_key_is_hidden_and_single_braces_are_not() {
        let key = "{\n  \"private\": \"c2VjcmV0LWtleQ\"\n}";
        let text = "{ open\n  \"private\": \"c2VjcmV0LWtleQ\"\n}\nvalue c2VjcmV0LWtleQ";
        let shown = masked(&[key], &[text.as_bytes()]);
        assert!(shown.starts_with("{ open\n"), "{shown}");
        assert!(!shown.contains("c2VjcmV0LWtleQ"), "{shown}");
    }

    #[test]
    fn a_secret_that_is_told_later_is_hidden_from_then_on() {
        let needles = |values: &[&str]| {
            Needles::new(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
        };
        let mut masker = Masker::new(needles(&["hunter22"]));
        let mut out = Vec::new();
        masker.push(b"first letmein, hunter", &mut out);
        masker.renew(needles(&["hunter22", "letmein"]));
        masker.push(b"22 and let", &mut out);
        masker.push(b"mein", &mut out);
        masker.finish(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "first letmein, *** and ***");
    }

    #[test]
    fn a_form_that_only_begins_is_let_go_at_the_end() {
        assert_eq!(masked(&["hunter22"], &[b"hunter2"]), "hunter2");
    }

    #[test]
    fn short_values_are_counted_not_hidden() {
        let needles = Needles::new(&["ab".to_owned(), "long enough".to_owned()]);
        assert_eq!(needles.too_short(), 1);
        assert_eq!(needles.mask("ab long enough"), "ab ***");
    }

    proptest! {
        #[test]
        fn cuts_change_nothing_and_nothing_leaks(
            secret in "[a-c]{4,7}", other in "[a-c]{4,7}", text in "[a-d]{0,200}", cuts in prop::collection::vec(0usize..200, 0..8)
        ) {
            let whole = masked(&[&secret, &other], &[text.as_bytes()]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            let cut = masked(&[&secret, &other], &pieces);
            prop_assert_eq!(&whole, &cut);
            prop_assert!(!cut.contains(&secret) && !cut.contains(&other));
        }

        #[test]
        fn every_encoding_is_hidden(secret in "[ -~]{8,40}", before in "[ -~]{0,5}", after in "[ -~]{0,5}") {
            use base64::Engine;
            prop_assume!(!secret.trim().is_empty() && secret.trim() == secret);
            let around = format!("{before}{secret}{after}");
            let needles = Needles::new(std::slice::from_ref(&secret));
            let encoded = base64::engine::general_purpose::STANDARD.encode(&around);
            let shown = needles.mask(&encoded);
            // What may stay are the characters that mix the secret's edge with its neighbours.
            prop_assert!(shown.contains("***"), "{} of {}", shown, encoded);
            let hex = needles.mask(&hex::encode(&around));
            prop_assert!(!hex.contains(&hex::encode(&secret)), "{}", hex);
            let quoted = format!("{around:?}");
            prop_assert!(!needles.mask(&quoted).contains(&secret));
        }
    }
}
