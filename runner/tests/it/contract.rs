//! The contract of [`tidegate_runner::sandbox::Engine`]: the same tests over the scripted fake and over Docker.

use std::{sync::Arc, time::Duration};

use tidegate_runner::sandbox::{Engine, docker::Docker, session::Event};

use crate::support::{
    fake::Fake,
    log::Kept,
    place::{Place, command, finished, owner},
    until,
};

macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod fake {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Fake::new()).await;
            })*
        }
        mod docker {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(std::sync::Arc::new(super::Docker::connect(None).await.unwrap())).await;
            })*
        }
    };
}

over_both!(
    exit_codes_and_signals_are_told,
    output_comes_whole_and_in_order,
    values_and_outputs_are_handed_on,
    a_file_with_a_mistake_fails_its_step,
    a_step_that_takes_too_long_is_stopped,
    a_cancel_is_term_then_grace_then_kill,
    a_cancel_before_or_after_its_step_stops_nothing_else,
    a_step_begins_with_no_signal_blocked_or_ignored,
    a_flood_is_kept_up_to_its_limit,
    the_working_directory_is_kept_to,
    what_a_step_leaves_running_does_not_hold_it_up,
    a_new_session_sees_every_byte_once_and_runs_nothing_twice,
    a_dropped_session_writes_nothing_more,
    a_lease_that_runs_out_ends_the_sandbox_from_inside,
    an_end_is_told_to_all_who_wait,
    cleaning_leaves_nothing_and_touches_nobody_else,
);

type AnEngine = Arc<dyn Engine>;

async fn exit_codes_and_signals_are_told(engine: AnEngine) {
    let place = Place::start(engine).await;
    for code in [0, 1, 77, 255] {
        let (end, _) = place.run(&format!("exit {code}")).await;
        assert_eq!((end.exit_code, end.signal, end.error), (Some(code), None, None));
    }
    let (end, printed) = place.run("echo before; kill -9 $$; echo after").await;
    assert_eq!((end.exit_code, end.signal), (None, Some(9)));
    assert_eq!(printed, b"before\n");
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    let mut missing = command(50);
    missing.argv = vec!["/no/such/shell".to_owned()];
    session.send(missing, "true").unwrap();
    let end = finished(&mut session, 50).await;
    assert_eq!(end.exit_code, Some(127));
    assert!(end.error.unwrap().contains("/no/such/shell"));
    place.clean().await;
}

async fn output_comes_whole_and_in_order(engine: AnEngine) {
    let place = Place::start(engine).await;
    let (_, printed) = place
        .run("for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done; printf '\\000\\377\\n no end'")
        .await;
    let mut expected: Vec<u8> = (1..10).flat_map(|i| format!("out {i}\nerr {i}\n").into_bytes()).collect();
    expected.extend_from_slice(b"\0\xff\n no end");
    assert_eq!(printed, expected);
    place.clean().await;
}

async fn values_and_outputs_are_handed_on(engine: AnEngine) {
    let place = Place::start(engine).await;
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    let mut first = command(1);
    first.env.insert("STAGE".to_owned(), "stage's".to_owned());
    first.step_env.insert("STEP".to_owned(), "step's".to_owned());
    let script = r#"echo "$STAGE $STEP"
echo 'version=1.2=3' >> "$TIDEGATE_OUTPUT"
printf 'notes<<END\none\ntwo\nEND\n' >> "$TIDEGATE_OUTPUT"
echo 'STAGE=changed' >> "$TIDEGATE_ENV"
mkdir -p tools && printf '#!/bin/sh\necho own tool' > tools/own-tool && chmod +x tools/own-tool
echo "$PWD/tools" >> "$TIDEGATE_PATH""#;
    session.send(first, script).unwrap();
    let end = finished(&mut session, 1).await;
    assert_eq!(end.error, None);
    assert_eq!(end.outputs["version"], "1.2=3");
    assert_eq!(end.outputs["notes"], "one\ntwo");
    assert_eq!(log.text(1), "stage's step's\n");
    let mut second = command(2);
    second.env.insert("STAGE".to_owned(), "stage's".to_owned());
    session.send(second, "echo \"$STAGE ${STEP:-none}\"; own-tool").unwrap();
    finished(&mut session, 2).await;
    assert_eq!(log.text(2), "changed none\nown tool\n");
    // What a step prints sets nothing.
    session.send(command(3), "echo 'x=1'; echo '::set-output name=x::1'").unwrap();
    assert!(finished(&mut session, 3).await.outputs.is_empty());
    place.clean().await;
}

