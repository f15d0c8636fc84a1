//! The agent against a model of the server, on the scripted engine: what it does when all goes well, and at its
//! start, end and restart.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use tidegate_protocol::{
    messages::{Outcome, Secret},
    status::StepStatus,
};
use tidegate_runner::{
    RunnerError,
    journal::{Journal, Phase},
    sandbox::Engine as _,
};

use crate::support::{
    agent::{Agent, config, lease, stage, stage_of},
    fake::Fake,
    place::{Place, owner},
    server::{Mode, Model},
    until,
};

/// Whether a data folder holds nothing of any attempt.
fn no_stages(data: &tempfile::TempDir) -> bool {
    std::fs::read_dir(data.path().join("stages")).is_ok_and(|mut entries| entries.next().is_none())
}

#[tokio::test]
async fn a_network_is_closed_for_who_asks_and_for_forks() {
    use tidegate_pipelines::plan::Network;
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    for (network, trusted, closed) in [
        (Network::Internet, true, false),
        (Network::Services, true, true),
        (Network::None, true, true),
        (Network::Internet, false, true),
    ] {
        let mut plan = stage(&["true"]);
        plan.network = network;
        let mut leased = lease(plan);
        leased.trusted = trusted;
        let attempt = model.queue(leased);
        model.finished(attempt).await;
        assert_eq!(engine.closed().last(), Some(&closed), "{network:?}, trusted: {trusted}");
    }
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_stage_is_claimed_executed_logged_and_reported() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    let mut plan = stage(&[
        "echo one; echo \"$WHERE\"; echo version=3 >> \"$TIDEGATE_OUTPUT\"",
        "echo two; echo url=x >> \"$TIDEGATE_OUTPUT\"",
    ]);
    plan.env.insert("WHERE".to_owned(), "here".into());
    let attempt = model.queue(lease(plan));
    let finish = model.finished(attempt).await;
    assert_eq!((&finish.outcome, &finish.reason, finish.exit_code), (&Outcome::Succeeded, &None, None));
    assert_eq!(finish.outputs["version"], "3");
    assert_eq!(finish.outputs["url"], "x");
    let known = model.attempt(attempt).unwrap();
    assert!(known.text(0).contains("attempt 1"), "{}", known.text(0));
    assert_eq!((known.text(1).as_str(), known.text(2).as_str()), ("one\nhere\n", "two\n"));
    // The list of steps is fixed by their first reports; the last of each says how it ended.
    let mut names: Vec<&str> = Vec::new();
    for report in &known.steps {
        if !names.contains(&report.name.as_str()) {
            names.push(&report.name);
        }
    }
    assert_eq!(names, ["set up", "step 1", "step 2"]);
    for index in 0..3 {
        let last = known.steps.iter().rfind(|report| report.index == index).unwrap();
        assert_eq!(last.status, StepStatus::Succeeded, "{last:?}");
        assert!(last.duration_ms.is_some());
    }
    let claims = model.claims();
    assert_eq!(claims[0].labels, ["fast", "docker"]);
    assert_eq!(claims[0].free_slots, 2);
    until("nothing is left", || engine.is_empty() && no_stages(&data)).await;
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_runner_enrols_once_and_keeps_its_key_to_itself() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    for _ in 0..2 {
        let agent = Agent::start(&model, engine.clone(), data.path());
        let attempt = model.queue(lease(stage(&["true"])));
        assert_eq!(model.finished(attempt).await.outcome, Outcome::Succeeded);
        agent.stop().await.unwrap();
        model.unclaimed().await;
    }
    assert_eq!(model.enrolments(), 1);
    let mode = std::fs::metadata(data.path().join("runner.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Another runner with the same token is refused, and says what to do.
    let other = tempfile::tempdir().unwrap();
    let error = Agent::start(&model, engine.clone(), other.path()).ended().await.unwrap_err();
    assert!(matches!(error, RunnerError::Enrolment(_)), "{error}");
    assert!(error.to_string().contains("make a new one"), "{error}");
    let without = tidegate_runner::RunnerConfig { enrolment_token: None, ..config(&model, other.path()) };
    let error = Agent::start_with(without, engine).ended().await.unwrap_err();
    assert!(matches!(error, RunnerError::NotEnrolled(_)), "{error}");
}

#[tokio::test]
async fn a_runner_waits_for_a_server_that_is_not_up_yet() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    model.mode(Mode::Away);
    let agent = Agent::start(&model, engine, data.path());
    let attempt = model.queue(lease(stage(&["true"])));
    tokio::time::sleep(Duration::from_millis(500)).await;
    model.mode(Mode::Up);
    assert_eq!(model.finished(attempt).await.outcome, Outcome::Succeeded);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_disabled_runner_ends_and_says_why() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine, data.path());
    until("it claims", || !model.claims().is_empty()).await;
    model.disable();
    let error = agent.ended().await.unwrap_err();
    assert!(matches!(error, RunnerError::Revoked { .. }), "{error}");
    assert!(error.to_string().contains("runner.key"), "{error}");
}

