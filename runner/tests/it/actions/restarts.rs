//! A runner that is killed and started again among the parts of actions.

use serde_json::json;

use super::{Origin, files, node, uses};
use crate::steps::{Ran, Runner, with};

/// A restart between and within the parts of actions.
#[tokio::test]
async fn a_restart_among_actions_changes_nothing() {
    let gate = tempfile::tempdir().unwrap();
    let wait = |number: u32| {
        format!(
            "echo waiting {number}; while [ ! -e {}/{number} ]; do sleep 0.02; done",
            gate.path().display()
        )
    };
    let app = Origin::new(&[("a.txt", "one\n")]);
    let composite = format!(
        "
outputs: {{word: {{value: '${{{{ steps.in.outputs.word }}}}'}}}}
runs:
  using: composite
  steps:
    - {{shell: sh, run: echo first}}
    - {{shell: sh, id: in, run: 'echo word=deep >> $GITHUB_OUTPUT; {}; echo second'}}
    - {{shell: sh, run: 'echo third ${{{{ steps.in.outputs.word }}}}'}}
",
        wait(1)
    );
    let main = format!("echo main $INPUT_WORD; echo w=$INPUT_WORD >> $GITHUB_STATE; {}", wait(2));
    let steps = json!([
        uses("actions/checkout@v4", json!({})),
        node(),
        files(&[
            ("deep/action.yml", &composite),
            ("js/action.yml", "inputs: {word: {}}\nruns: {using: node24, main: main.js, post: post.js}"),
            ("js/main.js", &main),
            ("js/post.js", "echo post $STATE_w"),
        ]),
        with(uses("./deep", json!({})), json!({ "id": "deep" })),
        uses("./js", json!({ "word": "${{ steps.deep.outputs.word }}" })),
    ]);
    let go = |number: u32| std::fs::write(gate.path().join(number.to_string()), "").unwrap();
    let mut runner = Runner::start().await;
    let attempt = runner.model.queue(app.lease(steps));
    runner.model.printed(attempt, 4, "waiting 1").await;
    runner.kill_and_restart().await;
    go(1);
    runner.model.printed(attempt, 5, "waiting 2").await;
    runner.kill_and_restart().await;
    go(2);
    let finish = runner.model.finished(attempt).await;
    let ran = Ran { finish, known: runner.model.attempt(attempt).unwrap() };
    ran.succeeded();
    assert!(ran.text(1).contains("checked out team/app"), "{}", ran.text(1));
    assert_eq!(ran.text(4), "first\nwaiting 1\nsecond\nthird deep\n");
    assert_eq!(ran.text(5), "main deep\nwaiting 2\n");
    assert_eq!(ran.text(6), "post deep\n");
    assert_eq!(ran.name(7), "Post actions/checkout@v4");
    runner.stop().await;
}
