//! Where things of an attempt are: for the sandbox, and on this machine.
//!
//! | in the sandbox | on this machine, below [`StageDirs::files`] | what |
//! | --- | --- | --- |
//! | `/workspace` | `workspace` | the workspace |
//! | `/tidegate/temp` | `tidegate/temp` | `RUNNER_TEMP` |
//! | `/tidegate/tools` | `tidegate/tools` | `RUNNER_TOOL_CACHE`, unless the runner lends its own |
//! | `/tidegate/actions` | `tidegate/actions` | actions, as they were fetched |
//! | `/tidegate/home` | `tidegate/home` | the home of a user that a stage asks for |
//! | `/tidegate/event.json` | `tidegate/event.json` | the event |
//!
//! `/tidegate` is there only in stages that fill in their templates themselves.

use std::{
    io::Read as _,
    path::{Component, Path, PathBuf},
};

use super::{StageContext, StageDirs, prepare};
use crate::{archive::beneath::Root, sandbox::WORKSPACE};

/// The folder of what runner and actions share, in the sandbox.
pub const SHARED: &str = "/tidegate";
/// The home of a user that a stage asks for, in the sandbox.
pub const HOME: &str = "/tidegate/home";
/// Where the runner's own tool cache is seen, when its settings name one.
pub const LENT_TOOLS: &str = "/opt/hostedtoolcache";
/// Where the runner's own Node.js is seen, when its settings name one.
pub const LENT_NODE: &str = "/opt/tidegate-node";

/// Translates paths of the sandbox into paths of this machine.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Prefixes in the sandbox, the longer ones first, and the folders that are seen there.
    places: Vec<(String, PathBuf)>,
}

impl Paths {
    /// The paths of an attempt.
    pub fn of(ctx: &StageContext) -> Self {
        Self::with(&ctx.dirs, prepare::mounts(ctx))
    }

    fn with(dirs: &StageDirs, mounts: Vec<(PathBuf, String)>) -> Self {
        let mut places = vec![(WORKSPACE.to_owned(), dirs.workspace())];
        places.extend(mounts.into_iter().map(|(host, inside)| (inside, host)));
        places.sort_by_key(|(inside, _)| std::cmp::Reverse(inside.len()));
        Self { places }
    }

    /// A path of the sandbox (a relative one is below the workspace) as a folder of this machine and a path below it.
    /// None: it is in no folder that both see, or leads out of it.
    pub fn on_host(&self, inside: &str) -> Option<(PathBuf, PathBuf)> {
        let inside =
            if inside.starts_with('/') { inside.to_owned() } else { format!("{WORKSPACE}/{inside}") };
        let (prefix, host) = self.places.iter().find(|(prefix, _)| {
            inside.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })?;
        let mut below = PathBuf::new();
        for part in Path::new(inside[prefix.len()..].trim_start_matches('/')).components() {
            match part {
                Component::Normal(name) => below.push(name),
                Component::CurDir => {}
                Component::ParentDir if below.pop() => {}
                _ => return None,
            }
        }
        Some((host.clone(), below))
    }

    /// A text file by its path in the sandbox; links are not followed, for they may lead anywhere on this machine.
    pub fn read_text(&self, inside: &str, most: u64) -> Result<String, String> {
        let (folder, below) = self.on_host(inside).ok_or_else(|| {
            format!("`{inside}` is in no folder that the runner sees (the workspace and {SHARED} are)")
        })?;
        let says = |error: std::io::Error| format!("`{inside}` cannot be read: {error}");
        let file = Root::open(&folder).and_then(|root| root.read(&below)).map_err(says)?;
        if !file.metadata().is_ok_and(|data| data.is_file() && data.len() <= most) {
            return Err(format!("`{inside}` is no plain file of at most {} KiB", most >> 10));
        }
        let mut text = String::new();
        file.take(most).read_to_string(&mut text).map_err(says)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_their_folders_and_nowhere_else() {
        let dirs = StageDirs { root: "/host".into() };
        let paths = Paths::with(&dirs, vec![(dirs.shared(), SHARED.to_owned())]);
        let at = |inside: &str| {
            paths.on_host(inside).map(|(folder, below)| folder.join(below).display().to_string())
        };
        let at = |inside: &str| at(inside).unwrap_or_else(|| "-".to_owned());
        assert_eq!(at("a/./b/../c"), "/host/files/workspace/a/c");
        assert_eq!(at("/workspace"), "/host/files/workspace/");
        assert_eq!(at("/tidegate/temp/x"), "/host/files/tidegate/temp/x");
        for outside in ["/etc/passwd", "../x", "/workspace/../etc", "/workspaces/x"] {
            assert_eq!(at(outside), "-", "{outside}");
        }
    }

    #[test]
    fn a_link_is_not_read_through() {
        let folder = tempfile::tempdir().unwrap();
        let dirs = StageDirs { root: folder.path().to_owned() };
        std::fs::create_dir_all(dirs.workspace()).unwrap();
        std::fs::write(dirs.workspace().join("plain"), "text").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dirs.workspace().join("link")).unwrap();
        let paths = Paths::with(&dirs, Vec::new());
        assert_eq!(paths.read_text("plain", 100).unwrap(), "text");
        assert!(paths.read_text("plain", 2).is_err());
        assert!(paths.read_text("link", 100).is_err());
    }
}
