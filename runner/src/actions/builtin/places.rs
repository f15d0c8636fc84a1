//! Paths that inputs name, wherever in the sandbox they are, as paths below [`StageDirs::files`]: the folder that
//! archives are packed from and unpacked to.
//!
//! The runner sees the workspace and `/tidegate`. What is elsewhere (`~/.cache`, `/root/.m2`) is copied by the sandbox
//! to a folder that both see, and back: [`Places::stage`], [`Places::put_back`]. Archives hold it there, below `home` or
//! `root`, so they fit whatever the home folder of an image is.
//!
//! [`StageDirs::files`]: crate::stage::StageDirs::files

use std::collections::BTreeMap;

use crate::sandbox::WORKSPACE;

/// Where copies of what is outside are, in the sandbox and below the files' folder.
const OUTSIDE: &str = "/tidegate/outside";

/// What patterns mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Globs below the files' folder; `!` takes out.
    pub(super) globs: Vec<String>,
    /// What the sandbox has to copy: whether it is below the home folder, and the path below that or `/`.
    outside: Vec<(bool, String)>,
    /// Patterns that are not followed, and why.
    pub(super) refused: Vec<String>,
}

impl Places {
    /// Reads patterns, one each. A relative one is below the workspace, `~` is the home folder.
    pub(super) fn of(patterns: &[String]) -> Self {
        let mut places = Self::default();
        for pattern in patterns.iter().filter(|pattern| !pattern.starts_with('#')) {
            let (sign, path) = match pattern.strip_prefix('!') {
                Some(rest) => ("!", rest.trim()),
                None => ("", pattern.as_str()),
            };
            match Place::of(path) {
                Some(Place::Shared(below)) => places.globs.push(format!("{sign}{below}")),
                Some(Place::Outside(home, below)) => {
                    let folder = if home { "home" } else { "root" };
                    let copies = OUTSIDE.trim_start_matches('/');
                    places.globs.push(format!("{sign}{copies}/{folder}/{below}"));
                    let plain = plain_part(&below);
                    if sign.is_empty() && plain.is_empty() {
                        places.globs.pop();
                        places
                            .refused
                            .push(format!("`{pattern}` would be all of that folder: name what is in it"));
                    } else if sign.is_empty() {
                        places.copy(home, plain);
                    }
                }
                None => places.refused.push(format!("`{pattern}` is no path that can be kept")),
            }
        }
        places
    }

    /// Whether anything is meant at all.
    pub(super) fn is_empty(&self) -> bool {
        self.globs.iter().all(|glob| glob.starts_with('!'))
    }

    /// Adds what is to be copied, unless it is a part of something else that is.
    fn copy(&mut self, home: bool, path: String) {
        let within = |path: &str, of: &str| {
            path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !self.outside.iter().any(|(other, whole)| *other == home && within(&path, whole)) {
            self.outside.retain(|(other, part)| *other != home || !within(part, &path));
            self.outside.push((home, path));
        }
    }

    /// The environment of the scripts.
    pub(super) fn env() -> BTreeMap<String, String> {
        BTreeMap::from([("TIDEGATE_OUTSIDE".to_owned(), OUTSIDE.to_owned())])
    }

    /// A script that copies what is outside to where the runner sees it; none when there is nothing outside.
    pub(super) fn stage(&self) -> Option<String> {
        let calls = self.calls(|inside, copy| format!("copy {inside} {copy}\n"));
        let begin = "rm -rf \"$TIDEGATE_OUTSIDE\"\nmkdir -p \"$TIDEGATE_OUTSIDE\"\n";
        calls.map(|calls| format!("{COPY}{begin}{calls}"))
    }

    /// A script that copies it to its places.
    pub(super) fn put_back(&self) -> Option<String> {
        let calls = self.calls(|inside, copy| format!("copy {copy} {inside}\n"));
        calls.map(|calls| format!("{COPY}{calls}{}", Self::REMOVE))
    }

    /// A script that removes the copies.
    pub(super) const REMOVE: &str = "rm -rf \"$TIDEGATE_OUTSIDE\"\n";

    fn calls(&self, call: impl Fn(&str, &str) -> String) -> Option<String> {
        let one = |(home, path): &(bool, String)| {
            let (from, folder) = if *home { ("\"${HOME:-/root}\"", "home") } else { ("", "root") };
            call(
                &format!("{from}{}", quoted(&format!("/{path}"))),
                &format!("\"$TIDEGATE_OUTSIDE/{folder}\"{}", quoted(&format!("/{path}"))),
            )
        };
        (!self.outside.is_empty()).then(|| self.outside.iter().map(one).collect())
    }
}

/// Copies a file, or what is in a folder: the folder itself, which may be `/tmp`, keeps its mode.
const COPY: &str = r#"copy() {
  if [ -d "$1" ]; then
    mkdir -p "$2"
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
      if [ -e "$entry" ] || [ -L "$entry" ]; then cp -a "$entry" "$2/"; fi
    done
  elif [ -e "$1" ]; then
    mkdir -p "${2%/*}"
    cp -a "$1" "$2"
  fi
}
"#;

