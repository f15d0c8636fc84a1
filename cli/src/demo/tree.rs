//! Draws a run as it goes by: a live tree on a terminal, a line per change otherwise.
//!
//! What a line says is computed by [`row`] from the stage alone, for a given number of columns; the spinner in front
//! of a running stage is the drawing library's.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;

use crate::{
    api::views::{Run, Stage},
    commands::runs::stage_duration,
    terminal::{harmless, short_digest, shorten, shorten_styled, status_mark, status_style, width},
};

/// Columns of a duration, right-aligned.
const DURATION: usize = 12;
/// Columns before the name: margin, mark, space.
const MARK: usize = 4;
/// Where the terminal does not say how wide it is.
const COLUMNS: usize = 100;

/// A run on the terminal.
pub struct Tree {
    kind: Kind,
    begun: Instant,
}

enum Kind {
    Live { bars: MultiProgress, stages: HashMap<String, Bar> },
    Plain { seen: HashMap<String, String> },
}

struct Bar {
    bar: ProgressBar,
    spins: Option<bool>,
}

impl Tree {
    /// A live tree, or plain lines where nobody looks.
    pub fn new(live: bool) -> Self {
        let kind = if live {
            Kind::Live { bars: MultiProgress::new(), stages: HashMap::new() }
        } else {
            Kind::Plain { seen: HashMap::new() }
        };
        Self { kind, begun: Instant::now() }
    }

    /// Shows where the run is. `tails` holds the last log line of running stages.
    pub fn update(&mut self, run: &Run, tails: &HashMap<String, String>) {
        match &mut self.kind {
            Kind::Live { bars, stages } => {
                let columns = crate::terminal::columns().unwrap_or(COLUMNS);
                let names = names(run, columns);
                for (stage, name) in run.stages.iter().zip(names) {
                    let bar = stages
                        .entry(stage.key.clone())
                        .or_insert_with(|| Bar { bar: bars.add(ProgressBar::new_spinner()), spins: None });
                    bar.show(stage, row(stage, &name, tails.get(&stage.key).map(String::as_str), columns));
                }
            }
            Kind::Plain { seen } => {
                let wide = run.stages.iter().map(|stage| stage.key.len()).max().unwrap_or(0);
                for stage in &run.stages {
                    let state = format!("{} {}", stage.status, stage.reason.as_deref().unwrap_or_default());
                    let old = seen.insert(stage.key.clone(), state.clone());
                    if old.as_ref() != Some(&state) && stage.status != "blocked" {
                        let time = format!("[{:>6.1} s]", self.begun.elapsed().as_secs_f64());
                        anstream::println!("{} {}", time.dimmed(), line(stage, wide));
                    }
                }
            }
        }
    }

    /// Prints a line above the tree.
    pub fn say(&self, text: &str) {
        match &self.kind {
            Kind::Live { bars, .. } => {
                let _ = bars.println(text);
            }
            Kind::Plain { .. } => anstream::println!("{text}"),
        }
    }

    /// Leaves the tree as it stands.
    pub fn finish(self) {
        if let Kind::Live { stages, .. } = self.kind {
            for bar in stages.values() {
                bar.bar.abandon();
            }
        }
    }
}

impl Bar {
    fn show(&mut self, stage: &Stage, text: String) {
        let spins = stage.status == "running";
        if self.spins != Some(spins) {
            self.spins = Some(spins);
            let template = if spins { "  {spinner:.cyan} {msg}" } else { "  {msg}" };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            }
            if spins {
                self.bar.enable_steady_tick(Duration::from_millis(100));
            } else {
                self.bar.disable_steady_tick();
            }
        }
        let mark = status_mark(&stage.status).style(status_style(&stage.status)).to_string();
        self.bar.set_message(if spins { text } else { format!("{mark} {text}") });
    }
}

/// One stage's line behind its mark: name, duration, and what there is to say of its state.
fn row(stage: &Stage, name: &str, tail: Option<&str>, columns: usize) -> String {
    let style = status_style(&stage.status);
    let (duration, news) = match stage.status.as_str() {
        "running" => (stage_duration(stage), harmless(tail.unwrap_or_default()).dimmed().to_string()),
        "blocked" => {
            let needs: Vec<&str> = stage.needs.iter().map(|need| need.stage.as_str()).collect();
            let after = if needs.is_empty() { String::new() } else { format!("after {}", needs.join(", ")) };
            (String::new(), after.dimmed().to_string())
        }
        "succeeded" => {
            let image = stage.outputs.get("image").map(|image| format!("sha256:{}", short_digest(image)));
            (stage_duration(stage), image.unwrap_or_default().dimmed().to_string())
        }
        status => {
            let word = status.replace('_', " ");
            let reason = harmless(&shorten(stage.reason.as_deref().unwrap_or_default(), 400));
            let words = if reason.is_empty() { word } else { format!("{word}: {reason}") };
            (stage_duration(stage), words.style(style).to_string())
        }
    };
    let news = fit(&news, name, DURATION + 3, columns);
    let name = if stage.status == "blocked" { name.dimmed().to_string() } else { name.to_owned() };
    if width(&news) > 0 {
        format!("{name} {duration:>DURATION$}  {news}")
    } else if duration.is_empty() {
        name
    } else {
        format!("{name} {duration:>DURATION$}")
    }
}

/// One change of a stage, where no one looks: its name, what it is now, for how long, and why or with what result.
fn line(stage: &Stage, wide: usize) -> String {
    let image = stage.outputs.get("image").map(|image| format!("sha256:{}", short_digest(image)));
    let news = stage.reason.as_deref().map(|reason| harmless(&shorten(reason, 400))).or(image);
    let taken = if stage.finished_at.is_some() { stage_duration(stage) } else { String::new() };
    let status = stage.status.replace('_', " ");
    let text = format!("{:<wide$}  {status:<9} {taken:>DURATION$}  {}", stage.key, news.unwrap_or_default());
    text.trim_end().to_owned()
}

