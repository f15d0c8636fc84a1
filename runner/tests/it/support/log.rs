//! A log that keeps what it gets, as it came.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use tidegate_runner::logs::LogSink;

/// Bytes and ends of steps.
#[derive(Default)]
pub struct Kept {
    bytes: Mutex<BTreeMap<u32, Vec<u8>>>,
    ended: Mutex<BTreeSet<u32>>,
}

impl Kept {
    pub fn bytes(&self, step: u32) -> Vec<u8> {
        self.bytes.lock().unwrap().get(&step).cloned().unwrap_or_default()
    }

    pub fn text(&self, step: u32) -> String {
        String::from_utf8(self.bytes(step)).unwrap()
    }

    pub fn has_ended(&self, step: u32) -> bool {
        self.ended.lock().unwrap().contains(&step)
    }
}

impl LogSink for Kept {
    fn write(&self, step: u32, bytes: &[u8]) {
        assert!(!self.has_ended(step), "step {step} prints after its end");
        self.bytes.lock().unwrap().entry(step).or_default().extend_from_slice(bytes);
    }

    fn end(&self, step: u32) {
        self.ended.lock().unwrap().insert(step);
    }

    fn restart(&self, step: u32) {
        self.bytes.lock().unwrap().remove(&step);
        self.ended.lock().unwrap().remove(&step);
    }

    fn hide(&self, _value: &str) {}

    fn mask(&self, text: &str) -> String {
        text.to_owned()
    }
}
