//! Quick fixes, made from what a diagnostic's help says: the nearest right word, quotes that are missing or too many.

use super::{Fix, loose::unquoted};
use crate::Diagnostic;

pub(super) fn fixes(text: &str, diagnostic: &Diagnostic) -> Vec<Fix> {
    // A mistake in an expression may be reported where its value begins; the very place stands beside it.
    let inner = diagnostic.related.iter().find(|one| one.message == "here" && one.file.is_none());
    let span = inner.map_or(diagnostic.span, |inner| inner.span);
    let range = span.start..span.end;
    let Some(written) = text.get(range.clone()) else { return Vec::new() };
    let Some(help) = diagnostic.help.as_deref() else { return Vec::new() };
    let mut fixes = Vec::new();
    if let Some(word) = meant(help)
        && !written.contains(['\n', ' ', '{', '('])
    {
        let quote = written.chars().next().filter(|first| matches!(first, '"' | '\''));
        let new_text = match quote {
            Some(quote) => format!("{quote}{word}{quote}"),
            None => word.to_owned(),
        };
        fixes.push(Fix { title: format!("Change to `{word}`"), range: range.clone(), new_text });
    }
    if help.contains("write it without quotes") && unquoted(written) != written {
        fixes.push(Fix {
            title: "Take away the quotes".to_owned(),
            range: range.clone(),
            new_text: unquoted(written).to_owned(),
        });
    }
    if diagnostic.code == "TG0107"
        && let Some(fix) = quoted(text, range.start)
    {
        fixes.push(fix);
    }
    fixes
}

/// The word of "did you mean `word`?".
fn meant(help: &str) -> Option<&str> {
    let rest = help.split("did you mean `").nth(1)?;
    rest.split_once("`?").map(|(word, _)| word)
}

/// Quotes around a value that YAML reads as a tag, to the end of its line.
fn quoted(text: &str, start: usize) -> Option<Fix> {
    let rest = text.get(start..)?;
    let line = rest.lines().next()?;
    let value = line.split(" #").next()?.trim_end();
    // In brackets it is not plain where the value ends.
    if value.contains(['"', '\\', ',', '}', ']']) {
        return None;
    }
    Some(Fix {
        title: "Put it in quotes".to_owned(),
        range: start..start + value.len(),
        new_text: format!("\"{value}\""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SourceFile, check};

    /// The file with the first fix of each mistake applied, last mistake first.
    fn mended(text: &str) -> String {
        let found = check(&SourceFile { path: "p.yml", text });
        let mut mended = text.to_owned();
        for diagnostic in found.iter().rev() {
            if let Some(fix) = fixes(text, diagnostic).into_iter().next() {
                mended.replace_range(fix.range, &fix.new_text);
            }
        }
        mended
    }

    #[test]
    fn the_nearest_word_is_put_in_place() {
        assert_eq!(
            mended(
                "on: push\nstages:\n  lint: {imgae: \"a:1\", run: x}\n  b: {image: \"a:1\", run: x, needs: [\"lnit\"]}\n"
            ),
            "on: push\nstages:\n  lint: {image: \"a:1\", run: x}\n  b: {image: \"a:1\", run: x, needs: [\"lint\"]}\n"
        );
        assert_eq!(
            mended("on: push\nstages:\n  a: {image: \"a:1\", run: x, if: \"git.brnch == 'a'\"}\n"),
            "on: push\nstages:\n  a: {image: \"a:1\", run: x, if: \"git.branch == 'a'\"}\n"
        );
    }

    #[test]
    fn a_word_of_a_workflow_never_takes_the_place_of_its_whole_value() {
        let steps = |run: &str| {
            format!(
                "on: push\njobs:\n  a:\n    runs-on: debian\n    timeout-minutes: 1\n    steps:\n      - {{id: one, run: \
                 x}}\n      - run: {run}\n"
            )
        };
        let mend = |text: String| {
            let found = check(&SourceFile { path: ".github/workflows/w.yml", text: &text });
            let [one] = found.as_slice() else { panic!("{found:?}") };
            let fix = fixes(&text, one).into_iter().next();
            fix.map(|fix| {
                let mut mended = text.clone();
                mended.replace_range(fix.range, &fix.new_text);
                mended
            })
        };
        assert_eq!(mend(steps("echo ${{ gihub.sha }}")), Some(steps("echo ${{ github.sha }}")));
        assert_eq!(
            mend(steps("echo ${{ steps.oen.outputs.x }}")),
            Some(steps("echo ${{ steps.one.outputs.x }}"))
        );
        let block = |name: &str| {
            steps(&format!("|\n          echo\n          echo ${{{{ steps.{name}.outputs.x }}}}"))
        };
        assert_eq!(mend(block("oen")), Some(block("one")));
        // Where it cannot be told which part of a text is meant, nothing is offered.
        assert_eq!(mend(steps("\"a\\tb ${{ gihub.sha }}\"")), None);
    }

    #[test]
    fn quotes_are_put_and_taken() {
        assert_eq!(
            mended("on: push\nstages:\n  a:\n    image: a:1\n    run: x\n    if: !cancelled()\n"),
            "on: push\nstages:\n  a:\n    image: a:1\n    run: x\n    if: \"!cancelled()\"\n"
        );
        assert!(
            mended("on: push\nstages: {a: {image: \"a:1\", run: x, continue_on_error: \"true\"}}\n")
                .contains("continue_on_error: true}")
        );
    }
}
