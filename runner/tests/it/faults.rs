//! The agent when something goes wrong: with the server, with the engine, with the stage itself.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tidegate_protocol::messages::{Outcome, Secret};

use crate::support::{
    agent::{Agent, lease, stage},
    fake::{Fails, Fake},
    server::{Mode, Model},
    until,
};

/// A conflict at any call stops the stage at once: its sandbox goes, nothing is reported, the runner works on.
#[tokio::test]
async fn a_conflict_at_any_call_stops_the_stage() {
    for call in ["renew", "steps", "log", "artifacts", "caches", "reports", "finish"] {
        let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
        let agent = Agent::start(&model, engine.clone(), data.path());
        let script = match call {
            // Calls in the middle of a step; it would never end by itself.
            "renew" | "steps" | "log" => "echo up; sleep 300",
            _ => "mkdir -p dist && echo x > dist/x && echo '<testsuites/>' > report.xml",
        };
        let mut plan = serde_json::to_value(stage(&[script])).unwrap();
        plan["artifacts"] = serde_json::json!([{ "name": "out", "paths": ["dist/**"] }]);
        plan["caches"] = serde_json::json!([{ "key": "k", "restore_keys": [], "paths": ["dist"] }]);
        plan["reports"] = serde_json::json!([{ "kind": "junit", "paths": ["report.xml"] }]);
        let mut leased = lease(serde_json::from_value(plan).unwrap());
        leased.expires_in_ms = 3_000;
        model.refuse(call, StatusCode::CONFLICT);
        let attempt = model.queue(leased);
        until("the stage is claimed", || model.attempt(attempt).is_some()).await;
        until("everything of it is gone", || {
            engine.is_empty()
                && std::fs::read_dir(data.path().join("stages")).is_ok_and(|mut all| all.next().is_none())
        })
        .await;
        assert_eq!(model.finish(attempt), None, "after a conflict at {call}");
        model.relent();
        let next = model.queue(lease(stage(&["true"])));
        assert_eq!(model.finished(next).await.outcome, Outcome::Succeeded, "after a conflict at {call}");
        agent.stop().await.unwrap();
    }
}

/// A runner that is cut off ends its sandbox before the server may hand the stage on.
#[tokio::test]
async fn a_runner_that_is_cut_off_fences_itself_before_its_lease_ends() {
    for mode in [Mode::Silent, Mode::Away] {
        let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
        let agent = Agent::start(&model, engine.clone(), data.path());
        let mut leased = lease(stage(&["trap '' TERM; echo up; while :; do sleep 0.05; done"]));
        leased.expires_in_ms = 3_000;
        let attempt = model.queue(leased);
        model.printed(attempt, 1, "up").await;
        model.mode(mode);
        until("the sandbox is gone", || !engine.runs(attempt)).await;
        let gone = Instant::now();
        let known = model.attempt(attempt).unwrap();
        let lease_ends = known.granted + Duration::from_millis(known.expires_in_ms);
        assert!(gone < lease_ends, "{mode:?}: {:?} too late", gone - lease_ends);
        // When the server is back, nothing is reported for it.
        model.lose(attempt);
        model.mode(Mode::Up);
        let next = model.queue(lease(stage(&["true"])));
        assert_eq!(model.finished(next).await.outcome, Outcome::Succeeded);
        assert_eq!(model.finish(attempt), None);
        assert!(engine.is_empty());
        agent.stop().await.unwrap();
    }
}

/// A runner that is killed cannot fence itself; its sandbox does.
#[tokio::test]
async fn the_sandbox_of_a_killed_runner_ends_with_the_lease() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    let mut leased = lease(stage(&["trap '' TERM; echo up; while :; do sleep 0.05; done"]));
    leased.expires_in_ms = 3_000;
    let attempt = model.queue(leased);
    model.printed(attempt, 1, "up").await;
    agent.kill().await;
    assert!(engine.runs(attempt), "it runs on for now");
    until("the sandbox ended itself", || !engine.runs(attempt)).await;
    let gone = Instant::now();
    let known = model.attempt(attempt).unwrap();
    assert!(gone < known.granted + Duration::from_millis(known.expires_in_ms));
}

