//! `tidegate lock`: pins the remote actions of a repository's workflows to commits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use owo_colors::OwoColorize;
use tidegate_pipelines::{
    SourceFile,
    lockfile::{self, Change, Lock as Locked, PATH, Reference},
};
use tidegate_runner::source_refs::remote_refs;

use super::runs::name_and_value;
use crate::{
    failure::{Doing, Failure, Outcome},
    files, parallel,
    terminal::short_digest,
    worktree::WorkTree,
};

/// Where actions come from unless something else is said.
const FORGE: &str = "https://github.com/";

/// Write .github/tidegate-actions.lock: the commits of all remote actions that the workflows use
///
/// Actions that are in the file already keep their commits; new ones are looked up, those that nothing uses any more
/// go. Exit codes: 0 the file is right (or was made so), 1 with --check it is not, 2 wrong use.
#[derive(Args)]
pub struct Lock {
    /// The repository's top folder [default: that of the current folder]
    folder: Option<PathBuf>,
    /// Write nothing; fail when the file is not complete, or a reference leads to another commit now
    #[arg(long, conflicts_with = "update")]
    check: bool,
    /// Look up all actions again
    #[arg(long)]
    update: bool,
    /// Where actions come from instead: an action, an owner with `/`, or the beginning of a URL, and a URL; may be given
    /// again, and the longest that fits wins
    #[arg(long = "source", value_name = "FROM=URL", value_parser = name_and_value)]
    sources: Vec<(String, String)>,
}

impl Lock {
    /// Looks up what is missing, and writes or compares.
    pub fn run(self) -> Outcome {
        let root = match &self.folder {
            Some(folder) => folder.clone(),
            None => {
                let here = std::env::current_dir().doing("cannot tell the current folder")?;
                WorkTree::open(&here).map_or(here, |tree| tree.root)
            }
        };
        let path = root.join(PATH);
        let before = read(&path)?;
        let used = used(&root)?;
        let mut after = Locked::default();
        let mut open = BTreeSet::new();
        for reference in used {
            match before.commits.get(&reference).filter(|_| !self.update && !self.check) {
                Some(commit) => {
                    after.commits.insert(reference, commit.clone());
                }
                None => {
                    open.insert(reference);
                }
            }
        }
        after.commits.extend(self.look_up(open)?);
        let changes = before.changes(&after);
        if self.check {
            return check(&path, &changes, after.commits.len());
        }
        if changes.is_empty() && (path.exists() || after.commits.is_empty()) {
            anstream::println!("{}: {} actions, nothing to change", path.display(), after.commits.len());
            return Ok(());
        }
        changes.iter().for_each(tell);
        write(&path, &after.text())
    }

    /// The commits that references lead to; one call for each repository.
    fn look_up(&self, open: BTreeSet<Reference>) -> Outcome<BTreeMap<Reference, String>> {
        let mut found = BTreeMap::new();
        let mut repositories: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
        for reference in open {
            match reference.commit().map(str::to_lowercase) {
                Some(commit) => {
                    found.insert(reference, commit);
                }
                None => repositories.entry(reference.repository.clone()).or_default().push(reference),
            }
        }
        let names: Vec<&String> = repositories.keys().collect();
        let answers = parallel::map(&names, |name| remote_refs(&url(name, &self.sources), None));
        for (name, answer) in names.into_iter().zip(answers) {
            let refs = answer.map_err(|why| {
                Failure::new(format!("cannot look up the actions of {name}"))
                    .because(why)
                    .mend("`--source FROM=URL` names another place for them")
            })?;
            for reference in repositories.get(name).into_iter().flatten() {
                let commit = lockfile::resolve(&reference.reference, &refs).ok_or_else(|| {
                    Failure::new(format!("{reference} leads nowhere"))
                        .because(format!("{name} has no tag or branch `{}`", reference.reference))
                        .mend("correct the workflow that uses it")
                })?;
                found.insert(reference.clone(), commit);
            }
        }
        Ok(found)
    }
}

