//! Hover: what a key, a name in an expression, or a diagnostic means.

use super::{
    Document, Hover,
    dotted::name_at,
    expressions::{contexts, function_name, functions},
    loose::Loose,
    schema,
    spot::{Seg, expression, spot},
};
use crate::{Diagnostic, codes};

pub(super) fn hover(document: &Document, offset: usize, diagnostics: &[Diagnostic]) -> Option<Hover> {
    let mut parts = Vec::new();
    let mut range = None;
    let here = diagnostics.iter().filter(|one| one.span.start <= offset && offset <= one.span.end);
    for diagnostic in here.take(3) {
        let about = codes::find(&diagnostic.code).map_or("", |code| code.explanation);
        parts.push(format!("**{}** {}\n\n{about}", diagnostic.code, diagnostic.full_text()));
        range = range.or(Some(diagnostic.span.start..diagnostic.span.end));
    }
    if let Some(known) = name(document, offset).or_else(|| key(document, offset)) {
        parts.push(known.text);
        range = Some(known.range);
    }
    Some(Hover { text: parts.join("\n\n---\n\n"), range: range? })
}

/// The key under the cursor.
fn key(document: &Document, offset: usize) -> Option<Hover> {
    let loose = document.loose();
    let found = loose
        .nodes
        .iter()
        .enumerate()
        .skip(1)
        .find(|(_, node)| node.key.is_some() && node.place.start <= offset && offset <= node.place.end)?;
    let (index, node) = found;
    let path = path(&loose, index);
    let about = schema::description(document.language, &path)?;
    Some(Hover { text: format!("`{}`: {about}", node.key.as_deref()?), range: node.place.clone() })
}

fn path(loose: &Loose, node: usize) -> Vec<Seg> {
    let segment = |node: &usize| match loose.key(*node) {
        Some(key) => Seg::Key(key.to_owned()),
        None => Seg::Item,
    };
    loose.chain(node).iter().map(segment).collect()
}

/// The name under the cursor in an expression.
fn name(document: &Document, offset: usize) -> Option<Hover> {
    let text = document.text.as_str();
    let inside = expression(text, offset, &spot(text, offset))?;
    let (path, range) = name_at(text, inside, offset)?;
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    let language = document.language;
    let text = match words.as_slice() {
        [one] => {
            let function = functions(language).find(|(usage, _)| function_name(usage) == *one);
            let context = contexts(language).iter().find(|context| context.name == *one);
            match (context, function) {
                (Some(context), _) => format!("`{one}`: {}", context.about),
                (None, Some((usage, about))) => format!("`{usage}`: {about}"),
                (None, None) => return None,
            }
        }
        [first, second, ..] => {
            let context = contexts(language).iter().find(|context| context.name == *first)?;
            match context.properties.iter().find(|(name, _)| name == second) {
                Some((name, about)) => format!("`{first}.{name}`: {about}"),
                None => format!("`{first}`: {}", context.about),
            }
        }
        [] => return None,
    };
    Some(Hover { text, range })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SourceFile, check};

    fn at(path: &str, text: &str) -> Option<String> {
        let offset = text.find('¦').unwrap();
        let text = text.replacen('¦', "", 1);
        let found = check(&SourceFile { path, text: &text });
        Document::new(path, text).hover(offset, &found).map(|hover| hover.text)
    }

    #[test]
    fn keys_names_and_mistakes_are_explained() {
        let text = "on: push\nstages:\n  a:\n    ti¦meout: 5m\n    image: a:1\n    run: x\n";
        assert!(at("p.yml", text).unwrap().starts_with("`timeout`: The time"), "{:?}", at("p.yml", text));
        let text =
            "on: push\nstages:\n  a: {image: \"a:1\", run: x, if: \"success() && git.br¦anch == 'a'\"}\n";
        assert!(at("p.yml", text).unwrap().starts_with("`git.branch`: The branch"));
        let text = "on: push\nstages:\n  a: {image: \"a:1\", run: x, if: \"succ¦ess()\"}\n";
        assert!(at("p.yml", text).unwrap().starts_with("`success()`"));
        let text = "on: push\nstages:\n  a: {imag¦e: \"a:1\", run: x, if: \"git.brnch == 'a'\"}\n";
        assert!(at("p.yml", text).is_some());
        let text = "on: push\nstages:\n  a: {ima¦gee: \"a:1\", run: x}\n";
        let shown = at("p.yml", text).unwrap();
        assert!(shown.contains("**TG0201**") && shown.contains("did you mean `image`?"), "{shown}");
        assert_eq!(at("p.yml", "on: push\nstages:\n  ¦\n"), None);
    }
}
