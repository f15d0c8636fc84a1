//! Built-in actions on the scripted engine: caches, artifacts, tools of the image.

use serde_json::{Value, json};
use tidegate_protocol::{messages::Lease, status::StepStatus};

use crate::{
    steps::{Runner, with},
    support::agent::{lease, lenient, sh},
};

fn uses(action: &str, inputs: Value) -> Value {
    json!({ "uses": { "action": action, "with": inputs }, "name": action })
}

/// A lease whose steps have a home folder of their own.
fn at_home(steps: Value, home: &std::path::Path) -> Lease {
    let mut leased = lease(lenient(steps));
    leased.env.insert("HOME".to_owned(), home.display().to_string());
    leased
}

#[tokio::test]
async fn a_cache_is_saved_after_success_and_restored_wherever_its_files_were() {
    let runner = Runner::start().await;
    let home = tempfile::tempdir().unwrap();
    let inputs =
        json!({ "path": "deps\n~/.tool/store\n!deps/skip", "key": "deps-1", "restore-keys": "deps-" });
    let cache = || with(uses("actions/cache@v4", inputs.clone()), json!({ "id": "cache" }));
    let make = "mkdir -p deps/skip ~/.tool/store; echo one > deps/a; echo no > deps/skip/b; echo two > ~/.tool/store/.c";
    let ran = runner
        .run_lease(at_home(
            json!([cache(), sh("echo \"hit=${{ steps.cache.outputs.cache-hit }}.\""), sh(make)]),
            home.path(),
        ))
        .await;
    ran.succeeded();
    assert!(ran.text(1).contains("no cache is found for deps-1"), "{}", ran.text(1));
    assert_eq!(ran.text(2), "hit=.\n");
    assert!(ran.text(4).contains("saved the cache deps-1"), "{}", ran.all());

    let other = tempfile::tempdir().unwrap();
    let show =
        "cat deps/a ~/.tool/store/.c; test ! -e deps/skip; echo '${{ steps.cache.outputs.cache-hit }}'";
    let ran = runner.run_lease(at_home(json!([cache(), sh(show)]), other.path())).await;
    ran.succeeded();
    assert_eq!(ran.text(2), "one\ntwo\ntrue\n");
    assert!(ran.text(3).contains("was there already"), "{}", ran.text(3));

    let next = json!({ "path": "deps\n~/.tool/store\n!deps/skip", "key": "deps-2", "restore-keys": "deps-" });
    let matched = "echo '${{ steps.cache.outputs.cache-hit }} ${{ steps.cache.outputs.cache-matched-key }} ${{ steps.cache.outputs.cache-primary-key }}'";
    let steps = json!([
        with(uses("actions/cache/restore@v4", next.clone()), json!({ "id": "cache" })),
        sh(matched),
        with(
            uses("actions/cache/restore@v4", json!({ "path": "elsewhere", "key": "deps-1" })),
            json!({ "id": "none" })
        ),
        sh("echo '${{ steps.none.outputs.cache-hit }}.'"),
        with(
            uses(
                "actions/cache/restore@v4",
                json!({ "path": "x", "key": "x", "fail-on-cache-miss": "true" })
            ),
            json!({ "continue_on_error": true })
        ),
        with(uses("actions/cache/restore@v4", json!({ "path": "x" })), json!({ "continue_on_error": true })),
        uses("actions/cache/save@v4", json!({ "path": "nothing", "key": "empty" })),
        with(uses("actions/cache@v4", json!({ "path": "deps", "key": "after-failure" })), json!({})),
        sh("exit 1"),
    ]);
    let ran = runner.run_lease(at_home(steps, other.path())).await;
    assert_eq!(ran.text(2), "false deps-1 deps-2\n");
    assert_eq!(ran.text(4), ".\n", "another path is another cache");
    assert!(ran.text(5).contains("fail-on-cache-miss"), "{}", ran.text(5));
    assert!(ran.text(6).contains("the input `key` is missing"), "{}", ran.text(6));
    assert!(ran.text(7).contains("there is nothing in nothing"), "{}", ran.text(7));
    assert_eq!(ran.status(7), StepStatus::Succeeded);
    assert_eq!(ran.status(10), StepStatus::Skipped, "nothing is saved after a failure");
    runner.stop().await;
}

