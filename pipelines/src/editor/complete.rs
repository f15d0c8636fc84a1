//! Completion: keys and words from the schema, names from the file, and what expressions may name.

use std::ops::Range;

use super::{
    Document,
    expressions::{contexts, function_name, functions},
    loose::{Loose, Node, unquoted},
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

/// Names that the file itself defines, where one is asked for.
fn names(language: Language, spot: &Spot, file: File<'_>) -> Vec<(String, &'static str)> {
    let keys: Vec<&str> = spot
        .path
        .iter()
        .map(|seg| match seg {
            Seg::Key(key) => key.as_str(),
            Seg::Item => "[]",
        })
        .collect();
    let units = |top: &str, own: &str, with: Option<&str>, about: &'static str| {
        let has = |node: &usize| with.is_none_or(|key| file.loose.find(*node, &[key]).is_some());
        let units = file.children(file.loose.find(0, &[top]));
        let names = units.iter().filter(|node| has(node)).filter_map(|node| file.loose.key(*node));
        names.filter(|name| *name != own).map(|name| (name.to_owned(), about)).collect::<Vec<_>>()
    };
    match (language, keys.as_slice()) {
        (Language::Native, ["stages", own, "needs", ..]) => {
            units("stages", own, None, "A stage of this pipeline.")
        }
        (Language::Actions, ["jobs", own, "needs", ..]) => {
            units("jobs", own, None, "A job of this workflow.")
        }
        (Language::Native, ["stages", own, "push", "from"]) => {
            units("stages", own, Some("build"), "A build stage of this pipeline.")
        }
        (Language::Native, ["stages", own, "fetch", ..]) => artifacts(file, own),
        _ => Vec::new(),
    }
}

/// `stage.artifact` of all other stages.
fn artifacts(file: File<'_>, own: &str) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for stage in file.children(file.loose.find(0, &["stages"])) {
        let Some(name) = file.loose.key(*stage).filter(|name| *name != own) else { continue };
        for artifact in file.values(file.loose.find(*stage, &["artifacts"]), "name") {
            found.push((format!("{name}.{artifact}"), "An artifact of that stage."));
        }
    }
    found
}

/// The file as it is read here.
#[derive(Clone, Copy)]
struct File<'f> {
    text: &'f str,
    loose: &'f Loose,
}

impl<'f> File<'f> {
    fn children(self, node: Option<usize>) -> &'f [usize] {
        node.and_then(|node| self.loose.nodes.get(node)).map_or(&[], |node| node.children.as_slice())
    }

    /// What the items of a list have under a key.
    fn values(self, list: Option<usize>, key: &str) -> Vec<&'f str> {
        let value = |item: &usize| {
            let node = self.loose.nodes.get(self.loose.find(*item, &[key])?)?;
            Some(unquoted(self.text.get(node.value.clone())?)).filter(|text| !text.is_empty())
        };
        self.children(list).iter().filter_map(value).collect()
    }
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
            for (name, about) in dynamic(language, context, rest, spot, file) {
                items.push(item(&name, ItemKind::Name, about, name.clone()));
            }
        }
    }
    let typed = text.get(word.clone()).unwrap_or_default().to_lowercase();
    items.retain(|one| one.label.to_lowercase().contains(&typed));
    items
}

