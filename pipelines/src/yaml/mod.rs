//! A YAML document as a tree in which every node knows its place in the file.
//!
//! Scalars keep their text as written: what a value means is decided by whoever reads it (so that `1.10` in
//! `env` stays `1.10`). Aliases are already expanded; the nodes of an expanded alias keep the places of the
//! anchor's definition, and its root knows where it was used.

mod build;
mod core;
mod keys;
mod places;
mod scalar;
mod syntax;
mod tags;

pub(crate) use self::{
    build::parse,
    core::{Core, number_text},
};

use crate::diagnostic::{Place, Spanned};

/// The most nodes of a tree, aliases expanded.
pub(crate) const MAX_NODES: usize = 50_000;

/// What the two languages read differently.
#[derive(Debug, Clone)]
pub(crate) struct Dialect {
    /// The largest file that is looked at, in bytes.
    pub max_bytes: usize,
    /// The deepest nesting, aliases expanded.
    pub max_depth: usize,
    /// The tags of the core schema (`!!str`) are read.
    pub core_tags: bool,
    /// Keys that differ only in case are the same.
    pub fold_keys: bool,
    /// What such a file is called.
    pub file: &'static str,
    /// What such a file has at least.
    pub least: &'static str,
}

impl Dialect {
    /// The native language.
    pub(crate) const NATIVE: Self = Self {
        max_bytes: 256 * 1024,
        max_depth: 64,
        core_tags: false,
        fold_keys: false,
        file: "a pipeline file",
        least: "a pipeline has at least the keys `on` and `stages`",
    };
    /// GitHub Actions workflows.
    pub(crate) const ACTIONS: Self = Self {
        max_bytes: 1024 * 1024,
        max_depth: 50,
        core_tags: true,
        fold_keys: true,
        file: "a workflow file",
        least: "a workflow has at least the keys `on` and `jobs`",
    };
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub kind: Kind,
    pub place: Place,
}

/// The three kinds of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that was reported already; nobody need say more about it.
    Broken,
}

/// A scalar as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// The text after YAML's own escapes and folding.
    pub text: String,
    /// Written without quotes and not as a block: it may be a number, a boolean or nothing.
    pub plain: bool,
}

/// A key and its value. Keys of a map are unique.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub key: Spanned<String>,
    pub value: Node,
}

impl Node {
    /// What it is, for `expected …, found …`.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Map(_) => "a mapping",
            Kind::List(_) => "a list",
            Kind::Scalar(scalar) => scalar.describe(),
            Kind::Broken => "something that cannot be read",
        }
    }

    /// Whether nothing is written here.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.is_null())
    }
}
