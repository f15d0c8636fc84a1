//! Which files below a folder an upload means, and which folder they keep their paths from.

use std::{collections::BTreeSet, path::Path};

use super::places::plain_part;
use crate::archive::{ArchiveError, Selection, beneath::Root};

/// The most files and folders that are looked at.
const MOST: usize = 500_000;
/// How deep folders are looked into.
const DEEPEST: usize = 100;

/// What is uploaded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selected {
    /// The folder that paths in the artifact begin at.
    pub(super) root: String,
    /// The files, below the folder that was looked through.
    pub(super) files: BTreeSet<String>,
}

impl Selected {
    /// Looks through `folder` without following links. Blocking.
    pub(super) fn below(folder: &Path, globs: &[String], hidden: bool) -> Result<Self, ArchiveError> {
        let selection = Selection::new(globs)?;
        let tops = tops(globs);
        let root = Root::open(folder).map_err(ArchiveError::io(format!("open {}", folder.display())))?;
        let mut files = BTreeSet::new();
        let mut seen = 0;
        let mut open: Vec<String> = tops.clone();
        while let Some(path) = open.pop() {
            seen += 1;
            if seen > MOST {
                return Err(ArchiveError::Refused(format!("there are more than {MOST} files to look at")));
            }
            let below = Path::new(&path);
            let is_link = !path.is_empty() && root.is_link(below).unwrap_or(false);
            let is_folder =
                !is_link && root.read(below).and_then(|file| file.metadata()).is_ok_and(|data| data.is_dir());
            if is_folder && path.split('/').count() < DEEPEST {
                let names = root.names(below).unwrap_or_default();
                open.extend(names.iter().filter_map(|name| below.join(name).to_str().map(str::to_owned)));
            } else if !is_folder
                && selection.includes(&path)
                && (is_link || root.read(below).is_ok())
                && (hidden || is_shown(&path, &tops))
            {
                files.insert(path);
            }
        }
        let root = match (&tops[..], files.first()) {
            ([top], Some(file)) if top == file => parent(top),
            _ => common(&tops),
        };
        Ok(Self { root, files })
    }
}

/// The paths that patterns begin with; none that is below another one.
fn tops(globs: &[String]) -> Vec<String> {
    let mut tops: Vec<String> = Vec::new();
    for glob in globs.iter().filter(|glob| !glob.starts_with('!')) {
        let top = plain_part(glob.trim_end_matches('/'));
        if !tops.iter().any(|other| Path::new(&top).starts_with(other)) {
            tops.retain(|other| !Path::new(other).starts_with(&top));
            tops.push(top);
        }
    }
    tops
}

/// Whether no name from the end of a pattern's beginning on begins with a dot.
fn is_shown(path: &str, tops: &[String]) -> bool {
    tops.iter().filter(|top| Path::new(path).starts_with(top)).any(|top| {
        let above = top.split('/').count().saturating_sub(1);
        !path.split('/').skip(above).any(|name| name.starts_with('.'))
    })
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default()
}

/// The lowest folder that all paths are in.
fn common(paths: &[String]) -> String {
    let mut paths = paths.iter().map(|path| path.split('/').collect::<Vec<_>>());
    let mut common = paths.next().unwrap_or_default();
    for path in paths {
        let same = common.iter().zip(&path).take_while(|(a, b)| a == b).count();
        common.truncate(same);
    }
    common.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_at_the_lowest_folder_that_all_patterns_share() {
        let folder = tempfile::tempdir().unwrap();
        for path in
            ["w/dist/js/a.js", "w/dist/b.css", "w/dist/.map", "w/out/log.txt", "w/.cfg/x", "w/dist/.d/y"]
        {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let of = |globs: &[&str], hidden| {
            let globs: Vec<_> = globs.iter().map(|one| (*one).to_owned()).collect();
            let found = Selected::below(folder.path(), &globs, hidden).unwrap();
            (found.root.clone(), found.files.into_iter().collect::<Vec<_>>().join(" "))
        };
        let of = |globs: &[&str], hidden| {
            let (root, files) = of(globs, hidden);
            format!("{root}: {files}")
        };
        assert_eq!(of(&["w/dist"], false), "w/dist: w/dist/b.css w/dist/js/a.js");
        assert_eq!(of(&["w/dist/**/*.js"], false), "w/dist: w/dist/js/a.js");
        assert_eq!(of(&["w/out/log.txt"], false), "w/out: w/out/log.txt");
        assert_eq!(of(&["w/out/log.txt", "w/dist/js"], false), "w: w/dist/js/a.js w/out/log.txt");
        assert_eq!(of(&["w/dist", "!w/dist/js"], true), "w/dist: w/dist/.d/y w/dist/.map w/dist/b.css");
        assert_eq!(of(&["w/.cfg"], false), "w/.cfg: ");
        assert_eq!(of(&["w/.cfg/x"], false), "w/.cfg: w/.cfg/x");
        assert_eq!(of(&["w/none"], false), "w/none: ");
    }
}
