//! Check runs and their annotations, by an App.

use serde_json::{Value, json};
use sqlx::PgPool;
use tidegate_protocol::{ids::RunId, status::RunStatus};
use tidegate_server::{
    forge::messages::{Message, RunMessage, SkippedMessage},
    reports::Remark,
};

use super::{Scene, all, mistake, run};
use crate::{github_model::Fault, support::MIGRATOR};

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_app_makes_one_check_run_of_a_run(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let id = RunId::new();
    for (key, status) in [("1", RunStatus::Running), ("2", RunStatus::Waiting), ("3", RunStatus::Warned)] {
        scene.enqueue(key, &Message::Run(run(id, status))).await;
        scene.drain().await;
    }
    scene.model.assert_clean();
    {
        let known = scene.model.known();
        assert!(known.statuses.is_empty(), "the check run stands for the status");
        assert_eq!(known.checks.len(), 1);
        let check = known.checks.values().next().unwrap();
        assert_eq!((&check["status"], &check["conclusion"]), (&json!("completed"), &json!("neutral")));
        assert_eq!(check["external_id"], id.to_string());
        assert_eq!(known.tokens.len(), 1, "one token served all of it");
    }
    // Its failed stages are run again: a check run that ended is not opened, so there is another.
    for (key, status) in [("4", RunStatus::Running), ("5", RunStatus::Succeeded)] {
        scene.enqueue(key, &Message::Run(run(id, status))).await;
        scene.drain().await;
    }
    scene.model.assert_clean();
    assert_eq!(all(scene.model.known().checks.values(), "conclusion"), ["neutral", "success"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_check_of_a_pipeline_that_was_left_out_is_made_once(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let skipped = Message::Skipped(SkippedMessage {
        id: "one".to_owned(),
        pipeline: "docs".to_owned(),
        sha: "a1".repeat(20),
        reason: "the commit's message says [skip ci]".to_owned(),
    });
    scene.enqueue("1", &skipped).await;
    // It went through, and the answer was lost.
    // The installation and its token come first.
    for fault in [Fault::Fine, Fault::Fine, Fault::DroppedAfter] {
        scene.model.fail(fault);
    }
    scene.drain().await;
    scene.skip_waits().await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent"]);
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(all(known.checks.values(), "conclusion"), ["success"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_steps_said_is_put_beside_the_lines(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let id = RunId::new();
    let remark = |file: Option<&str>, line: u32| Remark {
        level: "error".to_owned(),
        message: format!("at {line}"),
        title: None,
        file: file.map(str::to_owned),
        line: Some(line),
        end_line: None,
        column: Some(2),
        end_column: None,
        step: 1,
    };
    let mut running = run(id, RunStatus::Running);
    running.diagnostics = vec![mistake(1)];
    scene.enqueue("1", &Message::Run(running.clone())).await;
    scene.drain().await;
    let mut ended = RunMessage { status: RunStatus::Failed, ..running };
    ended.remarks = (1..=60).map(|line| remark(Some("./src/a.rs"), line)).collect();
    ended.remarks.extend([remark(None, 70), remark(Some("/etc/passwd"), 71), remark(Some("../x"), 72)]);
    scene.enqueue("2", &Message::Run(ended)).await;
    scene.drain().await;
    scene.model.assert_clean();
    let known = scene.model.known();
    let check = known.checks.values().next().unwrap();
    let lines = all(check["output"]["annotations"].as_array().unwrap(), "start_line");
    assert_eq!(lines.len(), 61, "the mistake, and all that name a file of the repository");
    assert_eq!((lines[1].clone(), lines[60].clone()), (json!(1), json!(60)));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn annotations_beyond_fifty_come_in_later_requests(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let mut message = run(RunId::new(), RunStatus::Invalid);
    message.diagnostics = (1..=120).map(mistake).collect();
    scene.enqueue("1", &Message::Run(message)).await;
    scene.drain().await;
    assert_eq!(scene.states().await, ["sent"]);
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(known.calls.len(), 3);
    let check = known.checks.values().next().unwrap();
    assert_eq!(check["conclusion"], "failure");
    let lines = all(check["output"]["annotations"].as_array().unwrap(), "start_line");
    assert_eq!(lines, (1..=120).map(Value::from).collect::<Vec<_>>());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn annotations_that_arrived_are_not_repeated(pool: PgPool) {
    let scene = Scene::app(pool).await;
    let mut message = run(RunId::new(), RunStatus::Invalid);
    message.diagnostics = (1..=120).map(mistake).collect();
    scene.enqueue("1", &Message::Run(message)).await;
    // The answer to the making is lost, then that to the next fifty.
    let tries = [vec![Fault::DroppedAfter], vec![Fault::Fine, Fault::Fine, Fault::DroppedAfter], Vec::new()];
    for faults in tries {
        assert_eq!(scene.states().await, ["waiting"]);
        scene.model.known().faults.extend(faults);
        scene.drain().await;
        scene.skip_waits().await;
    }
    assert_eq!(scene.states().await, ["sent"]);
    scene.model.assert_clean();
    let known = scene.model.known();
    assert_eq!(known.checks.len(), 1);
    let check = known.checks.values().next().unwrap();
    assert_eq!(check["output"]["annotations"].as_array().unwrap().len(), 120);
}
