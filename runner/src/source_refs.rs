//! The refs of a remote repository, without fetching anything of it.
//!
//! Credentials are those of the SSH agent, or a token that is bound to the host it was given for; nothing is asked of
//! a person. A `file://` URL is one that whoever calls this named himself.

use std::{cell::Cell, collections::BTreeMap};

use git2::{Cred, CredentialType, Direction, Remote, RemoteCallbacks};
use url::Url;

/// More refs than this are no repository of an action.
const MOST_REFS: usize = 200_000;

/// The names of all refs in full (tags that are objects of their own also as `…^{}`, with what they point at) and their
/// ids. An error is one sentence. Blocking.
pub fn remote_refs(url: &str, login: Option<(&str, &str)>) -> Result<BTreeMap<String, String>, String> {
    let parsed = Url::parse(url).map_err(|error| format!("`{url}` is no URL: {error}"))?;
    if !matches!(parsed.scheme(), "https" | "http" | "ssh" | "file") {
        return Err(format!("{}:// is no protocol to ask a repository with", parsed.scheme()));
    }
    let failed = |error: git2::Error| format!("cannot ask {url} for its refs: {}", error.message());
    let tries = Cell::new(0);
    let mut callbacks = RemoteCallbacks::new();
    callbacks.credentials(|asked, user, allowed| {
        // The library asks again after a refusal; once was enough.
        tries.set(tries.get() + 1);
        let same_host = Url::parse(asked).is_ok_and(|asked| asked.host_str() == parsed.host_str());
        match login {
            _ if tries.get() > 1 => Err(git2::Error::from_str("the credentials were refused")),
            Some((user, token)) if same_host && allowed.contains(CredentialType::USER_PASS_PLAINTEXT) => {
                Cred::userpass_plaintext(user, token)
            }
            _ if allowed.contains(CredentialType::SSH_KEY) => Cred::ssh_key_from_agent(user.unwrap_or("git")),
            _ => Err(git2::Error::from_str("it wants credentials, and there are none for it")),
        }
    });
    let mut remote = Remote::create_detached(url).map_err(failed)?;
    let connection = remote.connect_auth(Direction::Fetch, Some(callbacks), None).map_err(failed)?;
    let heads = connection.list().map_err(failed)?;
    if heads.len() > MOST_REFS {
        return Err(format!("{url} has {} refs, which is more than are looked at", heads.len()));
    }
    Ok(heads.iter().map(|head| (head.name().to_owned(), head.oid().to_string())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::git;

    #[test]
    fn branches_and_tags_are_told_with_what_tags_point_at() {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "-q", "--initial-branch=main"]);
        std::fs::write(folder.path().join("a"), "1").unwrap();
        git(folder.path(), &["add", "-A"]);
        git(folder.path(), &["commit", "-q", "-m", "one"]);
        git(folder.path(), &["tag", "-a", "v1", "-m", "one"]);
        let commit = git(folder.path(), &["rev-parse", "HEAD"]);
        let refs = remote_refs(&format!("file://{}", folder.path().display()), None).unwrap();
        assert_eq!(refs.get("refs/heads/main"), Some(&commit));
        assert_eq!(refs.get("refs/tags/v1^{}"), Some(&commit));
        assert_ne!(refs.get("refs/tags/v1"), Some(&commit));
    }

    #[test]
    fn what_is_not_there_is_one_sentence() {
        let error = remote_refs("file:///no/such/repository", None).unwrap_err();
        assert!(error.contains("/no/such/repository") && !error.contains('\n'), "{error}");
        assert!(remote_refs("ext::sh -c x", None).is_err());
        assert!(remote_refs("git://example.org/x", None).unwrap_err().contains("no protocol"));
    }
}
