//! Pipeline files on disk: which ones are meant, and their text within bounds.
//!
//! Folders are walked without following links, so the walk ends; what is read of a file is bounded before it is read.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    path::{Component, Path, PathBuf},
};

use tidegate_pipelines::{
    Diagnostic, FileRef, Files, Machine, Setting, SourceFile, check_in, codes,
    outline::{StandIns, not_there},
};

use crate::failure::{Failure, Outcome};

/// Where pipeline files are by convention, below a repository's top folder.
pub const FOLDERS: [&str; 2] = [".tidegate", ".github/workflows"];
/// No more of a file is read; the language itself allows far less.
const MOST_BYTES: u64 = 8 << 20;
/// A folder with more files is hardly one of pipelines.
const MOST_FILES: usize = 100_000;
const MOST_DEPTH: usize = 16;

/// A pipeline file.
pub struct Source {
    /// As it was named.
    pub shown: String,
    /// Inside its repository, as far as that can be told: which language it is in depends on its folder.
    pub path: String,
    /// The repository's top folder, where the path tells it.
    pub root: Option<PathBuf>,
    /// Its text, or what is wrong with the file as a whole.
    pub text: Result<String, Diagnostic>,
}

/// The files that are meant: those named, and all of the folders that are named. Without names, the conventional
/// folders of the current one. Sorted inside a folder, each once.
pub fn find(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    if paths.is_empty() {
        let here: Vec<&str> = FOLDERS.into_iter().filter(|folder| Path::new(folder).is_dir()).collect();
        for folder in &here {
            in_folder(Path::new(folder), &mut found)?;
        }
        if found.is_empty() {
            return Err(Failure::usage(format!("there is no pipeline file in {}", FOLDERS.join(" or in ")))
                .mend("change to a repository's top folder, or name files or folders"));
        }
    }
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            in_folder(path, &mut found)?;
            if found.len() == before {
                return Err(Failure::usage(format!("{} holds no pipeline file", path.display()))
                    .mend("their names end in .yml or .yaml"));
            }
        } else {
            found.push(path.clone());
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

/// A repository's folder stands for the conventional folders in it; any other for all that is in it.
fn in_folder(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome {
    let inner: Vec<PathBuf> =
        FOLDERS.iter().map(|name| folder.join(name)).filter(|inner| inner.is_dir()).collect();
    if inner.is_empty() {
        return walk(folder, MOST_DEPTH, found);
    }
    inner.iter().try_for_each(|inner| walk(inner, MOST_DEPTH, found))
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Outcome {
    let problem = |error: std::io::Error| {
        Failure::usage(format!("cannot list the folder {}", folder.display())).because(error)
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(problem)? {
        let entry = entry.map_err(problem)?;
        entries.push((entry.path(), entry.file_type().map_err(problem)?));
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (path, kind) in entries {
        if kind.is_dir() && depth > 0 && !hidden(&path) {
            walk(&path, depth - 1, found)?;
        } else if !kind.is_dir() && is_yaml(&path) && path.is_file() {
            if found.len() >= MOST_FILES {
                return Err(Failure::usage(format!(
                    "{} holds more than {MOST_FILES} files",
                    folder.display()
                ))
                .mend("name a folder of pipelines"));
            }
            found.push(path);
        }
    }
    Ok(())
}

/// The descriptions of a repository's own actions: at its top, and below `.github`.
pub fn actions(root: &Path) -> Outcome<Vec<PathBuf>> {
    let named = |path: &PathBuf| path.file_stem().is_some_and(|name| name == "action");
    let mut found = Vec::new();
    let folder = root.join(".github");
    if folder.is_dir() {
        walk(&folder, MOST_DEPTH, &mut found)?;
    }
    let top = ["action.yml", "action.yaml"].map(|name| root.join(name));
    found.extend(top.into_iter().filter(|path| path.is_file()));
    found.retain(named);
    Ok(found)
}

fn hidden(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with('.'))
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml")
}

/// Reads a file. One that is too large or no text is a finding like any other; one that cannot be read is a failure.
pub fn read(path: &Path) -> Outcome<Source> {
    let shown = path.display().to_string();
    let problem = |error| {
        Failure::usage(format!("cannot read {}", path.display()))
            .because(error)
            .mend("name a pipeline file, or a folder of them")
    };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)).map_err(problem)?;
    let text = if bytes.len() as u64 > MOST_BYTES {
        let message = format!("the file has more than {} MiB, which no pipeline file has", MOST_BYTES >> 20);
        Err(Diagnostic::about_file(codes::TOO_LARGE, &shown, message))
    } else {
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let message = format!("the file is not UTF-8: byte {} belongs to no character", at + 1);
            Diagnostic::about_file(codes::SYNTAX, &shown, message)
        })
    };
    let here = std::env::current_dir().unwrap_or_default();
    let whole = here.join(path);
    let known = inside(&whole);
    let root = known.as_ref().and_then(|inside| {
        let up = Path::new(inside).components().count();
        whole.canonicalize().ok()?.ancestors().nth(up).map(Path::to_path_buf)
    });
    let path = match known {
        Some(path) => path,
        None if text.as_deref().is_ok_and(is_workflow) => as_workflow(path),
        None => shown.clone(),
    };
    Ok(Source { path, root, shown, text })
}

