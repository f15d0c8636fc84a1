//! `make bench`: each figure beside its floor, both measured in the same run on the same machine, as a ratio.
//!
//! Figures: (a) webhook to first log line, (b) each further step, (c) a million lines, (d) resident memory,
//! (e) webhooks per second, (f) 1,500 workflow files validated, (g) hostile files. Medians; what was asked for stands
//! beside what came, and nothing fails here, because machines are noisy. The logs of (c) are compared byte for byte, and
//! that does fail. `bench language` takes (f) and (g) alone, which need nothing but the binary.
#![allow(clippy::print_stdout)]

mod floors;
mod language;
mod webhooks;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection, Row};
use tidegate_e2e::{
    api::{Api, describe, stage},
    process::tidegate_binary,
    repo::deliver,
    stack::{Project, Stack},
};

const LIMIT: Duration = Duration::from_secs(300);
/// How often a figure of single runs is taken; odd, so that the median is one of them.
const ROUNDS: usize = 9;
/// Lines of the large log, of eighty bytes each.
const LINES: usize = 1_000_000;

#[tokio::main]
async fn main() -> Result<()> {
    let heading =
        || println!("{:<44} {:>12} {:>12} {:>9}  asked for", "figure", "tidegate", "floor", "ratio");
    if std::env::args().nth(1).as_deref() == Some("language") {
        heading();
        return language::validate(&tidegate_binary()?);
    }
    let mut stack = Stack::start().await?;
    let project = stack.project("bench").await?;
    heading();
    first_line(&stack, &project).await?;
    further_step(&stack, &project).await?;
    million_lines(&stack, &project).await?;
    webhooks::accepted(&stack).await?;
    memory(&mut stack)?;
    language::validate(&tidegate_binary()?)?;
    Ok(())
}

/// One row of the table, in milliseconds.
fn row(figure: &str, tidegate: f64, floor: f64, unit: &str, asked: &str) {
    let ratio = if floor > 0.0 { format!("{:.2}", tidegate / floor) } else { "-".to_owned() };
    println!(
        "{figure:<44} {:>12} {:>12} {ratio:>9}  {asked}",
        format!("{tidegate:.1} {unit}"),
        format!("{floor:.1} {unit}")
    );
}

/// The middle of the values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A pipeline of one stage with this script.
fn pipeline(steps: &[String]) -> String {
    let steps: String = steps.iter().map(|step| format!("      - {step:?}\n")).collect();
    format!(
        "name: bench\non: {{push: {{}}}}\nstages:\n  only:\n    image: \"tidegate-test/busybox:1\"\n    run:\n{steps}"
    )
}

/// Runs a pipeline to its end; gives when its webhook was sent (seconds since 1970) and the run.
async fn run(api: &Api, project: &Project, pipeline: &str) -> Result<(f64, Value)> {
    let push = project
        .repo
        .push(&[(".tidegate/pipeline.yml", pipeline)], &format!("bench {}", uuid::Uuid::new_v4()))?;
    let body = project.repo.webhook(&push);
    let sent = jiff::Timestamp::now().as_microsecond() as f64 / 1e6;
    let status = deliver(&project.webhook_url, &project.webhook_secret, "push", &body).await?;
    ensure!(status == 202, "the webhook was answered {status}");
    let id = api.run_of(&push.after).await?;
    let run = api.run_until(&id, &["succeeded", "failed"], LIMIT).await?;
    ensure!(run["status"] == "succeeded", "{}", describe(&run));
    Ok((sent, run))
}