#[tokio::test]
async fn two_runners_do_not_share_a_folder() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    until("it claims", || !model.claims().is_empty()).await;
    let error = Agent::start(&model, engine, data.path()).ended().await.unwrap_err();
    assert!(matches!(error, RunnerError::Locked(_)), "{error}");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_claimed_while_the_engine_is_away() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    engine.fails(crate::support::fake::Fails::All);
    let agent = Agent::start(&model, engine.clone(), data.path());
    until("it enrolled", || model.enrolments() == 1).await;
    let attempt = model.queue(lease(stage(&["true"])));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(model.claims().is_empty());
    engine.fails(crate::support::fake::Fails::None);
    assert_eq!(model.finished(attempt).await.outcome, Outcome::Succeeded);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancel_reaches_the_step_which_may_tidy_up() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    let script = "trap 'echo tidied; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let mut plan = stage(&[script, "echo never", "echo afterwards"]);
    if let tidegate_pipelines::plan::Verb::Run(run) = &mut plan.verb {
        run.steps[2].when = tidegate_pipelines::plan::StepWhen::Always;
    }
    // The silent step hears of it by a renewal.
    let mut leased = lease(plan);
    leased.expires_in_ms = 3_000;
    let attempt = model.queue(leased);
    model.printed(attempt, 1, "up").await;
    model.cancel(attempt);
    let finish = model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Cancelled);
    let known = model.attempt(attempt).unwrap();
    assert!(known.text(1).contains("tidied"), "{}", known.text(1));
    assert_eq!((known.text(2).as_str(), known.text(3).as_str()), ("", "afterwards\n"));
    let last = |index| known.steps.iter().rfind(|report| report.index == index).unwrap().status;
    assert_eq!([1, 2, 3].map(last), [StepStatus::Cancelled, StepStatus::Skipped, StepStatus::Succeeded]);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_upgraded_runner_goes_on_where_the_old_one_was() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let gate = tempfile::tempdir().unwrap();
    let go = gate.path().join("go");
    let runs = gate.path().join("runs");
    let script = format!(
        "echo run >> {runs}; i=0; while [ $i -lt 3000 ]; do echo early $i; i=$((i+1)); done
         while [ ! -e {go} ]; do sleep 0.02; done; echo late; echo word=kept >> $TIDEGATE_OUTPUT",
        runs = runs.display(),
        go = go.display()
    );
    let agent = Agent::start(&model, engine.clone(), data.path());
    let attempt = model.queue(lease(stage(&["echo first", &script, "echo third"])));
    model.printed(attempt, 2, "early 10\n").await;
    agent.stop().await.unwrap();
    assert!(engine.runs(attempt), "the sandbox outlives the process");
    std::fs::write(&go, "").unwrap();
    let agent = Agent::start(&model, engine.clone(), data.path());
    let finish = model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}", finish.reason);
    assert_eq!(finish.outputs["word"], "kept");
    let known = model.attempt(attempt).unwrap();
    let early: String = (0..3000).map(|i| format!("early {i}\n")).collect();
    assert_eq!(known.text(2), format!("{early}late\n"));
    assert_eq!((known.text(1).as_str(), known.text(3).as_str()), ("first\n", "third\n"));
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "run\n", "the step ran once");
    until("nothing is left", || engine.is_empty() && no_stages(&data)).await;
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_runner_loses_no_byte_at_any_moment() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let script = "i=0; while [ $i -lt 1500 ]; do echo line $i of a secret hunter-22-hunter; i=$((i+1)); done";
    let mut leased = lease(stage(&[script, script, "echo end"]));
    leased.secrets.push(Secret {
        name: "word".to_owned(),
        env: Some("WORD".to_owned()),
        value: "hunter-22-hunter".to_owned(),
    });
    let attempt = model.queue(leased);
    // From when it has the lease in its journal; a claim whose answer nobody wrote down is the server's to take back.
    let agent = Agent::start(&model, engine.clone(), data.path());
    until("it is begun", || model.attempt(attempt).is_some_and(|known| !known.text(0).is_empty())).await;
    agent.kill().await;
    // Killed again and again, a little later each time; the last life may go on.
    for life in 0..20 {
        let agent = Agent::start(&model, engine.clone(), data.path());
        tokio::time::sleep(Duration::from_millis(30 + 25 * life)).await;
        agent.kill().await;
    }
    let agent = Agent::start(&model, engine.clone(), data.path());
    let finish = model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}", finish.reason);
    let lines: String = (0..1500).map(|i| format!("line {i} of a secret ***\n")).collect();
    let known = model.attempt(attempt).unwrap();
    assert_eq!([known.text(1), known.text(2), known.text(3)], [lines.clone(), lines, "end\n".to_owned()]);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_lease_that_was_lost_meanwhile_is_not_gone_on_with() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    let attempt = model.queue(lease(stage(&["echo up; sleep 300"])));
    model.printed(attempt, 1, "up").await;
    agent.kill().await;
    assert!(engine.runs(attempt));
    model.lose(attempt);
    model.unclaimed().await;
    let agent = Agent::start(&model, engine.clone(), data.path());
    until("everything of it is gone", || engine.is_empty() && no_stages(&data)).await;
    assert_eq!(model.finish(attempt), None);
    // And the runner works on.
    let next = model.queue(lease(stage(&["true"])));
    assert_eq!(model.finished(next).await.outcome, Outcome::Succeeded);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_deployment_in_mid_flight_is_left_to_people() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    Agent::start(&model, engine.clone(), data.path()).stop().await.unwrap();
    let deploy = lease(stage_of(
        "deploy",
        serde_json::json!({
            "environment": "production", "image": "registry/app@sha256:00",
            "driver": { "driver": "compose", "file": "compose.yml", "project": "app", "wait_seconds": 5 },
        }),
    ));
    let folder = data.path().join("stages").join(deploy.attempt.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let far = u64::from(u32::MAX);
    let journal = Journal::begin(&folder.join("journal.json"), &deploy, far, far).unwrap();
    journal.update(|entry| entry.phase = Phase::Verb).unwrap();
    model.know(&deploy);
    let agent = Agent::start(&model, engine, data.path());
    until("it is given up", || no_stages(&data)).await;
    agent.stop().await.unwrap();
    let known = model.attempt(deploy.attempt).unwrap();
    assert_eq!(known.finish, None, "nobody knows how far it came, so nobody says");
    assert!(!known.calls.iter().any(|call| call == "steps"), "nothing of it was done again");
}

