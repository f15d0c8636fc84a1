//! Names: ids of jobs and steps, those that people give and those that steps get, and what `uses` says.

use std::collections::HashSet;

use crate::FileRef;

/// An id has fewer characters than this.
const MAX_ID: usize = 100;

/// Why a text is no id.
pub(super) fn check_id(id: &str) -> Result<(), String> {
    let first = id.bytes().next();
    let starts = first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let goes_on = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !starts || !goes_on {
        return Err(format!(
            "`{id}` is no id: it begins with a letter or `_` and goes on with letters, digits, `-` and `_`"
        ));
    }
    if id.len() >= MAX_ID {
        return Err(format!("an id has fewer than {MAX_ID} characters, and this one has {}", id.len()));
    }
    if id.starts_with("__") {
        return Err(format!("ids that begin with `__` are reserved, such as `{id}`"));
    }
    Ok(())
}

/// Ids of the steps of one job.
#[derive(Default)]
pub(super) struct StepIds {
    taken: HashSet<String>,
}

impl StepIds {
    /// Takes an id that a person gave; false when it is taken, whatever its case.
    pub(super) fn take(&mut self, id: &str) -> bool {
        self.taken.insert(id.to_ascii_lowercase())
    }

    /// The id of a step without one: `__run`, `__run_2`, `__actions_checkout`. The reserved `__` keeps it apart from
    /// people's ids.
    pub(super) fn generate(&mut self, uses: Option<&str>) -> String {
        self.of(&uses.and_then(action_name).unwrap_or_else(|| "run".to_owned()))
    }

    /// The id of a step without one that does this: `wait`.
    pub(super) fn of(&mut self, base: &str) -> String {
        let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
        let base: String = "__".chars().chain(base.chars()).map(legal).collect();
        let mut count = 1_usize;
        loop {
            let suffix = if count == 1 { String::new() } else { format!("_{count}") };
            let kept: String = base.chars().take(MAX_ID - suffix.len()).collect();
            let id = kept + &suffix;
            if self.take(&id) {
                return id;
            }
            count += 1;
        }
    }
}

/// What of an action goes into the id of its step.
fn action_name(uses: &str) -> Option<String> {
    if let Some(image) = uses.strip_prefix("docker://") {
        return Some(image.to_owned()).filter(|image| !image.is_empty());
    }
    if is_local(uses) {
        let own = uses.starts_with("$/");
        return Some(if own { "selfRepository" } else { "self" }.to_owned());
    }
    remote(uses).map(|remote| format!("{}/{}", remote.owner, remote.name))
}

/// The path of an action or workflow that is named by one: `./x` is in the workspace, `$/x` in the repository of the
/// file that names it, at that file's own commit.
pub(super) fn path(uses: &str) -> Option<&str> {
    ["./", ".\\", "$/"].iter().find_map(|start| uses.strip_prefix(start))
}

/// Whether an action or workflow is named by a path.
pub(super) fn is_local(uses: &str) -> bool {
    path(uses).is_some()
}

/// `$/x` of a file that lies in another repository, as it is named from outside; anything else as it is.
pub(super) fn from_outside(uses: &str, home: Option<&FileRef>) -> String {
    match (uses.strip_prefix("$/"), home) {
        (Some(path), Some(FileRef::Other { repository, reference, .. })) => {
            let path = path.trim_matches('/');
            let slash = if path.is_empty() { "" } else { "/" };
            format!("{repository}{slash}{path}@{reference}")
        }
        _ => uses.to_owned(),
    }
}

/// The folders that called workflows are in.
const WORKFLOWS: [&str; 2] = [".github/workflows/", ".github/workflows-lab/"];