/// What fits into the line behind a name and some more columns.
fn fit(text: &str, name: &str, more: usize, columns: usize) -> String {
    // One column stays free: a full line wraps on some terminals.
    let left = columns.saturating_sub(MARK + name.chars().count() + more + 1);
    if left < 4 { String::new() } else { shorten_styled(text, left) }
}

/// The names with their place in the tree in front, all of one width.
fn names(run: &Run, columns: usize) -> Vec<String> {
    let depths = depths(run);
    let names: Vec<String> = run
        .stages
        .iter()
        .map(|stage| match depths.get(stage.key.as_str()).copied().unwrap_or(0) {
            0 => stage.key.clone(),
            depth => format!("{}└ {}", " ".repeat(depth - 1), stage.key),
        })
        .collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    // In a narrow terminal the duration must still fit.
    let wide = widest.min(columns.saturating_sub(MARK + DURATION + 2)).max(8);
    names.iter().map(|name| format!("{:<wide$}", shorten(name, wide))).collect()
}

/// How far each stage is from the beginning.
fn depths(run: &Run) -> HashMap<&str, usize> {
    let mut depths: HashMap<&str, usize> = HashMap::new();
    // The graph is acyclic, and no deeper than it has stages.
    for _ in 0..run.stages.len() {
        let mut changed = false;
        for stage in &run.stages {
            let depth = stage
                .needs
                .iter()
                .map(|need| depths.get(need.stage.as_str()).copied().unwrap_or(0) + 1)
                .max()
                .unwrap_or(0);
            if depths.insert(&stage.key, depth) != Some(depth) {
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run() -> Run {
        let stage = |key: &str, status: &str, needs: &[&str], more: Value| {
            let needs: Vec<Value> = needs.iter().map(|need| json!({"stage": need})).collect();
            let mut stage = json!({"id": key, "key": key, "verb": "run", "status": status, "reason": null, "needs": needs,
                    "environment": null, "started_at": null, "finished_at": null});
            for (name, value) in more.as_object().unwrap() {
                stage[name] = value.clone();
            }
            stage
        };
        let (from, to) = ("2026-01-01T12:00:00Z", "2026-01-01T12:01:07Z");
        serde_json::from_value(json!({
            "id": "r", "number": 1, "repository": "demo/tides", "pipeline": "delivery", "status": "running",
            "reason": null, "event_kind": "push", "sha": "0", "title": "t", "actor": "dev",
            "created_at": from, "finished_at": null,
            "stages": [
                stage("lint", "succeeded", &[], json!({"started_at": from, "finished_at": to})),
                stage("push", "succeeded", &["lint"], json!({"started_at": from, "finished_at": "2026-01-01T12:00:02.25Z",
                    "outputs": {"image": "r/a@sha256:0123456789abcdef0123"}})),
                stage("deploy-staging", "queued", &["push"], json!({"reason": "waits for a runner"})),
                stage("deploy-production", "gated", &["deploy-staging"], json!({"reason": "waits for approval: 0 of 1"})),
                stage("smoke-production", "failed", &["deploy-production"], json!({"started_at": from, "finished_at": to,
                    "reason": "health: http://127.0.0.1/health answered 503 (wanted 200) for 14 s\nsecond line"})),
                stage("notify", "blocked", &["deploy-production", "smoke-production"], json!({})),
            ],
        }))
        .unwrap()
    }

    fn lines(columns: usize) -> Vec<String> {
        let run = run();
        let names = names(&run, columns);
        run.stages
            .iter()
            .zip(names)
            .map(|(stage, name)| {
                format!("{} {}", status_mark(&stage.status), harmless(&row(stage, &name, None, columns)))
            })
            .collect()
    }

    #[test]
    fn a_run_is_drawn_as_a_tree() {
        assert_eq!(
            lines(100),
            [
                "✓ lint                    1 min 07 s",
                "✓ └ push                       2.2 s  sha256:0123456789ab",
                "·  └ deploy-staging                   queued: waits for a runner",
                "⏸   └ deploy-production               gated: waits for approval: 0 of 1",
                "✗    └ smoke-production   1 min 07 s  failed: health: http://127.0.0.1/health answered 503 (want…",
                "·     └ notify                        after deploy-production, smoke-production",
            ]
        );
    }

    #[test]
    fn a_log_of_changes_says_what_each_stage_is() {
        let lines: Vec<String> = run().stages.iter().map(|stage| line(stage, 17)).collect();
        assert_eq!(
            lines[..4],
            [
                "lint               succeeded   1 min 07 s",
                "push               succeeded        2.2 s  sha256:0123456789ab",
                "deploy-staging     queued                  waits for a runner",
                "deploy-production  gated                   waits for approval: 0 of 1",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let run = run();
        for columns in [30, 40, 50, 60, 80, 200] {
            for (stage, name) in run.stages.iter().zip(names(&run, columns)) {
                let tail = "x".repeat(300);
                let mut running = stage.clone();
                running.status = "running".to_owned();
                for stage in [stage, &running] {
                    let text = row(stage, &name, Some(&tail), columns);
                    assert!(width(&text) + MARK < columns, "{columns}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_log_line_cannot_steer_the_terminal() {
        let mut stage = run().stages.remove(0);
        stage.status = "running".to_owned();
        let text = row(&stage, "lint", Some("\u{1b}[2Jcleared\u{7}"), 80);
        assert!(text.contains("cleared") && !text.contains("[2J") && !text.contains('\u{7}'), "{text:?}");
    }
}