#[tokio::test]
async fn a_build_or_a_check_in_mid_flight_begins_anew() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    Agent::start(&model, engine.clone(), data.path()).stop().await.unwrap();
    let commands = serde_json::json!({ "image": crate::support::IMAGE,
        "steps": [{ "name": "look", "run": { "script": "ls; echo looked", "shell": ["/bin/sh"] } }] });
    let smoke = lease(stage_of(
        "smoke",
        serde_json::json!({ "environment": "staging", "deploy": "deploy", "checks": [], "commands": commands }),
    ));
    let folder = data.path().join("stages").join(smoke.attempt.to_string());
    // Half of what the earlier process made: a workspace with a file, a channel without its sandbox.
    std::fs::create_dir_all(folder.join("files/workspace")).unwrap();
    std::fs::write(folder.join("files/workspace/half"), "").unwrap();
    std::fs::create_dir_all(folder.join("channel/scripts")).unwrap();
    std::fs::write(folder.join("channel/commands"), "").unwrap();
    std::fs::write(folder.join("spool"), "").unwrap();
    let far = u64::from(u32::MAX);
    let journal = Journal::begin(&folder.join("journal.json"), &smoke, far, far).unwrap();
    journal.update(|entry| entry.phase = Phase::Verb).unwrap();
    model.know(&smoke);
    let agent = Agent::start(&model, engine, data.path());
    let finish = model.finished(smoke.attempt).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}", finish.reason);
    assert_eq!(model.attempt(smoke.attempt).unwrap().text(1), "looked\n");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_dead_process_left_is_destroyed_and_nothing_else() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    Agent::start(&model, engine.clone(), data.path()).stop().await.unwrap();
    let mine = tidegate_runner::sandbox::Owner { runner: model.runner.to_string(), ..owner() };
    let foreign = owner();
    let left = Place::start_with(engine.clone(), mine.clone(), |_| ()).await;
    let other = Place::start_with(engine.clone(), foreign.clone(), |_| ()).await;
    let folder = data.path().join("stages").join(mine.attempt.to_string());
    std::fs::create_dir_all(folder.join("files")).unwrap();
    let agent = Agent::start(&model, engine.clone(), data.path());
    until("it is destroyed", || !engine.runs(mine.attempt) && no_stages(&data)).await;
    assert!(engine.find(&left.owner).await.unwrap().is_none());
    assert!(engine.runs(other.owner.attempt), "a stranger's sandbox is nobody's business");
    agent.stop().await.unwrap();
    other.clean().await;
}