/// The workflow that a job's `uses` names, in a file that lies in `home`; none: in the repository itself. The error
/// says what such a name is to have.
pub(super) fn workflow(uses: &str, home: Option<&FileRef>) -> Result<FileRef, &'static str> {
    let (file, path) = match path(uses) {
        Some(_) if uses.contains('@') => return Err("a path has no `@`: it means the same commit"),
        Some(path) => {
            let path = path.replace('\\', "/");
            let file = match home {
                Some(FileRef::Other { repository, reference, .. }) => FileRef::Other {
                    repository: repository.clone(),
                    path: path.clone(),
                    reference: reference.clone(),
                },
                _ => FileRef::Same(path.clone()),
            };
            (file, path)
        }
        None => {
            let remote = remote(uses).ok_or(
                "a workflow is named `./.github/workflows/file.yml` or \
                 `owner/repository/.github/workflows/file.yml@reference`",
            )?;
            let repository = format!("{}/{}", remote.owner, remote.name);
            let path = remote.path.clone();
            (FileRef::Other { repository, path: remote.path, reference: remote.reference.to_owned() }, path)
        }
    };
    if !WORKFLOWS.iter().any(|folder| path.starts_with(folder)) {
        return Err("workflows that are called lie in `.github/workflows`");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("its path is to lead straight to a file");
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml"));
    if stem.is_none_or(str::is_empty) {
        return Err("the name of a workflow's file ends in `.yml` or `.yaml`");
    }
    Ok(file)
}

/// `owner/name[/path]@reference`
pub(super) struct Remote<'a> {
    pub owner: &'a str,
    pub name: &'a str,
    pub path: String,
    pub reference: &'a str,
}

/// Reads the name of an action or workflow of another repository.
pub(super) fn remote(uses: &str) -> Option<Remote<'_>> {
    let (path, reference) = uses.split_once('@')?;
    if reference.is_empty() || reference.contains('@') {
        return None;
    }
    let mut segments = path.split(['/', '\\']).filter(|segment| !segment.is_empty());
    let (owner, name) = (segments.next()?, segments.next()?);
    Some(Remote { owner, name, path: segments.collect::<Vec<_>>().join("/"), reference })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in ["a", "_", "_a", "a-b_1", "build-"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "-a", "a b", "__a", "ä", &"a".repeat(100)] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn steps_without_ids_get_their_own() {
        let mut ids = StepIds::default();
        assert!(ids.take("Mine") && !ids.take("mine"));
        assert_eq!(ids.generate(None), "__run");
        assert_eq!(ids.generate(None), "__run_2");
        assert_eq!(ids.generate(Some("owner/do-it/sub@v1")), "__owner_do-it");
        assert_eq!(ids.generate(Some("./here")), "__self");
        assert_eq!(ids.generate(Some("docker://debian:12")), "__debian_12");
        assert_eq!(ids.generate(Some("$/there")), "__selfRepository");
        assert_eq!((ids.of("wait-all"), ids.of("wait-all")), ("__wait-all".into(), "__wait-all_2".into()));
    }

    #[test]
    fn workflows_are_named_by_their_place() {
        let same = |path: &str| Ok(FileRef::Same(path.to_owned()));
        let other = |path: &str| {
            Ok(FileRef::Other {
                repository: "a/b".to_owned(),
                path: path.to_owned(),
                reference: "v1".to_owned(),
            })
        };
        assert_eq!(workflow("./.github/workflows/x.yml", None), same(".github/workflows/x.yml"));
        assert_eq!(workflow("$/.github/workflows/x.yaml", None), same(".github/workflows/x.yaml"));
        let home = workflow("a/b/.github/workflows/x.yml@v1", None);
        assert_eq!(home, other(".github/workflows/x.yml"));
        for own in ["./.github/workflows/y.yml", "$/.github/workflows/y.yml"] {
            assert_eq!(workflow(own, home.as_ref().ok()), other(".github/workflows/y.yml"), "{own}");
        }
        for wrong in [
            "",
            "a/b",
            "a/b@v1",
            "a/b/x.yml@v1",
            "./x.yml",
            "$/ci/x.yml",
            "./.github/workflows/x.yml@v1",
            "./.github/workflows/x.json",
            "./.github/workflows/.yml",
            "./.github/workflows/../x.yml",
            "a/b/.github/workflows/x@v1",
        ] {
            assert!(workflow(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_repository_speaks_of_itself() {
        let home = FileRef::Other {
            repository: "a/b".to_owned(),
            path: ".github/workflows/x.yml".to_owned(),
            reference: "v1".to_owned(),
        };
        assert_eq!(from_outside("$/ci/tell/", Some(&home)), "a/b/ci/tell@v1");
        assert_eq!(from_outside("$/", Some(&home)), "a/b@v1");
        assert_eq!(from_outside("$/ci", None), "$/ci");
        assert_eq!(from_outside("./ci", Some(&home)), "./ci");
    }
}
