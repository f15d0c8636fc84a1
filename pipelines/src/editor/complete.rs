//! Completion: keys and words from the schema, names from the file, and what expressions may name.

use std::ops::Range;

use super::{
    Document,
    dotted::names_before,
    expressions::{contexts, function_name, functions},
    loose::{Loose, Node},
    names::{File, names, properties},
    schema::{self, Here},
    spot::{Seg, Spot, What, expression, plain, spot},
};
use crate::Language;

/// A suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What is shown.
    pub label: String,
    /// What it is.
    pub kind: ItemKind,
    /// What it means, as Markdown.
    pub about: String,
    /// Bytes that it replaces.
    pub range: Range<usize>,
    /// What is written.
    pub insert: String,
}

/// What a suggestion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A key of a mapping.
    Key,
    /// One of a few words.
    Word,
    /// A name that the file defines: a stage, an input.
    Name,
    /// A context of expressions, or a property of one.
    Property,
    /// A function of expressions.
    Function,
}

pub(super) fn complete(document: &Document, offset: usize) -> Vec<Item> {
    let text = document.text.as_str();
    let spot = spot(text, offset);
    let loose = document.loose();
    let file = File { text, loose: &loose };
    if let Some(range) = expression(text, offset, &spot) {
        return in_expression(document.language, range, &spot, file);
    }
    if spot.what == What::Text {
        return Vec::new();
    }
    let here = schema::here(document.language, &spot.path);
    let mut items = Vec::new();
    let word = spot.word.clone();
    if spot.what == What::Key {
        items.extend(keys(document.language, &here, &spot, &loose));
    }
    let kind = |name: &str, about: &str, kind: ItemKind| Item {
        label: name.to_owned(),
        kind,
        about: about.to_owned(),
        range: word.clone(),
        insert: name.to_owned(),
    };
    for (name, about) in names(document.language, &spot, file) {
        items.push(kind(&name, about, ItemKind::Name));
    }
    for key in here.words() {
        items.push(kind(&key.name, &key.description, ItemKind::Word));
    }
    let typed = plain(text.get(word.clone()).unwrap_or_default()).to_lowercase();
    items.retain(|item| item.label.to_lowercase().contains(&typed));
    items
}

/// The keys that are not there yet.
fn keys(language: Language, here: &Here<'_>, spot: &Spot, loose: &Loose) -> Vec<Item> {
    // The mapping may go on below the cursor, so what is there is taken from the whole text.
    let owner = if spot.path.is_empty() {
        0
    } else {
        loose.nodes.iter().skip(1).position(|node| node.place.start == spot.owner).map_or(0, |at| at + 1)
    };
    let current = |node: &Node| node.place.start == spot.word.start;
    let there: Vec<&str> = loose
        .nodes
        .iter()
        .skip(1)
        .filter(|node| node.parent == owner && !current(node))
        .filter_map(|node| node.key.as_deref())
        .collect();
    let item = |key: schema::Key| {
        let mut path = spot.path.clone();
        path.push(Seg::Key(key.name.clone()));
        let colon = if !spot.flow && schema::here(language, &path).is_nested() { ":" } else { ": " };
        Item {
            insert: format!("{}{colon}", key.name),
            label: key.name,
            kind: ItemKind::Key,
            about: key.description,
            range: spot.word.clone(),
        }
    };
    here.keys().into_iter().filter(|key| !there.contains(&key.name.as_str())).map(item).collect()
}

