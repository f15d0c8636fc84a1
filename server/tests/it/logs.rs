//! Logs: every byte once and in its place, however it is sent and read.

use bytes::Bytes;
use sqlx::PgPool;
use tidegate_protocol::{
    ids::{AttemptId, RunnerId},
    messages::{Lease, MAX_LOG_CHUNK, Outcome},
    status::StepStatus,
};
use tidegate_server::{error::Error, leases, logs};

use crate::{
    leased::{append, finish, finished, lease, push, step},
    support::{MIGRATOR, World},
};

const ONE: &str = "on: push\nstages:\n  hello: {image: debian, run: echo hello}\n";

/// A small generator, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Lines of all lengths, some of bytes that are no text.
    fn log(&mut self, size: usize) -> Vec<u8> {
        (0..size)
            .map(|_| match self.below(12) {
                0 => b'\n',
                1 => self.below(256) as u8,
                letter => b'a' + letter as u8,
            })
            .collect()
    }
}

async fn leased(world: &World) -> (RunnerId, Lease) {
    let repository = world.repository().await;
    push(world, &repository, ONE).await;
    let runner = world.runner().await;
    let lease = lease(world, runner).await;
    (runner, lease)
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The whole log, read in pieces of this size, with its figures checked on the way.
async fn read_all(world: &World, attempt: AttemptId, step: u32, piece: usize) -> Vec<u8> {
    let mut all: Vec<u8> = Vec::new();
    loop {
        let read = logs::read(&world.app, attempt, step, all.len() as u64, piece).await.unwrap();
        assert!(read.bytes.len() <= piece);
        assert_eq!(read.lines_before, lines(&all), "at {}", all.len());
        all.extend_from_slice(&read.bytes);
        assert_eq!(read.next_offset, all.len() as u64);
        if read.finished || read.bytes.is_empty() {
            return all;
        }
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn bytes_arrive_once_whatever_is_sent_twice_late_or_in_part(pool: PgPool) {
    let world = World::new(pool).await;
    let (runner, lease) = leased(&world).await;
    for seed in 1..=25_u64 {
        let mut dice = Dice(seed);
        let step = u32::try_from(seed).unwrap();
        let size = 1 + dice.below(20_000);
        let log = dice.log(size);
        let mut stored = 0;
        let mut calls = 0;
        while stored < log.len() {
            calls += 1;
            assert!(calls < 10_000, "seed {seed}: no headway");
            // Somewhere before, at, or behind where the server is: a repeat, an overlap, the next bytes, a gap.
            let from = match dice.below(4) {
                0 => dice.below(stored + 1),
                1 => (stored + dice.below(500)).min(log.len()),
                _ => stored,
            };
            let to = (from + dice.below(3_000)).min(log.len());
            let accepted = append(&world, runner, &lease, step, from as u64, &log[from..to]).await.unwrap();
            if from <= stored {
                stored = stored.max(to);
            }
            assert_eq!(accepted.next_offset, stored as u64, "seed {seed}: {from}..{to}");
        }
        let piece = 1 + dice.below(4_000);
        assert!(read_all(&world, lease.attempt, step, piece).await == log, "seed {seed}");
        let figures: String = world
            .value(&format!("select concat_ws(' ', log_bytes, log_lines) from steps where index = {step}"))
            .await;
        assert_eq!(figures, format!("{} {}", log.len(), lines(&log)), "seed {seed}");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_chunk_that_comes_by_several_ways_at_once_is_stored_once(pool: PgPool) {
    let world = World::new(pool).await;
    let (runner, lease) = leased(&world).await;
    let log = Dice(7).log(40_000);
    let frame = |range: &[u8]| Bytes::from(zstd::bulk::compress(range, 1).unwrap());
    for chunk in 0..10 {
        let start = chunk * 4_000;
        let mut calls = tokio::task::JoinSet::new();
        for early in [0, 0, 17, 300] {
            let from = usize::saturating_sub(start, early);
            let (app, frame) = (world.app.clone(), frame(&log[from..start + 4_000]));
            let (attempt, epoch) = (lease.attempt, lease.epoch);
            calls.spawn(async move {
                leases::append_log(&app, runner, attempt, epoch, 3, from as u64, frame)
                    .await
                    .unwrap()
                    .next_offset
            });
        }
        assert_eq!(calls.join_all().await, [start as u64 + 4_000; 4]);
    }
    assert!(read_all(&world, lease.attempt, 3, 1 << 20).await == log);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_frame_that_is_none_or_too_much_is_refused(pool: PgPool) {
    let world = World::new(pool).await;
    let (runner, lease) = leased(&world).await;
    let bomb = zstd::bulk::compress(&vec![0; MAX_LOG_CHUNK + 1], 1).unwrap();
    let mut torn = zstd::bulk::compress(&Dice(3).log(5_000), 1).unwrap();
    torn.truncate(torn.len() / 2);
    for frame in [bomb, torn, b"plain text\n".to_vec()] {
        let result =
            leases::append_log(&world.app, runner, lease.attempt, lease.epoch, 0, 0, frame.into()).await;
        assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    }
    assert_eq!(world.value::<i64>("select count(*) from log_chunks").await, 0);
    let most = vec![b'\n'; MAX_LOG_CHUNK];
    let accepted = append(&world, runner, &lease, 0, 0, &most).await.unwrap();
    assert_eq!(accepted.next_offset, MAX_LOG_CHUNK as u64);
    assert!(read_all(&world, lease.attempt, 0, 100_000).await == most);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_log_is_finished_when_its_step_ended_and_all_was_read(pool: PgPool) {
    let world = World::new(pool).await;
    let (runner, lease) = leased(&world).await;
    let attempt = lease.attempt;
    assert!(matches!(logs::read(&world.app, attempt, 0, 0, 10).await, Err(Error::NotFound(_))));
    leases::report_step(&world.app, runner, attempt, lease.epoch, &step(0, StepStatus::Running))
        .await
        .unwrap();
    let empty = logs::read(&world.app, attempt, 0, 0, 10).await.unwrap();
    assert!(empty.bytes.is_empty() && !empty.finished);

    append(&world, runner, &lease, 0, 0, b"one\ntwo\nthree\n").await.unwrap();
    let read = logs::read(&world.app, attempt, 0, 4, 100).await.unwrap();
    assert_eq!((&read.bytes[..], read.lines_before, read.next_offset), (&b"two\nthree\n"[..], 1, 14));
    assert!(!read.finished, "the step goes on");
    assert!(matches!(logs::read(&world.app, attempt, 0, 15, 100).await, Err(Error::Invalid(_))));

    leases::report_step(&world.app, runner, attempt, lease.epoch, &step(0, StepStatus::Succeeded))
        .await
        .unwrap();
    let part = logs::read(&world.app, attempt, 0, 0, 13).await.unwrap();
    assert_eq!((part.bytes.len(), part.finished), (13, false));
    let rest = logs::read(&world.app, attempt, 0, 13, 13).await.unwrap();
    assert_eq!((&rest.bytes[..], rest.lines_before, rest.finished), (&b"\n"[..], 2, true));
    let nothing = logs::read(&world.app, attempt, 0, 14, 13).await.unwrap();
    assert_eq!((nothing.bytes.len(), nothing.lines_before, nothing.finished), (0, 3, true));

    // A step that was never reported as ended ends with its attempt.
    append(&world, runner, &lease, 1, 0, b"x").await.unwrap();
    finish(&world, runner, &lease, finished(Outcome::Succeeded)).await.unwrap();
    assert!(logs::read(&world.app, attempt, 1, 0, 10).await.unwrap().finished);

    world.sql("delete from log_chunks").await;
    let gone = logs::read(&world.app, attempt, 0, 3, 10).await.unwrap();
    assert_eq!((gone.bytes.len(), gone.next_offset, gone.finished), (0, 14, true));
}