fn as_workflow(path: &Path) -> String {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or("workflow.yml");
    format!("{}/{name}", FOLDERS[1])
}

/// All that is wrong with a file. What it calls is read from the working tree; what is not there (and whatever is of
/// another repository) is taken for right, with a warning where the file is in its place in a working tree. Where there
/// are machines a stage must not ask for others.
pub fn check(
    path: &str,
    tree: &dyn Files,
    machines: &BTreeMap<String, Machine>,
    at_home: bool,
    text: &str,
) -> Vec<Diagnostic> {
    let file = SourceFile { path, text };
    let files = StandIns::new(tree, text);
    let mut found = check_in(&file, Setting { files: &files, machines, ..Setting::default() });
    if at_home {
        found.extend(not_there(&file, &files.missing()));
        found.sort_by_key(|one| one.span.start);
    }
    found
}

/// Whether a file of no conventional folder is a GitHub Actions workflow: it has jobs, and no stages.
fn is_workflow(text: &str) -> bool {
    let has = |key: &str| {
        text.lines().any(|line| {
            let rest = line.trim_start_matches(['"', '\'']).strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
        })
    };
    has("jobs") && !has("stages")
}

/// The files of a working tree that a pipeline file may name.
pub struct TreeFiles {
    root: PathBuf,
}

impl TreeFiles {
    /// Those of the working tree that a file is in; where there is none, those below the current folder.
    pub fn around(path: &Path) -> Self {
        let whole = path.canonicalize().unwrap_or_default();
        let root = whole.ancestors().skip(1).find(|folder| folder.join(".git").exists());
        Self::new(root.unwrap_or(Path::new(".")))
    }

    /// Those below this folder.
    pub fn new(root: &Path) -> Self {
        Self { root: root.canonicalize().unwrap_or_else(|_| root.to_path_buf()) }
    }

