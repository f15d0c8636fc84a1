//! What may stand where in a workflow file, as data: made by hand from GitHub's own schema (`workflow-v1.0`).
//!
//! A [`Def`] says which shapes a value may have, and which contexts and functions its expressions may read. The
//! tables refer to each other by `&'static`; [`read`] walks a file's tree along them and reports what does not fit.

mod events;
mod keys;
mod read;
mod table;

pub(super) use events::{EVENTS, EventDef, Filters};
pub use keys::keys;
pub(super) use read::{filter_keys, shortened, validate};

/// Contexts and functions that expressions may read, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reach(u32);

/// The contexts, in the order of their bits.
const CONTEXTS: [&str; 12] = [
    "github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "steps", "job", "runner", "env",
    "jobs",
];

impl Reach {
    pub(super) const NOTHING: Self = Self(0);
    /// `github`, `inputs`, `vars`: known as soon as there is an event.
    pub(super) const EVENT: Self = Self(0b111);
    pub(super) const NEEDS: Self = Self(1 << 3);
    pub(super) const MATRIX: Self = Self(0b11 << 4);
    pub(super) const SECRETS: Self = Self(1 << 6);
    /// `steps`, `job`, `runner`, `env`: known to the runner only.
    pub(super) const RUNNER: Self = Self(0b1111 << 7);
    pub(super) const ENV: Self = Self(1 << 10);
    pub(super) const JOBS: Self = Self(1 << 11);
    pub(super) const HASH_FILES: Self = Self(1 << 12);
    /// `success()` and its like, of the steps before.
    pub(super) const STEP_STATUS: Self = Self(1 << 13);
    /// The same of the jobs before, which may be named.
    pub(super) const JOB_STATUS: Self = Self(1 << 14);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same as GitHub's schema writes it.
    pub(super) fn allowed(self) -> Vec<&'static str> {
        let contexts =
            CONTEXTS.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| *name);
        let functions: [(Self, &[&str]); 3] = [
            (Self::HASH_FILES, &["hashFiles(1,255)"]),
            (Self::STEP_STATUS, &["always(0,0)", "failure(0,0)", "cancelled(0,0)", "success(0,0)"]),
            (Self::JOB_STATUS, &["always(0,0)", "failure(0,MAX)", "cancelled(0,0)", "success(0,MAX)"]),
        ];
        let functions =
            functions.into_iter().filter(|(bit, _)| self.holds(*bit)).flat_map(|(_, names)| names);
        contexts.chain(functions.copied()).collect()
    }
}

/// A place in a workflow file.
pub(super) struct Def {
    /// What expressions here and below may read, beside what they may read above.
    pub reach: Reach,
    /// The text is an expression even without `${{ }}`.
    pub condition: bool,
    /// The shapes that a value may have.
    pub shapes: &'static [Shape],
    /// What is expected, for messages.
    pub what: &'static str,
}

/// A shape of a value.
pub(super) enum Shape {
    Null,
    Bool,
    Number,
    /// Any text; numbers and booleans are read as text.
    Text,
    /// Text that is not empty.
    Filled,
    /// One of these words.
    Words(&'static [&'static str]),
    List(&'static Def),
    Map(&'static MapDef),
    /// Whatever there is, expressions included.
    Any,
}

/// A mapping.
pub(super) struct MapDef {
    pub keys: &'static [Key],
    /// Other keys, and what their values are.
    pub others: Option<&'static Def>,
}

/// A key of a mapping.
pub(super) struct Key {
    pub name: &'static str,
    pub required: bool,
    pub value: &'static Def,
}

/// A key that may be there.
const fn key(name: &'static str, value: &'static Def) -> Key {
    Key { name, required: false, value }
}

/// A key that must be there.
const fn must(name: &'static str, value: &'static Def) -> Key {
    Key { name, required: true, value }
}

/// A place with its own reach.
const fn def(what: &'static str, reach: Reach, shapes: &'static [Shape]) -> Def {
    Def { reach, condition: false, shapes, what }
}

/// A place without a reach of its own.
const fn plain(what: &'static str, shapes: &'static [Shape]) -> Def {
    def(what, Reach::NOTHING, shapes)
}

/// An `if`.
const fn condition(reach: Reach) -> Def {
    Def { reach, condition: true, shapes: &[Shape::Text], what: "a condition" }
}
