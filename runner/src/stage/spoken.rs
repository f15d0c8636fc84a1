//! Between the sandbox and the log of a stage that speaks in workflow commands: each command's output goes through a
//! [`Stream`], and what was said is kept until its step asks for it.
//!
//! The shim numbers commands, the page numbers steps, and a step may take several commands (the parts of a composite
//! action): [`index`] puts both into one number. The bytes of a command come from the session's thread, in order, and
//! all of them before its end is told; so whoever waited for the end finds everything here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tidegate_protocol::messages::{Annotation, AnnotationLevel, Annotations, StepSummary};

use super::paths::Paths;
use crate::{
    commands::{Matchers, Said, Stream, StreamSettings, notes},
    logs::LogSink,
    sync::lock,
};

/// The most values that commands may hide in an attempt, and their bytes.
const MOST_MASKS: usize = 1_000;
const MASK_BYTES: usize = 1 << 20;
/// The largest problem matcher file.
const MATCHER_BYTES: u64 = 256 << 10;
/// The most outputs, states and environment values that commands of one step may set, in bytes.
const SAID_BYTES: usize = 1 << 20;

/// The number of a step's command: the first one has the step's own.
pub(super) fn index(page: u32, command: u32) -> u32 {
    page & 0xffff | command << 16
}

/// The step of a command's number.
fn page(index: u32) -> u32 {
    index & 0xffff
}

/// What one command of the sandbox said, beside what it printed.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) state: BTreeMap<String, String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) path: Vec<String>,
    /// Why the step fails though its program may have ended well.
    pub(super) wrong: Option<String>,
    bytes: usize,
    /// Nothing more of it is shown: it has secrets that cannot be hidden.
    muted: bool,
}

/// The sink of a sandbox's output.
pub(super) struct Spoken {
    log: Arc<dyn LogSink>,
    paths: Paths,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<(u32, Stream, Heard)>,
    /// Commands in the background.
    behind: BTreeMap<u32, (Stream, Heard)>,
    /// Matchers of the commands so far.
    matchers: Matchers,
    kept: Annotations,
    counts: BTreeMap<(u32, AnnotationLevel), usize>,
    masks: usize,
    mask_bytes: usize,
    summary_bytes: usize,
}

impl Spoken {
    pub(super) fn new(log: Arc<dyn LogSink>, paths: Paths) -> Self {
        Self { log, paths, state: Mutex::new(State::default()) }
    }

    /// The output of this command comes next.
    pub(super) fn begin(&self, index: u32, settings: StreamSettings) {
        let paths = self.paths.clone();
        let load = move |path: &str| paths.read_text(path, MATCHER_BYTES);
        // One that was begun and never ran leaves its matchers.
        drop(self.heard());
        let mut state = lock(&self.state);
        let stream = Stream::new(settings, std::mem::take(&mut state.matchers), Box::new(load));
        state.open = Some((index, stream, Heard::default()));
    }

    /// The output of this command comes beside that of others. Matchers are those of whoever prints in the foreground.
    pub(super) fn begin_behind(&self, index: u32, settings: StreamSettings) {
        let paths = self.paths.clone();
        let load = move |path: &str| paths.read_text(path, MATCHER_BYTES);
        let stream = Stream::new(settings, Matchers::default(), Box::new(load));
        lock(&self.state).behind.insert(index, (stream, Heard::default()));
    }

    /// What a command in the background said; it has ended.
    pub(super) fn heard_behind(&self, index: u32) -> Heard {
        let mut state = lock(&self.state);
        let Some((stream, heard)) = state.behind.remove(&index) else { return Heard::default() };
        self.finish(&mut state, index, stream, heard).0
    }

    /// What the command said; it has ended.
    pub(super) fn heard(&self) -> Heard {
        let mut state = lock(&self.state);
        let Some((index, stream, heard)) = state.open.take() else { return Heard::default() };
        let (heard, matchers) = self.finish(&mut state, index, stream, heard);
        state.matchers = matchers;
        heard
    }

    fn finish(&self, state: &mut State, index: u32, stream: Stream, mut heard: Heard) -> (Heard, Matchers) {
        let matchers = stream.finish(&mut |said| self.take(state, page(index), &mut heard, said));
        (heard, matchers)
    }

    /// The runner itself says something of a step: a coloured line in its log, and an annotation.
    pub(super) fn say(&self, page: u32, level: AnnotationLevel, message: &str) {
        let note = notes::placed(level, message, [None, None], [None, None]);
        self.log.write(page, notes::shown(&note).as_bytes());
        lock(&self.state).keep(page, note);
    }

    /// An annotation without a line in the log.
    pub(super) fn note(&self, page: u32, level: AnnotationLevel, message: &str) {
        lock(&self.state).keep(page, notes::placed(level, message, [None, None], [None, None]));
    }