/// Contexts and functions, or the properties of what stands before the last dot.
fn in_expression(language: Language, range: Range<usize>, spot: &Spot, file: File<'_>) -> Vec<Item> {
    let text = file.text;
    let written = text.get(range.clone()).unwrap_or_default();
    let (path, word) = names_before(written);
    let word = range.end - word.len()..range.end;
    let item = |label: &str, kind: ItemKind, about: &str, insert: String| Item {
        label: label.to_owned(),
        kind,
        about: about.to_owned(),
        range: word.clone(),
        insert,
    };
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut items = Vec::new();
    match path.as_slice() {
        [] => {
            for context in contexts(language) {
                items.push(item(context.name, ItemKind::Property, context.about, context.name.to_owned()));
            }
            for (usage, about) in functions(language) {
                let name = function_name(usage);
                let call = if usage.ends_with("()") { format!("{name}()") } else { format!("{name}(") };
                items.push(item(name, ItemKind::Function, &format!("`{usage}`\n\n{about}"), call));
            }
        }
        [context, rest @ ..] => {
            let known = contexts(language).iter().find(|one| one.name == *context);
            if rest.is_empty() {
                for (name, about) in known.map_or(&[][..], |one| one.properties) {
                    items.push(item(name, ItemKind::Property, about, (*name).to_owned()));
                }
            }
            for (name, about) in properties(language, context, rest, spot, file) {
                items.push(item(&name, ItemKind::Name, about, name.clone()));
            }
        }
    }
    let typed = text.get(word.clone()).unwrap_or_default().to_lowercase();
    items.retain(|one| one.label.to_lowercase().contains(&typed));
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The suggestions at `¦`.
    fn at(path: &str, text: &str) -> Vec<Item> {
        let offset = text.find('¦').unwrap();
        Document::new(path, text.replacen('¦', "", 1)).complete(offset)
    }

    fn labels(text: &str) -> Vec<String> {
        at(".tidegate/p.yml", text).into_iter().map(|item| item.label).collect()
    }

    fn in_workflow(text: &str) -> Vec<String> {
        at(".github/workflows/p.yml", text).into_iter().map(|item| item.label).collect()
    }

    #[test]
    fn keys_that_are_not_there_yet() {
        let items = labels("on: push\n¦\nstages:\n  a: {}\n");
        assert!(items.contains(&"env".to_owned()) && !items.contains(&"stages".to_owned()), "{items:?}");
        let items = at(".tidegate/p.yml", "stages:\n  a:\n    ima¦\n    run: x\n");
        assert_eq!(items.len(), 1, "{items:?}");
        assert_eq!((items[0].label.as_str(), items[0].insert.as_str()), ("image", "image: "));
        assert!(items[0].about.contains("image that the commands run in"));
        let items = labels("stages:\n  a: {run: x, ¦}\n");
        assert!(items.contains(&"needs".to_owned()) && !items.contains(&"run".to_owned()), "{items:?}");
        assert_eq!(labels("stages:\n  a:\n    run: |\n      ima¦\n"), Vec::<String>::new());
    }

    #[test]
    fn keys_with_mappings_end_their_line() {
        let items = at(".github/workflows/p.yml", "job¦");
        assert_eq!(items[0].insert, "jobs:");
        let items = at(".github/workflows/p.yml", "na¦");
        assert_eq!(items[0].insert, "name: ");
    }

    #[test]
    fn names_of_the_file() {
        let file =
            "stages:\n  lint: {run: x}\n  pack:\n    build: .\n    artifacts:\n      - name: dist\n  last:\n";
        assert_eq!(labels(&format!("{file}    needs: [¦]\n")), ["lint", "pack"]);
        assert_eq!(labels(&format!("{file}    needs:\n      - p¦\n")), ["pack"]);
        assert_eq!(labels(&format!("{file}    push:\n      from: ¦\n")), ["pack"]);
        assert_eq!(labels(&format!("{file}    fetch: [¦")), ["pack.dist"]);
        assert_eq!(in_workflow("jobs:\n  a: {}\n  b:\n    needs: ¦\n"), ["a"]);
    }

    #[test]
    fn words_of_the_language() {
        assert_eq!(
            labels("stages:\n  a:\n    run:\n      - {run: x, when: ¦}\n"),
            ["success", "failure", "always"]
        );
        assert!(labels("on: pu¦").contains(&"push".to_owned()));
        assert!(in_workflow("jobs:\n  a:\n    runs-on: ubu¦").contains(&"ubuntu-latest".to_owned()));
        assert!(in_workflow("on:\n  - merge¦").contains(&"merge_group".to_owned()));
    }

    #[test]
    fn what_expressions_may_name() {
        assert_eq!(labels("env: {A: \"${{ git.sh¦ }}\"}"), ["sha", "short_sha"]);
        assert!(labels("env: {A: \"${{ ¦ }}\"}").contains(&"stages".to_owned()));
        let file = "on: {manual: {inputs: {level: {}}}}\nstages:\n  pack: {build: .}\n  b:\n    matrix: {os: [a], exclude: []}\n";
        assert_eq!(labels(&format!("{file}    if: stages.¦")), ["pack", "b"]);
        assert_eq!(labels(&format!("{file}    if: stages.pack.¦")), ["status", "outputs"]);
        assert_eq!(labels(&format!("{file}    if: stages['pack'].outputs.¦")), ["image_id"]);
        assert_eq!(labels(&format!("{file}    if: inputs.¦")), ["level"]);
        assert_eq!(labels(&format!("{file}    image: node:${{{{ matrix.¦")), ["os"]);
        let workflow = "env: {TOP: 1}\njobs:\n  a:\n    outputs: {x: y}\n    env: {MY: 1}\n    steps:\n      - {id: one, run: x}\n      - run: ";
        assert_eq!(in_workflow(&format!("{workflow}echo ${{{{ steps.¦")), ["one"]);
        assert_eq!(in_workflow(&format!("{workflow}echo ${{{{ env.¦")), ["TOP", "MY"]);
        assert_eq!(in_workflow(&format!("{workflow}echo ${{{{ needs.a.outputs.¦")), ["x"]);
        assert!(in_workflow(&format!("{workflow}echo ${{{{ hash¦")).contains(&"hashFiles".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn any_text_at_any_place(text in "[a-cons:{}\\[\\],\"'|$ \n.ü😀-]{0,60}", at in 0_usize..80) {
            for path in ["p.yml", ".github/workflows/p.yml"] {
                let document = Document::new(path, text.clone());
                for item in document.complete(at) {
                    proptest::prop_assert!(text.get(item.range.clone()).is_some());
                }
                document.hover(at, &[]);
            }
        }
    }
}
