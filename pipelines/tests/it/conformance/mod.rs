//! Facts and cases that others wrote, from a folder that is no part of this repository: `CONFORMANCE_DATA`, or
//! `shared/data` beside the repository. Where there is none the tests say so and pass; `make conformance` prints
//! the table of all sets.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod expressions;
mod filters;
mod readers;
mod starters;
mod webhooks;
mod workflows;

use std::{env, fs, path::PathBuf};

use serde_json::Value;

/// What came of one set of cases.
pub struct Row {
    pub set: String,
    pub passed: usize,
    pub total: usize,
    /// The cases that went wrong: which, and how.
    pub misses: Vec<String>,
}

impl Row {
    pub fn new(set: &str) -> Self {
        Self { set: set.to_owned(), passed: 0, total: 0, misses: Vec::new() }
    }

    /// Counts one case.
    pub fn count(&mut self, case: &str, outcome: Result<(), String>) {
        self.total += 1;
        match outcome {
            Ok(()) => self.passed += 1,
            Err(why) => self.misses.push(format!("{case}: {why}")),
        }
    }
}

/// A file or folder of the data, when it is there.
pub fn path(name: &str) -> Option<PathBuf> {
    let root = env::var_os("CONFORMANCE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join(name);
    if !path.exists() {
        eprintln!("there is no {}, so nothing is measured against it", path.display());
        return None;
    }
    Some(path)
}

/// A JSON file of the data, when it is there.
pub fn json(name: &str) -> Option<Value> {
    let text = fs::read_to_string(path(name)?).unwrap();
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// All that is measured by this crate. A module beside this one adds its rows here.
fn rows() -> Vec<Row> {
    let sets = [expressions::rows(), filters::rows(), readers::rows(), starters::rows(), webhooks::rows()];
    sets.into_iter().flatten().collect()
}

/// One line for each set, then what went wrong.
fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.set.len()).max().unwrap_or_default();
    let mut text = String::new();
    for row in rows {
        #[allow(clippy::cast_precision_loss, reason = "a percentage for people")]
        let percent = 100.0 * row.passed as f64 / row.total.max(1) as f64;
        text.push_str(&format!(
            "{:width$}  {:>5} / {:<5} {percent:>6.1} %\n",
            row.set, row.passed, row.total
        ));
    }
    for row in rows.iter().filter(|row| !row.misses.is_empty()) {
        text.push_str(&format!("\n{}:\n", row.set));
        for miss in &row.misses {
            text.push_str(&format!("  {miss}\n"));
        }
    }
    text
}

#[test]
#[ignore = "prints the table: make conformance"]
fn measured() {
    print!("{}", table(&rows()));
}
