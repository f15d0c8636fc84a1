//! Checkouts of real repositories over `file://`.

use std::{path::Path, process::Command};

use super::*;

/// What a git command in this folder prints, whatever the tester's own git is set to.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.org", "-c", "commit.gpgsign=false"])
        .args(["-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Origin {
    folder: tempfile::TempDir,
}

impl Origin {
    fn new() -> Self {
        let origin = Self { folder: tempfile::tempdir().unwrap() };
        origin.git(&["init", "-q", "--initial-branch=main"]);
        origin
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(self.folder.path(), arguments)
    }

    fn commit(&self, path: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(path), text).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn source(&self, sha: &str) -> Source {
        Source {
            repository: "team/app".to_owned(),
            clone_url: format!("file://{}", self.folder.path().display()),
            login: None,
            reference: "refs/heads/main".to_owned(),
            sha: sha.to_owned(),
        }
    }
}

#[test]
fn an_older_commit_is_checked_out_clean_and_alone() {
    let origin = Origin::new();
    let first = origin.commit("a.txt", "one");
    let second = origin.commit("a.txt", "two");
    let (mirrors, dest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let done = checkout(mirrors.path(), &origin.source(&first), dest.path(), true).unwrap();
    assert!(!done.from_mirror);
    assert_eq!(std::fs::read_to_string(dest.path().join("a.txt")).unwrap(), "one");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(dest.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(git(&["rev-parse", "HEAD"]), first);
    assert_eq!(git(&["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert_eq!(git(&["rev-parse", "--abbrev-ref", "HEAD"]), "main");
    assert!(!dest.path().join(".git/objects/info/alternates").exists());

    let dest = tempfile::tempdir().unwrap();
    let done = checkout(mirrors.path(), &origin.source(&second), dest.path(), true).unwrap();
    assert!(done.from_mirror, "the first fetch of the branch brought it");
}

#[test]
fn a_commit_that_a_forced_push_removed_is_named() {
    let origin = Origin::new();
    origin.commit("a.txt", "one");
    let missing = "0123456789abcdef0123456789abcdef01234567";
    let (mirrors, dest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let error = checkout(mirrors.path(), &origin.source(missing), dest.path(), true).unwrap_err();
    assert!(matches!(error, SourceError::Gone { .. }), "{error}");
}

#[test]
fn a_link_out_of_the_tree_stays_a_link_and_nothing_is_written_through_it() {
    let origin = Origin::new();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), origin.folder.path().join("out")).unwrap();
    let sha = origin.commit("a.txt", "one");
    let (mirrors, dest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    checkout(mirrors.path(), &origin.source(&sha), dest.path(), true).unwrap();
    assert!(dest.path().join("out").symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn what_could_be_taken_for_an_option_or_another_protocol_is_refused() {
    let origin = Origin::new();
    let sha = origin.commit("a.txt", "one");
    let (mirrors, dest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let refused = |change: &dyn Fn(&mut Source)| {
        let mut source = origin.source(&sha);
        change(&mut source);
        let error = checkout(mirrors.path(), &source, dest.path(), true).unwrap_err();
        assert!(matches!(error, SourceError::Refused(_)), "{error}");
    };
    for reference in
        ["--upload-pack=touch /tmp/x", "main", "refs/heads/a..b", "refs/heads/a b", "refs/heads/\n"]
    {
        refused(&|source| source.reference = reference.to_owned());
    }
    for url in ["ext::sh -c touch% /tmp/x", "git://host/x", "fd::17", "/etc"] {
        refused(&|source| source.clone_url = url.to_owned());
    }
    for sha in ["HEAD", "-1", "0123", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"] {
        refused(&|source| source.sha = sha.to_owned());
    }
    let error = checkout(mirrors.path(), &origin.source(&sha), dest.path(), false).unwrap_err();
    assert!(error.to_string().contains("allow_file_clone"), "{error}");
    assert_eq!(std::fs::read_dir(dest.path()).unwrap().count(), 0);
}

#[test]
fn hooks_of_the_machine_do_not_reach_the_workspace() {
    let origin = Origin::new();
    let sha = origin.commit("a.txt", "one");
    let (mirrors, dest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    checkout(mirrors.path(), &origin.source(&sha), dest.path(), true).unwrap();
    let hooks = std::fs::read_dir(dest.path().join(".git/hooks")).into_iter().flatten();
    for hook in hooks {
        let name = hook.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with(".sample"), "git would run {name}");
    }
}

#[test]
fn submodules_are_named_not_fetched() {
    let origin = Origin::new();
    let sha = origin.commit(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh\n");
    let (mirrors, dest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let done = checkout(mirrors.path(), &origin.source(&sha), dest.path(), true).unwrap();
    assert_eq!(done.notes, ["submodules are not fetched"]);
}
