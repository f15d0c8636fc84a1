//! The sink of every stage: one streaming masker per step in front of a store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::{LogSink, LogStore};
use crate::{
    mask::{Masker, Needles},
    sync::lock,
};

/// Masks, then stores.
pub struct MaskedLog {
    state: Mutex<State>,
    store: Arc<dyn LogStore>,
}

struct State {
    needles: Needles,
    values: Vec<String>,
    /// Values were added since the needles were made. They are made when they are needed: many come at once.
    stale: bool,
    steps: BTreeMap<u32, Masker>,
}

impl State {
    fn refresh(&mut self) {
        if std::mem::take(&mut self.stale) {
            self.needles = Needles::new(&self.values);
            for masker in self.steps.values_mut() {
                masker.renew(self.needles.clone());
            }
        }
    }
}

impl MaskedLog {
    /// A sink that hides these values.
    pub fn new(secrets: &[String], store: Arc<dyn LogStore>) -> Self {
        let state = State {
            needles: Needles::new(secrets),
            values: secrets.to_vec(),
            stale: false,
            steps: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), store }
    }
}

impl LogSink for MaskedLog {
    fn write(&self, step: u32, bytes: &[u8]) {
        // The lock is held while storing, so that two writers of one step cannot swap their bytes.
        let mut state = lock(&self.state);
        state.refresh();
        let State { needles, steps, .. } = &mut *state;
        let masker = steps.entry(step).or_insert_with(|| Masker::new(needles.clone()));
        let mut masked = Vec::with_capacity(bytes.len() + 64);
        masker.push(bytes, &mut masked);
        if !masked.is_empty() {
            self.store.append(step, &masked);
        }
    }

    fn end(&self, step: u32) {
        let mut state = lock(&self.state);
        state.refresh();
        if let Some(mut masker) = state.steps.remove(&step) {
            let mut masked = Vec::new();
            masker.finish(&mut masked);
            if !masked.is_empty() {
                self.store.append(step, &masked);
            }
        }
    }

    fn restart(&self, step: u32) {
        lock(&self.state).steps.remove(&step);
        self.store.truncate(step);
    }

    fn hide(&self, value: &str) {
        let mut state = lock(&self.state);
        if !value.is_empty() && !state.values.iter().any(|known| known == value) {
            state.values.push(value.to_owned());
            state.stale = true;
        }
    }

    fn mask(&self, text: &str) -> String {
        let needles = {
            let mut state = lock(&self.state);
            state.refresh();
            state.needles.clone()
        };
        needles.mask(text)
    }
}
