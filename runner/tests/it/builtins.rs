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