#[tokio::test]
async fn artifacts_go_from_stage_to_stage() {
    let runner = Runner::start().await;
    let make = "mkdir -p dist/js out; echo a > dist/js/a.js; echo b > dist/b.css; echo h > dist/.hidden; echo log > out/log.txt; echo late > late";
    let up = |inputs: Value| uses("actions/upload-artifact@v4", inputs);
    let steps = json!([
        sh(make),
        with(up(json!({ "name": "site", "path": "dist\n!dist/**/*.css" })), json!({ "id": "up" })),
        up(json!({ "name": "logs", "path": "out/*.txt", "retention-days": "5" })),
        with(up(json!({ "name": "logs", "path": "late" })), json!({ "continue_on_error": true })),
        up(json!({ "name": "logs", "path": "late\nout", "overwrite": "true" })),
        up(json!({ "name": "none", "path": "nothing" })),
        with(
            up(json!({ "name": "none", "path": "nothing", "if-no-files-found": "error" })),
            json!({ "continue_on_error": true })
        ),
        with(up(json!({ "name": "a/b", "path": "out" })), json!({ "continue_on_error": true })),
        uses("actions/download-artifact@v4", json!({ "name": "site", "path": "again" })),
        sh("ls -A again again/js; echo ${{ steps.up.outputs.artifact-id }} | grep -c '^[0-9]*$'"),
    ]);
    let ran = runner.run(lenient(steps)).await;
    ran.succeeded();
    assert!(ran.text(4).contains("overwrite: true"), "{}", ran.text(4));
    assert!(ran.text(6).contains("no files are found at nothing"), "{}", ran.text(6));
    assert_eq!(
        [6, 7, 8].map(|step| ran.status(step)),
        [StepStatus::Succeeded, StepStatus::Failed, StepStatus::Failed]
    );
    assert_eq!(ran.text(10), "again:\njs\n\nagain/js:\na.js\n1\n");
    assert_eq!(ran.annotations().warnings, 1);

    let down = |inputs: Value| uses("actions/download-artifact@v4", inputs);
    let mut stage = lenient(json!([
        down(json!({})),
        sh("find . -type f | sort; cat logs/late"),
        with(
            down(json!({ "pattern": "l*", "merge-multiple": "true", "path": "merged" })),
            json!({ "id": "down" })
        ),
        sh("find merged -type f | sort; echo ${{ steps.down.outputs.download-path }}"),
        with(down(json!({ "name": "gone" })), json!({ "continue_on_error": true })),
        with(down(json!({ "name": "site", "run-id": "1" })), json!({ "continue_on_error": true })),
        with(down(json!({ "name": "site", "path": "/etc/x" })), json!({ "continue_on_error": true })),
    ]));
    stage.upstream = vec![tidegate_pipelines::plan::StageKey("made".to_owned())];
    let ran = runner.run(stage).await;
    ran.succeeded();
    assert_eq!(ran.text(2), "./logs/late\n./logs/out/log.txt\n./site/js/a.js\nlate\n");
    assert_eq!(ran.text(4), "merged/late\nmerged/out/log.txt\n/workspace/merged\n");
    assert!(ran.text(5).contains("`needs`"), "{}", ran.text(5));
    assert!(ran.text(6).contains("other runs"), "{}", ran.text(6));
    assert!(ran.text(7).contains("RUNNER_TEMP"), "{}", ran.text(7));
    runner.stop().await;
}

