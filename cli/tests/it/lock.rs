use std::{path::Path, process::Command};

use crate::{tidegate, write};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=D", "-c", "user.email=d@example.org"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn actions_are_locked_checked_and_updated() {
    let folder = tempfile::tempdir().unwrap();
    let actions = folder.path().join("actions/team/tool");
    std::fs::create_dir_all(&actions).unwrap();
    git(&actions, &["init", "-q", "--initial-branch=main"]);
    git(&actions, &["commit", "-q", "--allow-empty", "-m", "one"]);
    git(&actions, &["tag", "-a", "v1", "-m", "one"]);
    let first = git(&actions, &["rev-parse", "HEAD"]);
    let app = folder.path().join("app");
    let pinned = "c".repeat(40);
    write(
        &app,
        ".github/workflows/ci.yml",
        &format!(
            "on: push\njobs: {{a: {{steps: [{{uses: team/tool@v1}}, {{uses: ./x}}, {{uses: a/b@{pinned}}}]}}}}\n"
        ),
    );
    write(
        &app,
        ".github/actions/own/action.yml",
        "runs: {using: composite, steps: [{uses: team/tool/sub@main}]}\n",
    );
    let source = format!("team/=file://{}/", folder.path().join("actions/team").display());
    let run = |arguments: &[&str]| {
        let all: Vec<&str> = ["lock", ".", "--source", &source].iter().chain(arguments).copied().collect();
        tidegate(&app, &all)
    };
    let lock = || std::fs::read_to_string(app.join(".github/tidegate-actions.lock")).unwrap();

    assert_eq!(run(&["--check"]).code, 1, "there is no lock yet");
    let said = run(&[]);
    assert!(said.code == 0 && said.out.contains("+ team/tool@v1"), "{}{}", said.out, said.err);
    assert!(
        lock().ends_with(&format!("a/b@{pinned} {pinned}\nteam/tool@main {first}\nteam/tool@v1 {first}\n")),
        "{}",
        lock()
    );
    assert_eq!(run(&["--check"]).code, 0);

    git(&actions, &["commit", "-q", "--allow-empty", "-m", "two"]);
    let second = git(&actions, &["rev-parse", "HEAD"]);
    let said = run(&["--check"]);
    assert!(said.code == 1 && said.out.contains("~ team/tool@main"), "{}{}", said.out, said.err);
    assert_eq!(run(&[]).code, 0);
    assert!(lock().contains(&format!("team/tool@main {first}")), "what is locked stays");
    assert_eq!(run(&["--update"]).code, 0);
    assert!(lock().contains(&format!("team/tool@main {second}")), "{}", lock());

    write(&app, ".github/workflows/ci.yml", "on: push\njobs: {a: {steps: [{uses: team/tool@v9}]}}\n");
    let said = run(&[]);
    assert!(said.code == 1 && said.err.contains("team/tool@v9 leads nowhere"), "{}", said.err);
}