pub(super) enum Place {
    /// Where runner and sandbox both see it, below the files' folder.
    Shared(String),
    /// Elsewhere; below the home folder or `/`.
    Outside(bool, String),
}

impl Place {
    pub(super) fn of(path: &str) -> Option<Self> {
        let below_home = path.strip_prefix('~').or_else(|| path.strip_prefix("$HOME"));
        if let Some(rest) = below_home.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Some(Self::Outside(true, tidy(rest)?));
        }
        if path.is_empty() {
            return None;
        }
        let whole = if path.starts_with('/') { tidy(path)? } else { tidy(&format!("{WORKSPACE}/{path}"))? };
        let first = whole.split('/').next().unwrap_or_default();
        match first {
            "workspace" | "tidegate" => Some(Self::Shared(whole)),
            "" | "proc" | "sys" | "dev" => None,
            _ => Some(Self::Outside(false, whole)),
        }
    }
}

/// A path without `.`, `..` and empty parts, and without a `/` before it. None: it leads out.
fn tidy(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The part of a pattern before its first wildcard, in whole names.
pub(super) fn plain_part(pattern: &str) -> String {
    let plain = pattern.split('/').take_while(|name| !name.contains(['*', '?', '[', '{', '\\']));
    plain.collect::<Vec<_>>().join("/")
}

/// A word of `sh`.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(patterns: &[&str]) -> Places {
        Places::of(&patterns.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn each_path_has_its_place() {
        let places = of(&[
            "node_modules",
            "./a/../b/**",
            "~/.cargo/registry",
            "~/.cargo",
            "/root/.m2/*.xml",
            "!~/.cargo/bin",
            "/workspace/x",
            "../y",
            "# no",
        ]);
        assert_eq!(
            places.globs,
            [
                "workspace/node_modules",
                "workspace/b/**",
                "tidegate/outside/home/.cargo/registry",
                "tidegate/outside/home/.cargo",
                "tidegate/outside/root/root/.m2/*.xml",
                "!tidegate/outside/home/.cargo/bin",
                "workspace/x",
                "tidegate/outside/root/y",
            ]
        );
        let outside = [(true, ".cargo"), (false, "root/.m2"), (false, "y")];
        assert_eq!(places.outside, outside.map(|(home, path)| (home, path.to_owned())));
        assert!(places.refused.is_empty());
    }

    #[test]
    fn whole_roots_and_what_is_no_file_are_refused() {
        let places = of(&["/", "~", "~/*", "/proc/1", "../../x", "/*", "!x"]);
        assert_eq!(places.refused.len(), 6, "{places:?}");
        assert!(places.is_empty() && places.stage().is_none(), "{places:?}");
    }

    #[test]
    fn names_are_words_of_the_shell() {
        let script = of(&["~/it's $(x)"]).stage().unwrap();
        assert!(
            script
                .contains(r#"copy "${HOME:-/root}"'/it'\''s $(x)' "$TIDEGATE_OUTSIDE/home"'/it'\''s $(x)'"#),
            "{script}"
        );
    }
}
