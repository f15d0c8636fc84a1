//! The variables that GitLab sets: expressions for those that have a counterpart, and which of them a script reads.

use std::collections::BTreeSet;

use crate::{
    diagnostic::Place,
    import::reading::{self, Notes},
};

/// Variables of GitLab that have a counterpart.
pub(super) const KNOWN: &[(&str, &str)] = &[
    ("CI_COMMIT_SHA", "git.sha"),
    ("CI_COMMIT_SHORT_SHA", "git.short_sha"),
    ("CI_COMMIT_BRANCH", "git.branch"),
    ("CI_COMMIT_TAG", "git.tag"),
    ("CI_COMMIT_REF_NAME", "git.branch || git.tag"),
    ("CI_COMMIT_MESSAGE", "git.message"),
    ("CI_COMMIT_AUTHOR", "git.author"),
    ("CI_COMMIT_BEFORE_SHA", "git.before"),
    ("CI_DEFAULT_BRANCH", "event.default_branch"),
    ("CI_PROJECT_PATH", "event.repository"),
    ("CI_MERGE_REQUEST_IID", "event.pull_request.number"),
    ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "event.pull_request.base_branch"),
    ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "event.pull_request.head_branch"),
    ("GITLAB_USER_LOGIN", "event.actor"),
];

/// Notes variables that have no counterpart, and remembers those that have one.
pub(super) fn read_by(script: &str, place: Place, notes: &mut Notes, used: &mut BTreeSet<&'static str>) {
    let mut unknown = BTreeSet::new();
    for name in reading::shell_variables(script) {
        if !name.starts_with("CI_") && !name.starts_with("GITLAB_") {
            continue;
        }
        match KNOWN.iter().find(|(known, _)| *known == name) {
            Some((known, _)) => {
                used.insert(known);
            }
            None => {
                unknown.insert(name);
            }
        }
    }
    if !unknown.is_empty() {
        let list: Vec<&str> = unknown.into_iter().collect();
        notes.add(
            place,
            format!("the script reads {}", list.join(", ")),
            "set them under `env`, or as secrets",
        );
    }
}

/// `$NAME` in an image's name is read by GitLab; here it is only text.
pub(super) fn in_image(image: &str) -> String {
    image.replace("$CI_COMMIT_SHA", "${{ git.sha }}").replace("$CI_COMMIT_TAG", "${{ git.tag }}")
}
