//! Names from outside, checked before git sees them.

use std::path::{Component, Path};

use url::Url;

use super::GitError;

/// Only schemes that speak git over the network, and files where the server allows them.
pub fn check_url(url: &str, allow_file: bool) -> Result<Url, GitError> {
    let parsed =
        Url::parse(url).map_err(|error| GitError::Gone(format!("`{url}` is no clone URL: {error}")))?;
    match parsed.scheme() {
        "https" | "http" | "ssh" => Ok(parsed),
        "file" if allow_file => Ok(parsed),
        "file" => Err(GitError::Gone("file:// clone URLs are not allowed on this server".to_owned())),
        other => {
            Err(GitError::Gone(format!("{other}:// is no scheme to clone from: use https:// or ssh://")))
        }
    }
}

/// A full ref, and no pattern.
pub fn check_reference(reference: &str) -> Result<(), GitError> {
    if reference.starts_with("refs/") && git2::Reference::is_valid_name(reference) && !reference.contains('*')
    {
        return Ok(());
    }
    Err(GitError::Gone(format!("`{}` is no ref", reference.chars().take(200).collect::<String>())))
}

/// A path below the root, without a way up.
pub fn check_path(path: &str) -> Result<(), GitError> {
    let fine =
        !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if fine { Ok(()) } else { Err(GitError::Gone(format!("`{path}` is no path in a repository"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_do_harm_are_refused() {
        for reference in [
            "main",
            "refs/heads/../x",
            "refs/heads/*",
            "refs/heads/a b",
            "--upload-pack=x",
            "refs/heads/x.lock",
            "",
        ] {
            assert!(check_reference(reference).is_err(), "{reference}");
        }
        assert!(check_reference("refs/heads/feature/x").is_ok());
        for path in ["", "/etc/passwd", "../x", "a/../b"] {
            assert!(check_path(path).is_err(), "{path}");
        }
        assert!(check_path(".tidegate/pipeline.yml").is_ok());
        assert!(check_url("file:///x", false).is_err());
        assert!(check_url("file:///x", true).is_ok());
        assert!(check_url("ext::sh -c x", true).is_err());
        assert!(check_url("https://example.org/x.git", false).is_ok());
    }
}
