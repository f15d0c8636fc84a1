//! The other files of a pipeline: what `use` names, and their trees. All are read through [`crate::Files`], each once.

use std::{collections::HashMap, rc::Rc};

use crate::{
    FileRef, Files, codes,
    diagnostic::Place,
    native::reader::Reader,
    yaml::{self, Kind, Node},
};

/// The most files of one pipeline beside its own.
const MAX_FILES: usize = 32;

/// The other files of a pipeline.
pub(crate) struct Library<'f> {
    files: &'f dyn Files,
    /// What was read, with the number of the file.
    read: HashMap<FileRef, Option<Rc<Node>>>,
    /// How often templates were used so far.
    pub uses: usize,
}

impl<'f> Library<'f> {
    pub(crate) fn new(files: &'f dyn Files) -> Self {
        Self { files, read: HashMap::new(), uses: 0 }
    }

    /// The tree of a file, if it has one. What is wrong with it is reported once.
    pub(super) fn tree(&mut self, r: &mut Reader<'_, '_>, file: &FileRef, place: Place) -> Option<Rc<Node>> {
        if let Some(known) = self.read.get(file) {
            return known.clone();
        }
        let tree = self.load(r, file, place).map(Rc::new);
        self.read.insert(file.clone(), tree.clone());
        tree
    }

    fn load(&mut self, r: &mut Reader<'_, '_>, file: &FileRef, place: Place) -> Option<Node> {
        if self.read.len() >= MAX_FILES {
            let message = format!("the pipeline uses more than {MAX_FILES} other files");
            r.problems.report(codes::TEMPLATE_LIMIT, place, message);
            return None;
        }
        let unreadable = |r: &mut Reader<'_, '_>, why: &str| {
            let message = format!("the template `{file}` cannot be read: {why}");
            r.problems.report(codes::TEMPLATE_UNREADABLE, place, message);
        };
        let text = match self.files.read(file) {
            Ok(text) => text,
            Err(why) => {
                unreadable(r, &why);
                return None;
            }
        };
        let Some(number) = r.problems.add(file.to_string(), text) else {
            unreadable(r, "other files cannot be read here");
            return None;
        };
        r.problems.turn_to(number);
        let tree = yaml::parse(r.problems, &yaml::Dialect::NATIVE);
        r.problems.turn_to(0);
        let mut tree = tree?;
        stamp(&mut tree, number);
        Some(tree)
    }
}

/// Says of every place in which file it is. Trees are not deep.
fn stamp(node: &mut Node, file: u16) {
    node.place.file = file;
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| stamp(item, file)),
        Kind::Map(entries) => {
            for entry in entries {
                entry.key.place.file = file;
                stamp(&mut entry.value, file);
            }
        }
        Kind::Scalar(_) | Kind::Broken => {}
    }
}

/// The file behind `use`. In a template of another repository `./` is that repository, at the same commit.
pub(super) fn reference(r: &mut Reader<'_, '_>, node: &Node, here: Option<&FileRef>) -> Option<FileRef> {
    let text = r.text(node)?;
    let wrong = |r: &mut Reader<'_, '_>, message: String, help: &str| {
        r.bad(codes::TEMPLATE_REFERENCE, text.place, message, Some(help.to_owned()));
    };
    let forms = "write `./ci/test.yml`, or `owner/repository/ci/test.yml@` and a full commit";
    let bad_path = |path: &str| {
        path.is_empty()
            || path.starts_with('/')
            || path.split(['/', '\\']).any(|part| part == ".." || part.is_empty())
    };
    if let Some(path) = text.value.strip_prefix("./") {
        if bad_path(path) {
            wrong(r, format!("`{}` is no file of the repository", text.value), forms);
            return None;
        }
        return Some(match here {
            Some(FileRef::Other { repository, reference, .. }) => FileRef::Other {
                repository: repository.clone(),
                path: path.to_owned(),
                reference: reference.clone(),
            },
            _ => FileRef::Same(path.to_owned()),
        });
    }
    let Some((path, commit)) = text.value.split_once('@') else {
        wrong(r, format!("`{}` names no template", text.value), forms);
        return None;
    };
    let parts: Vec<&str> = path.splitn(3, '/').collect();
    let [owner, name, path] = parts.as_slice() else {
        wrong(r, format!("`{}` names no template", text.value), forms);
        return None;
    };
    if bad_path(path) || owner.is_empty() || name.is_empty() {
        wrong(r, format!("`{}` names no template", text.value), forms);
        return None;
    }
    let pinned =
        commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !pinned {
        let message =
            format!("`{commit}` may be another commit tomorrow: a template of another repository is pinned");
        let help = format!(
            "name the full commit, forty lower-case hex digits: `git ls-remote https://…/{owner}/{name} {commit}` tells it"
        );
        wrong(r, message, &help);
        return None;
    }
    Some(FileRef::Other {
        repository: format!("{owner}/{name}"),
        path: (*path).to_owned(),
        reference: commit.to_owned(),
    })
}
