//! Files that other repositories publish (actions): a name becomes a commit, and the commit plain files without a
//! repository around them.

use std::path::Path;

use git2::{Direction, ObjectType, Oid, Repository, build::CheckoutBuilder};
use tidegate_protocol::messages::Source;
use url::Url;

use super::{SourceError, callbacks, check_url, failed, fetch_refspecs, lock, mirror_name, open_mirror};

/// The longest file that [`read_file`] reads, in bytes.
const LONGEST: usize = 1 << 20;

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The commit.
    pub commit: String,
    /// The full ref that leads to it; none for a commit's own id.
    pub full: Option<String>,
    /// The remote could not be asked, and this is what the name meant before; why.
    pub stale: Option<String>,
}

/// Finds the commit that `source.reference` (a commit, tag or branch, or a full ref) leads to, and makes it present in
/// the repository's mirror. A commit that is there already costs no call. Blocking.
pub fn resolve(mirrors: &Path, source: &Source, allow_file: bool) -> Result<Resolved, SourceError> {
    let url = check_url(source, allow_file)?;
    let name = source.reference.as_str();
    let folder = mirrors.join(mirror_name(source));
    std::fs::create_dir_all(&folder).map_err(SourceError::io(format!("create {}", folder.display())))?;
    let _lock = lock(&folder)?;
    let mirror = open_mirror(&folder)?;
    if name.len() == 40
        && let Ok(commit) = Oid::from_str(name)
    {
        if mirror.find_commit(commit).is_err() {
            fetch_refspecs(&mirror, source, &url, &[&format!("+{name}:refs/tidegate/{name}")])?;
        }
        return match mirror.find_commit(commit) {
            Ok(_) => Ok(Resolved { commit: commit.to_string(), full: None, stale: None }),
            Err(_) => Err(unknown(source)),
        };
    }
    if !full_names(name).iter().all(|full| git2::Reference::is_valid_name(full)) {
        return Err(SourceError::Refused(format!("`{name}` is no name of a commit, tag or branch")));
    }
    match ask(&mirror, source, &url) {
        Ok(Some(full)) => {
            fetch_refspecs(&mirror, source, &url, &[&format!("+{full}:{full}")])?;
            let commit = commit_of(&mirror, &full).ok_or_else(|| unknown(source))?;
            Ok(Resolved { commit, full: Some(full), stale: None })
        }
        Ok(None) => Err(unknown(source)),
        // The remote is away: what the name meant when it was there is better than nothing, and is said.
        Err(error) => match full_names(name)
            .into_iter()
            .find_map(|full| Some((commit_of(&mirror, &full)?, full)))
        {
            Some((commit, full)) => Ok(Resolved { commit, full: Some(full), stale: Some(error.to_string()) }),
            None => Err(error),
        },
    }
}

fn unknown(source: &Source) -> SourceError {
    SourceError::Fetch {
        repository: source.repository.clone(),
        reference: source.reference.clone(),
        reason: "there is no such tag, branch or commit".to_owned(),
    }
}

/// A tag is meant before a branch of the same name.
fn full_names(name: &str) -> Vec<String> {
    if name.starts_with("refs/") {
        return vec![name.to_owned()];
    }
    vec![format!("refs/tags/{name}"), format!("refs/heads/{name}")]
}

/// The full name of the remote's ref, if it has one.
fn ask(mirror: &Repository, source: &Source, url: &Url) -> Result<Option<String>, SourceError> {
    let names = full_names(&source.reference);
    let mut remote = mirror.remote_anonymous(&source.clone_url).map_err(failed(source))?;
    let connection =
        remote.connect_auth(Direction::Fetch, Some(callbacks(source, url)), None).map_err(failed(source))?;
    let heads = connection.list().map_err(failed(source))?;
    if source.reference == "HEAD" {
        let head = heads.iter().find(|head| head.name() == "HEAD");
        let target = head.and_then(|head| head.symref_target()).map(str::to_owned);
        return Ok(target.filter(|target| git2::Reference::is_valid_name(target)));
    }
    Ok(names.into_iter().find(|full| heads.iter().any(|head| head.name() == full.as_str())))
}

fn commit_of(mirror: &Repository, full: &str) -> Option<String> {
    let commit = mirror.find_reference(full).ok()?.peel_to_commit().ok()?;
    Some(commit.id().to_string())
}

/// Writes the files of a commit that is in the mirror into `dest`, a folder that is made. Every object is checked
/// against its hash on the way. Blocking.
pub fn export(mirrors: &Path, source: &Source, commit: &str, dest: &Path) -> Result<(), SourceError> {
    let what = || format!("write {} at {commit}", source.repository);
    let folder = mirrors.join(mirror_name(source));
    let _lock = lock(&folder)?;
    let mirror = open_mirror(&folder)?;
    let oid = Oid::from_str(commit).map_err(SourceError::local(what()))?;
    let object = mirror.find_object(oid, Some(ObjectType::Commit)).map_err(SourceError::local(what()))?;
    std::fs::create_dir_all(dest).map_err(SourceError::io(what()))?;
    let mut checkout = CheckoutBuilder::new();
    checkout.force().update_index(false).disable_filters(true).target_dir(dest);
    mirror.checkout_tree(&object, Some(&mut checkout)).map_err(SourceError::local(what()))
}

/// A text file of the source's commit; none when there is no such file. Fetches what is missing. Blocking.
pub fn read_file(
    mirrors: &Path,
    source: &Source,
    path: &str,
    allow_file: bool,
) -> Result<Option<String>, SourceError> {
    let (mirror, commit) = super::present(mirrors, source, allow_file)?;
    let commit = mirror.repository.find_commit(commit).map_err(SourceError::local("find the commit"))?;
    let tree = commit.tree().map_err(SourceError::local("read the commit"))?;
    let Ok(entry) = tree.get_path(Path::new(path)) else { return Ok(None) };
    let object = entry.to_object(&mirror.repository).map_err(SourceError::local(format!("read {path}")))?;
    let Some(blob) = object.as_blob() else { return Ok(None) };
    if blob.size() > LONGEST {
        return Err(SourceError::Refused(format!("{path} is larger than {} KiB", LONGEST >> 10)));
    }
    Ok(Some(String::from_utf8_lossy(blob.content()).into_owned()))
}