/// Properties that the file decides.
fn dynamic(
    language: Language,
    context: &str,
    rest: &[&str],
    spot: &Spot,
    file: File<'_>,
) -> Vec<(String, &'static str)> {
    let loose = file.loose;
    let unit = match spot.path.as_slice() {
        [Seg::Key(top), Seg::Key(own), ..] if matches!(top.as_str(), "stages" | "jobs") => {
            loose.find(0, &[top, own])
        }
        _ => None,
    };
    let below = |keys: &[&str], from: Option<usize>, about: &'static str| -> Vec<(String, &'static str)> {
        let node = from.and_then(|from| loose.find(from, keys));
        node.map(|node| loose.keys(node).map(|key| (key.to_owned(), about)).collect()).unwrap_or_default()
    };
    let fixed = |list: &[(&str, &'static str)]| {
        list.iter().map(|(name, about)| ((*name).to_owned(), *about)).collect::<Vec<_>>()
    };
    match (language, context, rest) {
        (Language::Native, "stages", []) => {
            below(&["stages"], Some(0), "A stage; it must come before this one.")
        }
        (Language::Native, "stages", [_]) => {
            fixed(&[("status", "How it ended."), ("outputs", "What it hands on.")])
        }
        (Language::Native, "stages", [name, "outputs"]) => {
            let stage = loose.find(0, &["stages", name]);
            let has = |key: &str| stage.is_some_and(|stage| loose.find(stage, &[key]).is_some());
            match () {
                () if has("build") => fixed(&[("image_id", "The image's id in the engine.")]),
                () if has("push") => fixed(&[
                    ("digest", "`sha256:…`"),
                    ("image", "`repository@digest`, what deployments take."),
                ]),
                () => Vec::new(),
            }
        }
        (Language::Native, "inputs", []) => {
            below(&["on", "manual", "inputs"], Some(0), "An input of a manual run.")
        }
        (Language::Native, "matrix", []) => {
            let mut axes = below(&["matrix"], unit, "A value of the matrix.");
            axes.retain(|(name, _)| !matches!(name.as_str(), "include" | "exclude"));
            axes
        }
        (Language::Native, "steps", []) => {
            let steps = unit.and_then(|unit| loose.find(unit, &["run"]));
            let ids = file.values(steps, "id");
            ids.into_iter().map(|id| (id.to_owned(), "A step; it must come before this one.")).collect()
        }
        (Language::Native, "steps", [_]) => {
            fixed(&[("outputs", "What it hands on."), ("outcome", "How it ended.")])
        }
        (Language::Actions, "needs", []) => below(&["jobs"], Some(0), "A job; it must stand in `needs`."),
        (Language::Actions, "needs", [_]) => fixed(&[
            ("outputs", "What it hands on."),
            ("result", "`success`, `failure`, `cancelled` or `skipped`."),
        ]),
        (Language::Actions, "needs", [job, "outputs"]) => {
            below(&["jobs", job, "outputs"], Some(0), "An output of the job.")
        }
        (Language::Actions, "matrix", []) => {
            let mut axes = below(&["strategy", "matrix"], unit, "A value of the matrix.");
            axes.retain(|(name, _)| !matches!(name.as_str(), "include" | "exclude"));
            axes
        }
        (Language::Actions, "inputs", []) => {
            let mut all =
                below(&["on", "workflow_dispatch", "inputs"], Some(0), "An input of a run by hand.");
            all.extend(below(&["on", "workflow_call", "inputs"], Some(0), "An input of a call."));
            all
        }
        (Language::Actions, "env", []) => {
            let mut all = below(&["env"], Some(0), "An environment value of the workflow.");
            all.extend(below(&["env"], unit, "An environment value of the job."));
            all
        }
        (Language::Actions, "steps", []) => {
            let steps = unit.and_then(|unit| loose.find(unit, &["steps"]));
            let ids = file.values(steps, "id");
            ids.into_iter().map(|id| (id.to_owned(), "A step; it must come before this one.")).collect()
        }
        (Language::Actions, "steps", [_]) => fixed(&[
            ("outputs", "What it hands on."),
            ("outcome", "How it ended, before `continue-on-error`."),
            ("conclusion", "How it ended, after `continue-on-error`."),
        ]),
        _ => Vec::new(),
    }
}

/// The names before the word being written, and that word: `stages.build.ou` is `stages`, `build` and `ou`.
fn names_before(written: &str) -> (Vec<String>, &str) {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let tail = |text: &str| {
        text.char_indices().rev().take_while(|(_, c)| is_word(*c)).last().map_or(text.len(), |(at, _)| at)
    };
    let start = tail(written);
    let (mut before, word) = written.split_at_checked(start).unwrap_or((written, ""));
    let mut path = Vec::new();
    while let Some(rest) = before.strip_suffix('.') {
        if let Some(inside) = rest.strip_suffix(']') {
            let Some(open) = inside.rfind('[') else { break };
            path.push(unquoted(inside.get(open + 1..).unwrap_or_default()).to_owned());
            before = inside.get(..open).unwrap_or_default();
            // A name may follow directly; as if a dot stood between.
            let start = tail(before);
            if start < before.len() {
                path.push(before.get(start..).unwrap_or_default().to_owned());
                before = before.get(..start).unwrap_or_default();
            }
            continue;
        }
        let start = tail(rest);
        path.push(rest.get(start..).unwrap_or_default().to_owned());
        before = rest.get(..start).unwrap_or_default();
    }
    path.reverse();
    (path, word)
}

/// The names up to the end of the word under the cursor, for hover.
pub(super) fn name_at(
    text: &str,
    expression: Range<usize>,
    offset: usize,
) -> Option<(Vec<String>, Range<usize>)> {
    let rest = text.get(offset..)?;
    let more = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
    let end = offset + more;
    let (mut path, word) = names_before(text.get(expression.start..end)?);
    if word.is_empty() {
        return None;
    }
    path.push(word.to_owned());
    Some((path, end - word.len()..end))
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
