//! Ids of jobs and steps: those that people give, and those that steps get.

use std::collections::HashSet;

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
        let base = uses.and_then(action_name).unwrap_or_else(|| "run".to_owned());
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
        return Some("self".to_owned());
    }
    remote(uses).map(|remote| format!("{}/{}", remote.owner, remote.name))
}

/// Whether an action or workflow is named by a path.
pub(super) fn is_local(uses: &str) -> bool {
    uses.starts_with("./") || uses.starts_with(".\\")
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
    }
}
