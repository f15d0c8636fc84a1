//! From a reference to the files of an action.
//!
//! Each repository has a bare mirror below the runner's data folder, made once. A stage gets a copy of the commit in
//! its own folder, straight from the mirror, whose objects are checked against their hashes: what a stage does to its
//! copy reaches no other one. A version that is a commit costs no call to the remote once it is there; a tag or
//! branch is asked for each time, since it may have been moved.

use std::path::Path;

use tidegate_protocol::messages::Source;
use url::Url;

use super::{SourceMapping, lock::Lock, reference::Remote};
use crate::source;

/// Where actions come from unless settings say otherwise.
pub const DEFAULT: &str = "https://github.com/";

/// An action's files, fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The commit.
    pub commit: String,
    /// Why the remote could not be asked, when the commit is what the version meant before.
    pub stale: Option<String>,
}

/// The repository's URL, and whether the runner's settings named it.
pub fn url(repository: &str, mappings: &[SourceMapping]) -> (String, bool) {
    let whole = format!("{DEFAULT}{repository}");
    let lower = repository.to_lowercase();
    let fits = |mapping: &&SourceMapping| {
        let from = mapping.from.to_lowercase();
        if from.contains("://") {
            whole.to_lowercase().starts_with(&from)
        } else {
            lower == from || from.ends_with('/') && lower.starts_with(&from)
        }
    };
    let Some(mapping) = mappings.iter().filter(fits).max_by_key(|mapping| weight(mapping)) else {
        return (whole, false);
    };
    let subject = if mapping.from.contains("://") { whole.as_str() } else { repository };
    let rest = subject.get(mapping.from.len()..).unwrap_or_default();
    (format!("{}{rest}", mapping.to), true)
}

/// The longest one wins, as if each were a URL.
fn weight(mapping: &SourceMapping) -> usize {
    mapping.from.len() + if mapping.from.contains("://") { 0 } else { DEFAULT.len() }
}

/// Fetches the repository of an action into `dest`, a folder that is made. `home` is where the stage's own source is: its credentials are
/// used for actions of the same host, when they may be. Blocking.
pub fn fetch(
    action: &Remote,
    mirrors: &Path,
    mappings: &[SourceMapping],
    home: Option<&Source>,
    lock: Option<&Lock>,
    dest: &Path,
) -> Result<Fetched, String> {
    let (clone_url, mapped) = url(&action.repository, mappings);
    let host = |url: &str| Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let login = home
        .filter(|home| host(&clone_url).is_some() && host(&home.clone_url) == host(&clone_url))
        .and_then(|home| home.login.clone());
    let source = Source {
        repository: action.repository.clone(),
        clone_url,
        login,
        reference: action.reference.clone(),
        sha: String::new(),
    };
    // A file:// URL is one that the runner's own settings name, so it may be used.
    let resolved = source::resolve(mirrors, &source, mapped).map_err(|error| error.to_string())?;
    if let Some(lock) = lock {
        lock.allows(action, &resolved.commit)?;
    }
    source::export(mirrors, &source, &resolved.commit, dest).map_err(|error| error.to_string())?;
    Ok(Fetched { commit: resolved.commit, stale: resolved.stale })
}

/// Writes the files of the stage's own repository at its commit into `dest`, a folder that is made. Blocking.
pub fn export(mirrors: &Path, own: Source, allow_file: bool, dest: &Path) -> Result<Fetched, String> {
    let own = Source { reference: own.sha.clone(), ..own };
    let resolved = source::resolve(mirrors, &own, allow_file).map_err(|error| error.to_string())?;
    source::export(mirrors, &own, &resolved.commit, dest).map_err(|error| error.to_string())?;
    Ok(Fetched { commit: resolved.commit, stale: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mapping_that_fits_wins() {
        let mapping = |from: &str, to: &str| SourceMapping { from: from.to_owned(), to: to.to_owned() };
        let mappings = [
            mapping("https://github.com/", "https://mirror.example.org/"),
            mapping("actions/", "file:///srv/actions/"),
            mapping("actions/checkout", "file:///srv/own-checkout"),
        ];
        let at = |repository: &str| url(repository, &mappings).0;
        assert_eq!(at("Team/tool"), "https://mirror.example.org/Team/tool");
        assert_eq!(at("actions/cache"), "file:///srv/actions/cache");
        assert_eq!(at("Actions/Checkout"), "file:///srv/own-checkout");
        assert_eq!(at("actions/checkout2"), "file:///srv/actions/checkout2");
        assert_eq!(url("team/tool", &[]), ("https://github.com/team/tool".to_owned(), false));
    }
}