async fn a_file_with_a_mistake_fails_its_step(engine: AnEngine) {
    let place = Place::start(engine).await;
    let (end, _) = place.run("echo nonsense >> \"$TIDEGATE_OUTPUT\"").await;
    assert!(end.error.unwrap().contains("TIDEGATE_OUTPUT, line 1"));
    let (end, _) = place.run("echo TIDEGATE_SHA=other >> \"$TIDEGATE_ENV\"").await;
    assert!(end.error.unwrap().contains("TIDEGATE_SHA"));
    let (end, printed) = place.run("echo \"${TIDEGATE_SHA:-unset}\"").await;
    assert_eq!((end.error, printed.as_slice()), (None, &b"unset\n"[..]));
    place.clean().await;
}

/// What a script printed itself: some shells say a word about a command that was stopped with them.
fn own_lines(log: &Kept, step: u32) -> Vec<String> {
    log.text(step).lines().filter(|line| *line != "Terminated").map(str::to_owned).collect()
}

async fn a_step_that_takes_too_long_is_stopped(engine: AnEngine) {
    let place = Place::start(engine).await;
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    let mut slow = command(1);
    (slow.timeout_ms, slow.grace_ms) = (Some(2_000), 10_000);
    session
        .send(slow.clone(), "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done")
        .unwrap();
    let end = finished(&mut session, 1).await;
    assert!(end.timed_out && !end.cancelled);
    assert_eq!(end.exit_code, Some(5));
    assert_eq!(own_lines(&log, 1), ["up", "bye"]);
    let mut stubborn = slow;
    (stubborn.index, stubborn.grace_ms) = (2, 200);
    session.send(stubborn, "trap '' TERM; echo deaf; while :; do sleep 0.05; done").unwrap();
    let end = finished(&mut session, 2).await;
    assert!(end.timed_out);
    assert_eq!((end.exit_code, end.signal), (None, Some(9)));
    // The sandbox goes on.
    let (end, _) = place.run("true").await;
    assert_eq!(end.exit_code, Some(0));
    place.clean().await;
}

async fn a_cancel_is_term_then_grace_then_kill(engine: AnEngine) {
    let place = Place::start(engine).await;
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    session
        .send(
            command(1),
            "trap 'echo tidying; sleep 0.2; echo tidy; exit 3' TERM; echo up; while :; do sleep 0.05; done",
        )
        .unwrap();
    until("the step is up", || log.text(1).contains("up")).await;
    session.cancel(1).unwrap();
    let end = finished(&mut session, 1).await;
    assert!(end.cancelled && !end.timed_out);
    assert_eq!(end.exit_code, Some(3));
    assert_eq!(own_lines(&log, 1), ["up", "tidying", "tidy"]);
    let mut stubborn = command(2);
    stubborn.grace_ms = 200;
    session.send(stubborn, "trap 'echo no' TERM; echo up; while :; do sleep 0.05; done").unwrap();
    until("the step is up", || log.text(2).contains("up")).await;
    session.cancel(2).unwrap();
    let end = finished(&mut session, 2).await;
    assert!(end.cancelled);
    assert_eq!((end.exit_code, end.signal), (None, Some(9)));
    assert!(log.text(2).contains("no\n"), "TERM came first");
    place.clean().await;
}

async fn a_cancel_before_or_after_its_step_stops_nothing_else(engine: AnEngine) {
    let place = Place::start(engine).await;
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    session.send(command(1), "while [ ! -e go ]; do sleep 0.02; done; echo one").unwrap();
    session.send(command(2), "echo two").unwrap();
    session.send(command(3), "echo three").unwrap();
    session.cancel(2).unwrap();
    std::fs::write(place.workspace().join("go"), "").unwrap();
    let mut ends = std::collections::BTreeMap::new();
    while ends.len() < 3 {
        if let Some(Event::Finished(step, end)) = session.next().await {
            ends.insert(step, end);
        }
    }
    assert_eq!((ends[&1].exit_code, ends[&1].cancelled), (Some(0), false));
    assert_eq!((ends[&2].exit_code, ends[&2].cancelled), (None, true));
    assert_eq!((ends[&3].exit_code, ends[&3].cancelled), (Some(0), false));
    session.cancel(1).unwrap();
    session.send(command(4), "echo four").unwrap();
    assert_eq!(finished(&mut session, 4).await.exit_code, Some(0));
    assert_eq!([1, 2, 3, 4].map(|step| log.text(step)), ["one\n", "", "three\n", "four\n"]);
    place.clean().await;
}

