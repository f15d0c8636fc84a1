//! What a step's `uses` says.

/// An action as a step names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A folder of the workspace, without `./`.
    Local(String),
    /// A folder of the repository that the file which says this lies in, at that file's commit, without `$/`.
    Own(String),
    /// A folder of a repository, at a commit, tag or branch.
    Remote(Remote),
    /// An image.
    Docker(String),
}

/// A folder of a repository, at a commit, tag or branch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remote {
    /// `owner/repository`.
    pub repository: String,
    /// The folder; empty: the root.
    pub path: String,
    /// A commit, tag or branch.
    pub reference: String,
}

impl Reference {
    /// Reads a `uses`. The error is one sentence.
    pub fn parse(uses: &str) -> Result<Self, String> {
        let uses = uses.trim();
        if let Some(image) = uses.strip_prefix("docker://") {
            return match image.trim() {
                "" => Err(format!("`{uses}` names no image")),
                image => Ok(Self::Docker(image.to_owned())),
            };
        }
        if let Some(path) = uses.strip_prefix("$/") {
            return match folder(path) {
                Some(path) => Ok(Self::Own(path)),
                None => Err(format!("`{uses}` leads out of the repository")),
            };
        }
        if uses == "." || uses.starts_with("./") || uses.starts_with(".\\") {
            return match folder(uses) {
                Some(path) => Ok(Self::Local(path)),
                None => Err(format!("`{uses}` leads out of the workspace")),
            };
        }
        let shape = || {
            format!(
                "`{uses}` is no action: it is `owner/repository@reference`, `./path`, `$/path` or `docker://image`"
            )
        };
        let (place, reference) = uses
            .split_once('@')
            .ok_or_else(|| format!("{}; here the `@` with a version is missing", shape()))?;
        let mut parts = place.split('/');
        let (Some(owner), Some(name)) = (parts.next(), parts.next()) else { return Err(shape()) };
        let rest: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        let plain = |part: &str| {
            !part.is_empty()
                && !matches!(part, "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !plain(owner)
            || !plain(name)
            || rest.iter().any(|part| matches!(*part, "." | ".."))
            || !is_reference(reference)
        {
            return Err(shape());
        }
        Ok(Self::Remote(Remote {
            repository: format!("{owner}/{name}"),
            path: rest.join("/"),
            reference: reference.to_owned(),
        }))
    }
}

/// A folder by a clean path; none where it leads out of the one that it is in.
fn folder(path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.contains(&"..")).then(|| parts.join("/"))
}

/// Whether git could have a branch or tag of this name.
fn is_reference(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 250
        && !text.starts_with(['-', '/', '.'])
        && !text.contains("..")
        && !text.contains("@{")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"~^:?*[\\".contains(&byte))
}

impl Remote {
    /// The action without its version, as built-in ones and settings name it, in lower case.
    pub fn name(&self) -> String {
        let path = if self.path.is_empty() { String::new() } else { format!("/{}", self.path) };
        format!("{}{path}", self.repository).to_lowercase()
    }

    /// Whether the version is a whole commit id, which nobody can move.
    pub fn is_commit(&self) -> bool {
        self.reference.len() == 40 && self.reference.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path.is_empty() { String::new() } else { format!("/{}", self.path) };
        write!(f, "{}{path}@{}", self.repository, self.reference)
    }
}

/// Whether the `image` of an action's manifest is a Dockerfile beside it, not an image of a registry.
pub fn is_dockerfile(image: &str) -> bool {
    if image.starts_with("docker://") {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    name == "dockerfile" || name.starts_with("dockerfile.") || name.ends_with(".dockerfile")
}

/// The registry that an image's name begins with; empty for the default one.
pub fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) => first,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_kinds() {
        let remote = |repository: &str, path: &str, reference: &str| {
            Ok(Reference::Remote(Remote {
                repository: repository.to_owned(),
                path: path.to_owned(),
                reference: reference.to_owned(),
            }))
        };
        assert_eq!(Reference::parse("actions/checkout@v4"), remote("actions/checkout", "", "v4"));
        assert_eq!(Reference::parse("a/b/c/d@feature/x"), remote("a/b", "c/d", "feature/x"));
        assert_eq!(
            Reference::parse("./.github/actions/x/"),
            Ok(Reference::Local(".github/actions/x".to_owned()))
        );
        assert_eq!(Reference::parse("./"), Ok(Reference::Local(String::new())));
        assert_eq!(Reference::parse("$/ci//greet/"), Ok(Reference::Own("ci/greet".to_owned())));
        assert_eq!(Reference::parse("$/"), Ok(Reference::Own(String::new())));
        assert_eq!(Reference::parse("docker://alpine:3"), Ok(Reference::Docker("alpine:3".to_owned())));
        for wrong in [
            "",
            "checkout@v4",
            "a/b",
            "a/b@",
            "../x",
            "./../x",
            "$/../x",
            "a/../b@v1",
            "a/b/../c@v1",
            "docker://",
            "a/b@-x",
            "a/b@x..y",
        ] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dockerfiles_and_registries_are_told_by_their_names() {
        for yes in ["Dockerfile", "x/Dockerfile", "Dockerfile.prod", "prod.dockerfile"] {
            assert!(is_dockerfile(yes), "{yes}");
        }
        for no in ["docker://Dockerfile", "dockerfile:1", "dockerfiles/x", "debian:12"] {
            assert!(!is_dockerfile(no), "{no}");
        }
        assert_eq!(registry("registry.example.org:5000/a/b"), "registry.example.org:5000");
        assert_eq!(registry("team/app"), "");
    }
}