/// (a) From the webhook's first byte to the commit that makes the step's first line readable.
async fn first_line(stack: &Stack, project: &Project) -> Result<()> {
    let mut database = PgConnection::connect(stack.database_url()).await?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (sent, run) = run(&stack.admin, project, &pipeline(&["echo hello".to_owned()])).await?;
        let attempt: uuid::Uuid = attempt(&run)?["id"].as_str().context("an attempt has an id")?.parse()?;
        let at: f64 = sqlx::query(
            "select extract(epoch from min(at))::float8 as at from log_chunks where attempt_id = $1 and step >= 1",
        )
        .bind(attempt)
        .fetch_one(&mut database)
        .await?
        .try_get("at")?;
        let bare = floors::first_byte().await?;
        if round > 0 {
            ours.push((at - sent) * 1e3);
            floor.push(bare.as_secs_f64() * 1e3);
        }
    }
    row(
        "(a) webhook to first log line",
        median(ours),
        median(floor),
        "ms",
        "floor + 150 ms (docker create+start+first byte)",
    );
    Ok(())
}

fn attempt(run: &Value) -> Result<&Value> {
    stage(run, "only")?["attempts"].get(0).context("a stage that ran has an attempt")
}

/// Seconds between an attempt's beginning and end, by the database's clock.
fn duration(attempt: &Value) -> Result<f64> {
    let at = |key: &str| -> Result<jiff::Timestamp> { Ok(attempt[key].as_str().context("a time")?.parse()?) };
    Ok(at("finished_at")?.duration_since(at("started_at")?).as_secs_f64())
}

/// (b) What one more step costs: fifty more of them, and the same fifty in one step.
async fn further_step(stack: &Stack, project: &Project) -> Result<()> {
    const STEPS: usize = 50;
    let one_by_one: Vec<String> = (0..=STEPS).map(|_| "true".to_owned()).collect();
    let in_one = ["true".to_owned(), format!("for i in $(seq {STEPS}); do sh -c true; done")];
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        ours.push(duration(attempt(&run(&stack.admin, project, &pipeline(&one_by_one)).await?.1)?)?);
        floor.push(duration(attempt(&run(&stack.admin, project, &pipeline(&in_one)).await?.1)?)?);
    }
    let each = (median(ours) - median(floor)) * 1e3 / STEPS as f64;
    row("(b) each further step, over the command", each.max(0.0), 0.0, "ms", "10 ms");
    Ok(())
}

/// (c) A million lines, stored and byte-exact, against `docker run` of the same command.
async fn million_lines(stack: &Stack, project: &Project) -> Result<()> {
    let line = "0123456789".repeat(7) + "012345678";
    let script = format!("yes {line} | head -n {LINES}");
    let mut expected = Sha256::new();
    for _ in 0..LINES {
        expected.update(line.as_bytes());
        expected.update(b"\n");
    }
    let expected = hex::encode(expected.finalize());
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (_, run) = run(&stack.admin, project, &pipeline(std::slice::from_ref(&script))).await?;
        let attempt = attempt(&run)?;
        ours.push(duration(attempt)?);
        let log = stack.admin.log(attempt["id"].as_str().context("an id")?, 1).await?;
        ensure!(log.len() == LINES * 80, "{} bytes are stored, {} were printed", log.len(), LINES * 80);
        ensure!(
            hex::encode(Sha256::digest(&log)) == expected,
            "the stored log differs from what was printed"
        );
        floor.push(floors::docker_run(&script)?.as_secs_f64());
    }
    row("(c) 1,000,000 lines of 80 bytes, byte-exact", median(ours), median(floor), "s", "2 x docker run");
    Ok(())
}

/// (d) Resident memory of server and runner after all of the above.
fn memory(stack: &mut Stack) -> Result<()> {
    for (name, pid, asked) in [
        ("(d) resident memory: server", stack.server()?.pid(), 60),
        ("    resident memory: runner", stack.runner(0)?.pid(), 40),
    ] {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        row(name, kib / 1024.0, 0.0, "MiB", &format!("{asked} MB"));
    }
    Ok(())
}

/// How long something takes.
async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(Duration, T)> {
    let start = Instant::now();
    let value = work.await?;
    Ok((start.elapsed(), value))
}