/// A shim that reads signals from a descriptor blocks them, and its steps must not inherit that.
async fn a_step_begins_with_no_signal_blocked_or_ignored(engine: AnEngine) {
    let place = Place::start(engine).await;
    let (_, printed) = place.run("grep -E 'Sig(Blk|Ign)' /proc/self/status").await;
    let text = String::from_utf8(printed).unwrap();
    let mut masks = text
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok())
        // Beyond the first 31 are signals of real time, of which the test's own surroundings may ignore some.
        .map(|mask| mask & 0x7fff_ffff);
    assert_eq!((masks.next(), masks.next()), (Some(0), Some(0)), "{text}");
    place.clean().await;
}

async fn a_flood_is_kept_up_to_its_limit(engine: AnEngine) {
    let place = Place::start(engine).await;
    let (end, printed) = place.run("dd if=/dev/zero bs=65536 count=400 2>/dev/null | tr '\\0' x").await;
    assert_eq!(end.exit_code, Some(0));
    assert_eq!(printed.len(), 400 * 65_536);
    assert!(printed.iter().all(|byte| *byte == b'x'));
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    let mut limited = command(90);
    limited.output_limit = 1_000;
    session.send(limited, "dd if=/dev/zero bs=65536 count=40 2>/dev/null | tr '\\0' y").unwrap();
    assert_eq!(finished(&mut session, 90).await.exit_code, Some(0));
    let text = log.text(90);
    assert!(text.starts_with(&"y".repeat(1_000)) && !text.starts_with(&"y".repeat(1_001)));
    assert!(text.contains("more than is kept") && text.len() < 1_200, "{text}");
    place.clean().await;
}

async fn the_working_directory_is_kept_to(engine: AnEngine) {
    let place = Place::start(engine).await;
    std::fs::create_dir_all(place.workspace().join("deep/down")).unwrap();
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    let mut below = command(1);
    below.cwd = "/workspace/deep/down".to_owned();
    session.send(below, "pwd; echo made here > file").unwrap();
    assert_eq!(finished(&mut session, 1).await.exit_code, Some(0));
    assert!(log.text(1).trim_end().ends_with("/deep/down"));
    // The workspace is the runner's folder, not a copy.
    assert_eq!(std::fs::read_to_string(place.workspace().join("deep/down/file")).unwrap(), "made here\n");
    let mut nowhere = command(2);
    nowhere.cwd = "/workspace/nowhere".to_owned();
    session.send(nowhere, "pwd").unwrap();
    let end = finished(&mut session, 2).await;
    assert!(end.error.unwrap().contains("/nowhere` does not exist"));
    place.clean().await;
}

async fn what_a_step_leaves_running_does_not_hold_it_up(engine: AnEngine) {
    let place = Place::start(engine).await;
    // One stays in the step's group and is ended with it, one leaves the group and keeps the pipe.
    let (end, printed) = place.run("sleep 300 & setsid sleep 300 & echo done").await;
    assert_eq!((end.exit_code, printed.as_slice()), (Some(0), &b"done\n"[..]));
    let (_, listed) = place.run("echo still here").await;
    assert_eq!(listed, b"still here\n");
    place.clean().await;
}

async fn a_new_session_sees_every_byte_once_and_runs_nothing_twice(engine: AnEngine) {
    let place = Place::start(engine).await;
    let first = Arc::new(Kept::default());
    let mut session = place.session(&first);
    session
        .send(command(1), "echo run >> runs; i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done")
        .unwrap();
    finished(&mut session, 1).await;
    let script = "echo run >> runs; echo early; while [ ! -e go ]; do sleep 0.02; done; echo late";
    session.send(command(2), script).unwrap();
    until("the step is up", || first.text(2).contains("early")).await;
    drop(session);
    // The runner is away, and the step goes on.
    std::fs::write(place.workspace().join("go"), "").unwrap();
    let again = place.engine.find(&place.owner).await.unwrap();
    assert!(again.is_some(), "the sandbox is found again");
    let second = Arc::new(Kept::default());
    let mut session = place.session(&second);
    session.send(command(1), "echo not again").unwrap();
    session.send(command(2), "echo not again").unwrap();
    assert_eq!(finished(&mut session, 1).await.exit_code, Some(0));
    assert_eq!(finished(&mut session, 2).await.exit_code, Some(0));
    let lines: String = (0..2000).map(|i| format!("line {i}\n")).collect();
    assert_eq!(second.text(1), lines);
    assert_eq!(second.text(2), "early\nlate\n");
    assert_eq!(first.text(1), lines);
    assert_eq!(std::fs::read_to_string(place.workspace().join("runs")).unwrap(), "run\nrun\n");
    place.clean().await;
}

