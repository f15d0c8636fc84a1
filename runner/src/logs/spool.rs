//! Masked log bytes and step reports on this machine's disk until the server has them.
//!
//! One file per step, so a byte's place in the file is its offset on the server. What the server has accepted is
//! not kept on disk: after a restart sending begins at 0, and the server's answer says where to go on.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use tidegate_protocol::{messages::StepReport, status::StepStatus};
use tokio::sync::Notify;

use super::LogStore;
use crate::{stage::StepSink, sync::lock};

/// One attempt's bytes and reports on their way.
pub struct LogSpool {
    folder: PathBuf,
    state: Mutex<State>,
    /// Woken when there is something to send, and when something was accepted.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    steps: BTreeMap<u32, StepLog>,
    reports: VecDeque<StepReport>,
    /// A report is being sent.
    in_flight: bool,
    /// The first failure to keep bytes, or to hand them over.
    broken: Option<String>,
}

impl State {
    fn append(&mut self, folder: &Path, step: u32, bytes: &[u8]) -> io::Result<()> {
        let log = match self.steps.entry(step) {
            Entry::Occupied(log) => log.into_mut(),
            Entry::Vacant(place) => {
                let (file, written) = open_step(folder, step)?;
                place.insert(StepLog { file, written, accepted: 0 })
            }
        };
        log.file.write_all(bytes)?;
        log.written += bytes.len() as u64;
        Ok(())
    }
}

struct StepLog {
    file: File,
    written: u64,
    accepted: u64,
}

/// What to send next.
#[derive(Debug, Clone)]
pub(super) enum Next {
    /// A report, before anything that was written after it.
    Report(StepReport),
    /// Bytes of a step from this offset.
    Bytes { step: u32, offset: u64, pending: u64 },
    /// All is accepted.
    Nothing,
}

impl LogSpool {
    /// Opens the folder; files of an earlier process are taken up.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut state = State::default();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Some(step) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let (file, written) = open_step(folder, step)?;
            state.steps.insert(step, StepLog { file, written, accepted: 0 });
        }
        Ok(Self { folder: folder.to_owned(), state: Mutex::new(state), changed: Notify::new() })
    }

    /// Bytes that the server has not accepted yet.
    pub fn backlog(&self) -> u64 {
        lock(&self.state).steps.values().map(|log| log.written.saturating_sub(log.accepted)).sum()
    }

    /// Why bytes could not be kept, if so.
    pub fn broken(&self) -> Option<String> {
        lock(&self.state).broken.clone()
    }

    pub(super) fn next(&self) -> Next {
        let mut state = lock(&self.state);
        if let Some(report) = state.reports.front().cloned() {
            // A step's end is told after its bytes: who follows the log stops at the end.
            let ended = !matches!(report.status, StepStatus::Pending | StepStatus::Running);
            match state.steps.get(&report.index).filter(|log| ended && log.written > log.accepted) {
                Some(log) => {
                    let pending = log.written - log.accepted;
                    return Next::Bytes { step: report.index, offset: log.accepted, pending };
                }
                None => {
                    state.in_flight = true;
                    return Next::Report(report);
                }
            }
        }
        state.steps.iter().find(|(_, log)| log.written > log.accepted).map_or(Next::Nothing, |(step, log)| {
            Next::Bytes { step: *step, offset: log.accepted, pending: log.written - log.accepted }
        })
    }

    pub(super) fn report_accepted(&self) {
        let mut state = lock(&self.state);
        state.reports.pop_front();
        state.in_flight = false;
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn bytes_accepted(&self, step: u32, next_offset: u64) {
        if let Some(log) = lock(&self.state).steps.get_mut(&step) {
            log.accepted = next_offset;
        }
        self.changed.notify_waiters();
    }

    /// The server will never take what is written of this step so far, and says why.
    pub(super) fn bytes_refused(&self, step: u32, reason: String) {
        let mut state = lock(&self.state);
        if let Some(log) = state.steps.get_mut(&step) {
            log.accepted = log.written;
        }
        state.broken.get_or_insert(reason);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Reads at most `limit` bytes of a step.
    pub(super) fn read(&self, step: u32, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let (file, written) = {
            let state = lock(&self.state);
            let Some(log) = state.steps.get(&step) else { return Ok(Vec::new()) };
            (log.file.try_clone()?, log.written)
        };
        let count = usize::try_from(written.saturating_sub(offset)).unwrap_or(limit).min(limit);
        let mut bytes = vec![0; count];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.reports.is_empty() && state.steps.values().all(|log| log.written <= log.accepted)
    }
}

fn open_step(folder: &Path, step: u32) -> io::Result<(File, u64)> {
    let path = folder.join(step.to_string());
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let written = file.metadata()?.len();
    Ok((file, written))
}

impl LogStore for LogSpool {
    fn append(&self, step: u32, bytes: &[u8]) {
        let mut state = lock(&self.state);
        if let Err(error) = state.append(&self.folder, step, bytes) {
            state.broken.get_or_insert_with(|| format!("{}: {error}", self.folder.display()));
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn truncate(&self, step: u32) {
        if let Some(log) = lock(&self.state).steps.get_mut(&step)
            && log.file.set_len(0).is_ok()
        {
            log.written = 0;
        }
    }
}

impl StepSink for LogSpool {
    fn report(&self, report: StepReport) {
        let mut state = lock(&self.state);
        // A later report of the same step says all that one not sent yet does. The first of each step stays: their
        // order makes the list on the page.
        let sent = usize::from(state.in_flight);
        let replaced = state
            .reports
            .iter_mut()
            .skip(sent)
            .find(|queued| queued.index == report.index && queued.status == report.status);
        match replaced {
            Some(queued) => *queued = report,
            None => state.reports.push_back(report),
        }
        drop(state);
        self.changed.notify_waiters();
    }
}
