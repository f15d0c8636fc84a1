//! Shells by name, and text cut into words as a shell does it.

/// The words of a shell that is named (`bash`, `python`) or written out with `{0}` for the script. An expression is
/// one word, looked at again when its value is known.
pub(crate) fn words_of(shell: &str) -> Result<Vec<String>, String> {
    if shell.contains("${{") {
        return Ok(vec![shell.to_owned()]);
    }
    let text = match shell.to_ascii_lowercase().as_str() {
        "bash" => "bash --noprofile --norc -eo pipefail {0}",
        "sh" => "sh -e {0}",
        "python" => "python {0}",
        "pwsh" => "pwsh -command \". '{0}'\"",
        "powershell" => "powershell -command \". '{0}'\"",
        "cmd" => "cmd /D /E:ON /V:OFF /S /C \"CALL \\\"{0}\\\"\"",
        _ => shell,
    };
    // A program that is only named is given the script.
    words(text)
}

/// Cuts text into words as a shell does: quotes, escapes, and white space between them. An expression is never cut.
pub(crate) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '$' if rest.as_str().starts_with("{{") => {
                let end = rest.as_str().find("}}").ok_or("`${{` has no closing `}}`")?;
                let (inside, after) = rest.as_str().split_at(end + 2);
                word.get_or_insert_default().push('$');
                word.get_or_insert_default().push_str(inside);
                rest = after.chars();
            }
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        None => return Err(format!("a quote `{c}` is not closed")),
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => word.extend(rest.next()),
                        Some(other) => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(rest.next()),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells() {
        let words = |shell| words_of(shell).map(|words| words.join(" "));
        assert_eq!(words("bash").unwrap(), "bash --noprofile --norc -eo pipefail {0}");
        assert_eq!(words("SH").unwrap(), "sh -e {0}");
        assert_eq!(words("perl -w {0}").unwrap(), "perl -w {0}");
        assert_eq!(words_of("pwsh").unwrap(), ["pwsh", "-command", ". '{0}'"]);
        assert_eq!(words_of("fish").unwrap(), ["fish"]);
        assert_eq!(words_of("cmd").unwrap().last().unwrap(), "CALL \"{0}\"");
    }

    #[test]
    fn words_are_cut_like_a_shell_does() {
        assert_eq!(words(r#"a "b c" 'd e'f g\ h"#).unwrap(), ["a", "b c", "d ef", "g h"]);
        assert_eq!(words("-e A=${{ matrix.a }} b").unwrap(), ["-e", "A=${{ matrix.a }}", "b"]);
        assert!(words("'a").is_err());
    }
}
