//! Draws a run as it goes by: a live tree on a terminal, a line per change otherwise.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;

use crate::{
    api::views::{Run, Stage},
    commands::runs::stage_duration,
    terminal::{harmless, shorten, status_mark, status_style},
};

/// Columns of a stage's name, indent included.
const NAME: usize = 26;

/// A run on the terminal.
pub struct Tree {
    kind: Kind,
    begun: Instant,
}

enum Kind {
    Live { bars: MultiProgress, stages: HashMap<String, ProgressBar> },
    Plain { seen: HashMap<String, String> },
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
        let depths = depths(run);
        match &mut self.kind {
            Kind::Live { bars, stages } => {
                for stage in &run.stages {
                    let bar = stages.entry(stage.key.clone()).or_insert_with(|| {
                        let bar = bars.add(ProgressBar::new_spinner());
                        bar.enable_steady_tick(Duration::from_millis(100));
                        bar
                    });
                    let depth = depths.get(stage.key.as_str()).copied().unwrap_or(0);
                    draw(bar, stage, depth, tails.get(&stage.key).map(String::as_str));
                }
            }
            Kind::Plain { seen } => {
                for stage in &run.stages {
                    let state = format!("{} {}", stage.status, stage.reason.as_deref().unwrap_or_default());
                    let old = seen.insert(stage.key.clone(), state.clone());
                    if old.as_ref() != Some(&state) && stage.status != "blocked" {
                        let line = format!("{:<NAME$} {}", stage.key, words(stage));
                        anstream::println!("[{:>6.1} s] {line}", self.begun.elapsed().as_secs_f64());
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
                bar.abandon();
            }
        }
    }
}

fn draw(bar: &ProgressBar, stage: &Stage, depth: usize, tail: Option<&str>) {
    let indent = if depth == 0 { String::new() } else { format!("{}└ ", " ".repeat(depth - 1)) };
    let name = format!("{:<NAME$}", shorten(&format!("{indent}{}", stage.key), NAME));
    let style = status_style(&stage.status);
    let running = stage.status == "running";
    let template = if running { "  {spinner:.cyan} {prefix} {wide_msg}" } else { "  {prefix} {wide_msg}" };
    if let Ok(shape) = ProgressStyle::with_template(template) {
        bar.set_style(shape.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
    }
    if running {
        bar.set_prefix(name);
        let tail = tail.map(|line| shorten(&harmless(line), 200)).unwrap_or_default();
        bar.set_message(format!("{:>9}  {}", stage_duration(stage), tail.dimmed()));
    } else {
        bar.set_prefix(format!("{} {name}", status_mark(&stage.status).style(style)));
        bar.set_message(words(stage));
        if matches!(stage.status.as_str(), "succeeded" | "failed" | "warned" | "skipped" | "cancelled") {
            bar.disable_steady_tick();
        }
    }
}

/// Duration, status and reason.
fn words(stage: &Stage) -> String {
    let status = stage.status.style(status_style(&stage.status)).to_string();
    let reason = stage.reason.as_deref().map(|reason| shorten(&harmless(reason), 160)).unwrap_or_default();
    let taken = stage_duration(stage);
    let head = if taken.is_empty() { status } else { format!("{taken:>9}  {status}") };
    if reason.is_empty() { head } else { format!("{head}  {}", reason.dimmed()) }
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