#[tokio::test]
async fn artifacts_and_caches_go_from_stage_to_stage() {
    let (model, engine, data) = (Model::start().await, Fake::new(), tempfile::tempdir().unwrap());
    let agent = Agent::start(&model, engine.clone(), data.path());
    let rules = serde_json::json!({
        "artifacts": [{ "name": "out", "paths": ["dist/**"] }],
        "caches": [{ "key": "deps-1", "restore_keys": [], "paths": ["deps"] }],
        "reports": [{ "kind": "junit", "paths": ["report.xml"] }],
    });
    let with = |scripts: &[&str], rules: &serde_json::Value| {
        let mut plan = serde_json::to_value(stage(scripts)).unwrap();
        for (name, value) in rules.as_object().unwrap() {
            plan[name] = value.clone();
        }
        lease(serde_json::from_value(plan).unwrap())
    };
    let make = "mkdir -p dist/a deps; echo built > dist/a/app; echo dep > deps/lib; echo '<testsuites/>' > report.xml";
    let attempt = model.queue(with(&[make], &rules));
    let finish = model.finished(attempt).await;
    assert_eq!(finish.outcome, Outcome::Succeeded, "{:?}", finish.reason);
    let blobs = model.attempt(attempt).unwrap().blobs;
    assert_eq!(blobs["junit"], b"<testsuites/>\n");
    assert!(blobs.contains_key("out") && blobs.contains_key("deps-1"));
    let needs = serde_json::json!({
        "fetch": [{ "stage": "test", "name": "out" }],
        "caches": [{ "key": "deps-1", "restore_keys": [], "paths": ["deps"] }],
    });
    let attempt = model.queue(with(&["cat dist/a/app deps/lib"], &needs));
    assert_eq!(model.finished(attempt).await.outcome, Outcome::Succeeded);
    let known = model.attempt(attempt).unwrap();
    assert_eq!(known.text(1), "built\ndep\n");
    assert!(!known.blobs.contains_key("deps-1"), "a cache that was found is not stored again");
    let missing = serde_json::json!({ "fetch": [{ "stage": "test", "name": "nothing" }] });
    let finish = model.finished(model.queue(with(&["true"], &missing))).await;
    assert_eq!(finish.outcome, Outcome::Failed);
    assert!(finish.reason.unwrap().contains("`nothing` of `test`"));
    agent.stop().await.unwrap();
}
