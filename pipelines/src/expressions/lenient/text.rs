//! Text without regard to case, as ordinal comparison ignores it: each character on its own, in no language.

use std::{borrow::Cow, cmp::Ordering};

/// The text with every character in its upper case, where that is one character.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(fold_character).collect())
}

fn fold_character(character: char) -> char {
    // The dotless i and the long s stay apart from the letters of ASCII.
    if character.is_ascii() || matches!(character, 'ı' | 'ſ') {
        return character.to_ascii_uppercase();
    }
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

pub(super) fn equal_folded(left: &str, right: &str) -> bool {
    left == right || left.chars().map(fold_character).eq(right.chars().map(fold_character))
}

/// The order of their units of UTF-16.
pub(super) fn compare_folded(left: &str, right: &str) -> Ordering {
    // Characters of two units come before those of one that are above the units of such pairs.
    let key = |character: char| match fold_character(character) {
        low @ ..='\u{d7ff}' => (0, low),
        pair @ '\u{10000}'.. => (1, pair),
        high => (2, high),
    };
    left.chars().map(key).cmp(right.chars().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_ignored_character_by_character() {
        for (left, right) in [("Straße", "sTRAßE"), ("ÄÖü", "äöÜ"), ("ΣΑΣ", "σας"), ("ДА", "да"), ("", "")]
        {
            assert!(equal_folded(left, right), "{left} {right}");
            assert_eq!(compare_folded(left, right), Ordering::Equal);
            assert_eq!(fold(left), fold(right));
        }
        for (left, right) in [("ß", "SS"), ("ı", "I"), ("İ", "i"), ("ſ", "S"), ("a", "aa")] {
            assert!(!equal_folded(left, right), "{left} {right}");
        }
        assert_eq!(compare_folded("a", "B"), Ordering::Less);
        // Letters are compared in upper case, so they come before `_`.
        assert_eq!(compare_folded("z", "_"), Ordering::Less);
        for (less, more) in [("é", "一"), ("一", "😀"), ("😀", "\u{ff21}"), ("😀", "😁"), ("a", "aa")]
        {
            assert_eq!(compare_folded(less, more), Ordering::Less, "{less} {more}");
            let units = |text: &str| text.to_uppercase().encode_utf16().collect::<Vec<_>>();
            assert!(units(less) < units(more));
        }
    }
}