/// The repository's URL; the longest mapping that fits decides, as if each were a URL.
fn url(repository: &str, sources: &[(String, String)]) -> String {
    let whole = format!("{FORGE}{repository}");
    let full = |from: &str| if from.contains("://") { from.to_owned() } else { format!("{FORGE}{from}") };
    let fits = |from: &str| {
        let from = full(from).to_lowercase();
        let whole = whole.to_lowercase();
        whole == from || from.ends_with('/') && whole.starts_with(&from)
    };
    let best = sources.iter().filter(|(from, _)| fits(from)).max_by_key(|(from, _)| full(from).len());
    match best {
        Some((from, to)) => format!("{to}{}", whole.get(full(from).len()..).unwrap_or_default()),
        None => whole,
    }
}

/// The lock as it is; an empty one when there is none.
fn read(path: &Path) -> Outcome<Locked> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Locked::default()),
        Err(error) => return Err(Failure::usage(format!("cannot read {}", path.display())).because(error)),
    };
    Locked::parse(&text).map_err(|why| {
        Failure::usage(format!("{} is no lock file", path.display()))
            .because(why)
            .mend("correct the line, or remove the file and make it again")
    })
}

/// All remote actions of the workflows, and of actions of the repository's own.
fn used(root: &Path) -> Outcome<BTreeSet<Reference>> {
    let workflows = root.join(".github/workflows");
    let mut paths = if workflows.is_dir() { files::find(&[workflows])? } else { Vec::new() };
    paths.extend(files::actions(root)?);
    let mut all = BTreeSet::new();
    for path in paths {
        let source = files::read(&path)?;
        let found = source.text.map_err(|found| vec![found]).and_then(|text| {
            let file = SourceFile { path: &source.shown, text: &text };
            lockfile::references(&file)
        });
        all.extend(found.map_err(|found| {
            let failure = Failure::new(format!("{} cannot be read", path.display()));
            found.into_iter().fold(failure, |failure, one| failure.because(one.message))
        })?);
    }
    Ok(all)
}

fn check(path: &Path, changes: &[Change], count: usize) -> Outcome {
    if changes.is_empty() {
        anstream::println!("{}: {count} actions, all as locked", path.display());
        return Ok(());
    }
    changes.iter().for_each(tell);
    let failure = Failure::new(format!("{} is not what the workflows and their actions say", path.display()));
    Err(failure
        .mend("look at what changed, then run `tidegate lock`, with --update for references that were moved"))
}

fn tell(change: &Change) {
    let Change { reference, before, after } = change;
    match (before, after) {
        (None, Some(after)) => anstream::println!("{} {reference} {}", "+".green(), short_digest(after)),
        (Some(before), None) => anstream::println!("{} {reference} {}", "-".red(), short_digest(before)),
        (Some(before), Some(after)) => {
            anstream::println!(
                "{} {reference} {} -> {}",
                "~".yellow(),
                short_digest(before),
                short_digest(after)
            );
        }
        (None, None) => {}
    }
}

/// Written beside and moved over, so that there is never half a lock.
fn write(path: &Path, text: &str) -> Outcome {
    let what = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).doing(what())?;
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .doing(what())?;
    std::io::Write::write_all(&mut file, text.as_bytes()).doing(what())?;
    file.persist(path).map_err(|error| error.error).doing(what())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_source_that_fits_wins() {
        let sources = [
            ("https://github.com/", "https://mirror.example.org/"),
            ("actions/", "file:///srv/actions/"),
            ("actions/checkout", "file:///srv/own"),
        ]
        .map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(url("a/b", &sources), "https://mirror.example.org/a/b");
        assert_eq!(url("Actions/cache", &sources), "file:///srv/actions/cache");
        assert_eq!(url("actions/checkout", &sources), "file:///srv/own");
        assert_eq!(url("a/b", &[]), "https://github.com/a/b");
    }
}
