//! The nearest right word: "did you mean …?".

/// No word that anybody means is longer, and the comparison takes time and memory for each pair of letters.
const LONGEST: usize = 128;

/// A sentence that names the word most like `wrong`, if one is like it at all.
pub(crate) fn did_you_mean<'w>(wrong: &str, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
    nearest(wrong, words).map(|word| format!("did you mean `{word}`?"))
}

/// The word most like `wrong`, if one is like it at all. Case and the choice of `-` or `_` count little.
pub(crate) fn nearest<'w>(wrong: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if wrong.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let wrong = plain(wrong);
    let allowed = (wrong.chars().count() / 3).clamp(1, 3);
    words
        .into_iter()
        .filter(|word| word.len() <= LONGEST)
        .map(|word| {
            let word_plain = plain(word);
            let distance = strsim::damerau_levenshtein(&wrong, &word_plain);
            // `cron` for `cron_schedule`, `dir` for `working_directory`: part of the word is near enough.
            let part = wrong.len() >= 3 && word_plain.split('_').any(|piece| piece == wrong);
            (if part { distance.min(1) } else { distance }, word)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `` `a`, `b` and `c` ``
pub(crate) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_likely_words_are_offered() {
        let words = ["image", "needs", "working_directory", "timeout"];
        assert_eq!(nearest("imgae", words), Some("image"));
        assert_eq!(nearest("need", words), Some("needs"));
        assert_eq!(nearest("timeOut", words), Some("timeout"));
        assert_eq!(nearest("working-directory", words), Some("working_directory"));
        assert_eq!(nearest("directory", words), Some("working_directory"));
        assert_eq!(nearest("privileged", words), None);
        assert_eq!(nearest("", words), None);
    }

    #[test]
    fn lists_read_well() {
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