    /// The working tree's top folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// The texts of the other files that diagnostics are about, by the names that they have there.
pub fn others(diagnostics: &[Diagnostic], own: &str, files: &dyn Files) -> Vec<(String, String)> {
    let related = diagnostics.iter().flat_map(|one| one.related.iter().filter_map(|one| one.file.as_ref()));
    let names = diagnostics.iter().map(|one| &one.file).chain(related).filter(|name| *name != own);
    let mut texts: Vec<(String, String)> = Vec::new();
    for name in names {
        if !texts.iter().any(|(known, _)| known == name)
            && let Ok(text) = files.read(&FileRef::named(name))
        {
            texts.push((name.clone(), text));
        }
    }
    texts
}

impl Files for TreeFiles {
    fn read(&self, file: &FileRef) -> Result<String, String> {
        let path = match file {
            FileRef::Same(path) => path,
            FileRef::Other { repository, .. } => {
                return Err(format!("files of {repository} are read by a server only, not on this machine"));
            }
        };
        let problem = |error| format!("cannot read `{path}` in the working tree: {error}");
        // Resolved first, so that neither `..` nor a link leads out of the working tree.
        let whole = self.root.join(path).canonicalize().map_err(problem)?;
        if !whole.starts_with(&self.root) {
            return Err(format!("`{path}` leads out of the working tree"));
        }
        let mut text = String::new();
        let file = File::open(&whole).map_err(problem)?;
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(problem)?;
        Ok(text)
    }
}

/// The part of an absolute path that is inside the repository, told by the conventional folders.
pub fn inside(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    let start = (0..parts.len()).rev().find(|at| {
        let rest = parts.get(*at..).unwrap_or_default();
        rest.starts_with(&[".tidegate"]) || rest.starts_with(&[".github", "workflows"])
    })?;
    Some(parts.get(start..)?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "on: push\n").unwrap();
    }

    #[test]
    fn a_repository_stands_for_its_pipelines_and_a_folder_for_all_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [
            "compose.yml",
            ".tidegate/b.yml",
            ".tidegate/a.yaml",
            ".tidegate/notes.md",
            ".github/workflows/ci.yml",
        ] {
            touch(&at(name));
        }
        let all = find(&[folder.path().to_owned()]).unwrap();
        assert_eq!(all, [".tidegate/a.yaml", ".tidegate/b.yml", ".github/workflows/ci.yml"].map(at));
        touch(&at("other/deep/x.yml"));
        touch(&at("other/.git/y.yml"));
        std::os::unix::fs::symlink(folder.path(), at("other/loop")).unwrap();
        assert_eq!(find(&[at("other"), at("other/deep/x.yml")]).unwrap(), [at("other/deep/x.yml")]);
        fs::create_dir(at("empty")).unwrap();
        assert_eq!(find(&[at("empty")]).err().unwrap().code, 2);
    }

    #[test]
    fn what_is_no_text_is_a_finding() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yml");
        fs::write(&path, b"on: \xff").unwrap();
        let found = read(&path).unwrap().text.unwrap_err();
        assert!(found.code == "TG0101" && found.message.contains("byte 5"), "{found:?}");
        fs::write(&path, vec![b'x'; usize::try_from(MOST_BYTES).unwrap() + 1]).unwrap();
        assert_eq!(read(&path).unwrap().text.unwrap_err().code, "TG0102");
        assert_eq!(read(&folder.path().join("none.yml")).err().unwrap().code, 2);
    }

    #[test]
    fn workflows_are_known_by_their_jobs() {
        assert!(is_workflow("on: push\njobs:\n  a: {}\n") && is_workflow("\"jobs\" : {}\n"));
        assert!(!is_workflow("on: push\nstages:\n  jobs:\n") && !is_workflow("stages: {}\njobs: {}\n"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ci.yml");
        fs::write(&path, "on: push\njobs: {}\n").unwrap();
        assert_eq!(read(&path).unwrap().path, ".github/workflows/ci.yml");
    }

    #[test]
    fn other_files_are_read_below_the_working_tree_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        touch(&root.join("ci/part.yml"));
        fs::write(folder.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
        let files = TreeFiles::new(&root);
        let same = |path: &str| files.read(&FileRef::Same(path.to_owned()));
        assert_eq!(same("ci/part.yml").as_deref(), Ok("on: push\n"));
        for wrong in ["../secret", "link", "/etc/hostname", "none.yml"] {
            assert!(same(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_path_inside_the_repository_decides_the_language() {
        for (path, expected) in [
            ("/srv/app/.github/workflows/ci.yml", Some(".github/workflows/ci.yml")),
            ("/srv/app/.tidegate/../.tidegate/x/p.yml", Some(".tidegate/x/p.yml")),
            ("/srv/app/ci.yml", None),
        ] {
            assert_eq!(inside(Path::new(path)).as_deref(), expected);
        }
    }
}
