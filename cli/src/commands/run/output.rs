//! What a local run prints: each line of each stage behind the stage's name, in the stage's colour.
//!
//! Stages write at the same time and in pieces; a line is printed when it is whole (or when its step ends).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use owo_colors::{OwoColorize, Style};
use tidegate_pipelines::plan::StageKey;
use tidegate_protocol::{
    messages::StepReport,
    status::{StageStatus, StepStatus},
};
use tidegate_runner::local::LocalSink;

use crate::terminal::{self, status_mark, status_style};

/// Bytes of a line without an end that are kept back.
const LONGEST_LINE: usize = 64 * 1024;

/// Prints as stages go by.
pub struct Output {
    width: usize,
    state: Mutex<HashMap<StageKey, Stage>>,
}

#[derive(Default)]
struct Stage {
    style: Style,
    begun: Option<Instant>,
    taken: Option<Duration>,
    /// The beginning of a line, per step.
    open: HashMap<u32, Vec<u8>>,
}

impl Output {
    /// For stage names of up to this width.
    pub fn new(width: usize) -> Self {
        Self { width, state: Mutex::default() }
    }

    /// How long a stage took.
    pub fn duration(&self, stage: &StageKey) -> Option<Duration> {
        let state = self.lock();
        let stage = state.get(stage)?;
        stage.taken.or_else(|| stage.begun.map(|begun| begun.elapsed()))
    }

    /// Prints what is left of lines.
    pub fn flush(&self) {
        let mut state = self.lock();
        for (key, stage) in state.iter_mut() {
            for (_, rest) in stage.open.drain() {
                print_line(self.width, key, stage.style, &rest);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StageKey, Stage>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, key: &StageKey, change: impl FnOnce(&mut Stage) -> T) -> T {
        let mut state = self.lock();
        let count = state.len();
        let stage =
            state.entry(key.clone()).or_insert_with(|| Stage { style: color(count), ..Stage::default() });
        change(stage)
    }

    fn note(&self, key: &StageKey, text: &str) {
        let style = self.with(key, |stage| stage.style);
        anstream::println!("{} {text}", prefix(self.width, key, style));
    }
}

impl LocalSink for Output {
    fn stage(&self, key: &StageKey, status: StageStatus, reason: Option<&str>) {
        self.with(key, |stage| match status {
            StageStatus::Running => stage.begun = Some(Instant::now()),
            _ if status.is_final() => stage.taken = stage.begun.map(|begun| begun.elapsed()),
            _ => {}
        });
        if status.is_final() {
            let word = status.as_str();
            let style = status_style(word);
            let taken = self.duration(key).map(terminal::duration).unwrap_or_default();
            let reason = reason.map(terminal::harmless).unwrap_or_default();
            let text = format!(
                "{} {} {taken} {}",
                status_mark(word).style(style),
                word.style(style),
                reason.dimmed()
            );
            self.note(key, text.trim_end());
        }
    }

    fn step(&self, key: &StageKey, report: &StepReport) {
        match report.status {
            StepStatus::Running => {
                self.note(key, &format!("── {}", terminal::harmless(&report.name)).bold().to_string());
            }
            StepStatus::Pending => {}
            _ => {
                let (rest, style) = self.with(key, |stage| (stage.open.remove(&report.index), stage.style));
                if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
                    print_line(self.width, key, style, &rest);
                }
            }
        }
    }

    fn log(&self, key: &StageKey, step: u32, bytes: &[u8]) {
        let (lines, style) = self.with(key, |stage| {
            let open = stage.open.entry(step).or_default();
            open.extend_from_slice(bytes);
            (take_lines(open), stage.style)
        });
        for line in lines {
            print_line(self.width, key, style, &line);
        }
    }
}

/// Takes the whole lines out of a buffer, without their ends.
fn take_lines(open: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
        let mut line: Vec<u8> = open.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        lines.push(line);
    }
    if open.len() > LONGEST_LINE {
        lines.push(std::mem::take(open));
    }
    lines
}

fn print_line(width: usize, key: &StageKey, style: Style, line: &[u8]) {
    // A carriage return draws over what was there; the last drawing counts.
    let text = String::from_utf8_lossy(line);
    let shown = text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
    // Groups cannot be folded here: their titles stand out instead.
    match shown.strip_prefix("##[group]") {
        Some(title) => {
            let title = format!("▾ {}", terminal::harmless(title));
            anstream::println!("{} {}", prefix(width, key, style), title.bold());
        }
        None if shown == "##[endgroup]" => {}
        None => anstream::println!("{} {}", prefix(width, key, style), terminal::harmless(shown)),
    }
}

fn prefix(width: usize, key: &StageKey, style: Style) -> String {
    format!("{:<width$} │", key.0).style(style).to_string()
}

fn color(count: usize) -> Style {
    let colors = [
        Style::new().cyan(),
        Style::new().magenta(),
        Style::new().blue(),
        Style::new().yellow(),
        Style::new().green(),
    ];
    colors.get(count % colors.len()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let mut open = Vec::new();
        let mut lines = Vec::new();
        for piece in ["on", "e\ntw", "o\r\n", "\nthr", "ee"] {
            open.extend_from_slice(piece.as_bytes());
            lines.extend(take_lines(&mut open));
        }
        assert_eq!(lines, [b"one".to_vec(), b"two".to_vec(), b"".to_vec()]);
        assert_eq!(open, b"three");
    }

    #[test]
    fn an_endless_line_is_given_out_in_pieces() {
        let mut open = vec![b'x'; LONGEST_LINE + 1];
        assert_eq!(take_lines(&mut open).len(), 1);
        assert!(open.is_empty());
    }
}