#[tokio::test]
async fn tools_come_from_the_image_or_the_tool_cache_or_the_step_says_what_there_is() {
    let tools = tempfile::tempdir().unwrap();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    for version in ["18.20.0", "20.11.1", "20.9.0"] {
        std::fs::create_dir_all(tools.path().join("node").join(version).join(arch).join("bin")).unwrap();
    }
    let runner = Runner::start_with(|config| config.actions.tools = Some(tools.path().to_owned())).await;
    let may_fail = |step: Value| with(step, json!({ "continue_on_error": true }));
    let fake = "mkdir bin; printf '#!/bin/sh\\necho go version go1.22.3 linux/amd64\\n' > bin/go; chmod +x bin/go; echo $PWD/bin >> $GITHUB_PATH; echo 'go 1.22' > go.mod";
    let steps = json!([
        sh(fake),
        with(
            uses(
                "actions/setup-node@v4",
                json!({ "node-version": "20.x", "registry-url": "https://npm.example.org", "scope": "team" })
            ),
            json!({ "id": "node" })
        ),
        sh(
            "echo '${{ steps.node.outputs.node-version }}'; echo $PATH | grep -o 'node/20.11.1'; cat $NPM_CONFIG_USERCONFIG"
        ),
        with(
            uses("actions/setup-go@v5", json!({ "go-version-file": "go.mod", "cache": "true" })),
            json!({ "id": "go" })
        ),
        sh("echo '${{ steps.go.outputs.go-version }}'"),
        may_fail(uses("actions/setup-go@v5", json!({ "go-version": "1.99" }))),
        may_fail(uses("actions/setup-node@v4", json!({ "node-version": "99" }))),
        may_fail(uses("actions/setup-python@v5", json!({ "python-version": "pypy3.9" }))),
    ]);
    let ran = runner.run(lenient(steps)).await;
    ran.succeeded();
    assert_eq!(
        ran.text(3),
        "v20.11.1\nnode/20.11.1\n//npm.example.org/:_authToken=${NODE_AUTH_TOKEN}\n@team:registry=https://npm.example.org/\n"
    );
    assert_eq!(ran.text(5), "1.22.3\n");
    assert!(
        ran.text(6).contains("the image has `go version go1.22.3") && ran.text(6).contains("golang:"),
        "{}",
        ran.text(6)
    );
    assert!(ran.text(7).contains("the runner's tool cache has 18.20.0, 20.11.1, 20.9.0"), "{}", ran.text(7));
    assert!(ran.text(8).contains("is no version"), "{}", ran.text(8));
    runner.stop().await;
}

#[tokio::test]
async fn a_set_up_tool_keeps_its_package_managers_cache() {
    let tools = tempfile::tempdir().unwrap();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    std::fs::create_dir_all(tools.path().join("node/20.11.1").join(arch).join("bin")).unwrap();
    let runner = Runner::start_with(|config| config.actions.tools = Some(tools.path().to_owned())).await;
    let stage = |script: &str, cache: &str| {
        json!([
            sh("echo '{}' > package-lock.json"),
            with(
                uses("actions/setup-node@v4", json!({ "node-version": "lts/*", "cache": cache })),
                json!({ "id": "node" })
            ),
            sh(script),
        ])
    };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fill = "mkdir -p ~/.npm; echo package > ~/.npm/a; echo '${{ steps.node.outputs.cache-hit }}'";
    let ran = runner.run_lease(at_home(stage(fill, "npm"), one.path())).await;
    ran.succeeded();
    assert_eq!(ran.text(3), "false\n");
    let show = "cat ~/.npm/a; echo '${{ steps.node.outputs.cache-hit }}'";
    let ran = runner.run_lease(at_home(stage(show, "npm"), two.path())).await;
    ran.succeeded();
    assert_eq!(ran.text(3), "package\ntrue\n");
    assert!(ran.text(4).contains("no cache to save"), "{}", ran.text(4));
    let ran = runner.run_lease(at_home(stage("true", "pnpm"), two.path())).await;
    ran.succeeded();
    assert!(ran.text(2).contains("no file is found at pnpm-lock.yaml"), "{}", ran.text(2));
    runner.stop().await;
}