#[tokio::test]
async fn a_server_that_is_away_for_a_while_costs_no_line() {
    for mode in [Mode::Away, Mode::Silent] {
        let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
        let agent = Agent::start(&model, engine.clone(), data.path());
        let gate = data.path().join("go");
        let lines = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done";
        let script = format!("echo up; while [ ! -e {} ]; do sleep 0.02; done; {lines}", gate.display());
        let attempt = model.queue(lease(stage(&[&script, lines])));
        model.printed(attempt, 1, "up").await;
        model.mode(mode);
        std::fs::write(&gate, "").unwrap();
        // Both steps run meanwhile; their end is the sandbox's.
        until("the steps are through", || !engine.runs(attempt)).await;
        assert_eq!(model.finish(attempt), None);
        model.mode(Mode::Up);
        assert_eq!(model.finished(attempt).await.outcome, Outcome::Succeeded);
        let known = model.attempt(attempt).unwrap();
        let lines: String = (0..2000).map(|i| format!("line {i}\n")).collect();
        assert_eq!([known.text(1), known.text(2)], [format!("up\n{lines}"), lines]);
        agent.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_log_or_a_result_that_the_server_never_takes_does_not_hold_the_stage_up() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    model.refuse("log", StatusCode::PAYLOAD_TOO_LARGE);
    model.refuse("steps", StatusCode::BAD_REQUEST);
    let finish = model.finished(model.queue(lease(stage(&["echo something"])))).await;
    assert!(finish.reason.unwrap().contains("the log is not whole: log is refused by the test"));
    model.relent();
    // The result as it is, is not taken; that it was not taken, is.
    model.refuse_once("finish", StatusCode::BAD_REQUEST);
    let attempt = model.queue(lease(stage(&["echo x=1 >> \"$TIDEGATE_OUTPUT\""])));
    let finish = model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    assert!(finish.reason.unwrap().contains("the server refused the result: finish is refused"));
    agent.stop().await.unwrap();
}

/// Every call to the engine fails once, one after the other: the stage ends with a true reason or goes well, and a
/// restart leaves nothing behind.
#[tokio::test]
async fn whichever_call_to_the_engine_fails_the_stage_ends_and_nothing_stays() {
    let service = serde_json::json!([{ "name": "db", "image": crate::support::IMAGE }]);
    let mut plan = serde_json::to_value(stage(&["echo one", "echo two"])).unwrap();
    plan["services"] = service;
    let plan: tidegate_pipelines::plan::StagePlan = serde_json::from_value(plan).unwrap();
    for nth in 1.. {
        let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
        let agent = Agent::start(&model, engine.clone(), data.path());
        until("it claims", || !model.claims().is_empty()).await;
        let before = engine.calls();
        engine.fails(Fails::Nth(before + nth));
        let finish = model.finished(model.queue(lease(plan.clone()))).await;
        match finish.outcome {
            Outcome::Succeeded => assert_eq!(finish.reason, None),
            Outcome::Infrastructure => {
                let reason = finish.reason.unwrap();
                assert!(reason.contains("the fake engine does not"), "call {nth}: {reason}");
            }
            other => panic!("call {nth}: {other:?}, {:?}", finish.reason),
        }
        agent.stop().await.unwrap();
        let was_reached = engine.calls() >= before + nth;
        engine.fails(Fails::None);
        let agent = Agent::start(&model, engine.clone(), data.path());
        until("nothing is left", || {
            engine.is_empty()
                && std::fs::read_dir(data.path().join("stages")).is_ok_and(|mut all| all.next().is_none())
        })
        .await;
        agent.stop().await.unwrap();
        if !was_reached {
            assert!(nth > 5, "only {nth} calls were made");
            break;
        }
    }
}

#[tokio::test]
async fn what_goes_wrong_in_a_stage_is_said_in_one_sentence() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    let finished = async |plan| model.finished(model.queue(lease(plan))).await;
    let one = |reason: &Option<String>| {
        let reason = reason.clone().unwrap();
        assert!(!reason.contains('\n') && !reason.is_empty(), "{reason}");
        reason
    };

    let mut plan = serde_json::to_value(stage(&["true"])).unwrap();
    plan["verb"]["image"] = "registry.invalid/no/such:1".into();
    let finish = finished(serde_json::from_value(plan).unwrap()).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    assert!(one(&finish.reason).contains("`registry.invalid/no/such:1`"));

    let finish = finished(stage(&["echo before", "exit 42", "echo never"])).await;
    assert_eq!((&finish.outcome, finish.exit_code), (&Outcome::Failed, Some(42)));
    assert_eq!(one(&finish.reason), "step `step 2` ended with exit code 42");

    let mut plan = serde_json::to_value(stage(&["sleep 300"])).unwrap();
    plan["verb"]["steps"][0]["timeout_seconds"] = 1.into();
    let finish = finished(serde_json::from_value(plan).unwrap()).await;
    assert_eq!(finish.outcome, Outcome::TimedOut);
    assert_eq!(one(&finish.reason), "step `step 1` took longer than 1 s");

    let mut plan = serde_json::to_value(stage(&["sleep 300"])).unwrap();
    plan["timeout_seconds"] = 2.into();
    let finish = finished(serde_json::from_value(plan).unwrap()).await;
    assert_eq!(finish.outcome, Outcome::TimedOut);
    assert_eq!(one(&finish.reason), "the stage took longer than 2 s");

    let mut plan = serde_json::to_value(stage(&["exit 1", "echo goes on"])).unwrap();
    plan["verb"]["steps"][0]["continue_on_error"] = true.into();
    let finish = finished(serde_json::from_value(plan).unwrap()).await;
    assert_eq!((finish.outcome, finish.reason), (Outcome::Succeeded, None));

    let mut plan = serde_json::to_value(stage(&["true"])).unwrap();
    plan["services"] =
        serde_json::json!([{ "name": "db", "image": crate::support::IMAGE, "command": ["end"] }]);
    let attempt = model.queue(lease(serde_json::from_value(plan).unwrap()));
    let finish = model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    assert!(one(&finish.reason).starts_with("service `db`"));
    assert!(model.attempt(attempt).unwrap().text(0).contains("the service's last words"));

    let mut leased = lease(stage(&["true"]));
    leased.stage.checkout = true;
    let finish = model.finished(model.queue(leased)).await;
    assert_eq!(finish.outcome, Outcome::Infrastructure);
    assert!(one(&finish.reason).contains("team/app"));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_sandbox_that_dies_fails_its_stage_as_nobodys_fault() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    let attempt = model.queue(lease(stage(&["echo up; sleep 300"])));
    model.printed(attempt, 1, "up").await;
    engine.kill_from_outside(attempt);
    let finish = model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Infrastructure);
    assert!(finish.reason.unwrap().contains("ended from outside"));
    agent.stop().await.unwrap();
}