async fn a_dropped_session_writes_nothing_more(engine: AnEngine) {
    let place = Place::start(engine).await;
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    session.send(command(1), "while [ ! -e stop ]; do echo x; done").unwrap();
    until("the step prints", || !log.bytes(1).is_empty()).await;
    drop(session);
    let kept = log.bytes(1).len();
    let other = Arc::new(Kept::default());
    let mut session = place.session(&other);
    session.send(command(1), "echo not again").unwrap();
    until("another session is ahead", || other.bytes(1).len() > kept + 4096).await;
    assert_eq!(log.bytes(1).len(), kept);
    std::fs::write(place.workspace().join("stop"), "").unwrap();
    finished(&mut session, 1).await;
    place.clean().await;
}

async fn a_lease_that_runs_out_ends_the_sandbox_from_inside(engine: AnEngine) {
    let place = Place::start(engine).await;
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    session.send(command(1), "echo up; while :; do date >> ticks; sleep 0.02; done").unwrap();
    until("the step is up", || log.text(1).contains("up")).await;
    // A lease that is renewed goes on; the time is the machine's since its boot.
    session.lease(Duration::from_secs(u32::MAX.into())).unwrap();
    session.lease(Duration::from_millis(1)).unwrap();
    drop(session);
    let end = tokio::time::timeout(Duration::from_secs(30), place.sandbox.wait()).await.unwrap().unwrap();
    assert_eq!(end.code, 75);
    let ticks = || std::fs::metadata(place.workspace().join("ticks")).unwrap().len();
    let before = ticks();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(ticks(), before, "nothing of the step runs any more");
    assert!(place.engine.find(&place.owner).await.unwrap().is_none());
    place.clean().await;
}

async fn an_end_is_told_to_all_who_wait(engine: AnEngine) {
    let place = Place::start(engine.clone()).await;
    let log = Arc::new(Kept::default());
    let mut session = place.session(&log);
    session.send(command(1), "echo last words").unwrap();
    finished(&mut session, 1).await;
    session.end().unwrap();
    let (one, two) = tokio::join!(place.sandbox.wait(), place.sandbox.wait());
    assert_eq!((one.unwrap().code, two.unwrap().code), (0, 0));
    assert_eq!(place.sandbox.wait().await.unwrap().code, 0);
    place.clean().await;

    let place = Place::start(engine).await;
    let waiting = tokio::spawn({
        let sandbox = place.sandbox.clone();
        async move { sandbox.wait().await }
    });
    place.sandbox.kill().await.unwrap();
    assert_ne!(waiting.await.unwrap().unwrap().code, 0);
    place.sandbox.kill().await.unwrap();
    place.clean().await;
    place.sandbox.kill().await.unwrap();
}

async fn cleaning_leaves_nothing_and_touches_nobody_else(engine: AnEngine) {
    // Two attempts of one runner, and one with the same attempt id under another runner's name.
    let mine = owner();
    let sibling = tidegate_runner::sandbox::Owner { attempt: owner().attempt, ..mine.clone() };
    let one = Place::start_with(engine.clone(), mine.clone(), |_| ()).await;
    let two = Place::start_with(engine.clone(), sibling.clone(), |_| ()).await;
    let mut listed = engine.attempts(&mine.runner).await.unwrap();
    listed.sort();
    let mut expected = vec![mine.attempt, sibling.attempt];
    expected.sort();
    assert_eq!(listed, expected);
    engine.clean("another runner", mine.attempt).await.unwrap();
    assert!(engine.find(&mine).await.unwrap().is_some(), "a foreign runner cleans nothing here");
    engine.clean(&mine.runner, mine.attempt).await.unwrap();
    assert_eq!(engine.attempts(&mine.runner).await.unwrap(), [sibling.attempt]);
    assert!(engine.find(&mine).await.unwrap().is_none());
    let (end, _) = two.run("true").await;
    assert_eq!(end.exit_code, Some(0), "the other attempt goes on");
    // Again, and for an attempt that never began.
    engine.clean(&mine.runner, mine.attempt).await.unwrap();
    engine.clean(&mine.runner, owner().attempt).await.unwrap();
    one.clean().await;
    two.clean().await;
    assert!(engine.attempts(&mine.runner).await.unwrap().is_empty());
}
