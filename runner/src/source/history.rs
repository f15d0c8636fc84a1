//! A workspace with as much of the repository's history as is asked for.

use std::{collections::BTreeSet, io::Write as _, path::Path};

use git2::{ObjectType, Oid, Repository, build::CheckoutBuilder};
use tidegate_protocol::messages::Source;

use super::{Checkout, SourceError, check_url, fetch_refspecs, present, write_file};

/// The most commits that a depth may ask for; more is asked for as everything.
const DEEPEST: u32 = 100_000;

/// How much of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// So many commits, at least 1.
    Commits(u32),
    /// All of it, with all branches and tags.
    All,
}

/// What a checkout is to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// How much of the history.
    pub depth: Depth,
    /// The tags too.
    pub tags: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { depth: Depth::Commits(1), tags: false }
    }
}

/// Puts the source's commit with some of its history into `dest`, an empty folder. Blocking.
pub fn checkout_as(
    mirrors: &Path,
    source: &Source,
    dest: &Path,
    allow_file: bool,
    wish: &Wish,
) -> Result<Checkout, SourceError> {
    let (mirror, commit) = present(mirrors, source, allow_file)?;
    let all = wish.depth == Depth::All;
    let mut wanted = Vec::new();
    if all {
        wanted.push("+refs/heads/*:refs/heads/*");
    }
    if all || wish.tags {
        wanted.push("+refs/tags/*:refs/tags/*");
    }
    if !wanted.is_empty() {
        fetch_refspecs(&mirror.repository, source, &check_url(source, allow_file)?, &wanted)?;
    }
    let what = || format!("check out {} into the workspace", source.sha);
    let mut notes = Vec::new();
    let tree = mirror.repository.find_commit(commit).and_then(|commit| commit.tree());
    if tree.is_ok_and(|tree| tree.get_name(".gitmodules").is_some()) {
        notes.push("submodules are not fetched".to_owned());
    }
    let mut options = git2::RepositoryInitOptions::new();
    options.external_template(false).initial_head("main");
    let repository = Repository::init_opts(dest, &options).map_err(SourceError::local(what()))?;
    let copied = copy(&mirror.repository, &repository, commit, wish).map_err(SourceError::local(what()))?;
    if !copied.cut.is_empty() {
        // Git's own mark of a history that is cut here.
        let lines: String = copied.cut.iter().map(|commit| format!("{commit}\n")).collect();
        write_file(&repository.path().join("shallow"), lines.as_bytes())?;
    }
    // Opened again, so that the cut is known.
    let repository = Repository::open(dest).map_err(SourceError::local(what()))?;
    set_head(&repository, source, commit).map_err(SourceError::local(what()))?;
    for (name, target) in copied.refs {
        repository.reference(&name, target, true, "tidegate").map_err(SourceError::local(what()))?;
    }
    repository.remote("origin", &source.clone_url).map_err(SourceError::local(what()))?;
    let object =
        repository.find_object(commit, Some(ObjectType::Commit)).map_err(SourceError::local(what()))?;
    let mut checkout = CheckoutBuilder::new();
    checkout.force();
    repository.checkout_tree(&object, Some(&mut checkout)).map_err(SourceError::local(what()))?;
    Ok(Checkout { from_mirror: mirror.from_mirror, notes })
}

struct Copied {
    /// Commits whose parents are left out.
    cut: Vec<Oid>,
    /// Refs to make in the workspace's repository.
    refs: Vec<(String, Oid)>,
}

/// Copies commits with their trees, as one pack.
fn copy(mirror: &Repository, to: &Repository, commit: Oid, wish: &Wish) -> Result<Copied, git2::Error> {
    let mut refs = Vec::new();
    let all = wish.depth == Depth::All;
    let mut builder = mirror.packbuilder()?;
    for reference in mirror.references()?.flatten() {
        let (Some(name), Some(target)) = (reference.name().ok(), reference.target()) else { continue };
        if let Some(branch) = name.strip_prefix("refs/heads/").filter(|_| all) {
            refs.push((format!("refs/remotes/origin/{branch}"), target));
        } else if name.starts_with("refs/tags/") && (all || wish.tags) {
            refs.push((name.to_owned(), target));
        }
    }
    let cut = match wish.depth {
        Depth::All => {
            let mut walk = mirror.revwalk()?;
            walk.push(commit)?;
            for (_, target) in &refs {
                walk.push(mirror.find_object(*target, None)?.peel_to_commit()?.id())?;
            }
            builder.insert_walk(&mut walk)?;
            Vec::new()
        }
        Depth::Commits(depth) => {
            let (commits, cut) = shallow(mirror, commit, depth.clamp(1, DEEPEST))?;
            for commit in &commits {
                builder.insert_commit(*commit)?;
            }
            // A tag of a commit that is left out would lead nowhere.
            refs.retain(|(_, target)| {
                let peeled = mirror.find_object(*target, None).and_then(|object| object.peel_to_commit());
                peeled.is_ok_and(|peeled| commits.contains(&peeled.id()))
            });
            cut
        }
    };
    for (_, target) in &refs {
        if mirror.find_tag(*target).is_ok() {
            builder.insert_object(*target, None)?;
        }
    }
    let odb = to.odb()?;
    let mut writer = odb.packwriter()?;
    let mut failed = None;
    builder.foreach(|chunk| match writer.write_all(chunk) {
        Ok(()) => true,
        Err(error) => {
            failed = Some(error);
            false
        }
    })?;
    if let Some(error) = failed {
        return Err(git2::Error::from_str(&error.to_string()));
    }
    writer.commit()?;
    Ok(Copied { cut, refs })
}

/// The commits within a depth, and those of them where the history is cut.
fn shallow(mirror: &Repository, commit: Oid, depth: u32) -> Result<(BTreeSet<Oid>, Vec<Oid>), git2::Error> {
    let mut commits = BTreeSet::from([commit]);
    let mut last = vec![commit];
    for _ in 1..depth {
        let mut next = Vec::new();
        for commit in &last {
            let parents: Vec<Oid> = mirror.find_commit(*commit)?.parent_ids().collect();
            next.extend(parents.into_iter().filter(|parent| commits.insert(*parent)));
        }
        if next.is_empty() {
            break;
        }
        last = next;
    }
    let mut cut = Vec::new();
    for commit in &commits {
        let left_out = mirror.find_commit(*commit)?.parent_ids().any(|parent| !commits.contains(&parent));
        if left_out || depth == 1 {
            cut.push(*commit);
        }
    }
    Ok((commits, cut))
}

/// On the branch that was pushed where there is one, else detached.
fn set_head(repository: &Repository, source: &Source, commit: Oid) -> Result<(), git2::Error> {
    repository.reference(&source.reference, commit, true, "tidegate")?;
    if source.reference.starts_with("refs/heads/") {
        repository.set_head(&source.reference)
    } else {
        repository.set_head_detached(commit)
    }
}