/// A secret in pieces, encoded, in an output and in a reason: no form of it leaves the runner.
#[tokio::test]
async fn no_form_of_a_secret_leaves_the_runner() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    let script = r#"printf 'in pieces: corr'; sleep 0.2; printf 'ect ho'; sleep 0.2; echo 'rse battery'
echo "plain: $WORD"
printf 'base64: '; printf 'x%s' "$WORD" | base64
echo "word=$WORD" >> "$TIDEGATE_OUTPUT""#;
    let mut plan = stage(&[script, "exit 3"]);
    if let tidegate_pipelines::plan::Verb::Run(run) = &mut plan.verb {
        run.steps[1].name = "a name with correct horse battery".to_owned();
    }
    let mut leased = lease(plan);
    leased.secrets.push(Secret {
        name: "word".to_owned(),
        env: Some("WORD".to_owned()),
        value: "correct horse battery".to_owned(),
    });
    let attempt = model.queue(leased);
    let finish = model.finished(attempt).await;
    let known = model.attempt(attempt).unwrap();
    let lines: Vec<String> = known.text(1).lines().map(str::to_owned).collect();
    assert_eq!(lines[..2], ["in pieces: ***", "plain: ***"]);
    assert!(lines[2].starts_with("base64: ") && lines[2].contains("***"), "{lines:?}");
    assert_eq!(finish.outputs["word"], "***");
    let all = format!("{finish:?}{}{}", known.text(0), known.text(1));
    assert!(!all.contains("correct horse battery"), "{all}");
    agent.stop().await.unwrap();
}

/// The whole road of a flood: shim, mask, spool, chunks, server; no byte more, less or other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_lines_arrive_as_they_were_printed() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    let mut leased = lease(stage(&["seq -f '%079.0f' 1 1000000"]));
    leased.secrets.push(Secret {
        name: "word".to_owned(),
        env: Some("WORD".to_owned()),
        value: "0000000000000000000000000000000000000000000000000000000000000000000000000424242".to_owned(),
    });
    let attempt = model.queue(leased);
    let finish = model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}", finish.reason);
    let log = &model.attempt(attempt).unwrap().log[&1];
    let mut lines = log.split(|byte| *byte == b'\n');
    for number in 1..=1_000_000 {
        let line = lines.next().unwrap();
        if number == 424_242 {
            assert_eq!(line, b"***");
        } else {
            assert_eq!(line, format!("{number:079}").as_bytes());
        }
    }
    assert_eq!((lines.next(), lines.next()), (Some(&b""[..]), None));
    agent.stop().await.unwrap();
}