    /// A step wrote this for the run's page.
    pub(super) fn summary(&self, page: u32, text: &str) {
        let mut state = lock(&self.state);
        let room = Annotations::SUMMARY_BYTES - state.summary_bytes;
        if !text.is_empty() && text.len() <= room {
            state.summary_bytes += text.len();
            state.kept.summaries.push(StepSummary { step: page, text: text.to_owned() });
        }
    }

    /// All that is to be handed to the server, masked; none when nothing was said.
    pub(super) fn annotations(&self) -> Option<Annotations> {
        let mut kept = lock(&self.state).kept.clone();
        let mask = |text: &mut String| *text = self.log.mask(text);
        for note in &mut kept.annotations {
            mask(&mut note.message);
            note.title.iter_mut().chain(&mut note.file).for_each(mask);
        }
        kept.summaries.iter_mut().for_each(|summary| mask(&mut summary.text));
        (kept != Annotations::default()).then_some(kept)
    }

    fn take(&self, state: &mut State, page: u32, heard: &mut Heard, said: Said<'_>) {
        match said {
            Said::Text(bytes) if !heard.muted => self.log.write(page, bytes),
            Said::Text(_) => {}
            Said::Mask(value) => {
                state.masks += 1;
                state.mask_bytes += value.len();
                if state.masks <= MOST_MASKS && state.mask_bytes <= MASK_BYTES {
                    self.log.hide(&value);
                } else if !std::mem::replace(&mut heard.muted, true) {
                    let reason = format!(
                        "more than {MOST_MASKS} values or {} KiB were to be hidden; what follows is not shown",
                        MASK_BYTES >> 10
                    );
                    self.log.write(page, format!("[tidegate: {reason}]\n").as_bytes());
                    heard.wrong.get_or_insert(reason);
                }
            }
            Said::Output(name, value) => heard.set(|heard| &mut heard.outputs, name, value),
            Said::State(name, value) => heard.set(|heard| &mut heard.state, name, value),
            Said::Env(name, value) => heard.set(|heard| &mut heard.env, name, value),
            Said::Path(path) => {
                if heard.fits(path.len()) {
                    heard.path.push(path);
                }
            }
            Said::Note(note) => state.keep(page, note),
            Said::Wrong(reason) => {
                heard.wrong.get_or_insert(reason);
            }
        }
    }
}

impl Heard {
    fn fits(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes > SAID_BYTES {
            self.wrong.get_or_insert(format!("commands set more than {} KiB of values", SAID_BYTES >> 10));
        }
        self.bytes <= SAID_BYTES
    }

    fn set(&mut self, map: impl Fn(&mut Self) -> &mut BTreeMap<String, String>, name: String, value: String) {
        if self.fits(name.len() + value.len()) {
            map(self).insert(name, value);
        }
    }
}

impl State {
    fn keep(&mut self, page: u32, note: Annotation) {
        match note.level {
            AnnotationLevel::Error => self.kept.errors += 1,
            AnnotationLevel::Warning => self.kept.warnings += 1,
            AnnotationLevel::Notice => self.kept.notices += 1,
        }
        let count = self.counts.entry((page, note.level)).or_default();
        if *count < Annotations::PER_STEP && self.kept.annotations.len() < Annotations::MOST {
            *count += 1;
            self.kept.annotations.push(Annotation { step: page, ..note });
        }
    }
}

impl LogSink for Spoken {
    fn write(&self, index: u32, bytes: &[u8]) {
        let mut state = lock(&self.state);
        if let Some((mut stream, mut heard)) = state.behind.remove(&index) {
            stream.push(bytes, &mut |said| self.take(&mut state, page(index), &mut heard, said));
            state.behind.insert(index, (stream, heard));
            return;
        }
        match state.open.take() {
            Some((open, mut stream, mut heard)) if open == index => {
                stream.push(bytes, &mut |said| self.take(&mut state, page(index), &mut heard, said));
                state.open = Some((open, stream, heard));
            }
            other => {
                state.open = other;
                self.log.write(page(index), bytes);
            }
        }
    }

    fn end(&self, index: u32) {
        let mut state = lock(&self.state);
        // A stream for what was said is left, so that `heard` finds it.
        let rest =
            |matchers| Stream::new(StreamSettings::default(), matchers, Box::new(|_| Err(String::new())));
        if let Some((stream, heard)) = state.behind.remove(&index) {
            let (heard, matchers) = self.finish(&mut state, index, stream, heard);
            state.behind.insert(index, (rest(matchers), heard));
        } else if let Some((open, stream, heard)) = state.open.take() {
            if open == index {
                let (heard, matchers) = self.finish(&mut state, index, stream, heard);
                state.open = Some((open, rest(matchers), heard));
            } else {
                state.open = Some((open, stream, heard));
            }
        }
        self.log.end(page(index));
    }

    fn restart(&self, step: u32) {
        self.log.restart(step);
    }

    fn hide(&self, value: &str) {
        self.log.hide(value);
    }

    fn mask(&self, text: &str) -> String {
        self.log.mask(text)
    }
}
