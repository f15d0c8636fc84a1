//! In which order keys stand.

use crate::native::file::Stage;

/// In which order the keys of the file and of its stages stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Usual,
    AsWritten,
}

/// The keys of a file, be it a pipeline, a template, or what a stage wrote.
const FILE: &[&str] = &["name", "on", "inputs", "env", "defaults", "concurrency", "outputs", "stages"];
/// What a mapping is, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    File,
    Stages,
    Stage,
    Other,
}

/// Where a key stands among those beside it; what has no place of its own comes last.
pub(super) fn rank(order: Order, key: &str, role: Role) -> usize {
    let keys = match (order, role) {
        (Order::Usual, Role::File) => FILE,
        (Order::Usual, Role::Stage) => Stage::KEYS,
        _ => return 0,
    };
    keys.iter().position(|known| *known == key).unwrap_or(keys.len())
}
