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
    needles: Needles,
    steps: Mutex<BTreeMap<u32, Masker>>,
    store: Arc<dyn LogStore>,
}

impl MaskedLog {
    /// A sink that hides these values.
    pub fn new(secrets: &[String], store: Arc<dyn LogStore>) -> Self {
        Self { needles: Needles::new(secrets), steps: Mutex::new(BTreeMap::new()), store }
    }
}

impl LogSink for MaskedLog {
    fn write(&self, step: u32, bytes: &[u8]) {
        // The lock is held while storing, so that two writers of one step cannot swap their bytes.
        let mut steps = lock(&self.steps);
        let masker = steps.entry(step).or_insert_with(|| Masker::new(self.needles.clone()));
        let mut masked = Vec::with_capacity(bytes.len() + 64);
        masker.push(bytes, &mut masked);
        if !masked.is_empty() {
            self.store.append(step, &masked);
        }
    }

    fn end(&self, step: u32) {
        let mut steps = lock(&self.steps);
        if let Some(mut masker) = steps.remove(&step) {
            let mut masked = Vec::new();
            masker.finish(&mut masked);
            if !masked.is_empty() {
                self.store.append(step, &masked);
            }
        }
    }

    fn restart(&self, step: u32) {
        lock(&self.steps).remove(&step);
        self.store.truncate(step);
    }

    fn mask(&self, text: &str) -> String {
        self.needles.mask(text)
    }
}
