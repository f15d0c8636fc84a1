//! The attempt's steps as the page shows them: numbered, named, timed, reported in order.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tidegate_protocol::{messages::StepReport, status::StepStatus};

use crate::sync::lock;

/// Who is told of steps. `report` never blocks on the network; reports are delivered in order, and before the
/// log bytes of the step that they announce.
pub trait StepSink: Send + Sync {
    /// A step is planned, began or ended.
    fn report(&self, report: StepReport);
}

/// Numbers an attempt's steps and reports what becomes of them. Step 0 is the runner's own set-up.
pub struct StepBook {
    sink: Arc<dyn StepSink>,
    steps: Mutex<Vec<Entry>>,
}

struct Entry {
    name: String,
    status: StepStatus,
    started: Option<Instant>,
}

impl StepBook {
    /// A book without steps.
    pub fn new(sink: Arc<dyn StepSink>) -> Self {
        Self { sink, steps: Mutex::new(Vec::new()) }
    }

    /// Adds a step that is still to come, and gives its index.
    pub fn plan(&self, name: impl Into<String>) -> u32 {
        let mut steps = lock(&self.steps);
        let index = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        steps.push(Entry { name: name.into(), status: StepStatus::Pending, started: None });
        self.report(index, &steps[index as usize], None, None);
        index
    }

    /// Adds a step and begins it.
    pub fn begin(&self, name: impl Into<String>) -> u32 {
        let index = self.plan(name);
        self.start(index);
        index
    }

    /// A step is called otherwise from its beginning on: its name was a template.
    pub fn rename(&self, index: u32, name: &str) {
        if let Some(entry) = lock(&self.steps).get_mut(index as usize) {
            entry.name = name.to_owned();
        }
    }

    /// A planned step begins.
    pub fn start(&self, index: u32) {
        let mut steps = lock(&self.steps);
        let Some(entry) = steps.get_mut(index as usize) else { return };
        entry.status = StepStatus::Running;
        entry.started = Some(Instant::now());
        self.report(index, entry, None, None);
    }

    /// A step ended; it took as long as this book saw it running.
    pub fn end(&self, index: u32, status: StepStatus, exit_code: Option<i32>) {
        let took =
            lock(&self.steps).get(index as usize).and_then(|entry| entry.started).map(|at| at.elapsed());
        self.end_after(index, status, exit_code, took);
    }

    /// A step ended, and somebody else measured it.
    pub fn end_after(&self, index: u32, status: StepStatus, exit_code: Option<i32>, took: Option<Duration>) {
        let mut steps = lock(&self.steps);
        let Some(entry) = steps.get_mut(index as usize) else { return };
        entry.status = status;
        self.report(index, entry, exit_code, took);
    }

    /// Ends what has not ended: running steps with `running`, pending ones as skipped.
    pub fn close(&self, running: StepStatus) {
        let open: Vec<(u32, StepStatus)> = lock(&self.steps)
            .iter()
            .enumerate()
            .map(|(index, entry)| (u32::try_from(index).unwrap_or(u32::MAX), entry.status))
            .collect();
        for (index, status) in open {
            match status {
                StepStatus::Pending => self.end(index, StepStatus::Skipped, None),
                StepStatus::Running => self.end(index, running, None),
                _ => {}
            }
        }
    }

    /// A step's name.
    pub fn name(&self, index: u32) -> String {
        lock(&self.steps).get(index as usize).map(|entry| entry.name.clone()).unwrap_or_default()
    }

    fn report(&self, index: u32, entry: &Entry, exit_code: Option<i32>, took: Option<Duration>) {
        self.sink.report(StepReport {
            index,
            name: entry.name.clone(),
            status: entry.status,
            exit_code,
            duration_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        });
    }
}
